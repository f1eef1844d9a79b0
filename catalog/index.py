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
from catalog.entry import KINDS, Entry, read_entry
from catalog.error import NotFound, VerificationFailed
from catalog.key import check
from catalog.member import KeyFields, Role

T = TypeVar("T", bound=Value)


class SiteIndex:
    """What one site's log says now. ``root`` is the site's root key, which authorises its first keys."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.size = 0
        self.faults: dict[int, str] = {}
        self._latest: dict[tuple[str, str], Entry] = {}
        self._hidden: set[int] = set()

    def add(self, index: int, leaf_kind: str, body: Body | None) -> Entry | None:
        """Take the next leaf; return the entry if it counts.

        Raises:
            ValueError: leaves were skipped, which is a fault of the caller.
        """
        if index != self.size:
            raise ValueError(f"leaf {index} came where {self.size} was due")
        self.size += 1
        if body is None:
            self._hidden.add(index)
            return None
        try:
            entry = read_entry(self.root, index, leaf_kind, body)
            self.authorise(entry)
        except VerificationFailed as error:
            self.faults[index] = str(error)
            return None
        self._latest[body.kind, entry.subject] = entry
        return entry

    def authorise(self, entry: Entry) -> None:
        """Check that ``entry``, as the next one, would be signed by whom it needs and replace the latest version.

        Raises:
            VerificationFailed: wrong signature, a key without that authority, or not the next version.
        """
        body = entry.body
        check(body, body.actor)
        if not self._may_sign(entry):
            raise VerificationFailed(f"a «{body.kind}» entry is signed by a key that may not sign it at this site")
        latest = self._latest.get((body.kind, entry.subject))
        expected = latest.index if latest else None
        hidden = body.previous in self._hidden and (expected is None or (body.previous or 0) > expected)
        if body.previous != expected and not hidden:
            raise VerificationFailed(f"a «{body.kind}» entry does not follow the latest version of its subject")

    def _may_sign(self, entry: Entry) -> bool:
        body = entry.body
        if body.actor == self.root:
            return isinstance(entry.fields, KeyFields) and entry.fields.role in (Role.NODE, Role.STEWARD)
        latest = self._latest.get((body.kind, entry.subject))
        versions = [entry.fields, latest.fields] if latest is not None else [entry.fields]
        if any(isinstance(each, KeyFields) and each.role in (Role.NODE, Role.STEWARD) for each in versions):
            return False  # enrolled by the root alone, and so changed by nobody else
        key = self.key(body.actor)
        if key is None or key.role not in KINDS[body.kind].signers:
            return False
        if isinstance(entry.fields, BlockFields) and key.role is Role.RESEARCHER and latest is not None:
            return latest.body.actor == body.actor  # a researcher shares on only what is the researcher's own
        return True

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
        """The site's node key."""
        keys = [e.fields for e in self.entries("key") if isinstance(e.fields, KeyFields)]
        nodes = [key.did for key in keys if key.role is Role.NODE and not key.removed]
        return nodes[-1] if nodes else None


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
