"""Answering other nodes' questions: each kind goes to whom it concerns, and refusals go back as such."""

from __future__ import annotations

from catalog.dagcbor import Value
from catalog.error import ComityError, NotFound, VerificationFailed
from catalog.origin import LogName, log_of
from node.message import (
    Consistency,
    Cosigned,
    Done,
    Heads,
    HeadsAnswer,
    Outcome,
    Place,
    ProofAnswer,
    Question,
    Rows,
    read_question,
    reply_bytes,
)
from node.site.auditdesk import AuditDesk
from node.site.membership import Membership
from node.site.orders import Orders
from node.storage.log import DiskLog


class Questions:
    """Answers for the site ``site``; ``orders`` and ``desk`` are there once it is in a consortium."""

    def __init__(
        self,
        site: str,
        membership: Membership,
        catalog: DiskLog,
        audit: DiskLog,
        orders: Orders,
        desk: AuditDesk,
    ) -> None:
        self._site = site
        self._membership = membership
        self._logs = {LogName.CATALOG: catalog, LogName.AUDIT: audit}
        self._orders = orders
        self._desk = desk

    async def answer(self, asker: str, data: bytes) -> bytes:
        """The reply to a question of the site ``asker``."""
        try:
            return reply_bytes(await self._dispatch(asker, read_question(data)))
        except ComityError as error:
            return reply_bytes(error)

    async def _dispatch(self, asker: str, question: Question) -> Value:
        match question:
            case Heads():
                return HeadsAnswer(notes=tuple(log.note for log in self._logs.values()))
            case Consistency():
                return await self._consistency(question)
            case Cosigned():
                return await self._cosigned(asker, question)
            case Place():
                self._check_bus(asker, question)
                return await self._orders.place(question, asker)
            case Outcome():
                return await self._orders.outcome(question, asker)
            case Rows():
                return await self._desk.answer(question, asker)

    def _check_bus(self, asker: str, question: Place) -> None:
        """An order's receipt is for the bus that signed it: whoever saw the order elsewhere gets none for it."""
        if question.order.bus != self._membership.nodes[asker]:
            raise VerificationFailed("the order does not come from the bus node that signed it")

    async def _consistency(self, question: Consistency) -> ProofAnswer:
        hashes = await self._log(question.origin).consistency(question.old, question.new)
        return ProofAnswer(hashes=tuple(hashes))

    async def _cosigned(self, asker: str, question: Cosigned) -> Done:
        """Keep the asker's own cosignature; nobody brings another's."""
        log = self._log(question.note.partition("\n")[0])
        await log.add_cosignatures(question.note, {asker: self._membership.nodes[asker]})
        return Done()

    def _log(self, origin: str) -> DiskLog:
        name = log_of(origin, self._site)
        if name is None:
            raise NotFound("this site has no log of that name")
        return self._logs[name]
