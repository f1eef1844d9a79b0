"""Releases that wait for their quorum: over real logs on a disk, with what is asked about them scripted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import ComityError
from catalog.key import UNSIGNED, signed
from catalog.project import ProjectRef
from node.automator.asking import Asking
from node.automator.book import Line
from node.automator.case import Reliance
from node.automator.decide import Lapse
from node.automator.halt import Scope
from node.automator.late import Releases
from node.automator.ledger import Attempt
from node.automator.waiting import Waiting
from node.storage.database import Database
from node.storage.facts import Facts
from node.storage.releases import WaitingReleases
from privacy.decision import Decision
from privacy.label import released, resident
from tests.node.site.house import ANNA, BRUNO, NODES, NOW, RESEARCHER, House, play
from workflow.account import AccessFields, Chain, Kept, ResultFields
from workflow.order import Instance
from workflow.receipt import Form, Output, Release, Spent, Status
from workflow.submission import Submission

DATA = Cid.of(b"data").keyed(bytes(32))
GRANT, VALUE = Cid.of(b"grant"), Cid.of(b"value")
PROJECT = ProjectRef(site=BRUNO.did, name="trial")
HANDLE = f"held:{ANNA.did}/" + "0" * 32
DECISION = Decision(allowed=True, action="compute", rules=("r",), reason="ok", facts={}, policy="1")
SUBMISSION = signed(
    Submission(
        consortium=Cid.of(b"consortium"),
        epoch=0,
        person=RESEARCHER.did,
        site=BRUNO.did,
        project=PROJECT,
        workflow=Cid.of(b"workflow"),
        inputs={},
        grants=(GRANT,),
        destinations=(BRUNO.did,),
        deadline=1,
        budget=1,
        min_sites=1,
        not_before=0,
        not_after=1,
        buses=(NODES[BRUNO.did].did,),
        nonce=bytes(16),
        sig=UNSIGNED,
    ),
    RESEARCHER,
)


@dataclass
class Scripted:
    """The verifier, the judge and the witnesses, who say what the test wants."""

    cosigned: int = 0
    over_now: str = ""
    found: Lapse | None = None
    asked: list[Reliance] = field(default_factory=list)

    def covered(self) -> int:
        return self.cosigned

    def lacking(self, least: int) -> list[str]:
        return [] if self.cosigned >= least else ["St. Bruno"]

    def owners(self, access: AccessFields) -> set[str]:
        return {ANNA.did}

    def over(self, access: AccessFields, owners: Iterable[str], now: int) -> str:
        assert (set(owners), now) == ({ANNA.did}, NOW)
        return self.over_now

    def lapse(self, rests: Reliance, action: str, now: int) -> Lapse | None:
        assert (action, now) == ("release", NOW)
        self.asked.append(rests)
        return self.found


class Desk:
    """The waiting releases of Anna's, and what took effect or is held."""

    def __init__(self, house: House, path: Path) -> None:
        self.house, self.said = house, Scripted()
        self.memory = WaitingReleases(Facts(Database.open(path / "state.db")))
        self.ended: list[Attempt] = []
        self.begin()

    def begin(self) -> None:
        """A run of the node, which knows what the log and the database say."""
        given: object = self.said
        asking = Asking(self.house.book, lambda _: False, self.house.clock)
        releases = Releases(
            ANNA.did,
            NODES[ANNA.did],
            given,  # type: ignore[arg-type]
            self.house.book,
            asking,
            self.house.disclosing(),
            self.house.owners(),
            self.house.clock,
        )
        self.waiting = Waiting(
            given,  # type: ignore[arg-type]
            given,  # type: ignore[arg-type]
            self.house.book,
            given,  # type: ignore[arg-type]
            self.memory,
            releases,
            self.house.clock,
            self.ended.append,
        )

    async def release(self, name: bytes = b"order") -> Cid:
        """A step that ended and released what it made."""
        order = Cid.of(name)
        await self.waiting.expect(order)
        await self.house.book.write([Line("intent", [DATA], access(order)), Line("result", [DATA], result(order))])
        return order

    def status(self, order: Cid) -> Status | None:
        attempt = self.house.ledger.attempt(order)
        assert attempt is not None
        assert attempt.result is not None
        return attempt.result.status


def access(order: Cid) -> Callable[[Chain, int], AccessFields]:
    return lambda chain, _index: AccessFields(
        order=order,
        instance=Instance(submission=order, step="count", shard=0),
        attempt=1,
        person=RESEARCHER.did,
        home=BRUNO.did,
        project=PROJECT,
        purpose="DUO:0000006",
        block=Cid.of(b"block"),
        decision=DECISION,
        shown=DECISION,
        max_cost=1,
        submission=encode(SUBMISSION),
        chain=chain,
        granted={str(DATA): GRANT},
    )


def result(order: Cid, status: Status = Status.DONE) -> Callable[[Chain, int], ResultFields]:
    statement = signed(
        Release(
            order=order,
            output="n",
            handle=HANDLE,
            value=VALUE,
            owner=ANNA.did,
            added=(BRUNO.did,),
            policy=1,
            report="",
            ledger=1,
            sig=UNSIGNED,
        ),
        NODES[ANNA.did],
    )
    output = Output(
        handle=HANDLE, type="statistics", name="n.json", cid=VALUE, size=1, form=Form.FILE, release=statement, reason=""
    )
    label = released(resident(ANNA.did), ANNA.did, [BRUNO.did])
    kept = {"n": Kept(output=output, form=Form.FILE, cid=VALUE, size=1, label=label, name="n.json")}
    return lambda chain, index: ResultFields(
        order=order,
        instance=Instance(submission=order, step="count", shard=0),
        intent=index - 1,
        status=status,
        kept=kept if status is Status.DONE else {},
        spent=Spent(wall_millis=1, cpu_millis=1, peak_bytes=1),
        cost=7 if status is Status.DONE else 0,
        reason="",
        detail="",
        chain=chain,
    )


def at(path: Path, story: Callable[[Desk], Awaitable[None]]) -> None:
    async def told(house: House) -> None:
        await story(Desk(house, path))

    play(path, told)


def test_a_release_takes_effect_when_the_quorum_has_cosigned_its_result(tmp_path: Path) -> None:
    """Else it is told before a witness could see another log, or never."""

    async def story(desk: Desk) -> None:
        order = await desk.release()
        attempt = desk.house.book.attempt(order)
        for desk.said.cosigned in (0, attempt.closed):
            await desk.waiting.look()
            assert order in desk.waiting
            assert desk.waiting.words(attempt) == "done; its release waits for cosignatures by St. Bruno"
        desk.said.cosigned = attempt.closed + 1
        await desk.waiting.look()
        assert order not in desk.waiting
        assert (desk.ended, list(await desk.memory.waiting())) == ([attempt], [])
        rests = desk.said.asked[-1]
        assert (rests.cited, rests.readers) == ((GRANT,), frozenset({BRUNO.did}))
        assert (rests.granted, rests.person, rests.home) == ({str(DATA): GRANT}, RESEARCHER.did, BRUNO.did)

    at(tmp_path, story)


@pytest.mark.parametrize("cosigned", [0, 1 << 40])
@pytest.mark.parametrize("how", ["lapse", "over", "halt"])
def test_what_lapses_while_it_waits_is_held_before_and_after_the_quorum(
    tmp_path: Path, how: str, cosigned: int
) -> None:
    """Else a revocation that comes between decision and cosignature changes nothing."""

    async def story(desk: Desk) -> None:
        order = await desk.release()
        first = desk.house.book.attempt(order)
        desk.said.cosigned = cosigned
        match how:
            case "lapse":
                desk.said.found = Lapse("the grant was revoked", for_good=True)
            case "over":
                desk.said.over_now = "the project has ended"
            case _:
                desk.house.book.halts._standing[Scope(None, None)] = "a doubt"
        await desk.waiting.look()
        assert order not in desk.waiting
        (held,) = desk.ended
        assert held.closed == first.closed + 1
        assert held.result is not None
        (kept,) = held.result.kept.values()
        shown = kept.output
        assert (held.result.status, held.result.cost) == (Status.HELD, 7)
        assert (shown.cid, shown.size, shown.name, shown.release, shown.handle) == (None, None, "", None, HANDLE)
        assert (
            shown.reason
            == {
                "lapse": "the grant was revoked",
                "over": "the project has ended",
                "halt": "this site is halted for everything: a doubt",
            }[how]
        )
        assert kept.label == resident(ANNA.did)
        assert [body.kind for body in await desk.house.audited()] == ["intent", "result", "result"]
        desk.said.found, desk.said.over_now, desk.said.cosigned = None, "", 1 << 40
        await desk.waiting.look()
        assert desk.status(order) is Status.HELD, "it is held for good"

    at(tmp_path, story)


def test_who_was_not_heard_for_too_long_is_waited_for(tmp_path: Path) -> None:
    """Else a site whose line was down holds for good what nobody took back."""

    async def story(desk: Desk) -> None:
        order = await desk.release()
        attempt = desk.house.book.attempt(order)
        desk.said.cosigned = 1 << 40
        desk.said.found = Lapse("nothing fresh was heard from St. Bruno", for_good=False)
        await desk.waiting.look()
        assert desk.waiting.words(attempt) == "done; its release waits: nothing fresh was heard from St. Bruno"
        assert (desk.ended, desk.status(order)) == ([], Status.DONE)
        desk.said.found = None
        await desk.waiting.look()
        assert desk.ended == [attempt]

    at(tmp_path, story)


def test_over_a_restart_what_waited_waits_and_what_took_effect_stays(tmp_path: Path) -> None:
    """Else a restart lets out what lapsed, or takes back what was told: two final receipts prove a site a liar."""

    async def story(desk: Desk) -> None:
        told, waits = await desk.release(b"told"), await desk.release(b"waits")
        desk.said.cosigned = desk.house.book.attempt(told).closed + 1
        await desk.waiting.look()
        desk.said.found = Lapse("the grant was revoked", for_good=True)
        desk.said.cosigned = 0  # as after a new epoch of the log, of which nothing is cosigned yet
        desk.begin()
        await desk.waiting.load()
        assert (told in desk.waiting, waits in desk.waiting) == (False, True)
        await desk.waiting.look()
        assert (desk.status(told), desk.status(waits)) == (Status.DONE, Status.HELD)

    at(tmp_path, story)


def test_what_a_crash_left_half_done_is_finished(tmp_path: Path) -> None:
    """Else an order waits for ever: remembered and not written, or written as held and not forgotten."""

    async def story(desk: Desk) -> None:
        never, failed = Cid.of(b"never written"), Cid.of(b"failed")
        for order in (never, failed):
            await desk.waiting.expect(order)
        lines = [Line("intent", [DATA], access(failed)), Line("result", [DATA], result(failed, Status.FAILED))]
        await desk.house.book.write(lines)
        desk.begin()
        await desk.waiting.load()
        assert list(await desk.memory.waiting()) == [failed]
        await desk.waiting.look()
        assert [each.access.order for each in desk.ended] == [failed]
        assert list(await desk.memory.waiting()) == []
        assert len(await desk.house.audited()) == 2

    at(tmp_path, story)


def test_a_log_that_takes_nothing_lets_nothing_take_effect(tmp_path: Path) -> None:
    """Else a full disk releases what a steward took back."""

    async def story(desk: Desk) -> None:
        order = await desk.release()
        desk.said.found, desk.said.cosigned = Lapse("the grant was revoked", for_good=True), 1 << 40
        await desk.house.audit.aclose()
        with pytest.raises(ComityError, match="cannot be written"):
            await desk.waiting.look()
        assert order in desk.waiting
        assert desk.ended == []

    at(tmp_path, story)
