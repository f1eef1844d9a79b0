"""One whole run: a consortium, its troubles, its submissions, and then peace, in which everything must come right."""

from __future__ import annotations

import random
from dataclasses import dataclass

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.key import UNSIGNED, signed
from catalog.policy import PolicyFields
from node.bus.journal import State
from tests.simulation.consortium import EPOCH_BEGAN, PRICE, Consortium, Site, dataset_fields, workflow_text
from tests.simulation.ending import check_submission, differences
from tests.simulation.liar import Liar
from tests.simulation.network import Network, Weather
from tests.simulation.node import Node
from tests.simulation.scheduler import Nap, Process, Scheduler
from tests.simulation.watch import Invariant, Violation, Watch
from workflow.argument import Data, Many
from workflow.submission import Submission

MINUTE = 60_000
CALM_MINUTES = 12


@dataclass(frozen=True, slots=True)
class Troubles:
    """What goes wrong in a run. Chances are from 0 to 1, times in milliseconds."""

    hospitals: int = 2
    liar: bool = False
    wholesome: bool = False
    lost: float = 0.0
    doubled: float = 0.0
    delay: int = 50
    skew: int = 0
    broken: float = 0.0
    kills: int = 0
    danger: str = "log.append"
    cuts: int = 0
    once: bool = True
    patient: bool = True
    copies: int = 0
    submissions: int = 1
    deadline: int = 60 * MINUTE
    stewards: int = 2

    @classmethod
    def of(cls, seed: int) -> Troubles:
        """The troubles of a seed: each kind is absent in some runs, so that no kind hides another."""
        draw = random.Random(f"{seed}/troubles")
        return cls(
            hospitals=draw.choice([2, 2, 3]),
            liar=draw.random() < 0.3,
            wholesome=draw.random() < 0.4,
            lost=draw.choice([0.0, 0.02, 0.1, 0.25]),
            doubled=draw.choice([0.0, 0.1, 0.5]),
            delay=draw.choice([20, 500, 5_000, 20_000]),
            skew=draw.choice([0, 1_000, 5 * MINUTE]),
            broken=draw.choice([0.0, 0.0, 0.2]),
            kills=draw.choice([0, 1, 3, 6]),
            danger=draw.choice(["log.append", "journal", "steps.", "memory.remember", "replica.", "control.ask"]),
            cuts=draw.choice([0, 0, 2]),
            once=draw.random() < 0.6,
            patient=draw.random() < 0.8,
            copies=draw.choice([0, 0, 1, 2]),
            submissions=draw.choice([1, 1, 2]),
            deadline=draw.choice([60 * MINUTE, 60 * MINUTE, 2 * MINUTE]),
            stewards=draw.choice([0, 2, 5]),
        )


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
        )
        self.watch = Watch(self.consortium)
        weather = Weather(self.troubles.lost, self.troubles.doubled, self.troubles.delay)
        self.network = Network(self.scheduler, weather, self._sniff)
        self.nodes: dict[str, Node] = {}
        self._node = node
        self._chaos = Process("chaos")
        self._random = random.Random(f"{seed}/chaos")
        self._kills = self.troubles.kills
        self._runs = 0
        self._steady = False
        self._expected = self.troubles.submissions
        self._submitted: list[Cid] = []
        self._stewards_left = 0
        self.scheduler.at_turn = self._maybe_kill

    def run(self) -> str:
        """Run to the end and check everything; the hash of the trace.

        Raises:
            Violation: an invariant does not hold.
        """
        try:
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
        finally:
            self.scheduler.close()
        return self.scheduler.trace.digest

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
            Liar(self.consortium.liar, self.scheduler, self.network, self.watch)
        self.scheduler.spawn(self._chaos, "submit", self._submit())
        for number in range(self.troubles.stewards):
            self._stewards_left += 1
            self.scheduler.spawn(self._chaos, f"steward{number}", self._steward(number))
        for number in range(self.troubles.cuts):
            self.scheduler.spawn(self._chaos, f"cut{number}", self._cut())

    def _start(self, site: Site) -> None:
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
        )
        self.nodes[site.did] = node
        node.start()

    def _maybe_kill(self, process: Process, point: str) -> None:
        """Kill a node at a port call: seldom at any, often at those that this run makes dangerous."""
        if self._kills == 0 or self._steady or process is self._chaos:
            return
        if self._random.random() >= (0.03 if point.startswith(self.troubles.danger) else 0.0005):
            return
        site = next(each for each in self.consortium.sites if each.name == process.name)
        if site is self.consortium.liar:
            return
        self._kills -= 1
        self.watch.seen["killed"] += 1
        self.watch.seen[f"killed at {point}"] += 1
        self.scheduler.kill(process)
        self.scheduler.after(self._random.choice([100, 5_000, 60_000, 4 * MINUTE]), lambda: self._start(site))

    async def _cut(self) -> None:
        """Cut two sites off from each other for a while."""
        await Nap(self._random.randrange(2 * MINUTE))
        pair = frozenset(site.did for site in self._random.sample(self.consortium.sites, 2))
        self.network.weather.cut.add(pair)
        await Nap(self._random.randrange(3 * MINUTE))
        self.network.weather.cut.discard(pair)

    # --- work --------------------------------------------------------------------------------------------------------

    async def _submit(self) -> None:
        for number in range(self._expected):
            await Nap(self._random.randrange(5_000, MINUTE))
            institute = self.consortium.institute.did
            while not self.nodes[institute].ready or not self._knows_all(self.nodes[institute]):
                await Nap(1_000)
            submission, text = self._submission(number)
            cid = cid_of(submission)
            journal = self.consortium.institute.disk.journal
            while cid not in journal.kept:
                node = self.nodes[institute]
                if node.ready and node.process.alive:
                    self.scheduler.spawn(node.process, "submit", node.submit(submission, text))
                await Nap(2_000)
            self._submitted.append(cid)

    def _knows_all(self, node: Node) -> bool:
        """Whether the catalogs are as full as a researcher would wait for; an impatient one does not ask the others."""
        institute = self.consortium.institute.did
        hospitals = self.consortium.hospitals
        others = [self.nodes[site.did].index.site(institute) for site in hospitals] if self.troubles.patient else []
        return all(next(node.index.site(site.did).entries("dataset"), None) for site in hospitals) and all(
            next(index.entries("project"), None) for index in others
        )

    def _submission(self, number: int) -> tuple[Submission, str]:
        consortium = self.consortium
        data = [
            Data(site=site.did, cid=cid, name=name)
            for site in consortium.hospitals
            for cid, name in list(site.datasets.items())[:2]
        ]
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
            min_sites=self._random.randint(1, len(data)),
            not_before=max(0, now - 20 * MINUTE),
            not_after=now + self.troubles.deadline,
            buses=(consortium.institute.node.did,),
            nonce=self._random.randbytes(16),
            sig=UNSIGNED,
        )
        del number
        return signed(submission, consortium.researcher), text

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

    def _all_ended(self) -> bool:
        kept = self.consortium.institute.disk.journal.kept
        return (
            len(self._submitted) == self._expected
            and all(kept[cid].state is not State.RUNNING for cid in self._submitted)
            and self._stewards_left == 0
        )

    # --- peace -------------------------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        self._steady = True
        self.network.weather = Weather()

    def _converge(self) -> None:
        """With messages flowing again, every honest site comes to hold and count the same."""
        found: list[str] = []

        def same() -> bool:
            ready = all(node.ready and node.process.alive for node in self.nodes.values())
            found[:] = ["a node has not come up"] if not ready else []
            if ready:
                for site in self.consortium.honest:
                    found.extend(differences(self.consortium, site, self.nodes[site.did].index))
            return not found

        for _ in range(CALM_MINUTES):
            until = self.scheduler.now + MINUTE
            self.scheduler.run(lambda until=until: self.scheduler.now >= until, until + MINUTE)  # type: ignore[misc]
            if same():
                return
        raise Violation(Invariant.CONVERGES, "; ".join(found))
