"""One whole run: a consortium, its troubles, its submissions, and then peace, in which everything must come right."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of
from catalog.error import ComityError, Unreachable
from catalog.key import UNSIGNED, signed
from catalog.member import KeyFields, Role
from catalog.policy import PolicyFields
from catalog.project import ProjectFields
from catalog.revoke import RevokeFields
from node.bus.journal import State
from tests.simulation.consortium import (
    DAY,
    EPOCH_BEGAN,
    LATER,
    PRICE,
    Consortium,
    Site,
    dataset_fields,
    removal,
    workflow_text,
)
from tests.simulation.disk import POINTS
from tests.simulation.ending import Ending, check_submission
from tests.simulation.liar import Habit, Liar
from tests.simulation.network import Network, SimulatedBulk, Weather
from tests.simulation.node import Node
from tests.simulation.restoring import Backup, Restoring
from tests.simulation.scheduler import Nap, Process, Scheduler
from tests.simulation.steps import SimulatedClock, SimulatedRandom
from tests.simulation.troubles import MINUTE, Troubles
from tests.simulation.verified import verified_once
from tests.simulation.vitals import TIGHT, USUAL
from tests.simulation.watch import Violation, Watch
from workflow.argument import Data, Many
from workflow.cancellation import Cancellation
from workflow.order import Instance
from workflow.receipt import Status
from workflow.submission import Submission

DELIVERED = (Status.DONE, Status.HELD)
PATIENCE = 6 * MINUTE
CALM_LOOKS = 22
LOOK_MILLIS = 47_000
"""No divisor of what happens every minute: else each look might come right after a beat."""


class World:
    """A run of ``seed``. ``node`` is the class of the nodes, which a test may replace by a faulty one."""

    def __init__(self, seed: int, troubles: Troubles | None = None, node: type[Node] = Node) -> None:
        self.troubles = troubles or Troubles.of(seed)
        self.scheduler = Scheduler(f"{seed}/scheduler")
        self.consortium = Consortium(
            str(seed),
            self.troubles.hospitals,
            liar=self.troubles.liar,
            wholesome=self.troubles.wholesome,
            skew=self.troubles.skew,
            trust=self.troubles.trust,
            strays=self.troubles.strays,
            not_after=EPOCH_BEGAN + self.troubles.expiry if self.troubles.expiry else LATER,
        )
        bounds = (TIGHT if self.troubles.tight else USUAL).bounds
        self.watch = Watch(self.consortium, bounds, lambda: EPOCH_BEGAN + self.scheduler.now)
        weather = Weather(self.troubles.lost, self.troubles.doubled, self.troubles.delay)
        self.network = Network(self.scheduler, weather, self._sniff)
        self.nodes: dict[str, Node] = {}
        self._node = node
        self._chaos = Process("chaos")
        self._random = random.Random(f"{seed}/chaos")
        self._moments = random.Random(f"{seed}/cancels")
        self._crashes = {crash: crash.visit for crash in self.troubles.crashes(random.Random(f"{seed}/crashes"))}
        self._runs = 0
        self._steady = False
        self._expected = self.troubles.submissions
        self._submitted: list[Cid] = []
        self._stewards_left = 0
        self._restoring: set[str] = set()
        self._ending = Ending(self.consortium, self.watch, self.nodes)
        self.scheduler.at_turn = self._maybe_kill

    def run(self) -> str:
        """Run to the end and check everything; the hash of the trace.

        Raises:
            Violation: an invariant does not hold.
        """
        try:
            with verified_once():
                self._run()
        finally:
            self.scheduler.close()
        return self.scheduler.trace.digest

    def _run(self) -> None:
        self._begin()
        limit = self.troubles.deadline + 40 * MINUTE
        ended = self.scheduler.run(self._all_ended, limit)
        self._calm_down()
        if not ended:
            self.scheduler.run(self._all_ended, limit + 30 * MINUTE)
        for cid in self._submitted:
            record = self.consortium.institute.disk.journal.kept[cid]
            check_submission(self.consortium, self.watch, record)
        self._converge()
        self._ending.check()

    def _sniff(self, channel: str, source: str, target: str, data: bytes) -> None:
        names = self.consortium.names
        self.scheduler.trace.add(
            f"{self.scheduler.now} {names[source]} → {names[target]} {channel} {Cid.of(data).digest[:6].hex()}"
        )
        self.watch.sniff(channel, source, target, data)

    # --- troubles ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        for site in self.consortium.honest:
            self._start(site)
        if self.consortium.liar is not None:
            habits = self.troubles.habits
            Liar(self.consortium, self.consortium.liar, self.scheduler, self.network, self.watch, habits)
        self.scheduler.spawn(self._chaos, "submit", self._submit())
        for number in range(self.troubles.stewards):
            self._stewards_left += 1
            self.scheduler.spawn(self._chaos, f"steward{number}", self._steward(number))
        for number in range(self.troubles.cuts):
            self.scheduler.spawn(self._chaos, f"cut{number}", self._cut())
        for number in range(self.troubles.halves):
            self.scheduler.spawn(self._chaos, f"halve{number}", self._halve())
        for number in range(self.troubles.jumps):
            self.scheduler.spawn(self._chaos, f"jump{number}", self._jump())
        for number in range(self.troubles.restores):
            self._stewards_left += 1
            self.scheduler.spawn(self._chaos, f"restore{number}", self._restore())
        for number in range(self.troubles.cancels if self.troubles.once else 0):
            self._stewards_left += 1
            self.scheduler.spawn(self._chaos, f"cancel{number}", self._cancel(self._moments))
        for event in self.troubles.events:
            self._stewards_left += 1
            self.scheduler.spawn(self._chaos, event, self._take_back(event))

    def _start(self, site: Site) -> None:
        if site.did in self._restoring or (site.did in self.nodes and self.nodes[site.did].process.alive):
            return
        self._runs += 1
        node = self._node(
            site,
            self.consortium,
            self.scheduler,
            self.network,
            self.watch,
            run=self._runs,
            broken=self.troubles.broken,
            once=self.troubles.once,
            pace=TIGHT if self.troubles.tight else USUAL,
            mute=self.troubles.mute and site is self.consortium.institute,
        )
        self.nodes[site.did] = node
        node.start()

    def _maybe_kill(self, process: Process, point: str) -> None:
        """Kill a node where it stands, if the time of one of this run's power cuts has come."""
        if not self._crashes or self._steady or process is self._chaos:
            return
        liar = self.consortium.liar
        if liar is not None and process.name == liar.name:
            return
        now = self.scheduler.now
        for crash in [each for each in self._crashes if each.point in ("", point) and each.after <= now]:
            self._crashes[crash] -= 1
            if self._crashes[crash] == 0 and process.alive:
                self._kill(process, point)
        self._crashes = {crash: left for crash, left in self._crashes.items() if left > 0}

    def _kill(self, process: Process, point: str) -> None:
        site = next(each for each in self.consortium.sites if each.name == process.name)
        self.watch.seen["killed"] += 1
        self.watch.seen[f"killed {point}" if point in POINTS else "killed elsewhere"] += 1
        self.scheduler.kill(process)
        self.scheduler.after(self._random.choice([100, 5_000, 60_000, 4 * MINUTE]), lambda: self._start(site))

    async def _cut(self) -> None:
        """Cut two sites off from each other for a while."""
        await Nap(self._random.randrange(2 * MINUTE))
        pair = frozenset(site.did for site in self._random.sample(self.consortium.sites, 2))
        await self._part({pair}, self._random.randrange(3 * MINUTE))

    async def _halve(self) -> None:
        """Cut one half of the members off from the other, sometimes for longer than any may be relied on unheard."""
        await Nap(self._random.randrange(4 * MINUTE))
        sites = [site.did for site in self.consortium.sites]
        half = set(self._random.sample(sites, self._random.randint(1, len(sites) - 1)))
        pairs = {frozenset((one, other)) for one in half for other in sites if other not in half}
        await self._part(pairs, self._random.choice([MINUTE, 4 * MINUTE, 12 * MINUTE]))

    async def _part(self, pairs: set[frozenset[str]], millis: int) -> None:
        if self._steady:
            return
        self.watch.seen["parted"] += 1
        self.network.weather.cut |= pairs
        await Nap(millis)
        self.network.weather.cut -= pairs

    async def _jump(self) -> None:
        """Set a clock to another time, and later back, or only an hour or so away from it."""
        await Nap(self._random.randrange(4 * MINUTE))
        site = self._random.choice(self.consortium.honest)
        by = self._random.choice([-3 * DAY, -DAY, -15 * MINUTE, 15 * MINUTE, DAY])
        self._set_clock(site, by)
        await Nap(self._random.randrange(5 * MINUTE))
        self._set_clock(site, -self._random.choice([by, by, by + 20 * MINUTE]))

    async def _cancel(self, draw: random.Random) -> None:
        """End a submission at any time of its life, and say so again until it stands."""
        while not self._submitted:
            await Nap(1_000)
        await Nap(draw.choice([0, draw.randrange(1_000), draw.randrange(MINUTE)]))
        cid, journal = draw.choice(self._submitted), self.consortium.institute.disk.journal
        said = Cancellation(person=self.consortium.researcher.did, submission=cid, at=EPOCH_BEGAN, sig=UNSIGNED)
        word = signed(said, self.consortium.researcher)
        while journal.kept[cid].state is State.RUNNING:
            node = self.nodes[self.consortium.institute.did]
            if node.ready and node.process.alive:
                self.scheduler.spawn(node.process, "cancelling", node.cancel(word)).watched = True
            await Nap(2_000)
        self._stewards_left -= 1

    async def _restore(self) -> None:
        """Lose a hospital's disk, bring it back from an older copy, and ask it again for all that it was asked for."""
        await Nap(self._random.randrange(4 * MINUTE))
        hospitals = self._random.sample(self.consortium.hospitals, len(self.consortium.hospitals))
        backups = {site.did: Backup.of(site) for site in hospitals}
        latest, losing = self.scheduler.now + 8 * MINUTE, self._random.choice([0, 1, 1, 2])
        while not (site := self._has_worked(hospitals, backups, losing)) and self.scheduler.now < latest:
            await Nap(2_000)
        site = site or hospitals[0]
        backup = backups[site.did]
        await Nap(self._random.randrange(30_000))
        self._restoring.add(site.did)
        self.scheduler.kill(self.nodes[site.did].process)
        await Nap(MINUTE)  # what was on its way has arrived
        old, size = site.disk.audit, len(backup.audit.leaves)
        backup.put_back(site)
        held = self._held(site)
        told = await self._bring_back(site)
        self.watch.restored(site, old, size, held, told)
        self._restoring.discard(site.did)
        self._start(site)
        await self._resume(site)
        self.scheduler.spawn(self._chaos, "again", self._ask_again(site))
        self._stewards_left -= 1

    def _has_worked(self, sites: Sequence[Site], backups: Mapping[str, Backup], results: int) -> Site | None:
        """The first site that has ended as many steps as ``results`` since its backup."""
        for site in sites:
            new = sorted(site.disk.audit.bodies.items())[len(backups[site.did].audit.leaves) :]
            if sum(b"fresult" in body for _, (_, body) in new) >= results:
                return site
        return None

    def _held(self, site: Site) -> set[Instance]:
        """What the institute holds a receipt of, that says that it was delivered."""
        return {
            order.instance
            for record in self.consortium.institute.disk.journal.kept.values()
            for order in record.orders
            for receipt in record.receipts
            if (receipt.order, receipt.site) == (cid_of(order), site.did) and receipt.status in DELIVERED
        }

    async def _bring_back(self, site: Site) -> set[Instance]:
        """Run the restore, again and again until the institute has said what it holds; what was written down of it."""
        told: set[Instance] = set()
        while True:
            restoring = Restoring(
                site,
                self.consortium,
                SimulatedBulk(self.network, site.did),
                SimulatedClock(self.scheduler, site),
                SimulatedRandom(f"{self._random.random()}"),
                partial(self.watch.accounted, site),
            )
            process = Process(site.name)
            task = self.scheduler.spawn(process, "restore", restoring.run())
            task.watched = True
            while not task.ended:
                await Nap(1_000)
            if task.error is not None and not isinstance(task.error, Unreachable):
                raise task.error
            told.update(restoring.told)
            done = process.alive and task.error is None
            if done and self.consortium.institute.did not in restoring.away:
                return told
            await Nap(20_000)

    async def _resume(self, site: Site) -> None:
        while True:
            await Nap(20_000)
            node = self.nodes[site.did]
            if node.ready and node.process.alive:
                if not node.book.halts.standing:
                    return
                self.scheduler.spawn(node.process, "resume", node.resume())

    async def _ask_again(self, site: Site) -> None:
        for (source, target, _), message in list(self.watch.places.items()):
            if target == site.did:
                with suppress(ComityError):
                    await self.network.ask("control", source, target, message, 30.0)

    def _set_clock(self, site: Site, by: int) -> None:
        site.skew += by
        self.watch.clock_set(site)

    # --- work --------------------------------------------------------------------------------------------------------

    async def _submit(self) -> None:
        for _ in range(self._expected):
            await Nap(self._random.randrange(5_000, MINUTE))
            institute = self.consortium.institute.did
            latest = self.scheduler.now + PATIENCE
            while not self.nodes[institute].ready or not self._knows_all(self.nodes[institute]):
                await Nap(1_000)
                if self.scheduler.now > latest and self.nodes[institute].ready:
                    break
            if self._desk_refuses(self.nodes[institute]):
                self._expected -= 1
                continue
            submission, text = self._submission(self.nodes[institute])
            cid = cid_of(submission)
            journal = self.consortium.institute.disk.journal
            while cid not in journal.kept:
                node = self.nodes[institute]
                if node.ready and node.process.alive:
                    self.scheduler.spawn(node.process, "submit", node.submit(submission, text))
                await Nap(2_000)
            self._submitted.append(cid)

    def _desk_refuses(self, node: Node) -> bool:
        """Whether the researcher's own node takes no submission: the key is removed there, or the project has ended."""
        own = node.index.site(node.site.did)
        project = own.typed(ProjectFields, "project", self.consortium.project.name)
        return own.key(self.consortium.researcher.did) is None or project is None or project.ended

    def _knows_all(self, node: Node) -> bool:
        """Whether the catalogs are as full as a researcher would wait for; an impatient one does not ask the others."""
        institute = self.consortium.institute.did
        hospitals = self.consortium.hospitals
        others = [self.nodes[site.did].index.site(institute) for site in hospitals] if self.troubles.patient else []
        pairs = [(one, other) for site in hospitals for one, other in ((site.did, institute), (institute, site.did))]
        if not all(self._hears(self.nodes[one], other) for one, other in pairs):
            return False
        return all(next(node.index.site(site.did).entries("dataset"), None) for site in hospitals) and all(
            next(index.entries("project"), None) for index in others
        )

    def _hears(self, node: Node, site: str) -> bool:
        """Whether a node has heard of a site at all: nothing can be done with it before."""
        return node.ready and "yet" not in node.freshness.refusal("see", {site})

    def _submission(self, node: Node) -> tuple[Submission, str]:
        consortium = self.consortium
        data = self._data(node)
        now = EPOCH_BEGAN + self.scheduler.now
        copies = self.troubles.copies
        text = workflow_text(copies)
        submission = Submission(
            consortium=consortium.cid,
            epoch=0,
            person=consortium.researcher.did,
            site=consortium.institute.did,
            project=consortium.project,
            workflow=Cid.of(text.encode()),
            inputs={"data": Many(items=tuple(data))},
            grants=tuple(consortium.grants),
            destinations=(consortium.institute.did,),
            deadline=now + self.troubles.deadline,
            budget=PRICE * 64,
            min_sites=self._random.choice([1, 1, (len(data) + 1) // 2, len(data)]),
            not_before=max(0, now - 20 * MINUTE),
            not_after=now + self.troubles.deadline,
            buses=(consortium.institute.node.did,),
            nonce=self._random.randbytes(16),
            sig=UNSIGNED,
        )
        return signed(submission, consortium.researcher), text

    def _data(self, node: Node) -> list[Data]:
        """What the researcher asks for: all; a patient one, what stands in the catalog and its owner would compute."""
        everything = [
            Data(site=site.did, cid=cid, name=name)
            for site in self.consortium.hospitals
            for cid, name in list(site.datasets.items())[:2]
        ]
        offered = [
            item
            for item in everything
            if (own := node.index.site(item.site)).latest("dataset", str(item.cid)) and own.latest("offer", "")
        ]
        return offered if offered and self.troubles.patient else everything

    async def _steward(self, number: int) -> None:
        """A steward publishes something while everything else goes on; seldom a policy that closes the hospital."""
        await Nap(self._random.randrange(4 * MINUTE))
        site = self._random.choice(self.consortium.hospitals)
        node = self.nodes[site.did]
        draw = self._random.random()
        if node.ready and node.process.alive:
            if draw < 0.3:
                work = node.publish("policy", "", PolicyFields(text="" if draw < 0.15 else site.policy + "\n"))
            else:
                cid = Cid.of(f"more {number} {draw}".encode()).keyed(bytes(32))
                audience = None if draw < 0.7 else [self.consortium.institute.did]
                work = node.publish("dataset", str(cid), dataset_fields(site, cid), audience)
            self.scheduler.spawn(node.process, "steward", work)
        self._stewards_left -= 1

    async def _take_back(self, event: str) -> None:
        """A steward takes something back, however long it takes until the node is there to write it."""
        latest = self.scheduler.now + 8 * MINUTE
        while not self._submitted and self.scheduler.now < latest:
            await Nap(2_000)
        await Nap(self._random.randrange(3 * MINUTE))
        granting = [site for site in self.consortium.hospitals if site.grant is not None]
        site = self._random.choice(granting) if event == "revoke" and granting else self.consortium.institute
        kind, subject, fields = self._withdrawal(event, site)
        while fields is not None and not self._stands(self.nodes[site.did], kind, subject):
            node = self.nodes[site.did]
            if node.ready and node.process.alive:
                self.scheduler.spawn(node.process, event, node.publish(kind, subject, fields))
            await Nap(5_000)
        self.watch.seen[f"event {event}"] += 1
        self._stewards_left -= 1

    def _withdrawal(self, event: str, site: Site) -> tuple[str, str, Value | None]:
        """Kind, subject and fields of what takes it back; no fields if there is nothing to take back."""
        consortium, grant = self.consortium, site.grant
        match event:
            case "end":
                return "project", "trial", structs.replace(consortium.terms, ended=True)
            case "unkey":
                return "key", consortium.researcher.did, removal(consortium.researcher, Role.RESEARCHER, "Mara")
        if grant is None:
            return "revoke", "", None
        return "revoke", str(cid_of(grant)), RevokeFields(grant=cid_of(grant), reason="taken back")

    def _stands(self, node: Node, kind: str, subject: str) -> bool:
        entry = node.index.site(node.site.did).latest(kind, subject)
        match entry.fields if entry is not None else None:
            case RevokeFields():
                return True
            case ProjectFields(ended=ended):
                return ended
            case KeyFields(removed=removed):
                return removed
        return False

    def _all_ended(self) -> bool:
        kept = self.consortium.institute.disk.journal.kept
        return (
            len(self._submitted) == self._expected
            and all(kept[cid].state.ended for cid in self._submitted)
            and self._stewards_left == 0
        )

    # --- peace -------------------------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        self._steady = True
        self.network.weather = Weather()

    def _converge(self) -> None:
        """With messages flowing again, every honest site comes to hold and count the same."""
        agreed = 0
        for _ in range(CALM_LOOKS):
            self._pass(LOOK_MILLIS)
            found = self._ending.found()
            agreed += not found
            # Who floods has time to slow others down before it is looked again.
            if agreed == (6 if Habit.FLOODS in self.troubles.habits else 1):
                return
        if found:
            raise Violation(found[0][0], "; ".join(line for _, line in found))

    def _pass(self, millis: int) -> None:
        until = self.scheduler.now + millis
        self.scheduler.run(lambda: self.scheduler.now >= until, until + MINUTE)
