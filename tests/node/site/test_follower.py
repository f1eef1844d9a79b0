"""Following members that come and go while the node runs; what is wrong with one is said of that one."""

from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import MockClock

from catalog.error import ComityError, Unreachable, VerificationFailed
from node.message import Row
from node.replicate.holders import Holders
from node.site.follower import MAX_PAUSE, OFFER_SECONDS, ROUND_SECONDS, Follower


class Members:
    """Whoever the test says."""

    def __init__(self, *sites: str) -> None:
        self.nodes = dict.fromkeys(sites, "node")
        self.names = {site: f"Site {site}" for site in sites}


class Rounds:
    """A replicator that writes down which rounds it was asked for, and when."""

    def __init__(self) -> None:
        self.holders = Holders()
        self.begun: list[tuple[str, float]] = []
        self.fails: dict[str, ComityError] = {}
        self.lasts = 0.0
        self.offers: list[float] = []
        self.taken: list[float] = []
        self.left: set[str] = set()

    async def round(self, site: str) -> None:
        self.begun.append((site, trio.current_time()))
        if site in self.fails:
            raise self.fails[site]
        await trio.sleep(self.lasts)

    async def offered(self, site: str, note: str, rows: Sequence[Row]) -> None:
        self.offers.append(trio.current_time())
        await trio.sleep(self.lasts)
        self.taken.append(trio.current_time())

    def due(self, site: str) -> bool:
        return site in self.left

    def times(self, site: str) -> list[float]:
        return [at for each, at in self.begun if each == site]


def play(members: Members, rounds: Rounds, story: Callable[[Follower], object]) -> None:
    async def main() -> None:
        replicator: object = rounds
        follower = Follower("us", members, replicator)  # type: ignore[arg-type]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follower.run)
            await story(follower)  # type: ignore[misc]
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_members_are_followed_from_when_they_join_until_they_leave():
    """Lost: a new member is followed after the next restart, one that was removed until then."""
    members, rounds = Members("us", "a"), Rounds()

    async def story(follower: Follower) -> None:
        await trio.sleep(1)
        assert {site for site, _ in rounds.begun} == {"a"}
        members.nodes = {"us": "node", "b": "node"}
        await trio.sleep(2 * ROUND_SECONDS + 1)
        assert follower.behind.keys() == {"b"}
        assert rounds.times("b")
        gone = len(rounds.times("a"))
        await trio.sleep(10 * ROUND_SECONDS)
        assert len(rounds.times("a")) == gone
        follower.wake("a")

    play(members, rounds, story)


def test_news_brings_the_next_round_forward_and_a_slow_site_is_asked_less_often():
    members, rounds = Members("us", "a", "b"), Rounds()

    async def story(follower: Follower) -> None:
        rounds.fails["a"] = Unreachable("it is away")
        await trio.sleep(60)
        assert follower.behind == {"a": "it is away", "b": ""}
        pauses = [
            later - earlier for earlier, later in zip(rounds.times("a")[-3:], rounds.times("a")[-2:], strict=False)
        ]
        assert pauses == [MAX_PAUSE] * 2
        before = len(rounds.times("a"))
        follower.wake("a")
        follower.wake("us")
        await trio.testing.wait_all_tasks_blocked()
        assert len(rounds.times("a")) == before + 1
        rounds.fails["a"] = VerificationFailed("it lied")
        follower.wake("a")
        await trio.testing.wait_all_tasks_blocked()
        assert follower.behind["a"] == "VerificationFailed: it lied"

    play(members, rounds, story)


def test_whoever_lied_about_another_is_named_under_its_own_name():
    """Lost: a liar whose lies are refused each time, and of whom nobody ever hears."""
    members, rounds = Members("us", "a", "b"), Rounds()

    async def story(follower: Follower) -> None:
        await trio.sleep(1)
        rounds.holders.set_aside("b", "a", "Site b failed at the catalog of Site a: a tile")
        assert follower.behind == {"a": "", "b": "Site b failed at the catalog of Site a: a tile"}

    play(members, rounds, story)


def test_what_is_shown_and_rounds_take_turns_and_a_long_round_holds_up_no_cosignature():
    """Lost: a member's checkpoints are not cosigned for minutes, while a newcomer fetches its catalog."""
    members, rounds = Members("us", "a", "b"), Rounds()

    async def story(follower: Follower) -> None:
        await trio.sleep(ROUND_SECONDS / 2)
        rounds.lasts = 0.6 * OFFER_SECONDS
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(follower.offered, "a", "", ())
            await trio.testing.wait_all_tasks_blocked()
            follower.wake("a")
        # One after the other; the third gave up before the second was done.
        assert [at - began for at in rounds.offers] == pytest.approx([0.0, 0.6 * OFFER_SECONDS])
        assert trio.current_time() - began == pytest.approx(1.2 * OFFER_SECONDS)
        assert follower.behind["a"] == ""
        await trio.sleep(2 * ROUND_SECONDS)
        rounds.lasts, rounds.offers = 100.0, []
        await trio.sleep(ROUND_SECONDS)
        began = trio.current_time()
        await follower.offered("a", "", ())
        assert trio.current_time() - began == pytest.approx(OFFER_SECONDS)
        assert rounds.offers == []

    play(members, rounds, story)


def test_what_a_member_shows_is_taken_to_the_end_though_it_gives_up():
    """Lost: the index has counted entries that search, projects and erasure never hear of."""
    members, rounds = Members("us"), Rounds()
    rounds.lasts = 3.0

    async def story(follower: Follower) -> None:
        with trio.move_on_after(1) as patience:
            await follower.offered("a", "note", ())
        assert patience.cancel_called
        assert (rounds.offers, rounds.taken) == ([0.0], [3.0])

    play(members, rounds, story)


def test_what_was_left_to_a_round_is_begun_at_once():
    """Lost: what a stolen key signed goes on counting until the next round comes by itself."""
    members, rounds = Members("us", "a"), Rounds()

    async def story(follower: Follower) -> None:
        await trio.sleep(ROUND_SECONDS / 2)
        await follower.offered("a", "note", ())
        await trio.testing.wait_all_tasks_blocked()
        assert rounds.times("a") == [0.0]
        rounds.left = {"a"}
        await follower.offered("a", "note", ())
        await trio.testing.wait_all_tasks_blocked()
        assert rounds.times("a") == [0.0, ROUND_SECONDS / 2]

    play(members, rounds, story)
