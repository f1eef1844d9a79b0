"""What a step costs: exact sums, one rounding up, and a cap that is known before the order."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.offer import MOST_MICROS, Most, OfferFields
from privacy.label import resident
from workflow.argument import Data, Literal, Many
from workflow.price import Terms, most, moved_to, price
from workflow.receipt import Spent

HOUR = Spent(wall_millis=3_600_000, cpu_millis=3_600_000, peak_bytes=10**9)
ROOMY = Most(seconds=1 << 20, cpu_seconds=1 << 20, memory_mib=1 << 20)
NOTHING = Spent(wall_millis=0, cpu_millis=0, peak_bytes=0)


def offer(**fields: object) -> OfferFields:
    """An offer that charges for nothing but what ``fields`` say."""
    return OfferFields(**{"runner": "sandbox", "price": 0, "step_millis": 1, "most": ROOMY, **fields})


@pytest.mark.parametrize(
    ("fields", "spent", "moved", "cost"),
    [
        ({"price": 7}, HOUR, 0, 7),
        ({"price": 7}, None, 0, 7),
        ({"cpu_hour": 90_000}, HOUR, 0, 90_000),
        ({"gb_hour": 30_000}, HOUR, 0, 30_000),
        ({"gb_moved": 10_000}, None, 10**9, 10_000),
        ({"price": 1, "cpu_hour": 2, "gb_hour": 3, "gb_moved": 4}, HOUR, 10**9, 10),
        ({"cpu_hour": 1}, NOTHING, 0, 0),
        ({"cpu_hour": 1}, Spent(wall_millis=0, cpu_millis=1, peak_bytes=0), 0, 1),
        ({"gb_moved": 1}, None, 1, 1),
        # Thrice a third of a millionth is one: they are added before they are rounded.
        ({"cpu_hour": 1, "gb_hour": 1, "gb_moved": 1},
         Spent(wall_millis=1_200_000, cpu_millis=1_200_000, peak_bytes=10**9), 10**9 // 3, 1),
        ({"cpu_hour": 90_000, "most": None}, HOUR, 0, 0),
        ({"cpu_hour": 3600, "most": Most(seconds=9, cpu_seconds=10, memory_mib=1)}, HOUR, 0, 10),
        ({"gb_hour": 3600, "most": Most(seconds=10, cpu_seconds=1, memory_mib=1 << 20)}, HOUR, 0, 10),
        ({"price": MOST_MICROS, "cpu_hour": MOST_MICROS}, HOUR, 1 << 62, MOST_MICROS),
    ],
)  # fmt: skip
def test_a_price_is_what_the_offer_says_of_the_use(fields, spent, moved, cost):
    """Lost: a site charges by other figures than its steward signed, or a step for parts of a millionth thrice."""
    assert price(offer(**fields), spent, moved) == cost


AMOUNT = st.integers(0, 1 << 40)
OFFERS = st.builds(
    offer,
    price=AMOUNT,
    cpu_hour=AMOUNT,
    gb_hour=AMOUNT,
    gb_moved=AMOUNT,
    most=st.none() | st.builds(Most, seconds=st.integers(1, 1 << 20), cpu_seconds=st.integers(1, 1 << 20),
                               memory_mib=st.integers(1, 1 << 20)),
)  # fmt: skip
SPENT = st.builds(
    Spent, wall_millis=st.integers(0, 1 << 62), cpu_millis=st.integers(0, 1 << 62), peak_bytes=st.integers(0, 1 << 62)
)


@given(OFFERS, SPENT, st.integers(0, 1 << 62))
def test_whatever_a_site_says_was_used_costs_no_more_than_was_known_before(asked, spent, moved):
    """Lost: a requester's cap, if a site lies about usage, or may not be kept though nobody lies."""
    assert asked.price <= min(asked.price + 1, price(asked, spent, moved)) <= MOST_MICROS
    assert price(asked, spent, moved) <= most(asked, moved)


@given(OFFERS, SPENT, AMOUNT)
def test_it_is_the_exact_sum_rounded_up_once(asked, spent, moved):
    """Lost: both sides come to the same number, in whatever language."""
    most_ = asked.most
    cpu = wall = peak = 0
    if most_ is not None:
        cpu = min(spent.cpu_millis, most_.cpu_seconds * 1000)
        wall = min(spent.wall_millis, most_.seconds * 1000)
        peak = min(spent.peak_bytes, most_.memory_mib * 1024 * 1024)
    hours = Fraction(1, 3_600_000)
    exact = asked.price + asked.cpu_hour * cpu * hours + Fraction(asked.gb_moved * moved, 10**9)
    exact += asked.gb_hour * wall * hours * Fraction(peak, 10**9)
    assert price(asked, spent, moved) == min(MOST_MICROS, -(-exact.numerator // exact.denominator))


def test_terms_charge_by_the_offer_that_they_name():
    terms = Terms(offer(price=5, cpu_hour=10), 3, 0)
    assert (terms.cost(None), terms.cost(HOUR)) == (5, 15)


def test_what_moves_are_other_sites_datasets_each_once():
    """Lost: a site charges for its own data, for a list that names one dataset twice, or for what has no known size."""
    root, steward = PrivateKey(b"r" * 32), PrivateKey(b"s" * 32)
    index = Index([root.did, steward.did])
    there = index.site(root.did)
    cid, made = Cid.of(b"data"), Cid.of(b"made")
    enrolment = KeyFields(did=steward.did, role=Role.STEWARD, name="Ada", x25519=bytes(32))
    fields = DatasetFields(
        cid=cid, name="visits", level=Level.RESIDENT, label=resident(root.did), purposes=(), description="",
        media_type="text/csv", size=1234,
    )  # fmt: skip
    for kind, value, by in (("key", enrolment, root), ("dataset", fields, steward)):
        assert there.add(there.size, kind, write_body(kind, value, site=root.did, at=0, by=by))
    data, output = (Data(site=root.did, cid=each, name="x") for each in (cid, made))
    inputs = {"a": Many(items=(data, data)), "b": output, "c": Literal(json="1"), "d": data}
    assert moved_to(index, steward.did, inputs) == 1234
    assert moved_to(index, root.did, inputs) == 0
