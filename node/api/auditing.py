"""The client's part that asks audit logs: who accessed a dataset, what somebody did, all of a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from nacl.utils import random

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.dataset import DatasetFields
from catalog.error import BadInput, NotFound
from catalog.key import UNSIGNED, public_bytes, signed
from catalog.member import KeyFields
from node.api import operation
from node.api.audit import Account
from node.api.publish import Publisher, now
from node.api.quantity import Moment, past
from node.api.schema import AskWho, SiteRows
from node.api.trail import Names, Span, Told, Trail
from node.api.view import Absent, AuditRow, AuditTable, Blanks, Listing, Lone
from node.message import Who


@dataclass(frozen=True, slots=True)
class _Range:
    """Of which times rows are wanted; if ``whole``, all are asked for."""

    since: Moment | None
    until: Moment | None
    whole: bool


class Auditor(Publisher):
    """What a person may ask of the members' audit logs; each row is verified before it is given."""

    def audit_who(
        self, dataset: Cid | str, *, since: Moment | None = None, until: Moment | None = None, whole: bool = False
    ) -> Iterator[Told]:
        """Who accessed a dataset: every member is asked but those that only witness logs and hold no data; their rows
        come oldest first, each once it is verified.

        ``since`` and ``until`` are times, or how long ago. What is outside is not asked for, and that nothing inside
        is missing then rests on the times in the rows, which are each site's own word. Where that is too little, the
        ``whole`` is asked for, held against the other side of each transfer, and cut here.

        Raises:
            VerificationFailed: a row is not what it claims to be, or is left out; the message names site and place.
            NotFound: no such dataset for this person.
        """
        return self._ask(self._dataset(dataset), None, _Range(since, until, whole), self.holding())

    def audit_by(
        self, person: str, *, since: Moment | None = None, until: Moment | None = None, whole: bool = False
    ) -> Iterator[Told]:
        """What a person (by name, ``NAME@SITE`` or key) did at every member, as :meth:`audit_who`.

        By name it is asked for each key that the person has or had, one after the other.
        """
        wanted = _Range(since, until, whole)
        for key in self._keys(person):
            yield from self._ask(None, key, wanted, self.holding())

    def audit_log(
        self,
        sites: Sequence[str] = (),
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        whole: bool = False,
    ) -> Iterator[Told]:
        """All rows of the audit logs of ``sites`` (by name), or of this node's own, as :meth:`audit_who`."""
        asked = [self.member(each).site for each in sites] or [self.site]
        return self._ask(None, None, _Range(since, until, whole), asked)

    def look(self, value: Cid | str) -> bytes:
        """The first bytes of what a step left at this site: an output, or what a command that failed said of it.

        For its stewards; who looks is written down. Rows of the audit log name such values.

        Raises:
            NotFound: nothing of that name is held here, or it has other owners too. Denied: not for this person.
        """
        return self._connection.ask(operation.LOOK, cid=str(value))

    def audit(self, dataset: Cid | str) -> AuditTable:
        """All that the sites answer about a dataset, verified, oldest first."""
        told = list(self.audit_who(dataset))
        rows = sorted((each for each in told if isinstance(each, AuditRow)), key=lambda row: (row.at, row.index))
        away = tuple(each for each in told if isinstance(each, Absent))
        blanks = tuple(each for each in told if isinstance(each, Blanks))
        lone = tuple(each for each in told if isinstance(each, Lone))
        return AuditTable(self._dataset(dataset), tuple(rows), away, blanks, lone)

    def holding(self) -> tuple[str, ...]:
        """The root keys of the members that may hold data, whose audit logs are asked after these."""
        return tuple(each.site for each in self.members() if not each.witness_only)

    def _dataset(self, name: Cid | str) -> Cid:
        """A dataset that is or was published; by its CID one of which nothing is known any more too."""
        if isinstance(name, Cid):
            return name
        with suppress(BadInput):
            return Cid.parse(name)
        try:
            return self.dataset_ever(name).fields.cid
        except NotFound as error:
            raise NotFound(f"{error}; one that was erased is asked about by its CID") from error

    def _ask(self, dataset: Cid | None, about: str | None, wanted: _Range, sites: Sequence[str]) -> Iterator[Told]:
        question, trail = self._trail(dataset, about, wanted)
        for answer in self.answers(question, sites):
            yield from trail.rows(answer)
        yield from trail.rest()

    def _trail(
        self, dataset: Cid | None, about: str | None, wanted: _Range, *, proofs: bool = False
    ) -> tuple[Who, Trail]:
        """A signed question, and what reads the answers to it."""
        cut = self.question(dataset, about, wanted.since, wanted.until)
        question = self.question(dataset, about) if wanted.whole else cut
        status = self.status()
        span = Span(cut.since, cut.until)
        return question, Trail(question, status.members, status.quorum, self.names(), span, proofs=proofs)

    def audit_export(
        self,
        *,
        dataset: Cid | str | None = None,
        person: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        whole: bool = False,
    ) -> Iterator[tuple[Told, Account | None]]:
        """As :meth:`audit_who` or :meth:`audit_by`, or all of this node's log; each with what shows it to others."""
        cid = None if dataset is None else self._dataset(dataset)
        everywhere = dataset is not None or person is not None
        for did in (None,) if person is None else self._keys(person):
            question, trail = self._trail(cid, did, _Range(since, until, whole), proofs=True)
            for answer in self.answers(question, self.holding() if everywhere else (self.site,)):
                yield from trail.verified(answer)
            yield from ((told, None) for told in trail.rest())

    def _keys(self, person: str) -> Sequence[str]:
        """The keys that a person has and had, the one of now last; whoever was erased is asked about by the key.

        Raises:
            NotFound: nobody of that name. BadInput: several, or it is no key.
        """
        if person.startswith("did:key:"):
            public_bytes(person)
            return (person,)
        removed = [each for each in self.listed("key", KeyFields) if each.fields.removed and each.fields.role != "node"]
        try:
            now = self.enrolled(person)
        except NotFound as error:
            if had := [each.fields.did for each in removed if person in (each.fields.name, _at(each))]:
                return had
            raise NotFound(f"{error}; whoever was erased is asked about by their key") from error
        had = [each.fields.did for each in removed if (each.site, each.fields.name) == (now.site, now.fields.name)]
        return (*had, now.fields.did)

    def question(
        self, dataset: Cid | None, about: str | None = None, since: Moment | None = None, until: Moment | None = None
    ) -> Who:
        """A question to audit logs, signed by this person; it is answered once.

        Raises:
            BadInput: a time that is none, or an end before its beginning.
        """
        at = now()
        first, last = (None if when is None else past(when, at) for when in (since, until))
        if first is not None and last is not None and first > last:
            raise BadInput("there is no time that is after --since and before --until; the other way round?")
        whole = Who(
            person=self.person,
            site=self.site,
            dataset=dataset,
            about=about,
            since=first or 0,
            until=last,
            at=at,
            nonce=random(16),
            sig=UNSIGNED,
        )
        return signed(whole, self._signer())

    def answers(self, question: Who, sites: Sequence[str] = ()) -> Iterator[SiteRows]:
        """What the members, or ``sites`` (root keys), answer to a signed question, page by page; not verified."""
        return self._connection.stream(AskWho(question=encode(question), sites=tuple(sites)))

    def names(self) -> Names:
        """The names that this person may know, for showing rows."""
        people = {each.fields.did: each.fields.name for each in self.listed("key", KeyFields)}
        datasets = {each.fields.cid: each.fields.name for each in self.listed("dataset", DatasetFields)}
        return Names(people, {each.fields.cid: each.fields.name for each in self.blocks()}, datasets)


def _at(listed: Listing[KeyFields]) -> str:
    return f"{listed.fields.name}@{listed.site_name}"
