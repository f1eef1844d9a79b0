"""How busy a node says that it is: three words that change late, and change back later."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from catalog.capacity import Load
from node.load import Demand

ORDER = [Load.IDLE, Load.BUSY, Load.FULL]


def after(demand: Demand, asked: int, looks: int, at_once: int = 4) -> Load:
    for _ in range(looks):
        demand.look(asked, at_once)
    return demand.load


def test_each_class_is_reached_and_left():
    """Lost: that others learn where steps begin at once, and where they would wait."""
    demand = Demand()
    assert demand.load is Load.IDLE
    assert after(demand, 4, 20) is Load.BUSY
    assert after(demand, 12, 20) is Load.FULL
    assert after(demand, 4, 20) is Load.FULL, "as many as can run: full until fewer"
    assert after(demand, 3, 20) is Load.BUSY
    assert after(demand, 2, 20) is Load.BUSY, "between the two bounds it stays what it was"
    assert after(demand, 0, 20) is Load.IDLE


def test_a_short_burst_changes_nothing():
    """Lost: an entry in every catalog of the consortium for each step."""
    demand = Demand()
    assert after(demand, 4, 1) is Load.IDLE
    assert after(demand, 0, 30) is Load.IDLE


def test_a_thousand_steps_are_soon_forgotten():
    demand = Demand()
    after(demand, 100_000, 3)
    assert after(demand, 0, 30) is Load.IDLE


@given(st.lists(st.integers(0, 100), max_size=200), st.integers(1, 64))
def test_it_goes_one_class_at_a_time_and_little(asked: list[int], at_once: int):
    """Lost: that a queue which swings about a bound makes a swing of entries."""
    demand, before = Demand(), Load.IDLE
    for each in asked:
        now = demand.look(each, at_once)
        assert abs(ORDER.index(now) - ORDER.index(before)) <= 1
        before = now


def test_what_swings_about_a_bound_is_told_once():
    demand, told = Demand(), []
    for number in range(200):
        demand.look(2 + 2 * (number % 2), 4)
        told.append(demand.load)
    changes = sum(before is not after for before, after in pairwise(told))
    assert changes == 1
