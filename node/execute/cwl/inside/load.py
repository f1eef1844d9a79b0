"""Documents read by cwltool from what the node has, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from cwltool.context import LoadingContext, RuntimeContext
from cwltool.load_tool import fetch_document, make_tool, resolve_and_validate_document
from cwltool.process import Process, shortname
from cwltool.workflow import Workflow
from schema_salad.exceptions import ValidationException

from node.execute.cwl.inside.channel import Channel
from node.execute.cwl.inside.files import Files, Texts
from node.execute.cwl.message import Load

WORK = "/work"
SCRATCH = "/tmp"  # noqa: S108 - the step's own
INPUTS = "/inputs"

Construct = Callable[[Any, LoadingContext], Process]


def load(channel: Channel, asked: Load, construct: Construct) -> Process:
    """The process ``asked`` for, whose parts ``construct`` makes.

    Raises:
        ValidationException, WorkflowException: it is no CWL, or asks for what is not known here.
    """
    texts = type("TextsHere", (Texts,), {"channel": channel})
    context = LoadingContext(
        {
            "construct_tool_object": construct,
            "fetcher_constructor": texts,
            "enable_dev": True,  # the drafts of v1.3, for loops
            "disable_js_validation": True,  # by a JavaScript that checks style, which needs node
            "overrides_list": [{"overrideTarget": asked.uri, "requirements": asked.requirements}]
            if asked.requirements
            else [],
            "relax_path_checks": True,  # what a file may be called the node decides
        }
    )
    context, document, uri = fetch_document(asked.uri, context)
    context, uri = resolve_and_validate_document(context, document, uri)
    process = make_tool(uri, context)
    for name in asked.step.split("/") if asked.step else ():
        process = _within(process, name)
    return process


def _within(process: Process, name: str) -> Process:
    """What the step ``name`` of a workflow runs."""
    steps = process.steps if isinstance(process, Workflow) else []
    for step in steps:
        if shortname(step.id) == name:
            return step.embedded_tool
    raise ValidationException(f"there is no step «{name}»")


def running(channel: Channel, *, top: bool = False, resources: Any = None) -> RuntimeContext:
    """What cwltool evaluates a process in: the step's own folders, in the same places everywhere.

    ``top`` has secondary files looked for beside their primary ones, where nobody named them.
    """
    context = RuntimeContext(
        {
            "use_container": False,  # what a step runs in is the site's and the block's to say
            "basedir": "/",
            "outdir": WORK,
            "tmpdir": SCRATCH,
            "stagedir": INPUTS,
            "toplevel": top,
            "compute_checksum": False,  # the node names files by their content
            "select_resources": resources,
        }
    )
    context.make_fs_access = partial(_files, channel)  # type: ignore[assignment]
    context.workflow_eval_lock = threading.Condition(threading.RLock())
    return context


def _files(channel: Channel, basedir: str) -> Files:
    return Files(basedir, channel)
