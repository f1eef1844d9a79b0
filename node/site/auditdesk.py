"""Rows of the audit log for a person who asks who accessed a dataset, what somebody did, or for all of it.

A question is answered once, page after page. It is written down before anything leaves, right behind the heads of all
chains as they are at that moment, so that the asker sees which rows there must be. Rows that are not for the asker,
and rows that were erased, are sent as blanks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from catalog.body import fields_of, read_body
from catalog.checkpoint import open_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import Denied, NotFound, VerificationFailed
from catalog.headmap import HeadMap
from catalog.index import Index
from catalog.key import check
from catalog.member import Role
from node.automator.book import AuditBook, Line
from node.automator.decide import Judge
from node.message import Opening, Row, Rows, Who, WhoAnswer
from node.ports import Clock
from node.quota import Bound, Quota
from node.site.freshness import is_fresh
from node.storage.stored import StoredLog
from privacy.request import AuditRef, PersonAsker, See
from privacy.trust import Person, person_at
from workflow.account import ACCOUNTS, Chain, HeadsFields, ReadFields, datasets_of

PAGE_BYTES = 700 << 10
PAGE_ROWS = 1000
EVERYTHING = "*"
"""As which trail policy decides about rows that are about no dataset, and about reading a whole log."""

BY_PERSON: Final = Bound(200, 1_000, "more than {a_day} audit questions a day by one person; ask again in {wait}")
BY_SITE: Final = Bound(1_000, 5_000, "more than {a_day} audit questions a day from one site; ask again in {wait}")
"""Each question leaves two rows, some 2 KB: 10 MB a day from a member whose people do nothing but ask."""

REFUSED_BY_PERSON: Final = Bound(20, 100, "more than {a_day} refused questions a day by one person, for {wait}")
REFUSED_BY_SITE: Final = Bound(100, 500, "more than {a_day} refused questions a day from one site, for {wait}")
"""How many questions that nobody lets them ask are written down."""

LOOKED_THROUGH = 1000
"""Rows at most that are looked at for one that the asker is shown."""

MAX_OPEN = 256
"""Questions that are being answered at once; the one that was asked first is closed for one more."""

Covered = Callable[[int], Awaitable[str]]
"""The note of a checkpoint of at least so many leaves, cosigned by a quorum if that is to be had."""

Stored = tuple[bytes, tuple[bytes, bytes] | None]
"""A leaf with its salt and body, if these are here."""


@dataclass(slots=True)
class _Asked:
    """A question that is being answered: by whom, which rows (``start`` to ``stop``), and what was decided of whom."""

    person: Person
    start: int
    stop: int
    decided: dict[str, bool] = field(default_factory=dict)


class AuditDesk:
    """Answers questions to the audit log of the site ``site``: who may ask, which rows, under which checkpoint."""

    def __init__(
        self,
        site: str,
        node: str,
        index: Index,
        judge: Judge,
        log: StoredLog,
        book: AuditBook,
        clock: Clock,
        covered: Covered | None = None,
    ) -> None:
        self._site = site
        self._node = node
        self._index = index
        self._judge = judge
        self._log = log
        self._book = book
        self._clock = clock
        self._covered = covered or self._at_hand
        self._open: OrderedDict[Cid, _Asked] = OrderedDict()
        self._quota = Quota(clock.now)

    async def answer(self, question: Rows, asker: str) -> WhoAnswer:
        """The next page of rows, oldest first, for the person whose home site ``asker`` is.

        A site that was asked itself cannot pass the question on as its own: it comes from the person's home or it is
        not answered. Nor is a question answered twice: whoever saw it cannot ask it again.

        Raises:
            Denied: the person may not ask this here. VerificationFailed: the question is not the person's, is old, or
                was answered before. Denied, with how long to wait: the person, or all of their site, asked too much
                of late. NotFound: it was not asked from its beginning since this node started.
        """
        who = question.who
        if who.site != asker:
            raise Denied("the question came from another site than its person's home")
        name = Cid.of(encode(who))
        if question.after is None:
            return await self._begin(who, name)
        asked = self._open.get(name)
        if asked is None:
            raise NotFound("that question is not being answered here; ask it anew")
        return await self._page(who, asked, min(question.after, self._log.size) + 1, None)

    async def _begin(self, who: Who, name: Cid) -> WhoAnswer:
        person = self._check_asker(who)
        if self._book.ledger.asked(name):
            raise VerificationFailed("this question was answered already; ask anew")
        if refusal := self._refusal(person, who):
            await self._note(who, refusal)
            raise Denied(refusal)
        self._quota.take(who.person, BY_PERSON)
        if who.site != self._site:  # whoever looks after this log is not kept from it by others of their site
            self._quota.take(who.site, BY_SITE)
        made: list[HeadMap] = []

        def heads(chain: Chain, index: int) -> HeadsFields:
            made.append(self._book.ledger.heads())
            return HeadsFields(root=made[0].root, count=len(made[0].heads), upto=index, chain=chain)

        def rows(chain: Chain, index: int) -> int:
            return index - 1 if who.subject is None else chain[who.subject].count - 1

        datasets = [who.dataset] if who.dataset is not None else []
        people = [each for each in (who.person, who.about) if each is not None]
        upto = await self._book.write([Line("heads", (), heads), Line("read", datasets, _read(who, rows), people)])
        asked = self._open[name] = _Asked(person, 0, upto)
        asked.start, asked.stop = await trio.to_thread.run_sync(self._span, who, asked, upto)
        while len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return await self._page(who, asked, asked.start, (upto, made[0]))

    async def _note(self, who: Who, refusal: str) -> None:
        """Write down that a question was refused, unless too many of that person or site were: the answer is the same.

        It stands in the chain of who asked, and of data that somebody publishes; not in that of whom it is about.
        """
        try:
            self._quota.check(who.site, REFUSED_BY_SITE)
            self._quota.take(who.person, REFUSED_BY_PERSON)
            self._quota.take(who.site, REFUSED_BY_SITE)
        except Denied:
            return
        known = who.dataset is not None and any(
            site.latest("dataset", str(who.dataset)) for site in self._index.sites.values()
        )
        datasets = [who.dataset] if who.dataset is not None and known else []
        read = _read(who, lambda _chain, _index: 0, refusal)
        await self._book.write([Line("read", datasets, read, (who.person,))])

    async def _page(self, who: Who, asked: _Asked, start: int, begun: tuple[int, HeadMap] | None) -> WhoAnswer:
        wanted = self._indexes(who, start, asked.stop)
        beside = [begun[0], begun[0] + 1] if begun is not None else []
        note = await self._covered((beside or wanted or [0])[-1] + 1)
        size = open_checkpoint(note, self._log.origin, *self._log.keys).size
        indexes = await self._log.fitting(wanted, PAGE_BYTES, 32 * size.bit_length() + 200)
        stored, proof = await self._log.show([*indexes, *beside], size)
        rows = await trio.to_thread.run_sync(self._rows, who, asked, indexes, stored)
        opening = None
        if begun is not None:
            heads, read = (_shown(index, each) for index, each in zip(beside, stored[len(indexes) :], strict=True))
            subject = None if who.subject is None else begun[1].prove(who.subject)
            opening = Opening(heads=heads, asked=read, proof=subject)
        more = bool(indexes) and bool(self._indexes(who, indexes[-1] + 1, asked.stop))
        return WhoAnswer(note=note, rows=tuple(rows), proof=proof, opening=opening, more=more)

    def _indexes(self, who: Who, start: int, stop: int) -> list[int]:
        if who.subject is None:
            return list(range(start, min(stop, start + PAGE_ROWS)))
        return self._book.ledger.rows(who.subject, start, stop, PAGE_ROWS)

    def _rows(self, who: Who, asked: _Asked, indexes: Sequence[int], stored: Sequence[Stored]) -> list[Row]:
        rows = (_shown(index, each) for index, each in zip(indexes, stored, strict=False))
        return [row if self._is_for(who, asked, row.body) else _blank(row) for row in rows]

    def _span(self, who: Who, asked: _Asked, upto: int) -> tuple[int, int]:
        """From which row to which: one further at either end than what is asked for, so that none is missed."""
        ledger = self._book.ledger
        if who.subject is None:
            return (self._last_before(who, asked, upto) if who.since else 0), upto
        older = ledger.older(who.subject, who.since, upto) if who.since else iter(())
        newer = ledger.newer(who.subject, who.until, upto) if who.until is not None else iter(())
        start = next((index for index in older if self._is_for(who, asked, self._log.peek(index))), 0)
        stop = next((index + 1 for index in newer if self._is_for(who, asked, self._log.peek(index))), upto)
        return start, stop

    def _last_before(self, who: Who, asked: _Asked, upto: int) -> int:
        """The last row of the whole log that is older than what is asked for, and shown; the first if there is none.

        It is found by halving, for times never fall. Of an erased row nobody knows the time: it is taken for older,
        and if that was wrong, or no row with a body is near, the answer begins at the first row.
        """
        low, high = 0, upto
        while high - low > 1:
            middle = (low + high) // 2
            data = self._log.peek(middle)
            low, high = (middle, high) if data is None or read_body(data).at < who.since else (low, middle)
        for index in range(low, max(low - LOOKED_THROUGH, 0), -1):
            data = self._log.peek(index)
            if data is not None and self._is_for(who, asked, data):
                return index if read_body(data).at < who.since else 0
        return 0

    # --- who may ask what --------------------------------------------------------------------------------------------

    def _check_asker(self, who: Who) -> Person:
        """Whoever signed the question, a person of the member that it comes from, and just now."""
        check(who, who.person)
        if not is_fresh(who.at, self._clock.now()):
            raise VerificationFailed("the question is older than ten minutes, or the clocks of the two sites differ")
        if who.dataset is not None and who.about is not None:
            raise VerificationFailed("the question is about a dataset and a person at once; ask one after the other")
        return person_at(self._index, who.person, who.site)

    def _refusal(self, person: Person, who: Who) -> str:
        """Why a person may not ask this; empty if they may.

        This site's stewards and auditors may ask all; an owner's about their data; others as policy says.
        """
        if self._is_own(person):
            return ""
        if who.dataset is not None:
            if self._may_see(person, str(who.dataset)):
                return ""
            overdue = self._overdue(person, self._owner(str(who.dataset)))
            return overdue or "no rule here lets this person see who accessed that dataset; ask its steward"
        if self._may_see(person, EVERYTHING) or self._is_of_home(person, who.about):
            return ""
        return "no rule here lets this person read this site's audit log; ask a steward of this site"

    def _is_own(self, person: Person) -> bool:
        return person.role in (Role.STEWARD, Role.AUDITOR) and person.site == self._site

    def _is_of_home(self, person: Person, about: str | None) -> bool:
        """A home site's stewards and auditors may ask after its own people, of whom they are told how many rows."""
        officer = person.role in (Role.STEWARD, Role.AUDITOR)
        return officer and about is not None and self._index.site(person.site).key(about) is not None

    def _is_for(self, who: Who, asked: _Asked, body: bytes | None) -> bool:
        """Whether a row is shown to who asked; its own question decided that already where it is about one dataset."""
        if body is None:
            return False
        if who.dataset is not None or self._is_own(asked.person):
            return True
        kind = read_body(body)
        if kind.kind not in ACCOUNTS:
            return False
        datasets = datasets_of(fields_of(kind, ACCOUNTS[kind.kind]).chain)
        about = [str(dataset) for dataset in datasets] or [EVERYTHING]
        for each in about:
            if each not in asked.decided:
                asked.decided[each] = self._may_see(asked.person, each)
        return any(asked.decided[each] for each in about)

    def _may_see(self, person: Person, dataset: str) -> bool:
        owner = self._owner(dataset)
        if person.role in (Role.STEWARD, Role.AUDITOR) and person.site == owner:
            return True
        if self._overdue(person, owner):
            return False
        request = See(
            asker=PersonAsker(person.did, person.site, frozenset({str(person.role)})),
            here=self._site,
            granted=False,
            fresh=True,
            resource=AuditRef(dataset, owner),
            reader=False,
        )
        return self._judge.faults.decide(self._judge.policy(), request).allowed

    def _overdue(self, person: Person, owner: str) -> str:
        """Why policy is not asked: the sites that speak for the person and the data were not heard for too long."""
        return self._judge.recency.refusal("see", {person.site, owner})

    def _owner(self, dataset: str) -> str:
        """The site that publishes the dataset: this one if it does, else the only one that does, else this one."""
        owners = [site.root for site in self._index.sites.values() if site.latest("dataset", dataset)]
        return owners[0] if len(owners) == 1 and self._site not in owners else self._site

    async def _at_hand(self, least: int) -> str:
        """The newest checkpoint with cosignatures if it covers all rows, else the newest."""
        cosigned = await self._log.last_cosigned()
        if cosigned and open_checkpoint(cosigned, self._log.origin, *self._log.keys).size >= least:
            return cosigned
        return self._log.note


def _read(who: Who, rows: Callable[[Chain, int], int], reason: str = "") -> Callable[[Chain, int], ReadFields]:
    """That a question was asked, and how many rows answer it, or why none do."""

    def read(chain: Chain, index: int) -> ReadFields:
        told = rows(chain, index)
        return ReadFields(person=who.person, home=who.site, question=encode(who), rows=told, reason=reason, chain=chain)

    return read


def _shown(index: int, stored: Stored) -> Row:
    leaf, opened = stored
    return Row(index=index, leaf=leaf, salt=opened[0] if opened else None, body=opened[1] if opened else None)


def _blank(row: Row) -> Row:
    return Row(index=row.index, leaf=row.leaf, salt=None, body=None)
