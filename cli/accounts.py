"""The bodies of an audit log checked one after another: who signed them, what they rest on, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from catalog.body import Body, fields_of
from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode
from catalog.error import VerificationFailed
from catalog.grant import GrantFields
from catalog.headmap import Head, HeadMap, subject_hash
from catalog.index import SiteIndex
from catalog.key import check
from catalog.leaf import Leaf
from catalog.origin import LogName
from catalog.reopening import Reopening
from catalog.revoke import RevokeFields
from cli.grants import Grants
from node.api.committed import check_committed
from workflow.account import (
    ACCOUNTS,
    AccessFields,
    AccountFields,
    EntryFields,
    HaltFields,
    HeadsFields,
    Link,
    ReleaseFields,
    ResultFields,
    Side,
    datasets_of,
)


@dataclass(slots=True)
class Accounts:
    """What the bodies of the audit log of ``site`` said so far; ``indexes`` are the catalogs that are here, by root.

    ``newest`` are the time and the place of the body that came last; times never fall along the log.
    ``unread`` are bodies that are erased, damaged or not here; ``releases`` the places where this site released;
    ``mistaken`` those that note another entry than stands in the catalog, since its root last began that anew.
    """

    site: str
    indexes: Mapping[str, SiteIndex]
    intents: dict[int, Cid] = field(default_factory=dict)
    heads: dict[str, Link] = field(default_factory=dict)
    newest: tuple[int, int] = (0, -1)
    unread: set[int] = field(default_factory=set)
    releases: list[int] = field(default_factory=list)
    mistaken: list[tuple[int, str]] = field(default_factory=list)
    grants: Grants = field(init=False)

    def __post_init__(self) -> None:
        self.grants = Grants(self.site, self.indexes)

    def read(self, at: int, leaf: Leaf, body: Body) -> AccountFields:
        """The fields of one body, by a key that is this site's node there, and of what it says others signed.

        Raises:
            VerificationFailed: it is not.
        """
        own = self.indexes[self.site]
        if body.kind != leaf.kind_name or body.site != self.site or not own.signs(body.actor, LogName.AUDIT, at):
            raise VerificationFailed("its body is of another kind, site or actor than its place says")
        check(body, body.actor)
        kind = ACCOUNTS.get(body.kind)
        if kind is None:
            raise VerificationFailed(f"it is of the kind «{body.kind}», which this version does not know")
        fields = fields_of(body, kind)
        check_committed(body, fields, self._nodes)
        return fields

    def take(self, at: int, body: Body, fields: AccountFields) -> None:
        """Check one body against those before it, and remember it.

        Raises:
            VerificationFailed: a result without its intent, false heads, a grant that does not stand, a gap, a time
                before that of the body before it.
        """
        fall, self.newest = self._fall(body.at), max(self.newest, (body.at, at))
        before = dict(self.heads) if isinstance(fields, HeadsFields) else self.heads
        gaps = [self._gap(subject, link, before.get(subject)) for subject, link in fields.chain.items()]
        self.heads.update({subject: Link(before=at, count=link.count) for subject, link in fields.chain.items()})
        match fields:
            case AccessFields():
                if body.kind == "intent":  # a denial rests on no grant
                    self.intents[at] = fields.order
                    self.grants.check(fields, body.at)
            case ResultFields():
                self._check_intent(fields)
            case ReleaseFields(side=Side.SOURCE):
                self.releases.append(at)
            case HeadsFields():
                self._check_heads(at, fields)
            case EntryFields():
                self.grants.note(at, body.kind, fields)
                self._check_entry(at, body.kind, fields)
            case HaltFields(reopening=bytes() as opened) if decode(Reopening, opened).log is LogName.CATALOG:
                # What was noted before may have stood in a history that was left.
                self.mistaken.clear()
                self.grants.noted.clear()
            case _:
                pass
        if any((fall, *gaps)):
            raise VerificationFailed(next(filter(None, (fall, *gaps))))

    def _nodes(self, site: str) -> tuple[str, ...]:
        known = self.indexes.get(site)
        return known.nodes() if known is not None else ()

    def _gap(self, subject: str, link: Link, head: Link | None) -> str:
        """What is wrong with a link backwards; an unread body may be the one that stands between."""
        last = head.before if head is not None else None
        if link.before == last and link.count == (head.count + 1 if head is not None else 1):
            return ""
        between = link.before is not None and link.before in self.unread and (last is None or link.before > last)
        short = subject if len(subject) < 24 else "…" + subject[-12:]
        return "" if between else f"it says that leaf {link.before} was the last about {short}; that was {last}"

    def _fall(self, at: int) -> str:
        newest, last = self.newest
        return f"it is dated before leaf {last}, which stands before it" if at < newest else ""

    def _check_intent(self, result: ResultFields) -> None:
        if result.intent not in self.unread and self.intents.get(result.intent) != result.order:
            raise VerificationFailed(f"it is the result of an order for which leaf {result.intent} has no intent")

    def _check_heads(self, at: int, fields: HeadsFields) -> None:
        """The heads are what the bodies before say; where some of these are unread, that cannot be known."""
        if self.unread:
            return
        made = HeadMap.of(
            Head(subject=subject_hash(subject), index=link.before or 0, count=link.count)
            for subject, link in self.heads.items()
        )
        if (made.root, len(made.heads), at) != (fields.root, fields.count, fields.upto):
            raise VerificationFailed("its heads are not those of the chains before it")

    def _check_entry(self, at: int, kind: str, noted: EntryFields) -> None:
        """The entry that it notes is the catalog's, where that still has it as the latest, and about that grant."""
        for entry in self.indexes[self.site].entries(kind):
            if entry.index != noted.entry:
                continue
            if (cid_of(entry.body), entry.body.actor) != (noted.body, noted.actor):
                self.mistaken.append((at, f"it notes another entry than stands at {noted.entry} of the catalog"))
                continue
            match entry.fields:
                case GrantFields() as given:
                    true = noted.grant == given.cid and set(datasets_of(noted.chain)) == set(given.grant.datasets)
                case RevokeFields(grant=grant):
                    true = noted.grant == grant
                case _:
                    true = True
            if not true:
                told = f"it names another grant, or other data, than entry {noted.entry} is about"
                self.mistaken.append((at, told))
