"""The ports of the core that have no room of their own: the clock, randomness, other sites, blobs, doing two things.

The core (``automator``, ``bus``, ``replicate``) is written as coroutines over Protocols, these and those of
``node.log``, ``node.replication`` and ``node.step``: everything that it may ask of the world, and nothing else. It
imports no event loop, so the same code runs under trio in a node and under the seeded scheduler of
``tests/simulation``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from catalog.cid import Cid
from catalog.project import ProjectRef
from workflow.argument import Data
from workflow.plan.problem import Problem, Schedule
from workflow.receipt import Receipt
from workflow.submission import Submission

T = TypeVar("T")


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


Answer = Callable[[str, bytes], Awaitable[bytes]]
"""How a node answers a control question: (asking site, question) → answer."""


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

    async def hold(self, data: bytes, project: ProjectRef) -> Cid:
        """Store ``data`` as a UnixFS file sealed for ``project``, whose end destroys it; durable when it returns."""

    async def hold_path(self, path: Path, project: ProjectRef) -> Cid:
        """Import a file or a folder as :meth:`add_path` does, encrypted under the key of ``project``; raises the same.

        It is read like anything else here, until the project ends and its key is destroyed.
        """

    async def read(self, root: Cid, path: str = "", limit: int = 1 << 20) -> bytes:
        """The whole file at ``path`` below ``root``, verified, at most ``limit`` bytes.

        Raises:
            NotFound: not here, or not complete.
            BadInput: a folder, or larger than ``limit``.
            VerificationFailed: the stored bytes are not what the CID names.
        """

    async def checkout(self, root: Cid, target: Path, *, max_bytes: int = ...) -> None:
        """Write the file or tree ``root`` to ``target``, which must not exist; every byte verified.

        Raises:
            NotFound, VerificationFailed: as for :meth:`read`.
            BadInput: it is more than ``max_bytes``.
        """

    def get(self, cid: Cid) -> bytes:
        """The IPLD node ``cid`` itself, verified. Blocking: for worker threads.

        Raises:
            NotFound: not here.
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


class Values(Protocol):
    """Reads values that steps made and released to this site (:mod:`workflow.value`)."""

    async def value(self, data: Data, datasets: Collection[Cid], project: ProjectRef) -> bytes:
        """The JSON of the stored value that ``data`` names, made from ``datasets``, brought here if need be.

        Raises:
            BadInput: it is none. Denied: the project is over. NotFound, Unreachable, VerificationFailed: it cannot be
                had.
        """


class Receiving(Protocol):
    """Writes down what other sites gave to this one."""

    async def released(self, receipt: Receipt, datasets: Collection[Cid], submission: Submission) -> None:
        """A receipt for an order of ``submission`` has come, with what its owner released; written down once."""


class Halting(Protocol):
    """What this site is halted for: a project, a member, or all."""

    def refusal(self, project: ProjectRef | None, members: Iterable[str]) -> str:
        """Why nothing may be done for ``project`` and ``members``; empty if it may."""


class Aside(Protocol):
    """Runs what only computes where it holds up nobody else: a thread in a node."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """What ``work`` returns."""


class Together(Protocol):
    """Runs jobs side by side."""

    async def __call__(self, jobs: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """The results of all jobs, in their order."""


@dataclass(frozen=True, slots=True)
class Improved:
    """The best schedule found, none if there is none, and what no schedule is better than, by the problem's objective.

    ``impossible``: it is proven that none keeps the limits.
    """

    schedule: Schedule | None
    bound: int
    impossible: bool


class Improving(Protocol):
    """What makes a plan better, given time."""

    async def improve(self, problem: Problem, first: Schedule | None, seconds: float) -> Improved:
        """The best schedule found within so many seconds, ``first`` if nothing is better, and the proven bound."""
