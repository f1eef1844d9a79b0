"""Purposes: if one of these fails, data given for one use serve another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import BadInput
from privacy.purpose import DS, GRU, HMB, POA, UNSUPPORTED, checked, matches

CANCER, DIABETES = f"{DS}/MONDO:0004992", f"{DS}/MONDO:0005015"


@pytest.mark.parametrize(
    ("allowed", "purpose", "expected"),
    [
        ([GRU], GRU, True),
        ([GRU], HMB, True),
        ([GRU], CANCER, True),
        ([GRU], POA, True),
        ([HMB], GRU, False),
        ([HMB], HMB, True),
        ([HMB], CANCER, True),
        ([HMB], DS, True),
        ([HMB], POA, False),
        ([CANCER], CANCER, True),
        ([CANCER], DIABETES, False),
        ([CANCER], HMB, False),
        ([CANCER], DS, False),
        ([DS], CANCER, False),
        ([DS], DS, False),
        ([POA], POA, True),
        ([POA], HMB, False),
        ([CANCER, DIABETES], DIABETES, True),
        ([], GRU, False),
        ([GRU], "", False),
        ([GRU], "DUO:9999999", False),
        ([GRU], HMB + "\n", False),
        ([GRU], f"{HMB}/MONDO:0004992", False),
        ([GRU], f"{DS}/MONDO:4992", False),
    ],
)
def test_what_covers_what(allowed: list[str], purpose: str, expected: bool) -> None:
    assert matches(allowed, purpose) is expected


@given(st.sampled_from(sorted(UNSUPPORTED)), st.sampled_from([GRU, HMB, CANCER, POA]))
def test_a_modifier_that_nothing_enforces_denies(modifier: str, purpose: str) -> None:
    assert not matches([GRU, modifier], purpose)
    assert not matches([modifier], modifier)
    assert not matches([GRU], modifier)


_UNKNOWN = st.text(max_size=12).filter(lambda term: not term.startswith("DUO:"))


@given(st.lists(_UNKNOWN, max_size=4), _UNKNOWN)
def test_unknown_terms_never_match(allowed: list[str], purpose: str) -> None:
    assert not matches(allowed, purpose)


def test_a_purpose_that_cannot_match_is_refused_when_it_is_written() -> None:
    assert checked(CANCER) == CANCER
    with pytest.raises(BadInput, match=r"non-commercial use only.*not supported"):
        checked("DUO:0000046")
    with pytest.raises(BadInput, match="not a purpose that is known"):
        checked("cancer\x1b[2J")
