"""Which places of a catalog log a ``withdraw`` entry may name: nothing may come back to life by being forgotten.

Whoever reads the log later reads it without the erased bodies, and must come to the same: so the newest version of a
subject is erased only together with all before it, and a revocation only together with the grant that it revoked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from catalog.entry import Entry
from catalog.error import VerificationFailed
from catalog.member import KeyFields, Role
from catalog.project import ProjectFields
from catalog.withdraw import WithdrawFields

_BOUND: Final = frozenset({"withdraw", "certificate", "epoch-signature", "accuse"})


class Erasable:
    """What may be withdrawn from one site's log; fed with every entry that counts."""

    def __init__(self) -> None:
        self._bound: set[int] = set()
        self._before: dict[int, int] = {}
        self._revocations: dict[int, str] = {}

    def take(self, entry: Entry) -> None:
        """Take an entry that counts."""
        fields = entry.fields
        by_root = isinstance(fields, KeyFields) and fields.role in (Role.NODE, Role.STEWARD)
        if by_root or entry.body.kind in _BOUND:
            self._bound.add(entry.index)
        if entry.body.kind == "revoke":
            self._revocations[entry.index] = entry.subject
        if entry.body.previous is not None:
            self._before[entry.index] = entry.body.previous

    def check(self, withdrawal: Entry, latest: Mapping[tuple[str, str], Entry], hidden: Collection[int]) -> None:
        """Check a ``withdraw`` entry against what counts now and the places whose bodies are not here.

        Raises:
            VerificationFailed: it names a place that is not before it, twice, or that may not be forgotten.
        """
        if not isinstance(withdrawal.fields, WithdrawFields):
            return
        places = withdrawal.fields.places
        if list(places) != sorted(set(places)) or places[-1] >= withdrawal.index:
            raise VerificationFailed("a «withdraw» entry names places before its own, each once and in order")
        named = set(places)
        bound = next((place for place in places if place in self._bound), None)
        if bound is not None:
            raise VerificationFailed(f"entry {bound} is not to be withdrawn: others rely on its being there")
        for place in named & self._revocations.keys():
            grant = latest.get(("grant", self._revocations[place]))
            if grant is None or grant.index not in named:
                raise VerificationFailed(f"the revocation at {place} is withdrawn only together with its grant")
        for entry in latest.values():
            if entry.index in named:
                self._check_newest(entry, named, hidden)

    def _check_newest(self, entry: Entry, named: set[int], hidden: Collection[int]) -> None:
        if isinstance(entry.fields, ProjectFields):
            raise VerificationFailed(f"the project at {entry.index} stands: only versions before it are withdrawn")
        before = self._before.get(entry.index)
        while before is not None:
            if before not in named and before not in hidden:
                raise VerificationFailed(f"entry {entry.index} replaced {before}, which would count again without it")
            before = self._before.get(before)
