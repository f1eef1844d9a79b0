"""What a node says of itself as a place for steps: seldom, of itself alone, and what its steward may offer by it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from msgspec import structs

from catalog.body import write_body
from catalog.capacity import MOST_ENVIRONMENTS, CapacityFields, Load
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.error import BadInput
from catalog.index import SiteIndex
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.offer import Most, OfferFields
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.site.capacity import APART_MILLIS, MEASURED_MILLIS, Capacity, check_offer
from node.step import AT_ONCE, Exit, Job, Limits, Turn
from node.storage.disk import DiskBlobs
from tests.adversary.test_steps import Shelf
from tests.node.execute.cwl.evaluating import EVALUATOR

ROOT, STEWARD, NODE = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))
OFFER = OfferFields(runner="sandbox", price=1, step_millis=1)
BEGAN = 1_790_000_000_000


class Measured(Sandbox):
    """Counts the steps that it ran: all of them measure."""

    runs = 0

    async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
        self.runs += 1
        return await super().run(job, turn)


class Place:
    """A site's catalog and its node, at a time that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.index, self.millis, self.refuses = SiteIndex(ROOT.did), BEGAN, False
        for key, role in ((STEWARD, Role.STEWARD), (NODE, Role.NODE)):
            fields = KeyFields(did=key.did, role=role, name="x", x25519=bytes(32))
            self.write("key", fields, ROOT)
        self.runner = Measured()
        blobs, work = DiskBlobs(folder / "blobs"), folder / "work"
        self.steps = StepExecutor(self.runner, EVALUATOR, Shelf(), blobs, work, Limits(), None, 4, offered=self.offered)
        self.environments: set[Cid] = set()
        self.capacity = Capacity(lambda: self.index, self.steps, self.say, self, lambda: self.environments)

    def offered(self) -> Most | None:
        offer = self.index.typed(OfferFields, "offer")
        return offer.most if offer is not None else None

    def write(self, kind: str, fields: Value, by: PrivateKey) -> bool:
        latest = self.index.latest(kind, "")
        previous = latest.index if latest is not None else None
        body = write_body(kind, fields, site=ROOT.did, at=self.millis, by=by, previous=previous)
        return self.index.add(self.index.size, kind, body) is not None

    async def say(self, kind: str, subject: str, fields: Value) -> bool:
        assert subject == ""
        return not self.refuses and self.write(kind, fields, NODE)

    def now(self) -> int:
        return self.millis

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("it waits by itself")

    def look(self, millis: int = 0, times: int = 1) -> CapacityFields | None:
        self.millis += millis
        for _ in range(times):
            trio.run(self.capacity.look)
        return self.index.typed(CapacityFields, "capacity")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    assert made.write("offer", OFFER, STEWARD)
    return made


def test_a_site_that_offers_nothing_says_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.look() is None
    assert place.runner.runs == 0


def test_what_it_has_is_said_and_measured_once(place: Place) -> None:
    """Lost: a requester who chooses by what a site has, or a second of a processor for every entry."""
    said = place.look()
    assert said is not None
    assert (said.runner, said.load, said.at_once) == ("sandbox", Load.IDLE, 4)
    assert said.most == Most(seconds=300, cpu_seconds=300, memory_mib=1024)
    assert said.speed is not None
    assert said.speed.at == BEGAN
    size = place.index.size
    assert place.look(10 * APART_MILLIS, times=5) == said
    assert (place.index.size, place.runner.runs) == (size, 1)


def test_what_a_steward_offers_of_it_is_what_a_step_may_use(place: Place) -> None:
    """Lost: a steward who offers a minute of a processor, and a step that takes five and pays for one."""
    most = Most(seconds=60, cpu_seconds=50, memory_mib=40)
    assert place.write("offer", structs.replace(OFFER, most=most), STEWARD)
    limits = place.steps.limits
    assert (limits.wall_seconds, limits.cpu_seconds, limits.memory_bytes) == (60.0, 50, 40 << 20)
    said = place.look()
    assert said is not None
    assert said.most == most
    generous = Most(seconds=1 << 20, cpu_seconds=1 << 20, memory_mib=1 << 20)
    assert place.write("offer", structs.replace(OFFER, most=generous), STEWARD)
    assert place.steps.limits == Limits(), "the operator's bounds hold whatever is offered"


def test_a_speed_is_measured_again_after_a_week(place: Place) -> None:
    place.look()
    again = place.look(MEASURED_MILLIS)
    assert again is not None
    assert again.speed is not None
    assert (again.speed.at, place.runner.runs) == (BEGAN + MEASURED_MILLIS, 2)


def test_on_another_machine_it_is_measured_again(place: Place) -> None:
    """Lost: a node that was moved to a slow machine goes on boasting of the one before."""
    said = place.look()
    assert said is not None
    place.millis += APART_MILLIS
    elsewhere = CapacityFields(**{name: getattr(said, name) for name in said.__struct_fields__} | {"processor": "Z80"})
    assert place.write("capacity", elsewhere, NODE)
    again = place.look(APART_MILLIS)
    assert again is not None
    assert (again.processor, place.runner.runs) == (said.processor, 2)


def test_nothing_is_measured_beside_a_step(place: Place) -> None:
    """Lost: a speed that says how much others had to do."""
    place.steps.begun += 1  # it has not ended
    said = place.look()
    assert said is not None
    assert (said.speed, place.runner.runs) == (None, 0)


def test_a_change_is_said_but_never_more_than_every_few_minutes(place: Place) -> None:
    """Lost: a busy day at one site is an entry a second at all."""
    place.look()
    size = place.index.size
    place.steps.begun += 40
    place.look(1000, times=20)
    assert place.index.size == size
    said = place.look(APART_MILLIS)
    assert said is not None
    assert (said.load, place.index.size) == (Load.FULL, size + 1)


def test_environments_are_told_in_order_and_not_without_end(place: Place) -> None:
    place.environments = {Cid.of(bytes([number])) for number in range(MOST_ENVIRONMENTS + 9)}
    said = place.look()
    assert said is not None
    assert said.environments == tuple(sorted(place.environments, key=str)[:MOST_ENVIRONMENTS])


def test_what_cannot_be_written_is_not_tried_at_each_look(place: Place) -> None:
    place.refuses = True
    place.look(times=5)
    assert place.runner.runs == 1
    place.refuses = False
    assert place.look(1000) is None
    assert place.look(APART_MILLIS) is not None


def test_an_entry_is_small_enough_to_be_written_often(place: Place) -> None:
    """Lost: what a day of load costs every member: at most 288 such entries from each site."""
    said = place.look()
    assert said is not None
    body = write_body("capacity", said, site=ROOT.did, at=BEGAN, by=NODE, previous=9)
    assert len(encode(body)) < 700


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"runner": "docker"}, "runs steps by «sandbox», not by «docker»"),
        ({"cpu_hour": 1}, "of how much at most"),
        ({"gb_hour": 1}, "of how much at most"),
        ({"most": Most(seconds=301, cpu_seconds=1, memory_mib=1)}, "the offer says more"),
        ({"most": Most(seconds=1, cpu_seconds=301, memory_mib=1)}, "the offer says more"),
        ({"most": Most(seconds=1, cpu_seconds=1, memory_mib=1025)}, "the offer says more"),
    ],
)
def test_a_steward_offers_what_the_node_does(place: Place, change: dict[str, object], told: str) -> None:
    """Lost: orders for what this node refuses, and prices that no plan can know."""
    whole = {name: getattr(OFFER, name) for name in OFFER.__struct_fields__}
    check_offer(place.steps, OFFER)
    with pytest.raises(BadInput, match=told):
        check_offer(place.steps, OfferFields(**whole | change))
