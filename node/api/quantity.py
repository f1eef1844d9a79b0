"""Money and time as people write them: ``2.50`` units, ``10m``, ``2026-12-01T12:00``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from catalog.error import BadInput
from catalog.offer import MICRO

Money = str | int | Decimal
"""An amount in the consortium's unit."""

Moment = str | timedelta | datetime
"""A time, or how long from now."""

_SPAN: Final = re.compile(r"([0-9]{1,9})\s*(ms|s|m|h|d)")
_MILLIS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MOST: Final = 1 << 53


def micros(amount: Money) -> int:
    """An amount of money in millionths.

    Raises:
        BadInput: not a number, negative, too large, or finer than a millionth.
    """
    try:
        value = Decimal(amount.strip() if isinstance(amount, str) else amount)
    except InvalidOperation as error:
        raise BadInput(f"«{amount}» is no amount of money; write it as 2.50") from error
    if not value.is_finite() or value < 0:
        raise BadInput(f"«{amount}» is no amount of money: it must be 0 or more; write it as 2.50")
    if value > _MOST // MICRO:
        raise BadInput(f"«{amount}» is more money than can be counted")
    scaled = value * MICRO
    if scaled != scaled.to_integral_value():
        raise BadInput(f"«{amount}» is finer than a millionth, the least that is counted")
    return int(scaled)


def money(amount: int) -> str:
    """An amount in millionths as people read it, with two digits or as many as it needs."""
    text = f"{amount // MICRO}.{amount % MICRO:06d}".rstrip("0")
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.ljust(2, '0')}"


def moment(when: Moment, now: int) -> int:
    """A time in Unix milliseconds; text without a zone is local time, a span counts from ``now``.

    Raises:
        BadInput: neither a span nor a date.
    """
    if isinstance(when, timedelta):
        return now + int(when / timedelta(milliseconds=1))
    if isinstance(when, datetime):
        return _millis(when)
    span = _SPAN.fullmatch(when.strip())
    if span:
        return now + int(span[1]) * _MILLIS[span[2]]
    try:
        return _millis(datetime.fromisoformat(when.strip()))
    except (ValueError, OverflowError) as error:
        raise BadInput(f"«{when}» is no time; write 90s, 10m, 2h, 7d or 2026-12-01T12:00") from error


_LAST: Final = int(datetime(9998, 12, 31, tzinfo=UTC).timestamp() * 1000)


def past(when: Moment, now: int) -> int:
    """A time in Unix milliseconds; text without a zone is local time, a span counts back from ``now``.

    Raises:
        BadInput: neither a span nor a date.
    """
    at = moment(when, now)
    span = isinstance(when, timedelta) or (isinstance(when, str) and _SPAN.fullmatch(when.strip()))
    return 2 * now - at if span else at


def clock_text(millis: int) -> str:
    """A time as people read it, in local time to the second; what others wrote may lie beyond every calendar."""
    if millis > _LAST:
        return "after the year 9998"
    return datetime.fromtimestamp(millis / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span_text(millis: int) -> str:
    """How long something takes, as people read it."""
    if millis < 1_000:
        return f"{millis} ms"
    if millis < 60_000:
        return f"{millis / 1000:.1f} s"
    minutes, rest = divmod(millis // 1000, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _millis(when: datetime) -> int:
    return int(when.timestamp() * 1000)
