"""The ports of replication: the replicas, who is told what counts in them, and what a witness must not forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from catalog.entry import Entry
from catalog.fork import Fork
from catalog.index import SiteIndex
from catalog.reading import Reading
from node.log import Log, PeerLog


class Replicas(Protocol):
    """The replicas of the other members' catalogs."""

    async def of(self, site: str) -> PeerLog:
        """The replica of the catalog of ``site``, begun empty if there is none."""

    @property
    def known(self) -> Mapping[str, PeerLog]:
        """Those that are open, by site."""


class Counting(Protocol):
    """Whoever follows what counts in the catalogs, as search does. Told after the index itself holds it."""

    async def begin(self, site: str) -> None:
        """The index of ``site`` is fed from its first leaf again: nothing that was told of it before holds."""

    async def counted(self, site: str, entries: Sequence[Entry]) -> None:
        """These entries of ``site`` count from now on, in the order of their places.

        Each replaces the entry of its kind and subject that was told before.
        """


class Keeps(Protocol):
    """Where what is read of catalogs goes from memory, and is kept so that the next start need not read it again."""

    async def look_ahead(self, index: SiteIndex, readings: Sequence[Reading]) -> None:
        """These are about to be taken: look up at once what they may replace."""

    async def spill(self, index: SiteIndex) -> None:
        """Move what was taken out of memory.

        Raises:
            ComityError: the disk refused.
        """

    async def keep(self, log: Log, index: SiteIndex) -> None:
        """Make last what ``index`` read of ``log``, if there is enough of it to be worth a write to the disk.

        Raises:
            ComityError: the disk refused; it is read again at the next start.
        """


class Reads(Protocol):
    """Reads leaves with their bodies and checks the bodies' signatures, where it holds up nobody else."""

    async def __call__(self, origin: str, start: int, rows: Sequence[tuple[bytes, bytes | None]]) -> list[Reading]:
        """What the (leaf, body) pairs of consecutive leaves of the catalog ``origin``, from ``start`` on, say."""


class Turns(Protocol):
    """Sees to it that nobody waits for long, whatever there is to compute in line."""

    @property
    def over(self) -> bool:
        """Whether this turn has lasted for long enough."""

    async def next(self) -> None:
        """Let others have theirs, and begin another."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest checkpoint of a log that this site cosigned: ``note`` as its key signed it, ``at`` in Unix seconds."""

    size: int
    root: bytes
    note: str = field(default="", compare=False)
    at: int = field(default=0, compare=False)


class Memory(Protocol):
    """What a witness must not forget: durable before a cosignature is given."""

    async def seen(self, origin: str) -> Seen | None:
        """What was cosigned last, if anything."""

    async def remember(self, origin: str, seen: Seen, after: Seen | None) -> bool:
        """Record what is about to be cosigned in the place of ``after``; durable on return.

        False, and nothing recorded, if something else stands there by now.
        """

    async def accuse(self, fork: Fork) -> None:
        """Keep the proof of a fork; of each log one is enough."""

    async def forks(self) -> Sequence[Fork]:
        """Every fork that was proven."""


class HeardMemory(Protocol):
    """When each site was last heard, which must not be forgotten while it is away."""

    async def heard(self) -> Mapping[str, int]:
        """Unix milliseconds by site."""

    async def keep_heard(self, site: str, at: int) -> None:
        """Record when a site was heard; durable on return."""


class Covering(Protocol):
    """How far the witnesses have cosigned this site's audit log."""

    def covered(self) -> int:
        """How many leaves stand under a checkpoint that the quorum cosigned."""

    def lacking(self, least: int) -> Sequence[str]:
        """The names of the members whose cosignature on ``least`` leaves is waited for; none if it is not."""
