"""Which places of a catalog log a ``withdraw`` entry may name: nothing may come back to life by being forgotten.

Whoever reads the log later reads it without the erased bodies, and must come to the same: so the newest version of a
subject is erased only together with all before it, and a revocation only together with the grant that it revoked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from catalog.entry import Entry
from catalog.error import VerificationFailed
from catalog.member import KeyFields, Role
from catalog.versions import Versions
from catalog.withdraw import WithdrawFields

_BOUND: Final = frozenset({"withdraw", "certificate", "epoch-signature", "accuse"})


def is_bound(entry: Entry) -> bool:
    """Whether others rely on the entry's being there, so that it is never withdrawn."""
    fields = entry.fields
    by_root = isinstance(fields, KeyFields) and fields.role in (Role.NODE, Role.STEWARD)
    return by_root or entry.body.kind in _BOUND


def check_withdrawal(withdrawal: Entry, versions: Versions) -> None:
    """Check a ``withdraw`` entry against what counted before it; entries of other kinds pass.

    Raises:
        VerificationFailed: it names a place that is not before it, twice, or that may not be forgotten.
    """
    if not isinstance(withdrawal.fields, WithdrawFields):
        return
    places = withdrawal.fields.places
    if list(places) != sorted(set(places)) or places[-1] >= withdrawal.index:
        raise VerificationFailed("a «withdraw» entry names places before its own, each once and in order")
    for place in places:
        _check_place(place, frozenset(places), versions)


def _check_place(place: int, named: frozenset[int], versions: Versions) -> None:
    counted = versions.counted(place)
    if counted is None:
        return
    if counted.bound:
        raise VerificationFailed(f"entry {place} is not to be withdrawn: others rely on its being there")
    if counted.kind == "revoke" and versions.newest("grant", counted.subject) not in named:
        raise VerificationFailed(f"the revocation at {place} is withdrawn only together with its grant")
    if versions.newest(counted.kind, counted.subject) == place:
        if counted.kind == "project":
            raise VerificationFailed(f"the project at {place} stands: only versions before it are withdrawn")
        _check_alone(place, versions.places(counted.kind, counted.subject), named)


def _check_alone(newest: int, places: Iterable[int], named: frozenset[int]) -> None:
    before = next((place for place in places if place not in named), None)
    if before is not None:
        raise VerificationFailed(f"entry {newest} replaced {before}, which would count again without it")
