"""The index of a site's catalog: a state holder that is fed one leaf after another and holds what counts now.

A body counts only if, at its place in the log, its actor's key was enrolled for it and it replaces no version older
than the latest. What does not count is kept as a fault with its reason; it never stops the log.

    index = SiteIndex(root)
    for position, (leaf_kind, body) in enumerate(log):
        index.add(position, leaf_kind, body)      # body is None where we may not see it
    index.latest("policy", "")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from catalog.block import BlockFields
from catalog.body import Body
from catalog.dagcbor import Value
from catalog.entry import FOR_ALL, KINDS, NEVER_WITHDRAWN, WITNESS_KINDS, Entry
from catalog.epoch import EpochSignatureFields
from catalog.erasable import as_counted, as_refused, check_places, check_withdrawal
from catalog.error import NotFound, VerificationFailed
from catalog.grant import Grant, GrantFields
from catalog.key import check
from catalog.keyring import Charter, KeptKeys, Keyring
from catalog.leaf import is_critical
from catalog.member import KeyFields, Role
from catalog.origin import LogName
from catalog.project import ProjectFields
from catalog.reading import Reading, read_signed
from catalog.revoke import RevokeFields
from catalog.versions import HeldVersions, Versions, held, subject_key
from catalog.withdraw import WithdrawFields

T = TypeVar("T", bound=Value)

_OF_ROOT: Final = (Role.NODE, Role.STEWARD)
_MAY_NOT_SIGN: Final = "a «{}» entry is signed by a key that may not sign it at this site"

_READING: Final = 4
"""Raised when this module, or what it asks, judges otherwise than before what counts."""

RULES: Final = f"{_READING} {' '.join(sorted(KINDS))}"
"""By what rules a log was read: what another version read, by others, is not taken up."""


class SiteIndex:
    """What one site's log says now. ``root`` is the site's first root key, which is its name for ever.

    A removal of a key may reach back, and a root key be replaced from some place on: then :attr:`due` says that the
    log is to be read again, into :meth:`anew`, whose end :meth:`become` takes over.

    What there is to remember of each leaf is in ``versions``; all else, a few hundred bytes, is :meth:`kept`.
    """

    def __init__(self, root: str, versions: Versions | None = None) -> None:
        self.root = root
        self.size = 0
        self.keys = Keyring(Charter(((0, root),)))
        self.versions = HeldVersions() if versions is None else versions
        self._stops: dict[str, str] = {}

    @property
    def faults(self) -> Mapping[int, str]:
        """What does not count, and why, by place; all of it is read."""
        return self.versions.faults

    def add(self, index: int, leaf_kind: str, body: Body | None) -> Entry | None:
        """Take the next leaf and its body, if that is here; return the entry if it counts.

        Raises:
            ValueError: leaves were skipped, which is a fault of the caller.
        """
        return self.take(Reading(index, leaf_kind) if body is None else read_signed(self.root, index, leaf_kind, body))

    def take(self, reading: Reading) -> Entry | None:
        """Take the next leaf as it was read; return the entry if it counts.

        Raises:
            ValueError: leaves were skipped, which is a fault of the caller.
        """
        index, kind = reading.index, reading.kind
        if index != self.size:
            raise ValueError(f"leaf {index} came where {self.size} was due")
        self.size += 1
        if kind and kind not in KINDS and is_critical(kind):
            self.stop(f"this version does not know the kind «{kind}» of its entry {index}; update this node")
        if kind in NEVER_WITHDRAWN:
            self.versions.bind(index)
        entry, disputed = reading.entry, False
        if entry is None:
            if reading.fault:
                self.versions.blame(index, reading.fault)
            else:
                self.versions.lack(index, kind in FOR_ALL)
            return None
        try:
            self._check_authority(entry)
            check_places(entry, self.versions)
            disputed = True
            self._check_succession(entry)
        except VerificationFailed as error:
            self.versions.blame(index, str(error), as_refused(entry, disputed))
            return None
        self.versions.count(entry, reading.digest, as_counted(entry))
        if isinstance(entry.fields, KeyFields):
            self.keys.take(index, entry.fields)
        elif isinstance(entry.fields, WithdrawFields):
            self._forget(entry.fields.places)
        return entry

    def _forget(self, places: Sequence[int]) -> None:
        if self.keys.stolen:
            found = self.versions.found(places).values()
            keys = {each.counted.subject for each in found if each.counted.kind == "key"}
            self.keys.forget([did for did in self.keys.stolen if subject_key(did) in keys])
        self.versions.forget(places)

    def authorise(self, entry: Entry) -> None:
        """Check that ``entry``, as the next one, would be signed by whom it needs and replace the latest version.

        Raises:
            VerificationFailed: wrong signature, a key without that authority, or not the next version.
        """
        check(entry.body, entry.body.actor)
        self._check_authority(entry)
        check_places(entry, self.versions)
        self._check_succession(entry)

    def _check_authority(self, entry: Entry) -> None:
        """By itself and by keys alone, and not by what else stands in the log."""
        body = entry.body
        if body.audience is not None and body.kind in FOR_ALL:
            raise VerificationFailed(f"a «{body.kind}» entry is for all members to see")
        if self.keys.over(entry.index):
            raise VerificationFailed("it was written after this site had left the consortium")
        if self.keys.charter.witness_only and body.kind not in WITNESS_KINDS:
            raise VerificationFailed(f"a member that only witnesses logs publishes no «{body.kind}»")
        if self.keys.cut(body.actor, entry.index):
            raise VerificationFailed(f"a «{body.kind}» entry is signed by a key that was taken back up to this place")
        if not self._may_sign(entry):
            raise VerificationFailed(_MAY_NOT_SIGN.format(body.kind))

    def _check_succession(self, entry: Entry) -> None:
        """By what stands before it of its subject."""
        body = entry.body
        latest = self.latest(body.kind, entry.subject)
        if not self._may_replace(entry, latest):
            raise VerificationFailed(_MAY_NOT_SIGN.format(body.kind))
        if isinstance(entry.fields, EpochSignatureFields):
            _check_epoch_signature(entry, latest)
        if not _follows(body.previous, latest, entry.index):
            raise VerificationFailed(f"a «{body.kind}» entry does not follow the latest version of its subject")
        if latest and _reopened(latest.fields, entry.fields):
            raise VerificationFailed(f"the project «{entry.subject}» has ended and is not opened again")
        check_withdrawal(entry, self.versions)

    def _may_sign(self, entry: Entry) -> bool:
        body = entry.body
        fields = entry.fields
        if body.actor == self.keys.root_at(entry.index):
            return isinstance(fields, EpochSignatureFields) or (
                isinstance(fields, KeyFields) and (fields.role in _OF_ROOT or fields.removed)
            )
        if isinstance(fields, KeyFields) and fields.role in _OF_ROOT:
            return False
        key = self.key(body.actor)
        if key is None or key.role not in KINDS[body.kind].signers:
            return False
        if isinstance(fields, GrantFields):
            return self._may_grant(fields.grant, body.actor, key.role)
        if isinstance(fields, RevokeFields):
            return key.role is Role.STEWARD if fields.issuer is None else fields.issuer == body.actor
        return True

    def _may_replace(self, entry: Entry, latest: Entry | None) -> bool:
        fields, actor = entry.fields, entry.body.actor
        if isinstance(fields, KeyFields):
            if not fields.removed and self.keys.was_cut(fields.did):
                return False  # whoever stole it has it still
            before = latest.fields if latest is not None else None
            if isinstance(before, KeyFields) and before.role in _OF_ROOT:
                # Enrolled by the root alone, and so changed by nobody else; and what it signed is nobody else's later.
                return actor == self.keys.root_at(entry.index) and fields.role == before.role
        if isinstance(fields, BlockFields) and latest is not None and latest.body.actor != actor:
            key = self.key(actor)
            return key is not None and key.role is not Role.RESEARCHER  # who shares on only what is their own
        return True

    def _may_grant(self, grant: Grant, actor: str, role: Role) -> bool:
        """Its issuer signs; access to this site's own data only its stewards give, anyone passes on what they hold."""
        return grant.issuer == actor and (
            grant.parent is not None or (role is Role.STEWARD and grant.site == self.root)
        )

    def latest(self, kind: str, subject: str) -> Entry | None:
        """The entry that counts now for ``subject``.

        Raises:
            VerificationFailed: what was kept of it is damaged; nothing can be said of it.
        """
        return self.versions.latest(kind, subject)

    def awaited(self, place: int) -> int | None:
        """The first place below ``place`` whose body is not here though every member may see it."""
        return self.versions.owed(place)

    def entries(self, kind: str, start: int = 0) -> Iterator[Entry]:
        """All entries of ``kind`` that count now, those from the place ``start`` on, in the order of their places.

        Raises:
            VerificationFailed: what was kept of one is damaged.
        """
        return self.versions.entries(kind, start)

    def typed(self, kind: type[T], name: str, subject: str = "") -> T | None:
        """The typed fields that count now for ``subject`` of the kind ``name``."""
        entry = self.latest(name, subject)
        return entry.fields if entry is not None and isinstance(entry.fields, kind) else None

    def key(self, did: str) -> KeyFields | None:
        """The enrolment of ``did`` here, unless it was removed."""
        fields = self.typed(KeyFields, "key", did)
        return None if fields is None or fields.removed else fields

    def node(self) -> str | None:
        """The site's node key: the one that was enrolled last, of those that were not removed."""
        return next((did for did, key in reversed(self.keys.nodes.items()) if key.until is None), None)

    def nodes(self) -> tuple[str, ...]:
        """Every node key that this site ever had, the removed ones too."""
        return tuple(self.keys.nodes)

    def signs(self, did: str, log: LogName, index: int) -> bool:
        """Whether what ``did`` signed at place ``index`` of ``log`` counts as the word of this site's node."""
        return self.keys.signs(did, log, index)

    @property
    def stale(self) -> str:
        """Why no decision may rely on this site now, in words that follow its name; empty if any may."""
        return next(iter(self._stops.values()), "")

    def stop(self, reason: str, cause: str = "entry") -> None:
        """From now on no decision may rely on this site, because of ``reason``; the first one of a cause stands."""
        self._stops.setdefault(cause, reason)

    def resume(self, cause: str) -> None:
        """The cause is gone; other causes stand."""
        self._stops.pop(cause, None)

    def govern(self, charter: Charter) -> None:
        """Take what the consortium says of this site's keys and end; see :attr:`due` afterwards."""
        self.keys.recharter(charter, self.size)

    @property
    def due(self) -> bool:
        """Whether the log is to be read again from its first leaf, into :meth:`anew`: what counted has changed."""
        return self.keys.due(self.size)

    def anew(self) -> SiteIndex:
        """An empty index of this site that goes by all that is known of its keys."""
        fresh = SiteIndex(self.root, self.versions.anew())
        fresh.keys = self.keys.anew(self.size)
        fresh._stops = {cause: reason for cause, reason in self._stops.items() if cause != "entry"}
        return fresh

    def become(self, other: SiteIndex) -> None:
        """Take over what ``other``, an index of the same log, read."""
        self.size, self.keys, self.versions, self._stops = other.size, other.keys, other.versions, other._stops

    def kept(self) -> KeptIndex:
        """All that this index is beside its versions."""
        return KeptIndex(size=self.size, keys=self.keys.kept(), stop=self._stops.get("entry", ""))

    def reload(self, kept: KeptIndex, versions: Versions) -> None:
        """Take over what an earlier run read and kept, and see what the consortium says now: :attr:`due`."""
        charter = self.keys.charter
        self.size, self.keys, self.versions = kept.size, Keyring.of(kept.keys), versions
        self.govern(charter)
        if kept.stop:
            self.stop(kept.stop)


class KeptIndex(Value, frozen=True, kw_only=True):
    """How far the index of a site had come, its keys, and why it relies on nothing any more, if that is so."""

    size: int
    keys: KeptKeys
    stop: str


def _follows(previous: int | None, latest: Entry | None, place: int) -> bool:
    """Whether nothing newer counts of the subject than what ``previous`` names.

    What stands there nobody asks, for not all may see it, and it may be erased.
    """
    if previous is None:
        return latest is None
    return (0 if latest is None else latest.index) <= previous < place


def _reopened(before: Value, after: Value) -> bool:
    return isinstance(before, ProjectFields) and isinstance(after, ProjectFields) and before.ended and not after.ended


def _check_epoch_signature(entry: Entry, latest: Entry | None) -> None:
    """A site signs one document for a number, and before all: who gets which would else see another consortium."""
    if latest is not None:
        raise VerificationFailed(f"this site signed epoch {entry.subject} already, at place {latest.index}")


class Index:
    """The indexes of every member's log, our own included, by the site's root key.

    ``versions`` gives where to remember what the log of a site, read from its first leaf, says.
    """

    def __init__(self, sites: Iterable[str] = (), versions: Callable[[str], Versions] = held) -> None:
        self._versions = versions
        self._sites: dict[str, SiteIndex] = {site: SiteIndex(site, versions(site)) for site in sites}

    def site(self, root: str) -> SiteIndex:
        """The index of one site.

        Raises:
            NotFound: it is no member here.
        """
        found = self._sites.get(root)
        if found is None:
            raise NotFound(f"no member has the root key …{root[-8:]}; see «comity consortium members»")
        return found

    def admit(self, root: str) -> SiteIndex:
        """The index of ``root``, begun empty if there is none."""
        if root not in self._sites:
            self._sites[root] = SiteIndex(root, self._versions(root))
        return self._sites[root]

    def replace(self, anew: SiteIndex) -> None:
        """Put ``anew``, which was fed from its log's first leaf, in the place of the index of its site."""
        self._sites[anew.root] = anew

    @property
    def sites(self) -> Mapping[str, SiteIndex]:
        """All indexes by root key."""
        return self._sites

    def entries(self, kind: str) -> Iterator[Entry]:
        """All entries of ``kind`` that count now, site after site."""
        for site in self._sites.values():
            yield from site.entries(kind)

    def by_subject(self, kind: str, subject: str) -> Entry | None:
        """The first site's entry of that kind and subject that counts now."""
        return next((e for s in self._sites.values() if (e := s.latest(kind, subject)) is not None), None)
