"""What is too old is not relied on, and the reason says of whom nothing was heard for how long."""

import pytest

from privacy.freshness import BOUNDS, DAY, HOUR, duration, overdue


@pytest.mark.parametrize(
    ("action", "bound"), [("see", 7 * DAY), ("fetch", DAY), ("compute", DAY), ("release", 2 * HOUR)]
)
def test_each_action_has_its_bound(action, bound):
    """Lost: a site that was cut off goes on for ever by grants that were revoked long ago."""
    assert overdue(action, {"St. Anna": bound, "St. Bruno": 0}) == ""
    assert "St. Anna" in overdue(action, {"St. Anna": bound + 1, "St. Bruno": 0})
    assert BOUNDS[action] == bound


def test_whoever_was_never_heard_is_named_first():
    assert "St. Bruno yet" in overdue("see", {"St. Anna": 99 * DAY, "St. Bruno": None})
    assert overdue("release", {}) == ""


def test_the_reason_is_one_line_that_says_what_to_do():
    assert overdue("compute", {"St. Anna": 26 * HOUR}) == (
        "nothing fresh was heard from St. Anna for 26 h; compute needs 24 h: see whether its node runs"
    )
    assert [duration(each) for each in (0, 119 * 60_000, 2 * HOUR, 71 * HOUR, 7 * DAY)] == [
        "0 min",
        "119 min",
        "2 h",
        "71 h",
        "7 d",
    ]
