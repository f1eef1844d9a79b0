"""Times as text, beside Python's own."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from workflow.crate.when import iso


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
@example(0)
@example(951_782_400_000)  # 29 February 2000
@example(4_107_542_400_000)  # 1 March 2100, which has no 29 February before it
@example(253_402_300_799_999)
def test_a_time_is_told_as_pythons_own_dates_tell_it(millis: int) -> None:
    """Lost: the day on which something ran, at the end of a February."""
    whole = datetime.fromtimestamp(millis // 1000, UTC).replace(microsecond=millis % 1000 * 1000)
    assert iso(millis) == whole.isoformat(timespec="milliseconds")


def test_a_time_that_no_calendar_has_is_the_last_that_four_digits_tell() -> None:
    """Lost: a crate, to a receipt of which somebody signed an absurd time."""
    assert iso(1 << 62) == "9999-12-31T23:59:59.999+00:00"
