"""Answering other nodes' questions: each kind goes to whom it concerns, and refusals go back as such."""

from __future__ import annotations

from catalog.dagcbor import Value
from catalog.error import ComityError, NotFound, VerificationFailed
from catalog.index import Index
from catalog.merkle import full_path
from catalog.origin import LogName, log_of
from catalog.reopening import Reopening
from node.automator.complaining import Complaining
from node.automator.foresee import Foreseeing
from node.message import (
    AddCheckpoint,
    Added,
    Cancel,
    Complained,
    Consistency,
    Foresee,
    Heads,
    HeadsAnswer,
    Outcome,
    Place,
    ProofAnswer,
    Question,
    Reporting,
    Rows,
    read_question,
    reply_bytes,
)
from node.replicate.cosign import Witness
from node.site.auditdesk import AuditDesk
from node.site.follower import Follower
from node.site.membership import Membership
from node.site.orders import Orders
from node.site.replicas import Replicas
from node.site.witnessing import Witnessing
from node.storage.log import DiskLog


class Questions:
    """Answers for the site ``site``; what concerns orders and the audit log is there once it is in a consortium."""

    def __init__(
        self,
        site: str,
        membership: Membership,
        catalog: DiskLog,
        audit: DiskLog,
        replicas: Replicas,
        orders: Orders,
        foreseeing: Foreseeing,
        complaining: Complaining,
        desk: AuditDesk,
        index: Index,
        witness: Witness,
        witnessing: Witnessing,
        follower: Follower,
        reopenings: tuple[Reopening, ...] = (),
    ) -> None:
        self._site = site
        self._membership = membership
        self._logs = {LogName.CATALOG: catalog, LogName.AUDIT: audit}
        self._replicas = replicas
        self._orders = orders
        self._foreseeing = foreseeing
        self._complaining = complaining
        self._desk = desk
        self._index = index
        self._witness = witness
        self._witnessing = witnessing
        self._follower = follower
        self._reopenings = reopenings

    async def answer(self, asker: str, data: bytes) -> bytes:
        """The reply to a question of the site ``asker``."""
        try:
            return reply_bytes(await self._dispatch(asker, read_question(data)))
        except ComityError as error:
            return reply_bytes(error)

    async def _dispatch(self, asker: str, question: Question) -> Value:
        match question:
            case Heads():
                return await self._heads()
            case Consistency():
                return await self._consistency(question)
            case AddCheckpoint():
                return await self._cosign(asker, question)
            case Rows():
                return await self._desk.answer(question, asker)
            case _:
                return await self._of_order(asker, question)

    async def _of_order(
        self, asker: str, question: Place | Foresee | Complained | Reporting | Outcome | Cancel
    ) -> Value:
        match question:
            case Place():
                self._check_bus(asker, question)
                return await self._orders.place(question, asker)
            case Foresee():
                return await self._foreseeing.answer(question, asker)
            case Complained():
                return self._complaining.answer(question, asker)
            case Reporting():
                return await self._orders.report(question, asker)
            case Outcome():
                return await self._orders.outcome(question, asker)
            case Cancel():
                return await self._orders.cancel(question, asker)

    async def _heads(self) -> HeadsAnswer:
        beat = self._index.site(self._site).latest("beat", "")
        cosigned = await self._witnessing.head(beat.index if beat is not None else 0)
        known = {replica.origin: (replica.size, replica.root) for replica in self._replicas.known.values()}
        notes = tuple(log.note for log in self._logs.values())
        return HeadsAnswer(notes=notes, known=known, cosigned=cosigned, reopenings=self._reopenings)

    def _check_bus(self, asker: str, question: Place) -> None:
        """An order's receipt is for the bus that signed it: whoever saw the order elsewhere gets none for it."""
        if question.order.bus != self._membership.nodes[asker]:
            raise VerificationFailed("the order does not come from the bus node that signed it")

    async def _consistency(self, question: Consistency) -> ProofAnswer:
        """A proof for one of this site's logs, or for another's of which a replica is here."""
        replicas = {replica.origin: replica for replica in self._replicas.known.values()}
        log = replicas.get(question.origin) or self._log(question.origin)
        old, hashes = question.old, await log.consistency(question.old, question.new)
        path = full_path(old, await log.root_at(old), hashes) if 0 < old < question.new else hashes
        return ProofAnswer(hashes=tuple(path))

    async def _cosign(self, asker: str, question: AddCheckpoint) -> Added:
        """Cosign the asker's own log, and take what is new of its catalog; nobody asks for another's."""
        self._witnessing.back(asker)
        if log_of(question.note.partition("\n")[0], asker) is not LogName.CATALOG:
            return await self._witness.add(asker, question, None)
        replica = await self._replicas.of(asker)
        if question.rows:
            await self._follower.offered(asker, question.note, question.rows)
        added = await self._witness.add(asker, question, replica)
        if added.line is not None and replica.size < added.size:
            self._follower.wake(asker)
        return added

    def _log(self, origin: str) -> DiskLog:
        log = next((log for log in self._logs.values() if log.origin == origin), None)
        if log is None:
            raise NotFound("this site has no log of that name")
        return log
