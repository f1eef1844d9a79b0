"""The ports of a step: the command that a runner isolates, and the block that is run on data with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from catalog.cid import Cid
from catalog.project import ProjectRef
from workflow.alone import Alone
from workflow.argument import Argument
from workflow.graph import Workflow
from workflow.receipt import Form
from workflow.tool import Tool


@dataclass(frozen=True, slots=True)
class Limits:
    """What one step may use. Bytes, seconds, counts."""

    wall_seconds: float = 300.0
    cpu_seconds: int = 300
    memory_bytes: int = 1 << 30
    processes: int = 64
    output_bytes: int = 256 << 20
    output_files: int = 10_000
    input_bytes: int = 64 << 30
    """Of one input that is written out for the step, however few bytes name it."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path shown to the step, read-only, at an absolute path inside."""

    source: Path
    target: str


SYSTEM: Final = frozenset(("/dev", "/proc", "/tmp"))  # noqa: S108 - paths inside the sandbox
"""What a program expects of any system beside its own files. To make them is half of what a sandbox costs."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that lies here, for a step to find at its root: programs and libraries, read-only.

    ``folder`` holds plain files and folders alone, and nobody writes there; ``links`` are by their path below the root,
    each with what stands in it, and are never followed on this machine. ``variables`` are what its programs expect,
    ``PATH`` among them.
    """

    cid: Cid
    folder: Path
    links: Mapping[str, str]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Job:
    """One command for a runner: all it needs, and nothing of who asked for it.

    ``work`` is a host folder, empty but for prepared files, that becomes the step's writable directory ``/work``. It
    lies alone in its parent, beside which the runner keeps what it needs. ``place`` is another name for it inside,
    in the place of ``/work``. ``environment`` is what the step finds at
    its root, the runner's own if there is none. ``stdout`` and ``stderr`` name a file in ``work``, or nothing;
    ``stdin`` is an absolute path inside. ``system`` are the folders of :data:`SYSTEM` that the command sees; what
    cannot see ``/proc`` is not watched there, and its usage is not known. After an exit code in ``succeeds`` what it
    left is listed.
    """

    argv: tuple[str, ...]
    work: Path
    mounts: tuple[Mount, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    environment: Environment | None = None
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    limits: Limits = field(default_factory=Limits)
    system: frozenset[str] = SYSTEM
    succeeds: frozenset[int] = frozenset()
    place: str = "/work"


class Ending(StrEnum):
    """How a command ended."""

    EXITED = "exited"
    TIMED_OUT = "timed-out"
    OUT_OF_LIMITS = "out-of-limits"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a step used, as the runner saw it."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Exit:
    """A command that ended. ``errors`` is the end of its standard error, which carries the output's label.

    ``left`` lists what lay in its work folder when all of its processes had ended, as find(1) prints it
    (:func:`node.execute.collect.read_listing`); none if it did not succeed, or could not be looked through.
    """

    ending: Ending
    code: int
    usage: Usage
    errors: bytes = b""
    reason: str = ""
    left: bytes | None = None


Turn = AbstractAsyncContextManager[object]
"""That in which a command runs, once all is made for it: it may have to wait for it."""

AT_ONCE: Final[Turn] = nullcontext()
"""Nothing is waited for."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a runner is on this machine: the ``version`` of what isolates there, empty if that does not answer.

    ``lacks`` says in plain words, one line each, what it cannot guarantee here, and so its operator has to know.
    """

    name: str
    version: str
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """What all steps run on together.

    ``platform`` is as ``linux/amd64``, ``processor`` a name for people, empty where machines may differ.
    """

    platform: str
    processor: str
    processors: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Queue:
    """The steps here: how many run, how many wait for their turn or their data, how many run ``at_once`` at most."""

    running: int
    waiting: int
    at_once: int


class Runner(Protocol):
    """What executes a step with no network, a read-only root, no capabilities, and limits."""

    name: str

    async def describe(self) -> Description:
        """What it is here. What cannot be found out now is among what it lacks; it raises nothing."""

    async def probe(self) -> None:
        """Show that isolation holds here.

        Raises:
            Denied: a guarantee fails; the message names it and says what to do.
        """

    async def machine(self) -> Machine:
        """What steps have there.

        Raises:
            ComityError, OSError: that cannot be found out now.
        """

    async def recover(self, folder: Path) -> int:
        """End whatever an earlier node left running with a work folder below ``folder``; how many commands."""

    async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
        """Run ``job`` to its end within its ``turn``, from whose beginning its limits count. Cancelling this coroutine
        ends the command and everything that it started.

        Raises:
            Denied: this runner cannot isolate here. BadInput: the job cannot be run as it is written. Nothing has run.
            Unreachable: what runs it is gone; whether it has run is not known, and nothing of it runs any more.
        """


@dataclass(frozen=True, slots=True)
class Footing:
    """What steps run on here: their ``runner``, the folder below which they are staged, and the most each may use."""

    runner: Runner
    work: Path
    limits: Limits


@dataclass(frozen=True, slots=True)
class Product:
    """One output of a finished step, stored here: its base name, its CID, its size in bytes, and what the CID is of."""

    name: str
    cid: Cid
    size: int
    form: Form


@dataclass(frozen=True, slots=True)
class Finished:
    """How a step ended. ``failure`` is empty when it delivered its outputs; ``usage`` is there once its command ran.

    ``memo`` is the order whose command made the outputs, if that was an earlier one and nothing ran for this.
    ``errors`` is the end of what a command that failed wrote to standard error, if it wrote anything.
    """

    products: Mapping[str, Product]
    usage: Usage | None
    failure: str = ""
    memo: Cid | None = None
    errors: Product | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What a step is to do: run its ``block`` on ``inputs``, with what the signed text has around it, if anything."""

    block: Cid
    inputs: Mapping[str, Argument]
    around: Alone | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What the command of ``order`` made."""

    order: Cid
    products: Mapping[str, Product]


class Memo(Protocol):
    """What steps made before, for the same project alone."""

    async def recall(self, project: ProjectRef, work: Work) -> Made | None:
        """What the same ``work`` made for ``project`` before, if all of it is held for that still.

        Raises:
            ComityError: it is damaged, or the disk refuses.
        """

    async def keep(self, project: ProjectRef, work: Work, made: Made) -> None:
        """Remember what ``work`` has made for ``project``.

        Raises:
            ComityError, OSError: the disk refuses.
        """


class Documents(Protocol):
    """CWL texts, parsed off the core's thread and remembered by content."""

    async def workflow(self, text: str) -> Workflow:
        """The workflow of a text.

        Raises:
            BadInput: not a workflow that this node knows how to run.
        """


class Steps(Protocol):
    """Stages, runs and collects: the data of a step are opened here and nowhere else."""

    runner: str
    fault: str
    """Why no step runs here now, naming the guarantee that fails; empty if one may."""

    async def tool(self, block: Cid) -> Tool:
        """The block's tool, fetched from a site that shares it and verified.

        Raises:
            NotFound, Unreachable, BadInput: not to be had, or not a tool that this node runs.
        """

    async def run(self, work: Work, seconds: float, order: Cid, project: ProjectRef) -> Finished:
        """Bring the data here, run the block's tool on them, and store its outputs.

        The intent of ``order`` is written down: by its word the keys of shared data are asked for. What it makes is
        held for ``project``.

        A tool that fails is a :class:`Finished` with its failure; so is data that changed since it was named.

        Raises:
            Denied: the runner cannot isolate here.
        """
