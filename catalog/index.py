"""The index of a site's catalog: a state holder that is fed one leaf after another and holds what counts now.

A body counts only if, at its place in the log, its actor's key was enrolled for it and it replaces the version
that was the latest. What does not count is kept as a fault with its reason; it never stops the log.

    index = SiteIndex(root)
    for position, (leaf_kind, body) in enumerate(log):
        index.add(position, leaf_kind, body)      # body is None where we may not see it
    index.latest("policy", "")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from catalog.block import BlockFields
from catalog.body import Body
from catalog.dagcbor import Value
from catalog.entry import KINDS, WITNESS_KINDS, Entry
from catalog.epoch import EpochSignatureFields
from catalog.erasable import Erasable
from catalog.error import NotFound, VerificationFailed
from catalog.grant import Grant, GrantFields
from catalog.key import check
from catalog.keyring import Charter, Keyring
from catalog.leaf import is_critical
from catalog.member import KeyFields, Role
from catalog.origin import LogName
from catalog.project import ProjectFields
from catalog.reading import Reading, read_signed
from catalog.revoke import RevokeFields
from catalog.withdraw import WithdrawFields

T = TypeVar("T", bound=Value)


class SiteIndex:
    """What one site's log says now. ``root`` is the site's first root key, which is its name for ever.

    A removal of a key may reach back, and a root key be replaced from some place on: then :attr:`due` says that the
    log is to be read again, into :meth:`anew`, whose end :meth:`become` takes over.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.size = 0
        self.faults: dict[int, str] = {}
        self.keys = Keyring(Charter(((0, root),)))
        self._stops: dict[str, str] = {}
        self._latest: dict[tuple[str, str], Entry] = {}
        self._hidden: set[int] = set()
        self._erasable = Erasable()

    def add(self, index: int, leaf_kind: str, body: Body | None) -> Entry | None:
        """Take the next leaf and its body, if that is here; return the entry if it counts.

        Raises:
            ValueError: leaves were skipped, which is a fault of the caller.
        """
        unseen = Reading(index, leaf_kind, unread=True)
        return self.take(unseen if body is None else read_signed(self.root, index, leaf_kind, body))

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
        if reading.unread:
            self._hidden.add(index)
        if reading.entry is None:
            if reading.fault:
                self.faults[index] = reading.fault
            return None
        try:
            self._check_counts(reading.entry)
        except VerificationFailed as error:
            self.faults[index] = str(error)
            if self.keys.cut(reading.entry.body.actor, index):
                self._hidden.add(index)  # honest versions after it may have named it as the one that they replace
            return None
        self._latest[kind, reading.entry.subject] = reading.entry
        self._erasable.take(reading.entry)
        if isinstance(reading.entry.fields, KeyFields):
            self.keys.take(index, reading.entry.fields)
        elif isinstance(reading.entry.fields, WithdrawFields):
            self._forget(frozenset(reading.entry.fields.places))
        return reading.entry

    def _forget(self, places: frozenset[int]) -> None:
        """From here on all is as if the bodies at ``places`` had never been here."""
        self._latest = {name: entry for name, entry in self._latest.items() if entry.index not in places}
        self._hidden |= places
        for place in places:
            self.faults.pop(place, None)

    def authorise(self, entry: Entry) -> None:
        """Check that ``entry``, as the next one, would be signed by whom it needs and replace the latest version.

        Raises:
            VerificationFailed: wrong signature, a key without that authority, or not the next version.
        """
        check(entry.body, entry.body.actor)
        self._check_counts(entry)

    def _check_counts(self, entry: Entry) -> None:
        body = entry.body
        if self.keys.over(entry.index):
            raise VerificationFailed("it was written after this site had left the consortium")
        if self.keys.charter.witness_only and body.kind not in WITNESS_KINDS:
            raise VerificationFailed(f"a member that only witnesses logs publishes no «{body.kind}»")
        if self.keys.cut(body.actor, entry.index):
            raise VerificationFailed(f"a «{body.kind}» entry is signed by a key that was taken back up to this place")
        if not self._may_sign(entry):
            raise VerificationFailed(f"a «{body.kind}» entry is signed by a key that may not sign it at this site")
        latest = self._latest.get((body.kind, entry.subject))
        if isinstance(entry.fields, EpochSignatureFields):
            _check_epoch_signature(entry, latest)
        expected = latest.index if latest else None
        hidden = body.previous in self._hidden and (expected is None or (body.previous or 0) > expected)
        if body.previous != expected and not hidden:
            raise VerificationFailed(f"a «{body.kind}» entry does not follow the latest version of its subject")
        if latest and _reopened(latest.fields, entry.fields):
            raise VerificationFailed(f"the project «{entry.subject}» has ended and is not opened again")
        self._erasable.check(entry, self._latest, self._hidden)

    def _may_sign(self, entry: Entry) -> bool:
        body = entry.body
        latest = self._latest.get((body.kind, entry.subject))
        fields = entry.fields
        if isinstance(fields, KeyFields) and not fields.removed and self.keys.was_cut(fields.did):
            return False  # whoever stole it has it still
        if body.actor == self.keys.root_at(entry.index):
            return isinstance(fields, EpochSignatureFields) or (
                isinstance(fields, KeyFields) and (fields.role in (Role.NODE, Role.STEWARD) or fields.removed)
            )
        versions = [entry.fields, latest.fields] if latest is not None else [entry.fields]
        if any(isinstance(each, KeyFields) and each.role in (Role.NODE, Role.STEWARD) for each in versions):
            return False  # enrolled by the root alone, and so changed by nobody else
        key = self.key(body.actor)
        if key is None or key.role not in KINDS[body.kind].signers:
            return False
        if isinstance(entry.fields, BlockFields) and key.role is Role.RESEARCHER and latest is not None:
            return latest.body.actor == body.actor  # a researcher shares on only what is the researcher's own
        if isinstance(entry.fields, GrantFields):
            return self._may_grant(entry.fields.grant, body.actor, key.role)
        if isinstance(entry.fields, RevokeFields) and key.role is not Role.STEWARD:
            issued = self.latest("grant", entry.subject)
            return issued is not None and issued.body.actor == body.actor
        return True

    def _may_grant(self, grant: Grant, actor: str, role: Role) -> bool:
        """Its issuer signs; access to this site's own data only its stewards give, anyone passes on what they hold."""
        return grant.issuer == actor and (
            grant.parent is not None or (role is Role.STEWARD and grant.site == self.root)
        )

    def latest(self, kind: str, subject: str) -> Entry | None:
        """The entry that counts now for ``subject``."""
        return self._latest.get((kind, subject))

    def entries(self, kind: str) -> Iterator[Entry]:
        """All entries of ``kind`` that count now, in the order of their places."""
        return iter(sorted((e for (k, _), e in self._latest.items() if k == kind), key=lambda entry: entry.index))

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
        fresh = SiteIndex(self.root)
        fresh.keys = self.keys.anew(self.size)
        fresh._stops = {cause: reason for cause, reason in self._stops.items() if cause != "entry"}
        return fresh

    def become(self, other: SiteIndex) -> None:
        """Take over what ``other``, an index of the same log, read."""
        self.size, self.faults, self.keys = other.size, other.faults, other.keys
        self._latest, self._hidden = other._latest, other._hidden
        self._stops, self._erasable = other._stops, other._erasable


def _reopened(before: Value, after: Value) -> bool:
    return isinstance(before, ProjectFields) and isinstance(after, ProjectFields) and before.ended and not after.ended


def _check_epoch_signature(entry: Entry, latest: Entry | None) -> None:
    """A site signs one document for a number, and before all: who gets which would else see another consortium."""
    if latest is not None:
        raise VerificationFailed(f"this site signed epoch {entry.subject} already, at place {latest.index}")
    if entry.body.audience is not None:
        raise VerificationFailed("a signature of an epoch is for all members to see")


class Index:
    """The indexes of every member's log, our own included, by the site's root key."""

    def __init__(self, sites: Iterable[str] = ()) -> None:
        self._sites: dict[str, SiteIndex] = {site: SiteIndex(site) for site in sites}

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
        return self._sites.setdefault(root, SiteIndex(root))

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
