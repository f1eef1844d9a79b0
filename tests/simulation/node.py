"""One run of a site's node: the real core, wired as ``node/site`` wires it, over simulated ports.

A :class:`Node` lives until it is killed; what the next one knows, it knows from the disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from catalog.body import Body, is_visible, read_body, write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.error import ComityError, Denied, NotFound, Unreachable
from catalog.index import Index
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.origin import LogName, log_of
from node.automator.automator import Automator
from node.automator.book import AuditBook, Line
from node.automator.complaining import Complaining
from node.automator.decide import Judge
from node.automator.disclosing import Disclosing
from node.automator.foresee import Foreseeing
from node.automator.hold import Holdings
from node.automator.ledger import Ledger
from node.automator.owners import Owners
from node.automator.recovery import RECEIPTS_PATH
from node.automator.verify import Consortium as Epoch
from node.automator.verify import Verifier
from node.bus.bus import Bus
from node.bus.dispatch import Dispatcher
from node.bus.foresight import Foresight
from node.bus.journal import State
from node.message import (
    AddCheckpoint,
    Cancel,
    Complained,
    Consistency,
    Foresee,
    Heads,
    HeadsAnswer,
    Outcome,
    Place,
    Reporting,
    read_question,
    reply_bytes,
)
from node.quota import Bound, Quota
from node.replicate.catchup import BodiesAnswer
from node.replicate.cosign import Witness
from node.replicate.freshness import Freshness
from node.replicate.indexing import Feeding, at_once, index_log
from node.replicate.quota import BODIES, BODY_BYTES, LEAVES
from node.replicate.reopened import Reopened
from node.replicate.replicator import Means, Replicator
from node.site.recollection import SEEN_PATH, Recollection
from tests.simulation.consortium import Consortium, Site
from tests.simulation.disk import SimulatedOwnLog, SimulatedReplica, SimulatedReplicas
from tests.simulation.network import Network, SimulatedBulk, SimulatedControl, bulk_answer
from tests.simulation.scheduler import Event, Nap, Process, Scheduler, Task, Turn
from tests.simulation.steps import (
    SimulatedClock,
    SimulatedDocuments,
    SimulatedLists,
    SimulatedRandom,
    SimulatedReceiving,
    SimulatedRecords,
    SimulatedSteps,
    SimulatedTurn,
    SimulatedValues,
)
from tests.simulation.vitals import Pace, Vitals, cosign, path_answer, quorum_of
from tests.simulation.watch import Watch
from workflow.account import ApprovalFields, Chain, FetchFields, HaltFields
from workflow.cancellation import Cancellation
from workflow.inquiry import Answer
from workflow.receipt import Receipt
from workflow.submission import Submission

T = TypeVar("T")
ROUND_MILLIS = 15_000
LOOK_MILLIS = 1_000
CANCEL_LOOKS = 20
SMALL = {
    LEAVES: replace(LEAVES, most=300, a_day=60 * 24 * 20),
    BODIES: replace(BODIES, most=300, a_day=60 * 24 * 20),
    BODY_BYTES: replace(BODY_BYTES, most=1 << 20, a_day=1 << 30),
}
"""Of entries and bodies 300 at once, and 20 more each minute."""


class SmallQuota(Quota):
    """What may come from each member, as little as suits a world of minutes."""

    def take(self, whom: str, bound: Bound, count: int = 1) -> None:
        super().take(whom, SMALL[bound], count)


class _UnderWay:
    """An order that is being carried out."""

    def __init__(self, scheduler: Scheduler, message: Place) -> None:
        self.message = message
        self.ended: Event[bool] = Event(scheduler)
        self.refusal: ComityError | None = None
        self.cancelled = False


class Node:
    """A site's node. The class attributes are what a test may replace by a faulty one."""

    automator_class: type[Automator] = Automator
    witness_class: type[Witness] = Witness
    judge_class: type[Judge] = Judge
    bus_class: type[Bus] = Bus
    freshness_class: type[Freshness] = Freshness
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
        pace: Pace,
        mute: bool,
    ) -> None:
        self._pace = pace
        self._mute = mute
        self.site = site
        self.process = Process(site.name)
        self.clock = SimulatedClock(scheduler, site)
        self.random = SimulatedRandom(f"{scheduler.random.random()}/{site.name}/{run}")
        self.index = Index([each.did for each in consortium.sites])
        for each in consortium.sites:
            self.index.site(each.did).govern(each.charter)
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
        self._writing = False
        self._news: dict[str, Event[None]] = {}
        self._woken: Event[None] = Event(scheduler)
        self._looked: Event[None] = Event(scheduler)

        def published(index: int, kind: str, body: bytes) -> None:
            watch.published(site, index, kind, body)
            self.vitals.wake()

        def accounted(index: int, kind: str, body: bytes) -> None:
            watch.accounted(site, index, kind, body)
            self.vitals.wake()

        self._catalog = SimulatedOwnLog(site.disk.catalog, site.node, self.random.token, published)
        self._audit = SimulatedOwnLog(site.disk.audit, site.node, self.random.token, accounted)
        self._replicas = SimulatedReplicas(site.disk.replicas)
        self.steps = SimulatedSteps(site, self.index, self.bulk, scheduler, watch, broken)
        self.documents = SimulatedDocuments()

    # --- coming up ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Come up from the disk, then serve."""
        self._scheduler.spawn(self.process, "start", self._start())

    async def _start(self) -> None:
        own = self.index.site(self.site.did)
        await index_log(self._catalog, own, Feeding(self._watch.readings))
        for entry in [*own.entries("dataset"), *own.entries("block")]:
            self.holdings.publish(entry)
        for did, replica in self._replicas.known.items():
            await index_log(replica, self.index.site(did), Feeding(self._watch.readings))
        self.ledger = await self.rebuild()
        self._wire()
        for position, (_, body) in sorted(self.site.disk.audit.bodies.items()):
            self.book.halts.take(position, read_body(body))
        await self.vitals.load()
        await self.freshness.load()
        await self.witness.load()
        await self.automator.recover()
        beat_millis = None if self._mute else self._pace.beat_millis
        self.vitals.begin(self.index.site(self.site.did), self.witness, self.say, beat_millis)
        self.ready = True
        self._network.attach(self.site.did, self.process, self._serve, self.heard)
        self._scheduler.spawn(self.process, "releases", self._look_after_releases())
        self._scheduler.spawn(self.process, "owners", self._ask_owners())
        for did in self._replicas.known:
            self._scheduler.spawn(self.process, f"follow-{self._consortium.names[did]}", self._follow(did))
        for record in await self.site.disk.journal.records():
            if record.state in (State.RUNNING, State.PAUSED):
                self.carry(record.cid)
            elif record.state is State.CANCELLING:
                self._scheduler.spawn(self.process, "cancel", self.bus.end(record.cid))

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
        epoch = Epoch(self._consortium.cid, 0, site.witness_only)
        verifier = Verifier(site.did, epoch, self.index, self.documents, self.steps)
        consortium, memory = self._consortium, site.disk.memory
        self.freshness = self.freshness_class(
            site.did,
            self.index,
            memory,
            self.clock,
            lambda owner: quorum_of(consortium, owner),
            consortium.names.__getitem__,
            self._pace.bounds,
        )
        judge = self.judge = self.judge_class(self.index.site(site.did), self.index, site.name, "", self.freshness)
        self.vitals = Vitals(
            site,
            consortium,
            self._scheduler,
            self.process,
            self.control,
            (self._catalog, self._audit),
            lambda: self._woken.set(None),
        )
        self.disclosing = Disclosing(
            self.index.site(site.did),
            self.book,
            SimulatedValues(site, self.index, self._watch),
            SimulatedRecords(site),
            at_once,
            SimulatedTurn(self._scheduler),
            self.random,
            lambda: None,
        )
        self.automator = self.automator_class(
            site.did,
            key,
            verifier,
            judge,
            self.book,
            self.steps,
            self.holdings,
            self.vitals,
            memory,
            Owners(
                site.did,
                key,
                self.index,
                self.book,
                self.control,
                self._together,
                memory,
                self.clock,
                self.random,
            ),
            self.disclosing,
            self.clock,
            self.random,
        )
        self.foreseeing = Foreseeing(verifier, judge, self.book, self.clock)
        self.complaining = Complaining(verifier, judge, self.book, self.clock)
        nodes = consortium.nodes
        self.witness = self.witness_class(
            site.did,
            key,
            memory,
            self.index,
            lambda did: frozenset({nodes[did]}),
            self.clock,
            self.vitals.wake,
            Reopened(memory, lambda did: (did,)),
        )
        self._recollection = Recollection(memory, self.witness.reopened, self._replicas, site.disk.journal)
        feeding = Feeding(self._watch.readings)
        means = Means(self.control, self.bulk, self.clock, at_once, self._together)
        self.replicator = self.replicator_class(
            site.did, consortium, means, self.witness, self.freshness, self.index, self._replicas, feeding
        )
        self.replicator._quota = SmallQuota(self.clock.now)
        dispatcher = Dispatcher(
            key, self.index, site.disk.journal, self.control, SimulatedReceiving(), self.book.halts, self.clock
        )
        self.foresight = Foresight(dispatcher, self.control, self.steps, self._together, self.clock)
        self.bus = self.bus_class(
            site.did,
            self.index,
            site.disk.journal,
            dispatcher,
            self.documents,
            self.steps,
            SimulatedLists(),
            self._together,
            at_once,
            self.clock,
        )

    async def _together(self, jobs: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        async def one(job: Callable[[], Awaitable[T]]) -> T:
            return await job()

        tasks = [self._scheduler.spawn(self.process, f"job{number}", one(job)) for number, job in enumerate(jobs)]
        for task in tasks:
            task.watched = True
        results: list[T] = [await self._scheduler.join(task) for task in tasks]
        return results

    # --- doing -------------------------------------------------------------------------------------------------------

    async def submit(self, submission: Submission, workflow: str) -> None:
        """Take a submission and carry it out."""
        await self.site.disk.journal.begin(submission, workflow, self.clock.now())
        self.carry(cid_of(submission))

    def carry(self, submission: Cid) -> Task:
        """Carry a submission to its end in a task of its own."""
        return self._scheduler.spawn(self.process, "carry", self.bus.carry(submission, self._consortium.names))

    async def cancel(self, word: Cancellation) -> None:
        """Take a person's word that a submission shall end, and tell the sites."""
        await self.bus.cancel(word)
        self._scheduler.spawn(self.process, "cancel", self.bus.end(word.submission))

    async def publish(self, kind: str, subject: str, fields: Value, audience: Sequence[str] | None = None) -> None:
        """Write an entry to the catalog, as a steward's request does."""
        own = self.index.site(self.site.did)
        latest = own.latest(kind, subject)
        if latest is not None:
            self.site.subjects[kind, subject] = latest.index
        await self._write(self._consortium.body(self.site, kind, subject, fields, audience=audience))

    async def answer(self, inquiry: Cid, by: PrivateKey, until: int, *, granted: bool = True) -> None:
        """A steward answers what is asked here."""
        now = self.clock.now()
        word = Answer(
            site=self.site.did,
            person=by.did,
            inquiry=inquiry,
            granted=granted,
            reason="" if granted else "too few patients",
            until=until,
            at=now,
            nonce=now.to_bytes(16, "big"),
            sig=UNSIGNED,
        )
        statement = encode(signed(word, by))

        def fields(chain: Chain, _index: int) -> ApprovalFields:
            return ApprovalFields(
                inquiry=inquiry, granted=granted, until=until, person=by.did, statement=statement, chain=chain
            )

        await self.book.write([Line("approval", (), fields, (by.did,))])
        self.automator.answered()
        self._woken.set(None)

    async def resume(self) -> None:
        """A steward has looked at what a restored log lacks, and lets the site go on."""

        def fields(chain: Chain, _index: int) -> HaltFields:
            return HaltFields(project=None, member=None, reason="looked at", statement=None, chain=chain)

        await self.book.write([Line("resume", (), fields, (self.site.did,))])

    async def say(self, kind: str, subject: str, fields: Value) -> None:
        """Write what the node says itself to the catalog."""
        latest = self.index.site(self.site.did).latest(kind, subject)
        previous = latest.index if latest is not None else None
        now, key = self.clock.now(), self.site.node
        await self._write(write_body(kind, fields, site=self.site.did, at=now, by=key, previous=previous))

    async def _write(self, body: Body) -> None:
        own, kind = self.index.site(self.site.did), body.kind
        while self._writing:
            await Nap(1)
        self._writing = True
        index = await self._catalog.append([(kind, encode(body))])
        self._writing = False
        entry = own.add(index, kind, read_body(encode(body)))
        if entry is None:
            raise AssertionError(f"an own entry does not count: {own.faults[index]}")
        self.holdings.publish(entry)
        await self.control.hint(self._catalog.note.encode())

    async def _follow(self, site: str) -> None:
        while True:
            news = self._news[site] = Event(self._scheduler)
            try:
                await self.replicator.round(site)
                self._watch.followed(self.site, site)
            except ComityError as error:
                self._scheduler.trace.add(f"{self.site.name} round: {error}")
            pause = ROUND_MILLIS + self._scheduler.random.randrange(ROUND_MILLIS)
            self._scheduler.after(pause, partial(news.set, None))
            await news

    def heard(self, source: str, message: bytes) -> None:
        """A hint that there is news of a site, which only brings its next round forward: it may be false."""
        self._wake(message.decode(errors="replace").partition("/")[0])

    def _wake(self, site: str) -> None:
        if site in self._news:
            self._news[site].set(None)

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
                beat = self.index.site(self.site.did).latest("beat", "")
                cosigned = await self.vitals.cosigned(beat.index if beat else 0)
                return HeadsAnswer(
                    notes=(self._catalog.note, self._audit.note),
                    known={log.origin: (log.size, log.root) for log in self._replicas.known.values() if log.size},
                    cosigned=cosigned,
                    reopenings=tuple(self.site.disk.reopenings),
                )
            case Consistency() as question:
                return await path_answer(self._log(question.origin), question)
            case AddCheckpoint() as question:
                return await cosign(self.witness, self.replicator, self._replicas, self._wake, asker, question)
            case Place() as place:
                self._watch.placed(self.site, cid_of(place.order), self.index, self.clock.now())
                return await self._place(place, asker)
            case Foresee() as question:
                return await self.foreseeing.answer(question, asker)
            case Complained() as question:
                return self.complaining.answer(question, asker)
            case Reporting() as reporting:
                return await self.automator.report(reporting, asker)
            case Outcome(order=order, seconds=seconds):
                return await self._wait(order, seconds)
            case Cancel() as question:
                return await self._cancel(question, asker)
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
            receipt = await self.automator.carry(place, asker)
            self._woken.set(None)
            return receipt
        cid = cid_of(place.order)
        standing = self.automator.standing(cid)
        if standing is not None and standing.final:
            return standing
        if cid not in self._under_way:
            self._under_way[cid] = _UnderWay(self._scheduler, place)
            self._scheduler.spawn(self.process, "order", self._carry_order(cid, place, asker))
        return await self._wait(cid, place.seconds)

    async def _carry_order(self, cid: Cid, place: Place, asker: str) -> None:
        task = self._under_way[cid]
        try:
            await self.automator.carry(place, asker)
            self._woken.set(None)
            while self.automator.asks(cid) is not None and not task.cancelled:
                await self._looked
                if not task.cancelled and self.automator.goes_on(cid):
                    await self.automator.carry(place, asker)
                    self._woken.set(None)
            if not task.cancelled:
                await self.vitals.reach(self.automator.waits_for(cid))
            while self.automator.waits_for(cid) and not task.cancelled:
                await self._looked
        except ComityError as error:
            task.refusal = error
        task.ended.set(True)
        del self._under_way[cid]

    async def _cancel(self, question: Cancel, asker: str) -> Receipt:
        """As ``Orders.cancel``; what runs, for which nobody waits here, ends by itself first."""
        order, task = question.order, self._under_way.get(question.order)
        self.automator.check_cancel(question, asker, task.message if task is not None else None)
        if task is not None:
            task.cancelled = True
            self._woken.set(None)
            if self.automator.asks(order) is not None or not self.automator.waits_for(order):
                await task.ended
        await self.automator.cancel(order)
        self._woken.set(None)
        for _ in range(CANCEL_LOOKS):
            if not self.automator.waits_for(order):
                break
            await Nap(LOOK_MILLIS)
        standing = self.automator.standing(order)
        if standing is None:
            raise Denied("it was cancelled before it began")
        return standing

    async def _look_after_releases(self) -> None:
        """As ``Orders.watch``; only as long as one waits, for a world has many seconds."""
        self._woken.set(None)
        while True:
            await self._woken
            self._woken = Event(self._scheduler)
            self._watch.looking(self.site, self.index, self.clock.now())
            await self.automator.look()
            looked, self._looked = self._looked, Event(self._scheduler)
            looked.set(None)
            if self.site.disk.memory.releases or any(self.automator.asks(each) is not None for each in self._under_way):
                self._scheduler.after(LOOK_MILLIS, partial(self._woken.set, None))

    async def _ask_owners(self) -> None:
        """As ``Orders.ask_owners``; only as long as something is asked."""
        while True:
            await self._looked
            if self.site.disk.memory.asked:
                await self.automator.ask_owners()
                self._woken.set(None)

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
        if path == SEEN_PATH:
            return encode(await self._recollection.seen(asker))
        if path.startswith(f"{RECEIPTS_PATH}/"):
            return encode(await self._recollection.receipts(asker, int(parts[1])))
        if parts[0] != "log":
            return await self._blob(Cid.parse(parts[1]), asker)
        log = self._catalog if parts[1] == self.site.did else self._replicas.known[parts[1]]
        match parts[3:]:
            case ["checkpoint"]:
                return log.note.encode()
            case ["bodies", start, stop]:
                return await bodies_answer(log, int(start), int(stop), asker)
        tile = await log.tile("/".join(parts[3:]))
        if tile is None:
            raise NotFound("no such tile")
        return tile

    async def _blob(self, root: Cid, asker: str) -> bytes:
        halts = self.book.halts
        if halts.closed_to(asker):
            raise NotFound("nothing is handed out")
        held = self.holdings.for_site(root, asker, halts.projects())
        if not any(self.judge.fetch(root, asker, each.owners, each.project).allowed for each in held):
            raise NotFound("not by this site's policy")

        def fields(chain: Chain, _index: int) -> FetchFields:
            return FetchFields(root=root, site=asker, person=None, chain=chain)

        await self.book.write([Line("fetch", self.holdings.accounted(root), fields)])
        await Turn("blobs.node")
        if root not in self.site.disk.blobs:
            raise NotFound("not stored here")
        return self.site.disk.blobs[root]


async def bodies_answer(log: SimulatedOwnLog | SimulatedReplica, start: int, stop: int, asker: str) -> bytes:
    """A batch of bodies, as ``node/site/catalogshelf.py`` gives it."""
    stop = min(stop, log.size)
    if start >= stop:
        raise NotFound("no such bodies")
    stored = enumerate(await log.read(start, stop), start)
    rows = [(index, salt, body) for index, (_, each) in stored if each is not None for salt, body in (each,)]
    seen = [row for row in rows if is_visible(row[2], asker)]
    return encode(
        BodiesAnswer(
            stop=stop,
            leaves=tuple(index for index, _, _ in seen),
            salts=tuple(salt for _, salt, _ in seen),
            bodies=tuple(body for _, _, body in seen),
        )
    )
