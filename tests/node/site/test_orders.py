"""Orders on their way: each is carried out once, and its receipt goes to who placed it."""

import pytest
import trio
import trio.testing
from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Denied, Unreachable
from node.message import Outcome, Place
from node.site.orders import Orders
from workflow.receipt import Receipt, Status


class Automator:
    """Carries an order out when it is let."""

    def __init__(self) -> None:
        self.carried: list[Cid] = []
        self.go = trio.Event()
        self.receipts: dict[Cid, Receipt] = {}
        self.refusal: ComityError | None = None
        self.cosigned = trio.Event()
        self.cosigned.set()
        self.settled = trio.Event()
        self.settled.set()
        self.looks = 0
        self.fault: ComityError | None = None

    def seconds_left(self, order: object) -> float:
        return 3600.0

    def waits_for(self, order: Cid) -> int:
        return 0 if self.cosigned.is_set() and self.settled.is_set() else 7

    def asks(self, order: Cid) -> float | None:
        return None

    async def look(self) -> None:
        self.looks += 1
        if self.fault:
            raise self.fault
        if self.cosigned.is_set():
            self.settled.set()

    async def reach(self, least: int) -> None:
        if least:
            await self.cosigned.wait()

    def standing(self, order: Cid) -> Receipt | None:
        found = self.receipts.get(order)
        if found is None or (self.cosigned.is_set() and self.settled.is_set()):
            return found
        return structs.replace(found, status=Status.ACCEPTED, reason="it waits for cosignatures by St. Bruno")

    async def carry(self, message: Place, asker: str) -> Receipt:
        cid = cid_of(message.order)
        self.carried.append(cid)
        await self.go.wait()
        if self.refusal:
            raise self.refusal
        self.receipts[cid] = receipt(cid, Status.DONE)
        return self.receipts[cid]


def receipt(order: Cid, status: Status) -> Receipt:
    return structs.replace(RECEIPT, order=order, status=status)


def place(number: int, seconds: int = 20) -> Place:
    # The order is opaque here: whatever has a CID will do.
    order: object = {"number": number}
    nothing: object = None
    return Place(order=order, submission=nothing, workflow="", proofs=(), seconds=seconds)  # type: ignore[arg-type]


RECEIPT = Receipt(
    order=Cid.of(b""),
    site="",
    node="",
    previous=None,
    status=Status.ACCEPTED,
    decision=None,
    place=None,
    outputs={},
    spent=None,
    cost=0,
    reason="",
    at=0,
    sig=bytes(64),
)


def play(story, clock=None) -> None:
    async def main() -> None:
        automator = Automator()
        async with trio.open_nursery() as nursery:
            faked: object = automator
            await story(Orders(faked, nursery, automator.reach), automator)  # type: ignore[arg-type]
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)


def test_an_order_asked_for_many_times_runs_once():
    """Lost: a lost answer makes a hospital compute, and account, twice."""

    async def story(orders: Orders, automator: Automator) -> None:
        got: list[Receipt] = []

        async def ask() -> None:
            got.append(await orders.place(place(1), "bus"))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            automator.go.set()
        assert len(automator.carried) == 1
        assert [each.status for each in got] == [Status.DONE] * 5
        assert (await orders.place(place(1), "bus")).status is Status.DONE
        assert len(automator.carried) == 1
        await orders.place(place(2), "bus")
        assert len(automator.carried) == 2

    play(story)


def test_what_waits_for_cosignatures_is_told_so_and_comes_when_they_do():
    """Lost: an asker that hears nothing until a witness is back, or one that never hears."""

    async def story(orders: Orders, automator: Automator) -> None:
        automator.cosigned = trio.Event()
        automator.go.set()
        got: list[Receipt] = []

        async def ask() -> None:
            got.append(await orders.place(place(1), "bus"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            waiting = await orders.outcome(Outcome(order=cid_of(place(1).order), seconds=0), "bus")
            assert (waiting.status, waiting.reason) == (Status.ACCEPTED, "it waits for cosignatures by St. Bruno")
            assert got == []
            automator.cosigned.set()
        assert got[0].status is Status.DONE
        assert len(automator.carried) == 1

    play(story)


def test_a_release_is_told_once_it_was_looked_at_and_a_disk_that_refuses_ends_nothing(caplog):
    """Lost: what a steward took back is told because its cosignatures came; or one full disk ends all looking."""

    async def story(orders: Orders, automator: Automator) -> None:
        automator.settled = trio.Event()
        automator.fault = ComityError("the disk is full")
        automator.go.set()
        got: list[Receipt] = []

        async def ask() -> None:
            got.append(await orders.place(place(1, seconds=600), "bus"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(orders.watch)
            await trio.sleep(3.5)
            assert (got, automator.looks >= 3) == ([], True)
            assert "the disk is full" in caplog.text
            automator.fault = None
            await trio.sleep(1.1)
            assert [each.status for each in got] == [Status.DONE]
            before = automator.looks
            orders.wake()
            await trio.testing.wait_all_tasks_blocked()
            assert automator.looks == before + 1, "at once when more was cosigned"
            nursery.cancel_scope.cancel()

    play(story, trio.testing.MockClock(autojump_threshold=0))


def test_an_asker_that_goes_away_stops_nothing():
    async def story(orders: Orders, automator: Automator) -> None:
        with trio.move_on_after(0):
            await orders.place(place(1), "bus")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unreachable, match="still being verified"):
            await orders.place(place(1, seconds=0), "bus")
        automator.receipts[cid_of(place(1).order)] = receipt(cid_of(place(1).order), Status.ACCEPTED)
        assert (await orders.place(place(1, seconds=0), "bus")).status is Status.ACCEPTED
        automator.go.set()
        assert (await orders.outcome(Outcome(order=cid_of(place(1).order), seconds=20), "bus")).status is Status.DONE
        assert len(automator.carried) == 1

    play(story)


def test_a_refusal_reaches_every_asker_and_the_order_may_come_again():
    async def story(orders: Orders, automator: Automator) -> None:
        automator.refusal = Denied("no")
        automator.go.set()
        for _ in range(2):
            with pytest.raises(Denied):
                await orders.place(place(1), "bus")
        assert len(automator.carried) == 2
        automator.refusal = None
        assert (await orders.place(place(1), "bus")).status is Status.DONE

    play(story)


def test_the_outcome_of_another_s_order_is_told_like_that_of_none():
    """Lost: whoever has an order's CID reads its receipt."""

    async def story(orders: Orders, automator: Automator) -> None:
        automator.go.set()
        await orders.place(place(1), "bus")
        refusals = []
        for number, asker in ((1, "another"), (2, "bus"), (2, "another")):
            with pytest.raises(Unreachable) as refused:
                await orders.outcome(Outcome(order=cid_of(place(number).order), seconds=0), asker)
            refusals.append(str(refused.value))
        assert len(set(refusals)) == 1

    play(story)


def test_a_member_with_many_orders_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: whoever places orders without end keeps everybody else out, until they end."""
    monkeypatch.setattr("node.site.orders.MAX_UNDER_WAY", 10)

    async def story(orders: Orders, automator: Automator) -> None:
        async def placed(numbers: range, asker: str) -> int:
            for number in numbers:
                try:
                    await orders.place(place(number, seconds=0), asker)
                except Unreachable:
                    pass  # under way
                except ComityError:
                    return number - numbers.start
            return len(numbers)

        assert await placed(range(20), "greedy") == 5
        assert await placed(range(20, 22), "modest") == 2
        assert await placed(range(22, 30), "other") == 2
        await trio.testing.wait_all_tasks_blocked()
        automator.go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert await placed(range(30, 34), "greedy") == 4

    play(story)
