"""A CWL CommandLineTool as values, in the subset that this node runs (CWL v1.0–v1.2, «CommandLineTool»)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from workflow.reference import Reference, Template
from workflow.type import Carried, Type


class Disclosure(StrEnum):
    """What an output discloses, as its author declares it; releases are decided per type of output.

    An output without the hint counts as rows. The declaration binds nobody: an owner's endorsement names the block
    and the type, and the checks of the type look at the bytes.
    """

    STATISTICS = "statistics"
    TABLE = "table"
    MODEL = "model"
    ROWS = "row-level"


@dataclass(frozen=True, slots=True)
class Binding:
    """How a value becomes arguments (CWL v1.2, 5.4.1 «CommandLineBinding»)."""

    position: int = 0
    prefix: str | None = None
    separate: bool = True
    item_separator: str | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """An input: its ``default`` is a checked value of its type, files as :class:`workflow.type.Carried`.

    ``item_binding`` binds each member of an array, after ``binding`` has written its own prefix.
    """

    name: str
    type: Type
    binding: Binding | None = None
    item_binding: Binding | None = None
    default: object = None
    label: str = ""
    doc: str = ""

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return not self.type.optional and self.default is None

    @property
    def carried(self) -> bool:
        """Whether its default is a file of the tool's own folder: the code that it runs, most often."""
        values = self.default if isinstance(self.default, tuple) else (self.default,)
        return any(isinstance(value, Carried) for value in values)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument that is not bound to an input."""

    value: Template
    binding: Binding = field(default_factory=Binding)


@dataclass(frozen=True, slots=True)
class Output:
    """An output: files that match ``globs`` in the working folder, or the standard ``stream`` of that name."""

    name: str
    type: Type
    globs: tuple[Template, ...] = ()
    stream: str = ""
    disclosure: Disclosure = Disclosure.ROWS
    label: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True)
class WorkFile:
    """A file that stands in the working folder before the command starts (InitialWorkDirRequirement).

    Its bytes are ``text``, or those of ``source`` in the tool's own folder.
    """

    name: str
    text: str | None = None
    source: str | None = None
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Resources:
    """What the tool asks for (ResourceRequirement): cores, and MiB; None where it says nothing."""

    cores_min: float | None = None
    cores_max: float | None = None
    ram_min: float | None = None
    ram_max: float | None = None
    tmpdir_min: float | None = None
    tmpdir_max: float | None = None
    outdir_min: float | None = None
    outdir_max: float | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment that a tool runs in: the packages of the ``lock`` that it carries, or an ``image``.

    ``lock`` is a path in the tool's own folder, ``image`` a digest as ``sha256:…``; one of the two is there.
    """

    lock: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A CommandLineTool.

    ``files`` are the paths, inside the tool's own folder, of everything that it carries. ``environment`` and
    ``work_files`` are in the order of the text. ``reuse`` says that it makes the same of the same (WorkReuse): one that
    draws lots or reads the clock denies it. ``time_limit`` is in seconds (ToolTimeLimit). ``runs_in`` is none for one
    that runs in whatever a site has. ``ignored_hints`` names the hints that nothing here acts on.
    """

    id: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    base_command: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()
    stdin: Reference | None = None
    stdout: Template | None = None
    stderr: Template | None = None
    environment: tuple[tuple[str, Template], ...] = ()
    work_files: tuple[WorkFile, ...] = ()
    files: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    reuse: bool = True
    time_limit: float | None = None
    success_codes: tuple[int, ...] = ()
    temporary_fail_codes: tuple[int, ...] = ()
    permanent_fail_codes: tuple[int, ...] = ()
    label: str = ""
    doc: str = ""
    version: str = "v1.2"
    ignored_hints: tuple[str, ...] = ()
    runs_in: Environment | None = None

    def input(self, name: str) -> Input | None:
        """The input called ``name``, if there is one."""
        return next((each for each in self.inputs if each.name == name), None)

    def output(self, name: str) -> Output | None:
        """The output called ``name``, if there is one."""
        return next((each for each in self.outputs if each.name == name), None)

    @property
    def successes(self) -> frozenset[int]:
        """The exit codes that mean success: those listed, and 0 unless it is listed as a failure."""
        failures = self.temporary_fail_codes + self.permanent_fail_codes
        return frozenset(self.success_codes) | (frozenset((0,)) - frozenset(failures))
