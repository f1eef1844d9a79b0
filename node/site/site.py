"""One site, put together from its folder: logs, state, core and adapters, each made once and handed to the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from catalog.body import Body, read_body
from catalog.dagcbor import encode
from catalog.entry import Entry, read_entry
from catalog.error import ComityError, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.member import Member
from catalog.origin import LogName, origin_of
from node.automator.automator import Automator
from node.automator.book import AuditBook
from node.automator.decide import Judge
from node.automator.hold import Holdings
from node.automator.ledger import Ledger
from node.automator.verify import Consortium, Verifier
from node.bus.bus import Bus
from node.bus.dispatch import Dispatcher
from node.config import Config, Folder, read_config
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.founding import Founder
from node.keyfile import Identity, read_identity
from node.message import reply_bytes
from node.network.bulk import BulkClient
from node.network.bulk_server import serve_bulk
from node.network.control import ControlNetwork, ControlSettings
from node.ports import Limits
from node.replicate.catchup import index_log
from node.replicate.cosign import Witness
from node.replicate.replicator import Replicator
from node.site.auditdesk import AuditDesk
from node.site.documents import ParsedDocuments
from node.site.follower import Follower
from node.site.local import LocalFirst
from node.site.materials import Materials
from node.site.membership import Membership
from node.site.orders import Orders
from node.site.questions import Questions
from node.site.reach import Reach
from node.site.shelf import Shelf
from node.site.together import side_by_side
from node.storage.brought import Brought
from node.storage.database import Database
from node.storage.disk import DiskBlobs
from node.storage.facts import Facts
from node.storage.journal import SubmissionJournal
from node.storage.log import DiskLog
from node.storage.replica import ReplicaLog
from node.storage.resident import Residents
from node.storage.witness import WitnessMemory
from node.system import SystemClock, SystemRandom

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

FOUNDING_SECONDS = 0.5
GOSSIP = "comity/checkpoints/1/"


@dataclass(frozen=True, slots=True)
class Consorting:
    """What a site has once it is in a consortium."""

    automator: Automator
    bus: Bus
    follower: Follower
    questions: Questions
    control: LocalFirst


class Site:
    """A site on this machine. Made by :meth:`open`, served by :meth:`run`, closed by :meth:`aclose`."""

    def __init__(
        self, folder: Folder, config: Config, node: Identity, database: Database, catalog: DiskLog, audit: DiskLog
    ) -> None:
        self.folder = folder
        self.config = config
        self.node = node
        self.catalog = catalog
        self.audit = audit
        self.clock = SystemClock()
        self.random = SystemRandom()
        self.index = Index([config.root])
        self.ledger = Ledger()
        self.holdings = Holdings()
        self.blobs = DiskBlobs(folder.blobs)
        self.residents = Residents(database)
        self.changed = trio.Event()
        self.journal = SubmissionJournal(database, self._notify)
        self.recovered: list[str] = []
        self.consorting: Consorting | None = None
        self._database = database
        self._bulk = BulkClient(node.key, self.clock, self.random)
        self._writing = trio.Lock()
        self._replicas: dict[str, ReplicaLog] = {}
        self._witness_memory = WitnessMemory(database)
        self._facts = Facts(database)

    @classmethod
    async def open(cls, folder: Folder) -> Site:
        """Read a site's folder and rebuild everything that is a projection of its logs.

        Raises:
            NotFound: no site there. VerificationFailed: a file is damaged, named. Conflict: another node holds it.
        """
        config = read_config(folder)
        node = read_identity(folder.node_key)
        database = Database.open(folder.state)
        random = SystemRandom()
        logs = [
            await DiskLog.open(path, origin_of(config.root, name), 0, node.key, random)
            for name, path in ((LogName.CATALOG, folder.catalog), (LogName.AUDIT, folder.audit))
        ]
        site = cls(folder, config, node, database, *logs)
        await site._load()
        return site

    @property
    def root(self) -> str:
        """The site's root key, which is its name among machines."""
        return self.config.root

    async def aclose(self) -> None:
        """Close logs and state."""
        for log in (self.catalog, self.audit, *self._replicas.values()):
            await log.aclose()
        self._bulk.close()
        self._database.close()

    async def _load(self) -> None:
        for log in (self.catalog, self.audit):
            if log.recovered:
                self.recovered.append(log.recovered)
        await index_log(self.catalog, self.index.site(self.root))
        for entry in self._own_entries():
            self.holdings.publish(entry)
        for position in range(self.audit.size):
            stored = await self.audit.body(position)
            if stored is not None:
                self.ledger.take(position, read_body(stored[1]))
        self.book = AuditBook(self.root, self.node.key, self.audit, self.ledger, self.clock)
        self.membership = Membership(await self._me(), self.node, self._facts, self._bulk, self.clock, self.random)
        await self.membership.load()
        self.shelf = Shelf(self.root, self.membership, self.catalog, self.blobs, self.holdings, self.book)
        self.network = ControlNetwork(
            self.node.key,
            ControlSettings(self.config.control.host, self.config.control.port),
            admits=lambda node: self.membership.site_of(node) is not None,
            answer=self._answer,
            heard=self._heard,
            known=self._known,
        )
        self.reach = Reach(self.membership, self.network, self._bulk)
        self.materials = Materials(
            self.root, self.index, self.blobs, self.residents, Brought(self._database), self.reach
        )
        self.documents = ParsedDocuments()
        self.steps = StepExecutor(Sandbox(), self.materials, self.blobs, self.folder.work, Limits())

    async def _me(self) -> Founder:
        enrolment = await self.catalog.body(0)
        if enrolment is None:
            raise VerificationFailed(f"{self.folder.catalog} lacks its first entry; restore the site from a backup")
        return Founder(
            member=Member(site=self.config.name, root=self.root),
            enrolment=enrolment[1],
            control=self.config.control.multiaddr,
            bulk=self.config.bulk.url,
        )

    def _own_entries(self) -> list[Entry]:
        own = self.index.site(self.root)
        return [*own.entries("dataset"), *own.entries("block")]

    # --- serving -----------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve control connections and bytes, follow the members, go on with submissions; until cancelled.

        Raises:
            Conflict: a port is in use.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self.steps.start()
            if self.steps.leftovers:
                self.recovered.append(f"{self.steps.leftovers} processes of steps that an earlier node left were ended")
            await nursery.start(self.network.serve)
            await nursery.start(self._serve_bulk)
            if self.membership.consortium is not None:
                await self._consort()
            else:
                nursery.start_soon(self._await_founding)
            task_status.started()

    async def _serve_bulk(self, *, task_status: TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        await serve_bulk(
            self.config.bulk.host,
            self.config.bulk.port,
            self.node.key,
            self.shelf.answer,
            clock=self.clock,
            known=lambda node: self.membership.site_of(node) is not None,
            task_status=task_status,
        )

    async def _await_founding(self) -> None:
        """Wait until the founding is complete, asking the inviting site now and then."""
        while self.membership.consortium is None:
            await trio.sleep(FOUNDING_SECONDS)
            try:
                await self.membership.refresh()
            except ComityError:
                continue  # the inviting site is away or refuses; «consortium show» asks it again and says so
        await self._consort()

    async def _consort(self) -> None:
        """Put together what needs a consortium, recover what was under way, and go on."""
        membership = self.membership
        if membership.consortium is None or membership.epoch is None:
            raise ComityError("this site is in no consortium yet")
        others = {root: name for root, name in membership.names.items() if root != self.root}
        for root in others:
            await self._open_replica(root)
        consortium = Consortium(membership.consortium, membership.epoch.number)
        judge = Judge(self.index.site(self.root), self.index, self.config.name, membership.epoch.floor)
        verifier = Verifier(self.root, consortium, self.index, self.documents, self.steps)
        automator = Automator(
            self.root,
            self.node.key,
            verifier,
            judge,
            self.book,
            self.steps,
            self.holdings,
            self.clock,
            self.random,
        )
        self.recovered.extend(await automator.recover())
        desk = AuditDesk(self.root, self.node.did, self.index, judge, self.audit, self.book, self.clock)
        questions = Questions(self.root, membership, self.catalog, self.audit, Orders(automator, self._nursery), desk)
        control = LocalFirst(self.root, questions.answer, self.reach)
        witness = Witness(self.root, self.node.key, self._witness_memory, self.reach, self.clock)
        replicator = Replicator(self.reach, self.reach, witness, self.index, self._replicas, membership.nodes)
        dispatcher = Dispatcher(self.node.key, self.index, self.journal, control, self.clock)
        bus = Bus(self.root, self.index, self.journal, dispatcher, self.documents, self.steps, side_by_side, self.clock)
        follower = Follower(replicator, others)
        self.consorting = Consorting(automator, bus, follower, questions, control)
        self.network.join(GOSSIP + str(membership.consortium))
        self._nursery.start_soon(follower.run)
        for record in await self.journal.records():
            if record.ended == 0:
                self.recovered.append(f"the submission {record.cid} goes on where it stood")
                self._nursery.start_soon(bus.carry, record.cid, membership.names)

    async def _open_replica(self, root: str) -> None:
        node = self.membership.nodes[root]
        folder = self.folder.replicas / node.rpartition(":")[2]
        replica = await ReplicaLog.open(folder, origin_of(root, LogName.CATALOG), node)
        self._replicas[root] = replica
        self.index.admit(root)
        await index_log(replica, self.index.site(root))

    def start(self, work: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Run ``work`` beside everything else, until the node stops."""
        self._nursery.start_soon(work, *arguments)

    async def witnessed(self, root: str) -> int:
        """Up to which size this site has cosigned the catalog of ``root``."""
        seen = await self._witness_memory.seen(origin_of(root, LogName.CATALOG))
        return seen.size if seen else 0

    # --- what comes from outside -------------------------------------------------------------------------------------

    async def _answer(self, node: str, question: bytes) -> bytes:
        asker = self.membership.site_of(node)
        if self.consorting is None or asker is None:
            return reply_bytes(Unreachable("its node is just starting; ask again"))
        return await self.consorting.questions.answer(asker, question)

    async def _heard(self, node: str, _message: bytes) -> None:
        asker = self.membership.site_of(node)
        if self.consorting is not None and asker is not None:
            self.consorting.follower.wake(asker)

    def _known(self) -> dict[str, list[str]]:
        return {
            node: [self.membership.founders[root].control]
            for root, node in self.membership.nodes.items()
            if root != self.root
        }

    def _notify(self) -> None:
        """Something about a submission changed: wake whoever watches."""
        self.changed.set()
        self.changed = trio.Event()

    # --- writing the catalog -----------------------------------------------------------------------------------------

    async def write(self, body: Body) -> Entry:
        """Append a signed body to this site's catalog; it counts on return and other sites are told that there is news.

        Raises:
            VerificationFailed: not signed by whom it needs, or not the next version of its subject.
        """
        async with self._writing:
            own = self.index.site(self.root)
            entry = read_entry(self.root, own.size, body.kind, body)
            own.authorise(entry)
            await self.catalog.append([(body.kind, encode(body))])
            added = own.add(own.size, body.kind, body)
            if added is None:
                raise ComityError("the entry was written and does not count; restart the node and look at its catalog")
            self.holdings.publish(added)
        await self.network.hint(self.catalog.note.encode())
        return added
