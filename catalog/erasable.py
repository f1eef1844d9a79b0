"""Which places of a catalog log a ``withdraw`` entry may name: nothing may come back to life by being forgotten.

Whoever reads the log later reads it without the erased bodies, and must come to the same: so the newest version of a
subject is erased only together with all before it, and a revocation only together with the grant that it revoked.
The entries about a key go only together, and with all that it signed. Somebody's revocation of what they passed on
themselves may go once that grant is gone, for it names who signed it; a steward's stays then, for it may end a grant
that stands in another log.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from catalog.entry import KINDS, Entry
from catalog.error import VerificationFailed
from catalog.member import KeyFields, Role
from catalog.revoke import RevokeFields
from catalog.versions import Counted, Versions, subject_key
from catalog.withdraw import WithdrawFields

_BOUND: Final = frozenset({"withdraw", "certificate", "epoch-signature", "accuse"})
_BY_PERSONS: Final = frozenset(name for name, kind in KINDS.items() if Role.RESEARCHER in kind.signers)
_signer: Final = lru_cache(maxsize=1024)(subject_key)


def as_counted(entry: Entry) -> Counted:
    """What is remembered of an entry that counts; it is bound if others rely on its being there."""
    fields, kind = entry.fields, entry.body.kind
    by_root = isinstance(fields, KeyFields) and fields.role in (Role.NODE, Role.STEWARD)
    grant = subject_key(str(fields.grant)) if isinstance(fields, RevokeFields) else None
    signer = _signer(entry.body.actor) if kind in _BY_PERSONS else None
    return Counted(kind, subject_key(entry.subject), by_root or kind in _BOUND, grant, signer)


def check_withdrawal(withdrawal: Entry, versions: Versions) -> None:
    """Check a ``withdraw`` entry against what counted before it; entries of other kinds pass.

    Raises:
        VerificationFailed: it names a place that is not before it, twice, or that may not be forgotten.
    """
    if not isinstance(withdrawal.fields, WithdrawFields):
        return
    places = withdrawal.fields.places
    named = frozenset(places)
    if list(places) != sorted(named) or places[-1] >= withdrawal.index:
        raise VerificationFailed("a «withdraw» entry names places before its own, each once and in order")
    found = {place: counted for place in places if (counted := versions.counted(place)) is not None}
    for place, counted in found.items():
        _check_place(place, counted, named, versions)
    for key in {counted.subject for counted in found.values() if counted.kind == "key"}:
        _check_key(key, named, versions)


def _check_place(place: int, counted: Counted, named: frozenset[int], versions: Versions) -> None:
    if counted.bound:
        raise VerificationFailed(f"entry {place} is not to be withdrawn: others rely on its being there")
    if counted.grant is not None:
        _check_revocation(place, counted, versions.newest("grant", counted.grant), named)
    if versions.newest(counted.kind, counted.subject) == place:
        if counted.kind == "project":
            raise VerificationFailed(f"the project at {place} stands: only versions before it are withdrawn")
        before = _left(versions.places(counted.kind, counted.subject, len(named) + 1), named)
        if before is not None:
            raise VerificationFailed(f"entry {place} replaced {before}, which would count again without it")


def _check_revocation(place: int, counted: Counted, grant: int | None, named: frozenset[int]) -> None:
    of_issuer = counted.subject != counted.grant
    if grant not in named and not (of_issuer and grant is None):
        raise VerificationFailed(f"the revocation at {place} is withdrawn only together with its grant")


def _check_key(key: bytes, named: frozenset[int], versions: Versions) -> None:
    left = _left([*versions.places("key", key, len(named) + 1), *versions.signed(key, len(named) + 1)], named)
    if left is not None:
        raise VerificationFailed(
            f"a key is withdrawn with all that was said of it and that it signed: entry {left} is not named"
        )


def _left(places: Iterable[int], named: frozenset[int]) -> int | None:
    return next((place for place in places if place not in named), None)
