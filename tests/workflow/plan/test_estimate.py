"""How long a step will take, by receipts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from catalog.cid import Cid
from workflow.plan.estimate import Basis, Estimate, History, Seen, percentile

BLOCK, OTHER = Cid.of(b"block"), Cid.of(b"other")


def test_without_a_receipt_the_offer_counts_and_says_so() -> None:
    """Lost: a guess looks like knowledge."""
    assert History((), {}).estimate(BLOCK, "a", 10, 3000) == Estimate(3000, 0, 1.0, Basis.OFFER)
    assert History((Seen(OTHER, "a", 10, 5),), {}).estimate(BLOCK, "a", 10, 3000).basis is Basis.OFFER


def test_the_same_size_at_the_same_site_comes_first() -> None:
    """Lost: a step on a gigabyte is planned by those on a kilobyte."""
    seen = [Seen(BLOCK, "a", 1000, 64), Seen(BLOCK, "a", 1 << 30, 8192), Seen(BLOCK, "b", 1000, 4)]
    history = History(seen, {"a": 1000, "b": 1000, "c": 500})
    assert history.estimate(BLOCK, "a", 1000, 1) == Estimate(64, 1, 1.0, Basis.SAME_SIZE)
    assert history.estimate(BLOCK, "a", 1 << 20, 1) == Estimate(8192, 2, 128.0, Basis.SAME_SITE)
    assert history.estimate(BLOCK, "c", 1000, 1).basis is Basis.ELSEWHERE


def test_what_took_long_elsewhere_takes_twice_as_long_at_half_the_speed() -> None:
    history = History([Seen(BLOCK, "a", 10, 100)], {"a": 1000, "b": 500})
    assert history.estimate(BLOCK, "b", 10, 7).millis == 200
    assert history.estimate(BLOCK, "unmeasured", 10, 7) == Estimate(7, 0, 1.0, Basis.OFFER)


def test_one_step_in_ten_that_hung_moves_nothing() -> None:
    """Lost: one bad afternoon, and no deadline is kept any more."""
    steady = History([Seen(BLOCK, "a", 10, 64)] * 9 + [Seen(BLOCK, "a", 10, 1 << 22)], {})
    assert steady.estimate(BLOCK, "a", 10, 1) == Estimate(64, 10, 1.0, Basis.SAME_SIZE)


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(1, 100))
def test_a_percentile_is_one_of_the_values_with_as_many_below(values: list[int], per_cent: int) -> None:
    ordered = sorted(values)
    found = percentile(ordered, per_cent)
    assert sum(each <= found for each in ordered) * 100 >= per_cent * len(ordered)
    assert sum(each < found for each in ordered) * 100 < per_cent * len(ordered)
