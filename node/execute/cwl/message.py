"""What the node and the evaluator say to each other: one frame each way, these values as JSON, whose
numbers have any size, as those of CWL.

Files are named by absolute paths of one namespace, which only the node can look into: ``/block/…``, ``/inputs/…`` and
``/work/…`` as a step will see them, and whatever else a document names. CWL values are as CWL has them in JSON, with
``file://`` before those paths as their ``location``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

MOST_FRAME: Final = 64 << 20
"""Bytes of one frame."""

MOST_READ: Final = 16 << 20
"""Bytes of a file that are read at once; CWL reads 64 KiB of an input, and all of a ``cwl.output.json``."""

Object = dict[str, Any]
"""A CWL object: what JSON has."""


class Load(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """Read the document ``uri`` (with a fragment, the process of that name) once; answered by :class:`Loaded`.

    With a ``step``, names from the outermost workflow in, what that step runs is loaded, with the requirements that it
    inherits from the workflows around it. ``requirements`` are those that came with the inputs, for the whole document
    (CWL v1.2, «cwl:requirements» of an input object).
    """

    uri: str
    step: str = ""
    requirements: list[Object] = []


class Command(msgspec.Struct, frozen=True, kw_only=True, tag="command"):
    """The command of the loaded tool for ``inputs``; answered by :class:`Ready`.

    ``cores`` and ``ram_mib`` are the most that the site gives.
    """

    inputs: Object
    cores: int
    ram_mib: int


class Collect(msgspec.Struct, frozen=True, kw_only=True, tag="collect"):
    """The outputs of the command that ended with ``code``; answered by :class:`Outputs`."""

    code: int


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin"):
    """Begin the loaded workflow with ``inputs``; answered by :class:`Wanted`."""

    inputs: Object


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The job ``number`` delivered ``outputs``, or failed if there are none; answered by :class:`Wanted`.

    What it ``updated`` in place: for each name of an input the one of what took its place, a
    name that was never before.
    """

    number: int
    outputs: Object | None
    updated: dict[str, str] = {}


class Said(msgspec.Struct, frozen=True, kw_only=True, tag="said"):
    """The node's answer to what the evaluator asked of a file.

    ``kind`` is ``file``, ``folder``, or empty if there is nothing of that name.
    """

    kind: str = ""
    size: int = 0
    names: list[str] = []
    data: bytes = b""


class Look(msgspec.Struct, frozen=True, kw_only=True, tag="look"):
    """What is ``path``? Answered by :class:`Said`, with the names in a folder if ``inside``."""

    path: str
    inside: bool = False


class Read(msgspec.Struct, frozen=True, kw_only=True, tag="read"):
    """The first ``most`` bytes of ``path``; answered by :class:`Said`."""

    path: str
    most: int


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag="loaded"):
    """A process was read: its class in CWL."""

    kind: str


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder that stands at ``target`` before the command starts.

    It has the ``text``, or is a copy of ``source`` (read-only: may be shown instead), or, with neither, a new folder.
    """

    target: str
    source: str | None = None
    text: str | None = None
    writable: bool = False


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """A command: as :class:`node.step.Job` has it, with what the tool asks of the site.

    ``asked`` has of ResourceRequirement what the tool names (``coresMin``, ``ramMax``, …; MiB). ``codes`` are the exit
    codes of success, temporary and permanent failure that the tool names. ``work`` is what the command calls its
    working folder, ``/work`` to everybody else; what is ``placed`` goes by that name. With ``inplace`` what is placed
    writable is the input itself (CWL v1.2, InplaceUpdateRequirement): what the command makes of it takes the input's
    place in all that is read later.
    """

    argv: list[str]
    variables: dict[str, str]
    stdin: str | None
    stdout: str | None
    stderr: str | None
    placed: list[Placed]
    asked: dict[str, float]
    seconds: float | None
    network: bool
    codes: tuple[list[int], list[int], list[int]]
    work: str = "/work"
    inplace: bool = False


class Outputs(msgspec.Struct, frozen=True, kw_only=True, tag="outputs"):
    """What a command or an expression delivered."""

    values: Object


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a workflow wants done: what its ``step`` runs, on ``inputs``.

    ``step`` is the path of names from the outermost workflow in, empty for a tool alone; ``shards`` are the places of
    this job in the scatters around it, the outermost first.
    """

    number: int
    step: str
    shards: list[int]
    inputs: Object


class Wanted(msgspec.Struct, frozen=True, kw_only=True, tag="wanted"):
    """What the workflow wants done now; or, with ``over``, its outputs.

    It failed if there are none; for the ``reason``, if one of its expressions did.
    """

    wishes: list[Wish] = []
    over: bool = False
    outputs: Object | None = None
    reason: str = ""


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """It cannot be done: one line for people. ``unsupported`` if a requirement is none that is known."""

    reason: str
    unsupported: bool = False


ToEvaluator = Load | Command | Collect | Begin | Ended | Said
ToNode = Look | Read | Loaded | Ready | Outputs | Wanted | Fault
