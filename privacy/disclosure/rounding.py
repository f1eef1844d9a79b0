"""Deterministic rounding: of counts to multiples of a base, of values to significant digits.

Rounded twice is rounded once, and the same number is always rounded alike, so asking again tells nothing more. What is
cut is where untrusted code would hide rows: in the digits that nobody reads.
"""

from __future__ import annotations

from fractions import Fraction


def to_base(count: int, base: int) -> int:
    """The multiple of ``base`` nearest to ``count``; from the middle upwards.

    That is conventional rounding (Hundepool et al., Handbook on Statistical Disclosure Control, 2024, chapter 5):
    neither random, so not unbiased (an even base adds a half on the average), nor controlled, so rounded cells do not
    add up to a rounded sum.
    """
    return (2 * count + base) // (2 * base) * base


def to_digits(value: Fraction, digits: int) -> Fraction:
    """``value`` with at most ``digits`` significant decimal digits, rounded to the nearest; halves away from zero."""
    if value == 0:
        return value
    size = abs(value)
    exponent = _magnitude(size) - digits
    scale = Fraction(10) ** exponent
    whole = (2 * size / scale + 1) // 2
    return whole * scale if value > 0 else -whole * scale


def written(value: Fraction) -> str:
    """A rounded value as a JSON number: whole, or its decimal digits, without an exponent where that is short.

    ``value`` has finitely many decimal digits, as :func:`to_digits` leaves them.
    """
    if value.denominator == 1 and abs(value) < 10**21:
        return str(value.numerator)
    places = 0
    rest, scaled = value, value.numerator
    while rest.denominator != 1:
        rest *= 10
        places += 1
    scaled = rest.numerator
    digits = str(abs(scaled))
    stripped = digits.rstrip("0") or "0"
    exponent = len(digits) - len(stripped) - places
    sign = "-" if scaled < 0 else ""
    if -len(stripped) - 5 <= exponent < 0:
        padded = stripped.rjust(-exponent + 1, "0")
        return f"{sign}{padded[:exponent]}.{padded[exponent:]}"
    return f"{sign}{stripped}e{exponent}"


def _magnitude(size: Fraction) -> int:
    """The least whole n with ``size`` < 10 ** n."""
    estimate = len(str(size.numerator)) - len(str(size.denominator))
    return next(n for n in range(estimate - 1, estimate + 3) if size < Fraction(10) ** n)
