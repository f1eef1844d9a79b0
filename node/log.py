"""The ports of Merkle logs: those that this site writes, and its replicas of others'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from catalog.tiles import Edge


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

    async def read(self, start: int, stop: int) -> list[tuple[bytes, tuple[bytes, bytes] | None]]:
        """The leaves from ``start`` up to ``stop``, each with its salt and body, ``None`` when erased or not here.

        Raises:
            VerificationFailed: what is stored of them is damaged.
        """

    async def tile(self, path: str) -> bytes | None:
        """A tile or entry bundle by its tlog-tiles path; ``None`` if there is no such."""

    async def prove(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof of a leaf in the tree of the first ``size`` leaves."""

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of ``new`` leaves begins with that of ``old``."""

    async def root_at(self, size: int) -> bytes:
        """The root over the first ``size`` leaves, 32 bytes."""


class OwnLog(Log, Protocol):
    """A log that this site writes."""

    @property
    def erasures(self) -> int:
        """How often bodies of it were erased in this run."""

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> int:
        """Append (kind, body) pairs; durable and under a signed checkpoint on return. The first one's index.

        Places are given in the order of the calls, and an append once begun is carried out, cancelled or not.
        """

    async def add_cosignatures(self, note: str, witnesses: Mapping[str, str]) -> dict[str, int]:
        """Keep the cosignatures of known witnesses (name → key) on a checkpoint of this log; name → seconds.

        Raises:
            VerificationFailed: not a checkpoint of this log, or a false cosignature.
        """

    async def cosigned(self, least: int = 0, count: int = 1) -> str | None:
        """The smallest checkpoint with at least ``least`` leaves that ``count`` witnesses cosigned, as a note."""

    async def last_cosigned(self, count: int = 1) -> str | None:
        """The largest checkpoint that ``count`` witnesses cosigned, as a note with their lines."""


class PeerLog(Log, Protocol):
    """A replica of another site's log. What was added beyond its checkpoint is seen by nobody until it is extended."""

    @property
    def edge(self) -> Edge:
        """The edge of the tree of everything that was added."""

    async def add(self, new_leaves: Sequence[bytes]) -> None:
        """Keep the next leaves, which the caller has verified against a checkpoint that is still to come."""

    async def drop_added(self) -> None:
        """Forget what was added beyond the checkpoint."""

    async def extend(
        self, note: str, new_leaves: Sequence[bytes], bodies: Sequence[tuple[int, bytes, bytes]] = ()
    ) -> list[int]:
        """Add the last leaves up to the checkpoint ``note``, with (index, salt, body) of some of them, and take it.

        The indexes of the bodies that their leaves do not commit to, which are not kept.

        Raises:
            VerificationFailed: they do not rebuild its root; none of these leaves was taken.
        """

    async def put_bodies(self, rows: Sequence[tuple[int, bytes, bytes]]) -> list[int]:
        """Keep (index, salt, body) of leaves that commit to them; the indexes of the others.

        What is here already, or was erased here, stays as it is.
        """

    async def missing_bodies(self, start: int, limit: int) -> list[int]:
        """Indexes from ``start`` whose bodies are neither here nor erased, at most ``limit``."""
