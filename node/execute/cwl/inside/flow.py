"""One workflow: which jobs it wants done next, and what it delivers (CWL v1.2, Workflow).

cwltool goes through the steps; here no job is done. The same answers in the same order make the same wishes, so a
workflow that was interrupted is gone through again with the answers that were written down.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from typing import Any, Final

from cwltool.command_line_tool import CommandLineTool, ExpressionJob
from cwltool.context import LoadingContext, RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.process import Process, shortname
from cwltool.utils import adjustDirObjs, trim_listing, visit_files
from cwltool.workflow import WorkflowStep, default_make_tool
from cwltool.workflow_job import ReceiveScatterOutput, WorkflowJob
from schema_salad.ref_resolver import Loader

from node.execute.cwl.inside.channel import Channel
from node.execute.cwl.inside.expression import value_of
from node.execute.cwl.inside.files import SCHEME, location_of, path_of
from node.execute.cwl.inside.load import load, running
from node.execute.cwl.message import Begin, Ended, Load, Loaded, Wanted, Wish

MOST_JOBS: Final = 20_000
"""That a workflow may have waited for at once: each takes room here, and at whoever does it."""


class _Deferred:
    """A job that somebody else does."""

    prov_obj: Any = None

    def __init__(self, inputs: Any, callback: Any) -> None:
        self.inputs, self.callback = inputs, callback


class _Tool(CommandLineTool):
    def job(self, job_order: Any, output_callbacks: Any, runtimeContext: RuntimeContext) -> Generator[Any, None, None]:
        """Itself, to be done elsewhere.

        Alone, in no workflow, it has its secondary files looked for here: whoever stages the inputs has to know them.
        """
        inputs = self._init_job(job_order, runtimeContext).job if runtimeContext.toplevel else job_order
        adjustDirObjs(inputs, trim_listing)
        yield _Deferred(inputs, output_callbacks)


def _construct(document: Any, context: LoadingContext) -> Process:
    return (
        _Tool(document, context) if document.get("class") == "CommandLineTool" else default_make_tool(document, context)
    )


def _expand_format(loader: Loader, file: Any) -> None:
    """Formats are addresses, and may be written with the prefixes of their document."""
    if "format" in file:
        file["format"] = loader.expand_url(file["format"], "")


class Flow:
    """One workflow on one set of inputs. A tool or an expression alone is a workflow of itself."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._process: Process | None = None
        self._context = running(channel, top=True)
        self._jobs: Iterator[Any] = iter(())
        self._open: dict[int, _Deferred] = {}
        self._made = 0
        self._ended: list[tuple[Any, str]] = []
        self._reason = ""

    def load(self, asked: Load) -> Loaded:
        """Read it.

        Raises:
            ValidationException, WorkflowException: it is none.
        """
        self._process = load(self._channel, asked, _construct)
        return Loaded(kind=str(self._process.tool["class"]))

    def begin(self, asked: Begin) -> Wanted:
        """What it wants done first.

        Raises:
            ValidationException, WorkflowException: the inputs do not fit.
        """
        if self._process is None:
            raise WorkflowException("no workflow was read")
        inputs = dict(asked.inputs)
        prefixes = self._prefixes() | inputs.pop("$namespaces", {})
        visit_files(inputs, partial(_expand_format, Loader(prefixes)))
        self._jobs = self._process.job(
            inputs, lambda values, status: self._ended.append((values, status)), self._context
        )
        return self._further()

    def ended(self, told: Ended) -> Wanted:
        """What it wants done next.

        Raises:
            ValidationException, WorkflowException: what was delivered does not fit.
        """
        self._channel.update(told.updated)
        job = self._open.pop(told.number)
        job.callback(told.outputs or {}, "success" if told.outputs is not None else "permanentFail")
        return self._further()

    def _further(self) -> Wanted:
        wishes = []
        for job in self._jobs:
            if job is None:
                break
            self._context.toplevel = False
            if len(self._open) >= MOST_JOBS:
                raise WorkflowException(f"more than {MOST_JOBS:,} jobs are wanted at once: scatter over less")
            if isinstance(job, _Deferred):
                wishes.append(self._wish(job))
            elif isinstance(job, ExpressionJob):
                self._evaluate(job)
        if not self._ended:
            if not wishes and not self._open:
                raise WorkflowException("the workflow cannot go on: its steps wait for one another")
            return Wanted(wishes=wishes)
        values, status = self._ended[0]
        if status != "success":
            return Wanted(wishes=wishes, over=True, reason=self._reason)
        return Wanted(wishes=wishes, over=True, outputs=self._now(values))

    def _prefixes(self) -> dict[str, str]:
        known = self._process.metadata.get("$namespaces") if self._process is not None else None
        return {str(name): str(address) for name, address in known.items()} if isinstance(known, dict) else {}

    def _evaluate(self, job: ExpressionJob) -> None:
        told: Any = job.output_callback
        try:
            told(value_of(job), "success")
        except WorkflowException as error:
            self._reason = str(error)
            told({}, "permanentFail")

    def _wish(self, job: _Deferred) -> Wish:
        self._made += 1
        self._open[self._made] = job
        step, shards = place_of(job.callback)
        return Wish(number=self._made, step=step, shards=shards, inputs=self._now(job.inputs))

    def _now(self, value: Any) -> Any:
        """A value with the names of what took the place of its files."""
        if isinstance(value, list):
            return [self._now(each) for each in value]
        if not isinstance(value, dict):
            return value
        made = {name: self._now(each) for name, each in value.items()}
        location = value.get("location")
        if value.get("class") in ("File", "Directory") and isinstance(location, str) and location.startswith(SCHEME):
            path = path_of(location)
            if (now := self._channel.now(path)) != path:
                made = {
                    name: each
                    for name, each in made.items()
                    if name in ("class", "basename", "secondaryFiles", "format")
                }
                made["location"] = location_of(now)
        return made


def place_of(callback: Any) -> tuple[str, list[int]]:
    """Whose job reports to ``callback``: its steps and its places in scatters, from the outermost in.

    What a job delivers goes up through the callbacks of all that it is part of; there is no other trace of them.
    """
    names: list[str] = []
    shards: list[int] = []
    while isinstance(callback, partial):
        owner = getattr(callback.func, "__self__", None)
        if isinstance(owner, WorkflowStep):
            names.append(shortname(owner.id))
            callback = callback.args[0]
        elif isinstance(owner, ReceiveScatterOutput):
            shards.append(callback.args[0])
            callback = owner.output_callback
        elif isinstance(owner, WorkflowJob):
            callback = callback.args[2]
        else:
            break
    return "/".join(reversed(names)), shards[::-1]
