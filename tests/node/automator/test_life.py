"""The life of an order: whatever comes in whatever order, an instance is charged once and released once."""

from itertools import pairwise, product

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from catalog.cid import Cid
from catalog.error import Conflict
from node.automator.life import (
    Asked,
    Begun,
    Closed,
    Denied,
    Event,
    Life,
    Stage,
    after,
    check_attempt,
)
from tests.machine import runs
from workflow.order import Instance
from workflow.receipt import Status

INSTANCE = Instance(submission=Cid.of(b"submission"), step="count", shard=0)
OUTPUTS = ("a", "b")
SUBSETS = st.frozensets(st.sampled_from(OUTPUTS))
CLOSED = st.builds(Closed, status=st.sampled_from(Status), cost=st.sampled_from([0, 7]), let_out=SUBSETS, waits=SUBSETS)
EVENTS = st.one_of(st.just(Asked()), st.just(Begun()), st.just(Denied()), CLOSED)


class LifeMachine(RuleBasedStateMachine):
    """Attempts at one instance at a site whose callers ask for anything: duplicates, cancels, halts, answers, crashes.

    ``written`` is the log, of which a crash takes nothing; what was under way is ended then, as recovery does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lives: dict[int, Life] = {}
        self.written: dict[int, list[Event]] = {}

    def write(self, number: int, event: Event) -> bool:
        """What the book does with a row."""
        life = self.lives.get(number, Life())
        try:
            if isinstance(event, Begun):
                check_attempt(INSTANCE, number, [(made, each) for made, each in self.lives.items() if made != number])
            self.lives[number] = after(life, event)
        except Conflict:
            return False
        self.written.setdefault(number, []).append(event)
        return True

    @rule(number=st.integers(1, 4), event=EVENTS)
    def anything(self, number: int, event: Event) -> None:
        """A caller that has lost its way, or an attacker."""
        self.write(number, event)

    @rule(number=st.integers(1, 4), let_out=SUBSETS, waits=SUBSETS)
    def carry(self, number: int, let_out: frozenset[str], waits: frozenset[str]) -> None:
        """An order that comes, perhaps for the second time, and is carried to its result."""
        if self.write(number, Begun()):
            status = Status.HELD if waits else Status.DONE
            assert self.write(number, Closed(status, 7, let_out - waits, waits))

    @rule(number=st.integers(1, 4))
    def cancel(self, number: int) -> None:
        """A halt, a cancel or the order's time ends it."""
        under_way = number in self.lives and self.lives[number].under_way
        assert self.write(number, Closed(Status.CANCELLED)) == under_way

    @rule()
    def crash(self) -> None:
        """The node stops and starts: what ran is found by its intent, and ended."""
        for number, life in self.lives.items():
            if life.under_way:
                assert self.write(number, Closed(Status.FAILED))

    @rule(number=st.integers(1, 4), granted=SUBSETS)
    def answer(self, number: int, granted: frozenset[str]) -> None:
        """Stewards answer: some of what they were asked about leaves."""
        life = self.lives.get(number, Life())
        if life.stage is Stage.WAITING and life.closed is not None:
            last = life.closed
            assert self.write(number, Closed(Status.DONE, last.cost, last.let_out | (granted & last.waits)))

    @invariant()
    def charged_once(self) -> None:
        """All that was ever written charges the instance once, and one attempt alone lets anything out."""
        results = {n: [each for each in events if isinstance(each, Closed)] for n, events in self.written.items()}
        charged = [n for n, closed in results.items() if any(each.cost for each in closed)]
        released = [n for n, closed in results.items() if any(each.let_out for each in closed)]
        assert len(charged) <= 1
        assert len(released) <= 1
        for closed in results.values():
            assert len({each.cost for each in closed}) <= 1, "a second result charges what the first did"
            for earlier, later in pairwise(closed):
                assert later.let_out <= earlier.let_out | earlier.waits, "nothing leaves that nobody decided on"

    @invariant()
    def one_at_a_time(self) -> None:
        """Nothing runs beside another attempt, nor once something was delivered."""
        begun = [life for life in self.lives.values() if life.under_way]
        assert len(begun) <= 1
        assert not (begun and any(life.delivered for life in self.lives.values()))


LifeMachine.TestCase.settings = runs(100, 30)
TestLifeMachine = LifeMachine.TestCase


@pytest.mark.parametrize(
    ("stage", "event"),
    list(
        product(
            [Life(Stage.DENIED), Life(Stage.ENDED, Closed(Status.FAILED)), Life(Stage.ENDED, Closed(Status.CANCELLED))],
            [Asked(), Begun(), Denied(), Closed(Status.FAILED), Closed(Status.DONE, 7), Closed(Status.HELD)],
        )
    ),
)
def test_what_came_to_nothing_stays_so(stage: Life, event: Event) -> None:
    """Lost: an order that was denied runs after all, or one that failed delivers."""
    with pytest.raises(Conflict):
        after(stage, event)


def test_a_release_is_taken_back_once_and_whole() -> None:
    """Lost: what was revoked leaves in part, or is let out again later."""
    done = after(Life(Stage.RUNNING), Closed(Status.DONE, 7, frozenset(OUTPUTS)))
    with pytest.raises(Conflict):
        after(done, Closed(Status.HELD, 7, frozenset("a")))
    with pytest.raises(Conflict):
        after(done, Closed(Status.HELD, 0))
    held = after(done, Closed(Status.HELD, 7))
    for again in (Closed(Status.DONE, 7, frozenset(OUTPUTS)), Closed(Status.HELD, 7), Closed(Status.FAILED)):
        with pytest.raises(Conflict):
            after(held, again)
