"""Lost: that rounding twice tells no more than rounding once, and that digits beyond the stated ones are gone."""

from __future__ import annotations

import json
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from privacy.disclosure.rounding import to_digits, written

values = st.one_of(
    st.fractions(), st.floats(allow_nan=False, allow_infinity=False).map(Fraction), st.integers().map(Fraction)
)


@given(values, st.integers(1, 15))
def test_rounded_twice_is_rounded_once_and_near(value: Fraction, digits: int) -> None:
    once = to_digits(value, digits)
    assert to_digits(once, digits) == once
    assert abs(once - value) * 2 * 10 ** (digits - 1) <= abs(value)


@given(values, st.integers(1, 15))
def test_what_is_written_is_a_json_number_with_no_more_digits(value: Fraction, digits: int) -> None:
    text = written(to_digits(value, digits))
    assert json.loads(text, parse_float=Fraction, parse_int=Fraction) == to_digits(value, digits)
    mantissa = text.lower().partition("e")[0].lstrip("-").replace(".", "").strip("0")
    assert len(mantissa) <= digits


def test_examples() -> None:
    texts = ("1234567.891", "0.000123456789", "-2.5", "1e30", "1e-30", "0")
    assert [written(to_digits(Fraction(text), 4)) for text in texts] == [
        "1235000",
        "0.0001235",
        "-2.5",
        "1e30",
        "1e-30",
        "0",
    ]
