"""Duties: if one of these fails, what several rules ask for together is less than one of them asks for."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.dagcbor import decode, encode
from catalog.error import BadInput
from privacy.duty import LAST_DAY, NO_DUTIES, Duties, Quota, read_day, read_duty, strictest

quotas = st.builds(Quota, rows=st.integers(1, 5), days=st.integers(1, 5))
# Made as duties are made: one annotation after the other, joined.
duties = st.builds(
    lambda approvals, endorsed, cell, base, whole, several: strictest(
        [
            Duties(approvals=approvals, endorsed=endorsed, min_cell=cell, rounded=base, whole=whole),
            *(Duties(quotas=(each,)) for each in several),
        ]
    ),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 20),
    st.integers(0, 20),
    st.booleans(),
    st.lists(quotas, max_size=4),
)


@given(duties, duties, duties)
def test_the_order_of_rules_does_not_matter(one: Duties, two: Duties, three: Duties) -> None:
    assert one.join(two) == two.join(one)
    assert one.join(two).join(three) == one.join(two.join(three))
    assert one.join(one) == one
    assert one.join(NO_DUTIES) == one


@given(duties, duties)
def test_the_join_is_never_weaker_than_either(one: Duties, two: Duties) -> None:
    joined = one.join(two)
    assert joined.covers(one)
    assert joined.covers(two)
    assert joined.approvals >= one.approvals
    assert joined.endorsed >= one.endorsed
    assert joined.min_cell >= one.min_cell
    assert joined.rounded >= one.rounded
    assert joined.whole >= one.whole
    for quota in one.quotas:
        assert any(kept.rows <= quota.rows and kept.days >= quota.days for kept in joined.quotas)


@given(duties, duties, duties)
def test_the_join_is_no_stricter_than_needed(one: Duties, two: Duties, other: Duties) -> None:
    if other.covers(one) and other.covers(two):
        assert other.covers(one.join(two))


@given(duties)
def test_duties_are_written_and_read_back(one: Duties) -> None:
    assert decode(Duties, encode(one)) == one
    assert bool(one.told) == (one != NO_DUTIES)


def test_a_duty_is_written_in_one_way() -> None:
    assert read_duty("approve", "steward") == Duties(approvals=1)
    assert read_duty("approve", "2 stewards") == Duties(approvals=2)
    assert read_duty("quota", "1000000 rows/30d") == Duties(quotas=(Quota(rows=1_000_000, days=30),))
    assert read_duty("treat", "suppress") == NO_DUTIES
    assert read_duty("treat", "round 5").join(read_duty("treat", "round 3")) == Duties(rounded=5)
    assert read_duty("treat", "refuse").join(read_duty("treat", "round 5")) == Duties(rounded=5, whole=True)
    for text in ("round", "round 1", "round 0", "round 5 ", "round 12345", "suppres", "Refuse", ""):
        with pytest.raises(BadInput, match=r"@treat"):
            read_duty("treat", text)
    for name, text in (("approve", "stewards"), ("approve", "steward,steward"), ("quota", "5 rows"), ("else", "1")):
        with pytest.raises(BadInput):
            read_duty(name, text)


@given(st.dates(date(1970, 1, 1), date(9998, 12, 31)))
def test_a_day_is_read(day: date) -> None:
    assert read_day(day.isoformat()) == (day - date(1970, 1, 1)).days < LAST_DAY


@pytest.mark.parametrize("text", ["", "2030-02-30", "31.1.2030", "2030-1-31", "2030-01-31T00:00"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="@expires is the last day"):
        read_day(text)
