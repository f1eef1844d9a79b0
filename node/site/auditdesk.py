"""Rows of the audit log for a person who asks who accessed a dataset, each with its proof."""

from __future__ import annotations

from catalog.checkpoint import Checkpoint, open_checkpoint
from catalog.cid import Cid
from catalog.error import Denied, VerificationFailed
from catalog.index import Index
from catalog.key import check
from catalog.member import Role
from node.automator.book import AuditBook, Line
from node.automator.decide import Judge
from node.message import Row, Rows, Who, WhoAnswer
from node.ports import Clock
from node.storage.stored import StoredLog
from privacy.policy import decide
from privacy.request import AuditRef, PersonAsker, See
from privacy.trust import Person, person_at
from workflow.account import Chain, ReadFields

PAGE_BYTES = 700 << 10
PAGE_ROWS = 1000
FRESH_MILLIS = 10 * 60_000


class AuditDesk:
    """Answers ``audit who`` for the site ``site``: who may ask, which rows, and the note of the asking itself."""

    def __init__(
        self, site: str, node: str, index: Index, judge: Judge, log: StoredLog, book: AuditBook, clock: Clock
    ) -> None:
        self._site = site
        self._node = node
        self._index = index
        self._judge = judge
        self._log = log
        self._book = book
        self._clock = clock

    async def answer(self, question: Rows, asker: str) -> WhoAnswer:
        """The rows about a dataset, newest first, for the person whose home site ``asker`` is.

        The question is written down before they leave. A site that was asked itself cannot pass the question on as
        its own: it comes from the person's home or it is not answered.

        Raises:
            Denied: the person may not ask this here. VerificationFailed: the question is not the person's.
        """
        who = question.who
        if who.site != asker:
            raise Denied("the question came from another site than its person's home")
        self._check_asker(who)
        end = self._book.durable if question.before is None else min(question.before, self._book.durable)
        indexes = [i for i in self._book.ledger.rows(who.dataset) if i < end]
        indexes = indexes[: -PAGE_ROWS - 1 : -1]
        checkpoint, note = await self._checkpoint(indexes[0] + 1 if indexes else 0)
        rows: list[Row] = []
        room = PAGE_BYTES
        for index in indexes:
            row = await self._row(index, checkpoint.size)
            if row is None:
                continue
            room -= len(row.body) + 32 * len(row.proof) + 400
            if room < 0:
                break
            rows.append(row)
        await self._note(who, len(rows))
        more = bool(rows) and rows[-1].index > min(self._book.ledger.rows(who.dataset))
        return WhoAnswer(note=note, rows=tuple(rows), more=more)

    def _check_asker(self, who: Who) -> None:
        """An owner's stewards and auditors may ask about their data, this site's about all it did; others by policy."""
        check(who, who.person)
        if abs(self._clock.now() - who.at) > FRESH_MILLIS:
            raise VerificationFailed("the question is older than ten minutes, or the clocks of the two sites differ")
        person = person_at(self._index, who.person, who.site)
        owner = self._owner(who.dataset)
        own = person.role in (Role.STEWARD, Role.AUDITOR) and person.site in (self._site, owner)
        if not own and not self._allowed(person, who.dataset, owner):
            raise Denied("no rule here lets this person see who accessed that dataset; ask its steward")

    def _owner(self, dataset: Cid) -> str:
        """The site that publishes the dataset: this one if it does, else the only one that does, else this one."""
        owners = [site.root for site in self._index.sites.values() if site.latest("dataset", str(dataset))]
        return owners[0] if len(owners) == 1 and self._site not in owners else self._site

    def _allowed(self, person: Person, dataset: Cid, owner: str) -> bool:
        request = See(
            asker=PersonAsker(person.did, person.site, frozenset({str(person.role)})),
            here=self._site,
            granted=False,
            fresh=True,
            resource=AuditRef(str(dataset), owner),
            reader=False,
        )
        return decide(self._judge.policy(), request).allowed

    async def _checkpoint(self, least: int) -> tuple[Checkpoint, str]:
        """The newest checkpoint with cosignatures if it covers all rows, else the newest."""
        cosigned = await self._log.last_cosigned()
        if cosigned:
            checkpoint = open_checkpoint(cosigned, self._log.origin, self._node)
            if checkpoint.size >= least:
                return checkpoint, cosigned
        return self._log.checkpoint, self._log.note

    async def _row(self, index: int, size: int) -> Row | None:
        stored = await self._log.body(index)
        if stored is None:
            return None
        leaf = await self._log.leaf(index)
        proof = await self._log.prove(index, size)
        return Row(index=index, leaf=leaf, salt=stored[0], body=stored[1], proof=tuple(proof))

    async def _note(self, who: Who, rows: int) -> None:
        def fields(chain: Chain, _index: int) -> ReadFields:
            return ReadFields(person=who.person, home=who.site, dataset=who.dataset, rows=rows, chain=chain)

        await self._book.write([Line("read", [who.dataset], fields)])
