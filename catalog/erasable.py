"""Which places of a catalog log a ``withdraw`` entry may name: what is forgotten changes nothing else.

Whoever reads the log later reads it without the erased bodies, and must come to the same, whatever its owner writes.
So the newest version of a subject is erased only together with all before it, and a revocation only together with the
grant that it revoked. The entries about a key go only together, and with all that it signed. Where something about a
subject was refused for what stands before it, all about that subject goes or nothing: who sees less may count it.

Nor may it hang on what the reader may see. So who sees less finds nothing against a withdrawal that who sees all does
not find: what refuses one is the kind of a leaf, which all know, or something that is seen. A withdrawal that was
refused might count for who reads later, or sees less; so none after it counts, and none is ever withdrawn.

Somebody's revocation of what they passed on themselves may go once that grant is gone, for it names who signed it; a
steward's stays then, for it may end a grant that stands in another log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from catalog.entry import KINDS, Entry
from catalog.error import VerificationFailed
from catalog.member import KeyFields, Role
from catalog.revoke import RevokeFields
from catalog.versions import Counted, Refused, Version, Versions, subject_key
from catalog.withdraw import WithdrawFields

_BY_PERSONS: Final = frozenset(name for name, kind in KINDS.items() if Role.RESEARCHER in kind.signers)
_signer: Final = lru_cache(maxsize=1024)(subject_key)


def as_counted(entry: Entry) -> Counted:
    """What is remembered of an entry that counts; it is bound if it is the root's word on a key."""
    fields, kind = entry.fields, entry.body.kind
    by_root = isinstance(fields, KeyFields) and fields.role in (Role.NODE, Role.STEWARD)
    grant = subject_key(str(fields.grant)) if isinstance(fields, RevokeFields) else None
    signer = _signer(entry.body.actor) if kind in _BY_PERSONS else None
    return Counted(kind, subject_key(entry.subject), by_root, grant, signer)


def as_refused(entry: Entry, disputed: bool) -> Refused:
    """What is remembered of an entry that does not count; ``disputed`` if it was refused for what stands before it.

    What was refused for its own or its signer's sake stays so, as long as that key's entries stay.
    """
    return Refused(entry.body.kind, subject_key(entry.subject) if disputed else None, _signer(entry.body.actor))


def check_places(withdrawal: Entry, versions: Versions) -> None:
    """Check a ``withdraw`` entry by what everybody knows: places and the kinds of leaves; other kinds pass.

    Raises:
        VerificationFailed: it names a place that is not before it, twice, or that is never withdrawn.
    """
    if not isinstance(withdrawal.fields, WithdrawFields):
        return
    places = withdrawal.fields.places
    if list(places) != sorted(set(places)) or places[-1] >= withdrawal.index:
        raise VerificationFailed("a «withdraw» entry names places before its own, each once and in order")
    bound = versions.bound(places)
    if bound is not None:
        raise VerificationFailed(f"entry {bound} is not to be withdrawn: others rely on its being there")


def check_withdrawal(withdrawal: Entry, versions: Versions) -> None:
    """Check a ``withdraw`` entry against what counted before it; entries of other kinds pass.

    Raises:
        VerificationFailed: it names what may not be forgotten, or an earlier one did.
    """
    if not isinstance(withdrawal.fields, WithdrawFields):
        return
    places = withdrawal.fields.places
    named = frozenset(places)
    if versions.contested(withdrawal.body.kind):
        # It might count for who reads the log without these, and nothing says what would be gone then.
        raise VerificationFailed("an earlier «withdraw» entry named what may not be forgotten: nothing more is erased")
    found = versions.found(places)
    for place, version in found.items():
        if version.counted.bound:
            raise VerificationFailed(f"entry {place} is not to be withdrawn: others rely on its being there")
    _check_versions(found, named)
    _check_revocations(found, named, versions)
    _check_keys(found, named, versions)
    left = _left(versions.disputed(named, len(named) + 1), named)
    if left is not None:
        raise VerificationFailed(f"what these are about is disputed, and entry {left}, of it too, is not named")


def _check_versions(found: Mapping[int, Version], named: frozenset[int]) -> None:
    newest = {_about(each) for each in found.values() if each.after is None}
    for place, version in found.items():
        if version.after is None and version.counted.kind == "project":
            raise VerificationFailed(f"the project at {place} stands: only versions before it are withdrawn")
        if _about(version) in newest and version.before is not None and version.before not in named:
            raise VerificationFailed(f"entry {place} replaced {version.before}, which would count again without it")


def _about(version: Version) -> tuple[str, bytes]:
    return version.counted.kind, version.counted.subject


def _check_revocations(found: Mapping[int, Version], named: frozenset[int], versions: Versions) -> None:
    grants = {each.counted.grant for each in found.values() if each.counted.grant is not None}
    newest = versions.newest("grant", grants) if grants else {}
    for place, (counted, _, _) in found.items():
        if counted.grant is None or newest.get(counted.grant) in named:
            continue
        of_issuer = counted.subject != counted.grant
        # A grant that this reader was not given is, for all it knows, at the place that it lacks.
        if counted.grant in newest or not (of_issuer or versions.lacks(named)):
            raise VerificationFailed(f"the revocation at {place} is withdrawn only together with its grant")


def _check_keys(found: Mapping[int, Version], named: frozenset[int], versions: Versions) -> None:
    keys = [each for each in found.values() if each.counted.kind == "key"]
    around = [place for each in keys for place in (each.before, each.after) if place is not None]
    signers = {each.counted.subject for each in keys}
    left = _left([*around, *(versions.signed(signers, len(named) + 1) if signers else ())], named)
    if left is not None:
        raise VerificationFailed(
            f"a key is withdrawn with all that was said of it and that it signed: entry {left} is not named"
        )


def _left(places: Iterable[int], named: frozenset[int]) -> int | None:
    return next((place for place in places if place not in named), None)
