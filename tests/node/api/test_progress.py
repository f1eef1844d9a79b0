"""How far a submission is, by its events alone."""

from __future__ import annotations

from node.api.progress import Progress
from node.api.watched import EventView


def state(number: int, status: str) -> EventView:
    return EventView(number=number, at=100 * number, kind="state", status=status, reason="")


def step(number: int, status: str, *, shard: int = 0, attempt: int = 1, cost: int = 0) -> EventView:
    return EventView(
        number=number, at=100 * number, kind="step", status=status, reason="", step="count", shard=shard,
        attempt=attempt, site="did:key:z", site_name="Anna", cost=cost,
    )  # fmt: skip


def test_an_attempt_has_its_times_and_a_second_one_has_its_own() -> None:
    """Lost: how long a step took; a retry would make it seem to have taken all the time since the first try."""
    progress = Progress([state(1, "running"), step(2, "running"), step(3, "waiting"), step(4, "failed", cost=7)])
    (first,) = progress.attempts
    assert (first.began, first.ended, first.status, first.cost) == (200, 400, "failed", 7)
    for event in (step(5, "running", attempt=2), step(6, "running", shard=1), step(7, "done", attempt=2)):
        progress.take(event)
    assert [(each.shard, each.attempt, each.began, each.ended) for each in progress.attempts] == [
        (0, 1, 200, 400),
        (0, 2, 500, 700),
        (1, 1, 600, None),
    ]
    assert progress.newest()["count", 0].attempt == 2


def test_it_ends_with_a_state_that_ends_and_not_while_it_is_paused() -> None:
    """Lost: a picture that stops where somebody paused for a while."""
    progress = Progress([state(1, "running"), state(2, "paused"), state(3, "running")])
    assert (progress.began, progress.ended) == (100, None)
    progress.take(state(4, "done"))
    assert progress.ended == 400


def test_what_a_late_receipt_says_counts() -> None:
    """Lost: a step that delivered after its site was thought away."""
    progress = Progress([step(1, "running"), step(2, "unreachable"), step(3, "done")])
    assert (progress.attempts[0].status, progress.attempts[0].ended) == ("done", 300)
