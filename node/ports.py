"""The ports of the core: everything that it may ask of the world, and nothing else.

The core (``automator``, ``bus``, ``replicate``) is written as coroutines over these Protocols. It imports no
event loop, so the same code runs under trio in a node and under the seeded scheduler of ``tests/simulation``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from catalog.cid import Cid
from workflow.argument import Argument
from workflow.graph import Workflow
from workflow.tool import Tool


class Clock(Protocol):
    """The time, which informs and never orders."""

    def now(self) -> int:
        """Unix milliseconds."""

    async def sleep(self, seconds: float) -> None:
        """Come back after ``seconds``."""


class Random(Protocol):
    """Unguessable bytes."""

    def token(self, count: int) -> bytes:
        """``count`` random bytes."""


class Control(Protocol):
    """Small questions between sites over connections whose other end is known."""

    async def ask(self, site: str, question: bytes, seconds: float = 30.0) -> bytes:
        """Send ``question`` to the node of ``site`` and return its answer.

        Raises:
            Unreachable: no connection, or no answer within ``seconds``.
        """

    async def hint(self, message: bytes) -> None:
        """Gossip ``message`` to whoever listens; it may be lost, doubled or late."""


class Bulk(Protocol):
    """Bytes from other sites, by signed request; the receiver verifies them."""

    async def get(self, site: str, path: str, limit: int) -> bytes:
        """The body of ``path`` at ``site``, at most ``limit`` bytes.

        Raises:
            Unreachable: the site does not answer.
            NotFound: it has no such thing, or none that we may see.
            VerificationFailed: more than ``limit`` bytes, or not the site's key.
        """


class Blobs(Protocol):
    """Content-addressed bytes on this site: UnixFS files and trees over IPLD nodes."""

    async def add(self, data: bytes) -> Cid:
        """Store ``data`` as a UnixFS file; durable when it returns."""

    async def add_path(self, path: Path, progress: Callable[[int], None] | None = None) -> Cid:
        """Import a file or a folder as ``ipfs add -r --hidden --cid-version=1 --raw-leaves`` does; durable on return.

        ``progress`` is called, in a worker thread, with the bytes read so far.

        Raises:
            BadInput: unreadable, a link that loops or leaves the folder, a device, or changed while it was read.
        """

    async def read(self, root: Cid, path: str = "", limit: int = 1 << 20) -> bytes:
        """The whole file at ``path`` below ``root``, verified, at most ``limit`` bytes.

        Raises:
            NotFound: not here, or not complete.
            BadInput: a folder, or larger than ``limit``.
            VerificationFailed: the stored bytes are not what the CID names.
        """

    async def checkout(self, root: Cid, target: Path) -> None:
        """Write the file or tree ``root`` to ``target``, which must not exist; every byte verified.

        Raises:
            NotFound, VerificationFailed: as for :meth:`read`.
        """

    async def node(self, cid: Cid) -> bytes:
        """The IPLD node ``cid`` itself, verified.

        Raises:
            NotFound: not here.
        """

    async def put_nodes(self, nodes: Sequence[tuple[Cid, bytes]]) -> None:
        """Store IPLD nodes that came from elsewhere; durable when it returns.

        Raises:
            VerificationFailed: some bytes are not what their CID names; none of them was stored.
        """

    async def missing(self, root: Cid) -> Sequence[Cid]:
        """Nodes below ``root`` that are known by name and not here; empty when it is complete."""

    async def names(self, root: Cid) -> frozenset[Cid]:
        """Every CID reachable from ``root`` in what is stored here, ``root`` included if it is stored."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one step may use. Bytes, seconds, counts."""

    wall_seconds: float = 300.0
    cpu_seconds: int = 300
    memory_bytes: int = 1 << 30
    processes: int = 64
    output_bytes: int = 256 << 20
    output_files: int = 10_000


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path shown to the step, read-only, at an absolute path inside."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class Job:
    """One command for a runner: all it needs, and nothing of who asked for it.

    ``work`` is a host folder, empty but for prepared files, that becomes the step's writable directory ``/work``.
    ``stdout`` and ``stderr`` name a file in it, or nothing; ``stdin`` is an absolute path inside.
    """

    argv: tuple[str, ...]
    work: Path
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    limits: Limits = field(default_factory=Limits)


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
    """A command that ended. ``errors`` is the end of its standard error, which carries the output's label."""

    ending: Ending
    code: int
    usage: Usage
    errors: bytes = b""
    reason: str = ""


class Runner(Protocol):
    """What executes a step with no network, a read-only root, no capabilities, and limits."""

    name: str

    async def probe(self) -> None:
        """Show that isolation holds here.

        Raises:
            Denied: a guarantee fails; the message names it and says what to do.
        """

    async def recover(self, folder: Path) -> int:
        """End whatever an earlier node left running with a work folder below ``folder``; how many commands."""

    async def run(self, job: Job) -> Exit:
        """Run ``job`` to its end. Cancelling this coroutine ends the command and everything it started.

        Raises:
            Denied: this runner cannot isolate here.
        """


Answer = Callable[[str, bytes], Awaitable[bytes]]
"""How a node answers a control question: (asking site, question) → answer."""


class Log(Protocol):
    """A Merkle log that can be read, tiled and proven; what both a site's own logs and replicas are."""

    @property
    def origin(self) -> str:
        """The log's name, which its checkpoints carry."""

    @property
    def size(self) -> int:
        """Leaves under the newest checkpoint."""

    @property
    def root(self) -> bytes:
        """The root hash under the newest checkpoint, 32 bytes."""

    @property
    def note(self) -> str:
        """The newest signed checkpoint; empty before a replica's first."""

    async def leaf(self, index: int) -> bytes:
        """One leaf.

        Raises:
            NotFound: beyond the log's size.
        """

    async def body(self, index: int) -> tuple[bytes, bytes] | None:
        """The salt and the body of a leaf; ``None`` when erased or not here."""

    async def tile(self, path: str) -> bytes | None:
        """A tile or entry bundle by its tlog-tiles path; ``None`` if there is no such."""

    async def prove(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof of a leaf in the tree of the first ``size`` leaves."""

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of ``new`` leaves begins with that of ``old``."""


class OwnLog(Log, Protocol):
    """A log that this site writes."""

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> int:
        """Append (kind, body) pairs; durable and under a signed checkpoint on return. The first one's index.

        Places are given in the order of the calls, and an append once begun is carried out, cancelled or not.
        """

    async def add_cosignatures(self, note: str, witnesses: Mapping[str, str]) -> dict[str, int]:
        """Keep the cosignatures of known witnesses (name → key) on a checkpoint of this log; name → seconds.

        Raises:
            VerificationFailed: not a checkpoint of this log, or a false cosignature.
        """


class PeerLog(Log, Protocol):
    """A replica of another site's log."""

    async def extend(self, note: str, new_leaves: Sequence[bytes]) -> None:
        """Take the leaves up to the checkpoint ``note``.

        Raises:
            VerificationFailed: they do not rebuild its root; nothing was taken.
        """

    async def put_body(self, index: int, salt: bytes, body: bytes) -> None:
        """Keep a body that the leaf at ``index`` commits to.

        Raises:
            VerificationFailed: the leaf commits to another body.
        """

    async def missing_bodies(self, start: int, limit: int) -> list[int]:
        """Indexes from ``start`` whose bodies are neither here nor erased, at most ``limit``."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest checkpoint of a log that this site has verified, and as ``note`` the proof that its key signed it."""

    size: int
    root: bytes
    note: str = field(default="", compare=False)


class Memory(Protocol):
    """What a witness must not forget: durable before a cosignature is given."""

    async def seen(self, origin: str) -> Seen | None:
        """What was cosigned last, if anything."""

    async def remember(self, origin: str, seen: Seen, note: str) -> None:
        """Record it; durable on return."""

    async def accuse(self, origin: str, ours: str, theirs: str, reason: str) -> None:
        """Keep two notes that contradict each other, as evidence; the same ones are kept once."""


@dataclass(frozen=True, slots=True)
class Product:
    """One output of a finished step, stored here: its base name, its CID and its size in bytes."""

    name: str
    cid: Cid
    size: int


@dataclass(frozen=True, slots=True)
class Finished:
    """How a step ended. ``failure`` is empty when it delivered its outputs; ``usage`` is there once its command ran."""

    products: Mapping[str, Product]
    usage: Usage | None
    failure: str = ""


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

    async def tool(self, block: Cid) -> Tool:
        """The block's tool, fetched from a site that shares it and verified.

        Raises:
            NotFound, Unreachable, BadInput: not to be had, or not a tool that this node runs.
        """

    async def run(self, block: Cid, inputs: Mapping[str, Argument], seconds: float) -> Finished:
        """Bring the data here, run the block's tool on them, and store its outputs.

        A tool that fails is a :class:`Finished` with its failure; so is data that changed since it was named.

        Raises:
            Denied: the runner cannot isolate here.
        """
