"""Unix milliseconds as ISO 8601 has them, without the clock that comes with Python's dates."""

from __future__ import annotations

from typing import Final

_DAY: Final = 86_400_000
_ERA: Final = 146_097
"""Days of 400 years, after which the Gregorian calendar repeats."""

_LAST: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: what is later cannot be written with four digits, and is told as that."""

_MONTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def iso(millis: int) -> str:
    """A time as ISO 8601, in UTC, such as ``2026-09-22T14:26:40.000+00:00``."""
    days, rest = divmod(min(millis, _LAST), _DAY)
    eras, days = divmod(days, _ERA)
    year, month = 1970 + 400 * eras, 0
    while days >= (length := 365 + _leap(year)):
        year, days = year + 1, days - length
    while days >= (length := _MONTHS[month] + (month == 1 and _leap(year))):
        month, days = month + 1, days - length
    minutes, rest = divmod(rest, 60_000)
    clock = f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
    return f"{year:04}-{month + 1:02}-{days + 1:02}T{clock}+00:00"


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
