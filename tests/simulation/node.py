"""One run of a site's node: the real core, wired as ``node/site`` wires it, over simulated ports.

A :class:`Node` lives until it is killed; what the next one knows, it knows from the disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from catalog.body import read_body
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.error import ComityError, NotFound, Unreachable
from catalog.index import Index
from catalog.origin import LogName, log_of
from node.automator.automator import Automator
from node.automator.book import AuditBook, Line
from node.automator.decide import Judge
from node.automator.hold import Holdings
from node.automator.ledger import Ledger
from node.automator.verify import Consortium as Epoch
from node.automator.verify import Verifier
from node.bus.bus import Bus
from node.bus.dispatch import Dispatcher, Reached
from node.bus.journal import State
from node.message import (
    Consistency,
    Cosigned,
    Done,
    Heads,
    HeadsAnswer,
    Outcome,
    Place,
    ProofAnswer,
    read_question,
    reply_bytes,
)
from node.replicate.catchup import BodyAnswer, index_log
from node.replicate.cosign import Witness
from node.replicate.replicator import Replicator
from tests.simulation.consortium import Consortium, Site
from tests.simulation.disk import SimulatedOwnLog, SimulatedReplica
from tests.simulation.network import Network, SimulatedBulk, SimulatedControl, bulk_answer
from tests.simulation.scheduler import Event, Nap, Process, Scheduler, Task, Turn
from tests.simulation.steps import SimulatedClock, SimulatedDocuments, SimulatedRandom, SimulatedSteps
from tests.simulation.watch import Watch
from workflow.account import Chain, FetchFields
from workflow.receipt import Receipt
from workflow.submission import Submission

ROUND_MILLIS = 8_000


class _UnderWay:
    """An order that is being carried out."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.ended: Event[bool] = Event(scheduler)
        self.refusal: ComityError | None = None


class Node:
    """A site's node. The class attributes are what a test may replace by a faulty one."""

    automator_class: type[Automator] = Automator
    witness_class: type[Witness] = Witness
    judge_class: type[Judge] = Judge
    bus_class: type[Bus] = Bus
    replicator_class: type[Replicator] = Replicator

    def __init__(
        self,
        site: Site,
        consortium: Consortium,
        scheduler: Scheduler,
        network: Network,
        watch: Watch,
        *,
        run: int,
        broken: float,
        once: bool,
    ) -> None:
        self.site = site
        self.process = Process(site.name)
        self.clock = SimulatedClock(scheduler, site.skew)
        self.random = SimulatedRandom(f"{scheduler.random.random()}/{site.name}/{run}")
        self.index = Index([each.did for each in consortium.sites])
        self.holdings = Holdings()
        self.control = SimulatedControl(network, site.did)
        self.bulk = SimulatedBulk(network, site.did)
        self.ready = False
        self._consortium = consortium
        self._scheduler = scheduler
        self._network = network
        self._watch = watch
        self._once = once
        self._under_way: dict[Cid, _UnderWay] = {}
        self._catalog = SimulatedOwnLog(
            site.disk.catalog, site.node, self.random.token, lambda *entry: watch.published(site, *entry)
        )
        self._audit = SimulatedOwnLog(
            site.disk.audit, site.node, self.random.token, lambda *entry: watch.accounted(site, *entry)
        )
        self._replicas = {did: SimulatedReplica(stored) for did, stored in site.disk.replicas.items()}
        self.steps = SimulatedSteps(site, self.index, self.bulk, scheduler, watch, broken)
        self.documents = SimulatedDocuments()

    # --- coming up ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Come up from the disk, then serve."""
        self._scheduler.spawn(self.process, "start", self._start())

    async def _start(self) -> None:
        own = self.index.site(self.site.did)
        await index_log(self._catalog, own)
        for entry in [*own.entries("dataset"), *own.entries("block")]:
            self.holdings.publish(entry)
        for did, replica in self._replicas.items():
            await index_log(replica, self.index.site(did))
        self.ledger = await self.rebuild()
        self._wire()
        await self.automator.recover()
        self.ready = True
        self._network.attach(self.site.did, self.process, self._serve)
        for did in self._replicas:
            self._scheduler.spawn(self.process, f"follow-{self._consortium.names[did]}", self._follow(did))
        for record in await self.site.disk.journal.records():
            if record.state is State.RUNNING:
                self.carry(record.cid)

    async def rebuild(self) -> Ledger:
        """The ledger, from the audit log alone."""
        ledger = Ledger()
        for position in range(self._audit.size):
            stored = await self._audit.body(position)
            if stored is not None:
                ledger.take(position, read_body(stored[1]))
        return ledger

    def _wire(self) -> None:
        site, key = self.site, self.site.node
        self.book = AuditBook(site.did, key, self._audit, self.ledger, self.clock)
        epoch = Epoch(self._consortium.cid, 0)
        verifier = Verifier(site.did, epoch, self.index, self.documents, self.steps)
        judge = self.judge_class(self.index.site(site.did), self.index, site.name, "")
        self.automator = self.automator_class(
            site.did, key, verifier, judge, self.book, self.steps, self.holdings, self.clock, self.random
        )
        witness = self.witness_class(site.did, key, site.disk.memory, self.control, self.clock)
        nodes = {each.did: each.node.did for each in self._consortium.sites}
        self.replicator = self.replicator_class(self.control, self.bulk, witness, self.index, self._replicas, nodes)
        dispatcher = Dispatcher(key, self.index, site.disk.journal, self.control, self.clock)
        self.bus = self.bus_class(
            site.did,
            self.index,
            site.disk.journal,
            dispatcher,
            self.documents,
            self.steps,
            self._together,
            self.clock,
        )

    async def _together(self, jobs: Sequence[Callable[[], Awaitable[Reached]]]) -> list[Reached]:
        async def one(job: Callable[[], Awaitable[Reached]]) -> Reached:
            return await job()

        tasks = [self._scheduler.spawn(self.process, f"job{number}", one(job)) for number, job in enumerate(jobs)]
        for task in tasks:
            task.watched = True
        results: list[Reached] = [await self._scheduler.join(task) for task in tasks]
        return results

    # --- doing -------------------------------------------------------------------------------------------------------

    async def submit(self, submission: Submission, workflow: str) -> None:
        """Take a submission and carry it out."""
        await self.site.disk.journal.begin(submission, workflow, self.clock.now())
        self.carry(cid_of(submission))

    def carry(self, submission: Cid) -> Task:
        """Carry a submission to its end in a task of its own."""
        return self._scheduler.spawn(self.process, "carry", self.bus.carry(submission, self._consortium.names))

    async def publish(self, kind: str, subject: str, fields: Value, audience: Sequence[str] | None = None) -> None:
        """Write an entry to the catalog, as a steward's request does."""
        own = self.index.site(self.site.did)
        latest = own.latest(kind, subject)
        if latest is not None:
            self.site.subjects[kind, subject] = latest.index
        body = self._consortium.body(self.site, kind, subject, fields, audience=audience)
        index = await self._catalog.append([(kind, encode(body))])
        entry = own.add(index, kind, read_body(encode(body)))
        if entry is None:
            raise AssertionError(f"a steward's entry does not count: {own.faults[index]}")
        self.holdings.publish(entry)
        self._watch.indexed(self.site, entry)

    async def _follow(self, site: str) -> None:
        while True:
            try:
                await self.replicator.round(site)
            except ComityError as error:
                self._scheduler.trace.add(f"{self.site.name} round: {error}")
            await Nap(ROUND_MILLIS + self._scheduler.random.randrange(ROUND_MILLIS))

    # --- answering ---------------------------------------------------------------------------------------------------

    async def _serve(self, channel: str, asker: str, data: bytes) -> bytes:
        if channel == "bulk":
            return await bulk_answer(self._shelf(asker, data.decode()))
        try:
            return reply_bytes(await self._answer(asker, data))
        except ComityError as error:
            return reply_bytes(error)

    async def _answer(self, asker: str, data: bytes) -> Value:
        match read_question(data):
            case Heads():
                return HeadsAnswer(notes=(self._catalog.note, self._audit.note))
            case Consistency() as question:
                hashes = await self._log(question.origin).consistency(question.old, question.new)
                return ProofAnswer(hashes=tuple(hashes))
            case Cosigned(note=note):
                nodes = {each.did: each.node.did for each in self._consortium.sites}
                await self._log(note.partition("\n")[0]).add_cosignatures(note, {asker: nodes[asker]})
                return Done()
            case Place() as place:
                self._watch.placed(self.site, cid_of(place.order), self.index.site(self.site.did))
                return await self._place(place, asker)
            case Outcome(order=order, seconds=seconds):
                return await self._wait(order, seconds)
            case question:
                raise NotFound(f"{type(question).__name__} is not simulated")

    def _log(self, origin: str) -> SimulatedOwnLog:
        match log_of(origin, self.site.did):
            case LogName.CATALOG:
                return self._catalog
            case LogName.AUDIT:
                return self._audit
        raise NotFound("this site has no log of that name")

    async def _place(self, place: Place, asker: str) -> Receipt:
        """As ``node/site/orders.py``; in some worlds each copy of an order goes to the automator by itself."""
        if not self._once:
            return await self.automator.carry(place, asker)
        cid = cid_of(place.order)
        standing = self.automator.standing(cid)
        if standing is not None and standing.final:
            return standing
        if cid not in self._under_way:
            self._under_way[cid] = _UnderWay(self._scheduler)
            self._scheduler.spawn(self.process, "order", self._carry_order(cid, place, asker))
        return await self._wait(cid, place.seconds)

    async def _carry_order(self, cid: Cid, place: Place, asker: str) -> None:
        task = self._under_way[cid]
        try:
            await self.automator.carry(place, asker)
        except ComityError as error:
            task.refusal = error
        task.ended.set(True)
        del self._under_way[cid]

    async def _wait(self, order: Cid, seconds: float) -> Receipt:
        task = self._under_way.get(order)
        if task is not None:
            over: Event[bool] = Event(self._scheduler)
            self._scheduler.after(int(seconds * 1000), lambda: over.set(True))
            self._scheduler.spawn(self.process, "waiter", self._pass_on(task.ended, over))
            await over
            if task.refusal is not None:
                raise task.refusal
        await Turn("orders.wait")
        standing = self.automator.standing(order)
        if standing is not None:
            return standing
        if task is not None:
            raise Unreachable("the order is still being verified")
        raise NotFound("no such order came to this site")

    async def _pass_on(self, ended: Event[bool], over: Event[bool]) -> None:
        over.set(await ended)

    async def _shelf(self, asker: str, path: str) -> bytes:
        parts = path.removeprefix("/").split("/")
        if parts[:3] == ["log", self.site.did, str(LogName.CATALOG)]:
            rest = "/".join(parts[3:])
            if rest.startswith("body/"):
                return await self._body(int(rest.removeprefix("body/")), asker)
            tile = await self._catalog.tile(rest)
            if tile is None:
                raise NotFound("no such tile")
            return tile
        return await self._blob(Cid.parse(parts[1]), asker)

    async def _body(self, index: int, asker: str) -> bytes:
        stored = await self._catalog.body(index)
        if stored is None or not read_body(stored[1]).visible_to(asker):
            raise NotFound("no such body")
        return encode(BodyAnswer(salt=stored[0], body=stored[1]))

    async def _blob(self, root: Cid, asker: str) -> bytes:
        self.holdings.for_site(root, asker)

        def fields(chain: Chain, _index: int) -> FetchFields:
            return FetchFields(root=root, site=asker, person=None, chain=chain)

        await self.book.write([Line("fetch", self.holdings.accounted(root), fields)])
        await Turn("blobs.node")
        if root not in self.site.disk.blobs:
            raise NotFound("not stored here")
        return self.site.disk.blobs[root]
