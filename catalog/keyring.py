"""The keys that act for one site, and up to which place in its logs each of them counts (PROTOCOL.md, Keys).

A signature counts by its place in the log, never by its date: a thief can write any date, and no place before the
one that the log has reached. A removal that reaches back (``until``) changes what counted already, so the log is then
read again from its first leaf: see :attr:`Keyring.due`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from catalog.dagcbor import Value
from catalog.member import KeyFields, Role
from catalog.origin import LogName

MAX_READINGS: Final = 8
"""How often a log is read for the removals in it. Three is enough for any: roots' cut stewards, whose cut persons."""


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node key that was enrolled: the first place of each log from which on it does not count, none if it does."""

    until: int | None = None
    audit_until: int | None = None


@dataclass(frozen=True, slots=True)
class Charter:
    """What the consortium says of a site's keys: who acts as root from which place on, and the site's last entry.

    ``roots`` are (catalog index, did), ascending, the first one from 0 on. ``left`` is how many entries count of a
    site that is no member any more. One that is ``witness_only`` publishes nothing.
    """

    roots: tuple[tuple[int, str], ...]
    left: int | None = None
    witness_only: bool = False


Taking = tuple[int, int]
"""From which place on a stolen key counts no more, and the place of the entry that says so."""


class KeptNode(Value, frozen=True, kw_only=True):
    """A :class:`NodeKey` as it is kept."""

    did: str
    until: int | None
    audit_until: int | None


class KeptKeys(Value, frozen=True, kw_only=True):
    """A :class:`Keyring` as it is kept between two runs."""

    roots: tuple[tuple[int, str], ...]
    left: int | None
    witness_only: bool
    nodes: tuple[KeptNode, ...]
    given: dict[str, Taking]
    own: dict[str, int]
    found: dict[str, Taking]
    horizon: int
    reading: int
    rechartered: bool


class Keyring:
    """Fed every key entry that counts, in order; asked whether a key may still act at a place."""

    def __init__(
        self, charter: Charter, given: dict[str, Taking] | None = None, horizon: int = 0, reading: int = 1
    ) -> None:
        self.charter = charter
        self.nodes: dict[str, NodeKey] = {}
        """Every node key that was ever enrolled, the one whose latest entry is newest last."""
        self._given = dict(given or {})
        """What an earlier reading found, which this one goes by from its first leaf on."""
        self._own: dict[str, int] = {}
        """What this one found and goes by from there on, for it touches nothing that counted already."""
        self._found: dict[str, Taking] = {}
        self._horizon = horizon
        self._reading = reading
        self._rechartered = False

    @classmethod
    def of(cls, kept: KeptKeys) -> Keyring:
        """The ring that :meth:`kept` wrote down."""
        charter = Charter(kept.roots, kept.left, kept.witness_only)
        ring = cls(charter, kept.given, kept.horizon, kept.reading)
        ring.nodes = {node.did: NodeKey(node.until, node.audit_until) for node in kept.nodes}
        ring._own, ring._found, ring._rechartered = dict(kept.own), dict(kept.found), kept.rechartered
        return ring

    def kept(self) -> KeptKeys:
        """All that this ring knows."""
        return KeptKeys(
            roots=self.charter.roots,
            left=self.charter.left,
            witness_only=self.charter.witness_only,
            nodes=tuple(
                KeptNode(did=did, until=key.until, audit_until=key.audit_until) for did, key in self.nodes.items()
            ),
            given=self._given,
            own=self._own,
            found=self._found,
            horizon=self._horizon,
            reading=self._reading,
            rechartered=self._rechartered,
        )

    def root_at(self, place: int) -> str:
        """The key that acts as root at a place of the catalog."""
        roots = self.charter.roots
        # Nearly every site has had one, and this is asked for each entry.
        return roots[0][1] if len(roots) == 1 else next(did for start, did in reversed(roots) if start <= place)

    @property
    def acting(self) -> str:
        """The key that acts as root now."""
        return self.charter.roots[-1][1]

    def cut(self, did: str, place: int) -> bool:
        """Whether what ``did`` signed at ``place`` was taken back."""
        given = self._given.get(did)
        return (given is not None and place >= given[0]) or place >= self._own.get(did, place + 1)

    def was_cut(self, did: str) -> bool:
        """Whether the key was taken back as stolen: such a key is never enrolled again."""
        return did in self._found

    def over(self, place: int) -> bool:
        """Whether the site had left the consortium before ``place``."""
        return self.charter.left is not None and place >= self.charter.left

    def take(self, place: int, fields: KeyFields) -> None:
        """Take a key entry that counts."""
        if fields.removed and fields.until is not None:
            if place >= self._horizon:
                self._reading = 1  # nothing that was read again for before
            first = min(fields.until, place)
            self._found[fields.did] = min((first, place), self._found.get(fields.did, (first, place)))
            if first == place:  # nothing that counted already is touched
                self._own[fields.did] = min(first, self._own.get(fields.did, first))
        before = self.nodes.pop(fields.did, None)
        if fields.role is Role.NODE and not fields.removed:
            self.nodes[fields.did] = NodeKey()  # last, as the newest
        elif fields.role is Role.NODE or before is not None:
            ends = place if fields.until is None else min(fields.until, place)
            self.nodes[fields.did] = NodeKey(ends, fields.audit_until or 0)

    @property
    def stolen(self) -> frozenset[str]:
        """The keys that were taken back as stolen."""
        return frozenset((*self._given, *self._own, *self._found))

    def forget(self, keys: Iterable[str]) -> None:
        """All entries about these keys were erased: it is as if there had never been any.

        What an earlier reading found, and this one did not, stays: it is of a later place, or the log is read again.
        """
        for did in keys:
            if self._given.get(did) == self._found.pop(did, None):
                self._given.pop(did, None)
            self._own.pop(did, None)

    def signs(self, did: str, log: LogName, place: int) -> bool:
        """Whether ``did`` was this site's node key, and what it signed at ``place`` of ``log`` counts."""
        key = self.nodes.get(did)
        if key is None:
            return False
        until = key.until if log is LogName.CATALOG else key.audit_until
        return until is None or place < until

    def recharter(self, charter: Charter, size: int) -> None:
        """Take what the consortium says now; ``size`` is how many leaves were read by the charter of before."""
        if charter != self.charter:
            self._rechartered |= _parting(self.charter, charter) < size
            self.charter = charter

    def due(self, size: int) -> bool:
        """Whether the log is to be read again: something that counted does not, or counts again."""
        if self._rechartered:
            return True
        if self._reading > MAX_READINGS:
            return False
        lower = any(not self.cut(did, first) for did, (first, _) in self._found.items())
        gone = size >= self._horizon and any(self._found.get(did) != given for did, given in self._given.items())
        return lower or gone

    def anew(self, size: int) -> Keyring:
        """A ring for the next reading of the log, which goes by the removals that this one found in ``size`` leaves."""
        return Keyring(self.charter, self._found, size, 1 if self._rechartered else self._reading + 1)


def _parting(old: Charter, new: Charter) -> int:
    """The first place of which the two charters say different things."""
    starts: Sequence[int] = sorted({start for start, _ in (*old.roots, *new.roots)})
    rings = Keyring(old), Keyring(new)
    if old.witness_only != new.witness_only:
        return 0
    differ = [start for start in starts if rings[0].root_at(start) != rings[1].root_at(start)]
    ends = [left for left in {old.left, new.left} if left is not None] if old.left != new.left else []
    return min([*differ, *ends], default=1 << 63)
