"""One tool: its command for inputs, and its outputs from what the command left (CWL v1.2, CommandLineTool)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from math import ceil
from typing import Any

from cwltool.builder import Builder
from cwltool.command_line_tool import CommandLineTool, ExpressionJob
from cwltool.context import LoadingContext, RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.pathmapper import MapperEnt, PathMapper
from cwltool.process import Process
from cwltool.workflow import default_make_tool
from ruamel.yaml.scalarfloat import ScalarFloat

from node.execute.cwl.inside.channel import Channel
from node.execute.cwl.inside.expression import value_of
from node.execute.cwl.inside.files import Mapper
from node.execute.cwl.inside.load import WORK, load, running
from node.execute.cwl.message import Command, Load, Loaded, Outputs, Placed, Ready


class _Job:
    """Takes up what cwltool says of a job, in the place of what would run it (its class ``JobBase``)."""

    prov_obj: Any = None

    def __init__(
        self, builder: Any, joborder: Any, make_path_mapper: Any, requirements: Any, hints: Any, name: str
    ) -> None:
        self.builder, self.joborder, self.requirements, self.hints, self.name = (
            builder,
            joborder,
            requirements,
            hints,
            name,
        )
        self.make_path_mapper = make_path_mapper
        self.generatefiles: Any = {"class": "Directory", "listing": [], "basename": ""}
        self.command_line: list[str] = []
        self.stdin: str | None = None
        self.stdout: str | None = None
        self.stderr: str | None = None
        self.timelimit: float | None = None
        self.networkaccess = False
        self.successCodes: list[int] = []
        self.temporaryFailCodes: list[int] = []
        self.permanentFailCodes: list[int] = []
        self.environment: dict[str, str] = {}
        self.inplace_update = False
        self.collect_outputs: Any = None

    def prepare_environment(self, _context: RuntimeContext, required: dict[str, str]) -> None:
        """The variables that the tool asks for, and no others."""
        self.environment = dict(required)


class _Tool(CommandLineTool):
    def _init_job(self, joborder: Any, runtime_context: RuntimeContext) -> Builder:
        """With numbers as text without an exponent (CWL v1.2, CommandLineTool 4.1)."""
        runtime_context.outdir = _work_of(self)
        builder = super()._init_job(joborder, runtime_context)
        builder.tostr = partial(_text, builder.tostr)  # type: ignore[method-assign]
        return builder

    def make_path_mapper(
        self, reffiles: Any, stagedir: str, runtimeContext: RuntimeContext, separateDirs: bool
    ) -> PathMapper:
        """Every file where it is named."""
        return Mapper(reffiles, runtimeContext.basedir, stagedir, separateDirs)

    def make_job_runner(self, _context: RuntimeContext) -> Any:
        """What only takes up."""
        return _Job


def _construct(document: Any, context: LoadingContext) -> Process:
    return (
        _Tool(document, context) if document.get("class") == "CommandLineTool" else default_make_tool(document, context)
    )


class Tool:
    """One tool on one set of inputs."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._process: Process | None = None
        self._job: _Job | None = None

    def on(self, channel: Channel) -> Tool:
        """The same tool, for whoever is at another line."""
        other = Tool(channel)
        other._process = self._process
        return other

    def load(self, asked: Load) -> Loaded:
        """Read it.

        Raises:
            ValidationException, WorkflowException: it is none.
        """
        self._process = load(self._channel, asked, _construct)
        return Loaded(kind=str(self._process.tool["class"]))

    def command(self, asked: Command) -> Ready | Outputs:
        """Its command; of an expression, what that yields.

        Raises:
            ValidationException, WorkflowException: the inputs do not fit.
        """
        if self._process is None:
            raise WorkflowException("no tool was read")
        named, _ = self._process.get_requirement("ResourceRequirement")
        asks: dict[str, float] = {}
        context = running(self._channel, resources=_within(asked, named or {}, asks))
        made: list[Any] = list(self._process.job(dict(asked.inputs), _unused, context))
        job = made[0]
        if isinstance(job, ExpressionJob):
            return Outputs(values=value_of(job))
        if not isinstance(job, _Job):
            raise WorkflowException("a tool or an expression is evaluated, and this is neither")
        self._job = job
        return _ready(job, context, asks)

    def collect(self, code: int) -> Outputs:
        """Its outputs, once the command ended.

        Raises:
            WorkflowException: they lack, or are not as the tool says.
        """
        if self._job is None:
            raise WorkflowException("no command was made")
        return Outputs(values=self._job.collect_outputs(WORK, code))


def _work_of(tool: Process) -> str:
    """What it calls its working folder. What it would be called in an image is heeded only if it asks for one."""
    image, asked = tool.get_requirement("DockerRequirement")
    return str((image or {}).get("dockerOutputDirectory") or WORK) if asked else WORK


def _text(usual: Callable[[Any], str], value: Any) -> str:
    if isinstance(value, float) and not isinstance(value, ScalarFloat):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    return usual(value)


def _unused(_values: Any, _status: str) -> None:
    """What is delivered is returned instead."""


def _within(asked: Command, named: Mapping[str, Any], asks: dict[str, float]) -> Any:
    """What a tool gets of what it asks for: the least that it wants, within what there is.

    What it ``named`` itself is written to ``asks``; of memory that it names nothing of, it gets what there is.
    """

    def select(request: dict[str, Any], _context: RuntimeContext) -> dict[str, Any]:
        asks.update({name: float(amount) for name, amount in request.items() if name in named})
        ram = request["ramMin"] if {"ramMin", "ramMax"} & set(named) else asked.ram_mib
        return {
            "cores": min(request["coresMin"], asked.cores),
            "ram": min(ceil(ram), asked.ram_mib),
            "tmpdirSize": ceil(request["tmpdirMin"]),
            "outdirSize": ceil(request["outdirMin"]),
        }

    return select


def _ready(job: _Job, context: RuntimeContext, asked: dict[str, float]) -> Ready:
    placed = _placed(job.builder.pathmapper)
    if job.generatefiles["listing"]:
        placed += _placed(job.make_path_mapper(job.generatefiles["listing"], job.builder.outdir, context, False))
    return Ready(
        argv=[str(each) for each in job.command_line],
        variables=job.environment,
        stdin=job.stdin,
        stdout=job.stdout,
        stderr=job.stderr,
        placed=placed,
        asked=asked,
        seconds=None if job.timelimit is None else float(job.timelimit),
        network=bool(job.networkaccess),
        work=str(job.builder.outdir),
        inplace=job.inplace_update,
        codes=(list(job.successCodes), list(job.temporaryFailCodes), list(job.permanentFailCodes)),
    )


def _placed(mapper: PathMapper) -> list[Placed]:
    """What does not stand yet where it is to be."""
    return [each for entry in mapper if entry.staged and (each := _place(entry)) is not None]


def _place(entry: MapperEnt) -> Placed | None:
    if entry.type in ("CreateFile", "CreateWritableFile"):
        return Placed(target=entry.target, text=entry.resolved, writable=entry.type == "CreateWritableFile")
    writable = entry.type.startswith("Writable")  # type: ignore[union-attr]
    if entry.resolved.startswith("_:"):
        return Placed(target=entry.target, writable=writable)
    if entry.resolved == entry.target:
        return None
    return Placed(target=entry.target, source=entry.resolved, writable=writable)
