"""Purposes: if one of these fails, data given for one use serve another.

The tables follow DUO's definitions (release 2021-02-23) and the matching rules that DUOS publishes (version 4); where
these differ the answer is no, and the row says in what.
"""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import BadInput
from privacy.disease import standard
from privacy.modifier import IS, MODIFIERS, PS, TYPES, UNDERTAKEN, US, Use, day_of
from privacy.purpose import (
    DS,
    GRU,
    HMB,
    METHODS,
    NRES,
    PERMISSIONS,
    POA,
    PURPOSES,
    checked,
    checked_undertaking,
    checked_use,
    matches,
    mismatch,
    serves,
)

CANCER, BREAST, LUNG = f"{DS}/MONDO:0004992", f"{DS}/MONDO:0007254", f"{DS}/MONDO:0008903"
DIABETES, TYPE_2 = f"{DS}/MONDO:0005015", f"{DS}/MONDO:0005148"
NMDS, GSO, NPUNCU, PUB, COL, IRB = (f"DUO:00000{number}" for number in (15, 16, 18, 19, 20, 21))
RTN, CC, NPOA, NPU, NCU = (f"DUO:00000{number}" for number in (29, 43, 44, 45, 46))
POPULATION, ANCESTRY, AGE, GENDER, CONTROL, BIOMEDICAL, GENETIC, DRUGS = (
    f"DUO:00000{number}" for number in (32, 33, 34, 35, 36, 37, 38, 39)
)
TS, MOR, DE, BAVARIA, FR = (
    "DUO:0000025/2026-12-31",
    "DUO:0000024/2026-12-31",
    *(f"DUO:0000022/{p}" for p in ("DE", "DE-BY", "FR")),
)
IN_2026, IN_2027 = 1_790_000_000_000, 1_800_000_000_000


def fits(
    allowed: list[str], purpose: str, *undertakings: str, named: frozenset[str] = frozenset(), now: int = IN_2026
) -> bool:
    use = Use(purpose=purpose, undertakings=undertakings, named=named, now=now)
    assert bool(mismatch(allowed, use, standard())) is not matches(allowed, use, standard())
    return matches(allowed, use, standard())


@pytest.mark.parametrize(
    ("allowed", "purposes", "not_for"),
    [
        (NRES, [GRU, HMB, CANCER, POA, METHODS, POPULATION, AGE, GENDER, CONTROL, GENETIC, DRUGS, CC], []),
        # DUOS decides none of control, population, age, gender; clinical care is a modifier that allows it.
        (GRU, [GRU, HMB, CANCER, POA, METHODS, GENETIC, DRUGS], [POPULATION, AGE, GENDER, CONTROL, CC, NRES]),
        # DUOS serves methods development by HMB, DS and POA; DUO puts it under none of them.
        (HMB, [HMB, CANCER, DS, GENETIC, DRUGS, BIOMEDICAL], [GRU, POA, ANCESTRY, METHODS, AGE, CONTROL, CC]),
        (CANCER, [CANCER, BREAST, LUNG, "DUO:0000040/MONDO:0007254"], [HMB, GRU, POA, DS, DIABETES, METHODS, GENETIC]),
        (BREAST, [BREAST, f"{DS}/MONDO:0004989"], [CANCER, LUNG]),
        (DIABETES, [DIABETES, TYPE_2], [CANCER, HMB]),
        (TYPE_2, [TYPE_2], [DIABETES]),
        (DS, [], [DS, CANCER, HMB]),
        (POA, [POA, ANCESTRY], [GRU, HMB, CANCER, METHODS, POPULATION]),
    ],
)
def test_what_a_permission_serves(allowed: str, purposes: list[str], not_for: list[str]) -> None:
    assert [purpose for purpose in purposes if not fits([allowed], purpose)] == []
    assert [purpose for purpose in not_for if fits([allowed], purpose)] == []


def test_of_several_permissions_one_is_enough() -> None:
    assert fits([CANCER, DIABETES], TYPE_2)
    assert fits([POA, HMB], HMB)
    assert not fits([CANCER, DIABETES], HMB)
    assert not fits([], GRU)


def test_a_modifier_alone_permits_nothing() -> None:
    assert not fits([PUB], HMB, PUB)
    assert not fits([CC], CC)


@pytest.mark.parametrize(
    ("condition", "undertakings", "purpose", "expected"),
    [
        *((term, (), HMB, False) for term in (PUB, COL, IRB, RTN, NPU, NCU, NPUNCU)),
        *((term, (term,), HMB, True) for term in (PUB, COL, IRB, RTN, NPU, NCU, NPUNCU)),
        *((term, (other,), HMB, False) for term, other in product((PUB, COL, IRB, RTN), (NPU, NCU))),
        # An undertaking may say more than is asked for, not less.
        (IRB, (f"{IRB}/2026-114",), HMB, True),
        (f"{IRB}/2026-114", (IRB,), HMB, False),
        (f"{IRB}/2026-114", (f"{IRB}/2026-114",), HMB, True),
        # «Not for profit, non-commercial» is both of the others; in DUO's tree each of them is below it.
        (NPU, (NPUNCU,), HMB, True),
        (NCU, (NPUNCU,), HMB, True),
        (NPUNCU, (NPU, NCU), HMB, True),
        (NPUNCU, (NPU,), HMB, False),
        (NPUNCU, (NCU,), HMB, False),
        (NPU, (NCU,), HMB, False),
        # Research that is not methods research; general research has to say so. DUOS would let a disease match it.
        (NMDS, (), HMB, True),
        (NMDS, (), GRU, False),
        (NMDS, (NMDS,), GRU, True),
        (NMDS, (NMDS,), METHODS, False),
        (NPOA, (), HMB, True),
        (NPOA, (), GRU, False),
        (NPOA, (NPOA,), GRU, True),
        (NPOA, (NPOA,), POA, False),
        (NPOA, (NPOA,), ANCESTRY, False),
        (GSO, (), GENETIC, True),
        (GSO, (), HMB, False),
        (GSO, (GSO,), HMB, True),
        ("DUO:0000012/DUO:0000038", (), GENETIC, True),
        ("DUO:0000012/DUO:0000037", (), GENETIC, True),
        ("DUO:0000012/DUO:0000037", (), BREAST, True),
        ("DUO:0000012/DUO:0000040", (), BREAST, True),
        ("DUO:0000012/DUO:0000038", (), HMB, False),
        ("DUO:0000012/DUO:0000038", ("DUO:0000012/DUO:0000038",), HMB, True),
        ("DUO:0000012/DUO:0000039", ("DUO:0000012/DUO:0000038",), HMB, False),
        # The steward named the type, so that general research serves it.
        ("DUO:0000012/DUO:0000034", (), AGE, True),
        ("DUO:0000012/DUO:0000035", (), AGE, False),
        (DE, (), HMB, False),
        (DE, (DE,), HMB, True),
        (DE, (BAVARIA,), HMB, True),
        (BAVARIA, (DE,), HMB, False),
        (DE, (DE, FR), HMB, False),
        (DE, ("DUO:0000022/DEU",), HMB, False),
        (CC, (), HMB, True),
        (CC, (), CC, True),
    ],
)  # fmt: skip
def test_conditions_and_what_a_project_undertakes(
    condition: str, undertakings: tuple[str, ...], purpose: str, expected: bool
) -> None:
    assert fits([GRU, condition], purpose, *undertakings) is expected


def test_every_condition_has_to_hold() -> None:
    assert not fits([GRU, PUB, IRB], HMB, PUB)
    assert fits([GRU, PUB, IRB], HMB, PUB, IRB)
    assert not fits([GRU, DE, FR], HMB, DE, FR)


def test_time_limits_end_and_moratoria_pass() -> None:
    assert fits([GRU, TS], HMB)
    assert not fits([GRU, TS], HMB, now=IN_2027)
    assert not fits([GRU, TS], HMB, "DUO:0000025", now=IN_2027)
    last = day_of("2026-12-31")
    assert last is not None
    assert fits([GRU, TS], HMB, now=last)
    assert not fits([GRU, TS], HMB, now=last + 1)
    assert not fits([GRU, MOR], HMB)
    assert fits([GRU, MOR], HMB, now=IN_2027)
    assert fits([GRU, MOR], HMB, "DUO:0000024")
    assert fits([GRU, MOR], HMB, "DUO:0000024/2027-01-01")
    assert not fits([GRU, MOR], HMB, "DUO:0000024/2026-12-30")


@pytest.mark.parametrize(
    "text", ["2026-02-29", "2026-13-01", "2026-00-10", "26-01-01", "2026-1-1", "1969-12-31", "²026-01-01"]
)
def test_what_is_no_day_never_comes(text: str) -> None:
    """Else a limit that nobody can read would hold for ever, or a moratorium be over."""
    assert day_of(text) is None
    assert not fits([GRU, f"DUO:0000025/{text}"], HMB)
    assert not fits([GRU, f"DUO:0000024/{text}"], HMB, f"DUO:0000024/{text}")


@pytest.mark.parametrize("term", [US, PS, IS])
def test_persons_projects_and_institutions_are_named_by_grants_alone(term: str) -> None:
    assert not fits([GRU, term], HMB)
    assert not fits([GRU, term], HMB, term)
    assert not fits([GRU, f"{term}/x"], HMB, named=frozenset({term}))
    assert fits([GRU, term], HMB, named=frozenset({term}))


@pytest.mark.parametrize(
    "term", ["DUO:0000012", "DUO:0000022", "DUO:0000024", "DUO:0000025", "DUO:0000012/DUO:0000001"]
)
def test_a_condition_that_does_not_say_which_never_holds(term: str) -> None:
    assert not fits([GRU, term], HMB, term)


@pytest.mark.parametrize(
    "term", ["DUO:0000005", "DUO:0000014", "DUO:9999999", f"{GRU}/x", "", "cancer", f"{PUB}/", f"{HMB}\n"]
)
def test_a_term_that_is_not_known_denies_everything(term: str) -> None:
    """Obsolete terms among them: one of them may be a condition on all the others."""
    assert not fits([NRES, term], HMB, term)
    assert not fits([NRES], term)


def test_a_disease_that_is_not_known_here_denies() -> None:
    """DUOS refuses it too: nothing says what it is a kind of."""
    unknown = f"{DS}/MONDO:9999999"
    assert not fits([NRES], unknown)
    assert not fits([unknown], unknown)
    assert not fits([GRU], unknown)


_TERMS = st.sampled_from(sorted({*PERMISSIONS, *PURPOSES, *MODIFIERS, CANCER, BREAST, DIABETES, TS, MOR, DE, *TYPES}))


@given(st.lists(_TERMS, max_size=5), st.lists(_TERMS, max_size=3), st.sampled_from(sorted(MODIFIERS)), _TERMS)
def test_a_further_condition_never_permits_more(
    allowed: list[str], undertakings: list[str], condition: str, purpose: str
) -> None:
    """But for two that say what they allow: clinical care, and a type of research beside general use."""
    if fits([*allowed, condition], purpose, *undertakings) and condition != CC:
        assert fits(allowed, purpose, *undertakings)


@given(_TERMS, _TERMS, _TERMS)
def test_what_serves_is_transitive(first: str, second: str, third: str) -> None:
    """Else a grant for a purpose would reach further than the same grant for a wider one."""
    if serves(first, second, standard()) and serves(second, third, standard()):
        assert serves(first, third, standard())


_UNKNOWN = st.text(max_size=12).filter(lambda term: not term.startswith("DUO:"))


@given(st.lists(_UNKNOWN, max_size=4), _UNKNOWN)
def test_text_that_is_no_term_never_matches(allowed: list[str], purpose: str) -> None:
    assert not fits(allowed, purpose)
    assert not fits([GRU], purpose)


def test_what_cannot_match_is_refused_when_it_is_written() -> None:
    assert checked(CANCER) == CANCER
    assert checked(GENETIC) == GENETIC
    for wrong in ("DUO:0000046", NRES, "cancer\x1b[2J", f"{HMB}/MONDO:0004992"):
        with pytest.raises(BadInput, match="not a purpose that is known"):
            checked(wrong)
    with pytest.raises(BadInput, match=r"MONDO:9999999.*diseases\.toml"):
        checked(f"{DS}/MONDO:9999999", standard())
    assert checked(f"{DS}/MONDO:9999999") == f"{DS}/MONDO:9999999"
    for right in (NRES, CANCER, PUB, TS, DE, "DUO:0000012/DUO:0000034", US):
        assert checked_use(right, standard()) == right
    for wrong, why in (
        (DS, "names its disease"),
        ("DUO:0000025", "last day"),
        ("DUO:0000022/deutschland", "country"),
        (GENETIC, "not a term of use"),
    ):
        with pytest.raises(BadInput, match=why):
            checked_use(wrong)
    for right in (PUB, f"{IRB}/2026-114", DE, "DUO:0000024", "DUO:0000012/DUO:0000038"):
        assert checked_undertaking(right) == right
    for wrong in (US, TS, "DUO:0000022", "DUO:0000012", HMB, "x"):
        with pytest.raises(BadInput, match="nothing that a project can undertake"):
            checked_undertaking(wrong)


def test_the_reason_says_what_is_missing() -> None:
    use = Use(purpose=BREAST, now=IN_2026)
    assert "disease specific research (breast cancer)" in mismatch([DIABETES], use, standard())
    assert "ethics approval required (DUO:0000021)" in mismatch([GRU, IRB], use, standard())
    assert "names the person" in mismatch([GRU, US], use, standard())
    assert frozenset({US, PS, IS}).isdisjoint(UNDERTAKEN)


def test_a_wrong_term_is_answered_with_those_most_like_it_and_where_all_are() -> None:
    """Lost: who mistypes one digit reads a page of terms, and does not see their own among them."""
    for wrong, right in (("DUO:000042", GRU), ("general research", GRU), ("genetic", GENETIC)):
        with pytest.raises(BadInput, match=r"labels-and-grants\.md") as told:
            checked(wrong)
        assert right in str(told.value)
        assert str(told.value).count("DUO:") <= 6
    with pytest.raises(BadInput, match="DUO:0000021"):
        checked_use("ethics approval")
