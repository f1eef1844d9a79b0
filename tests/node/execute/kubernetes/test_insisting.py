"""A step's result that a cluster does not give at once."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
import trio.testing

from catalog.error import Denied
from node.execute.kubernetes.onestep import AWAY_SECONDS, SEEN_SECONDS, OneStep
from node.execute.kubernetes.pod import Pod
from node.step import Limits


class _Job:
    """One whose cluster is away until a time of this loop's clock."""

    pod = None

    def __init__(self, back: float) -> None:
        self._back = back

    @property
    def unseen(self) -> str:
        return "away" if trio.current_time() < self._back else ""


def insisted(back: float, gives: float) -> float:
    """The seconds until a result came that is denied until ``gives``; the cluster is seen again from ``back`` on."""

    async def main() -> float:
        begun = trio.current_time()

        async def fetch(_: Pod) -> None:
            if trio.current_time() < begun + gives:
                raise Denied("not yet")

        step = OneStep(cast("Any", _Job(begun + back)), Limits(), cast("Any", None))
        await step._insist(fetch, Pod("p", "p", "Running"))
        return trio.current_time() - begun

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_cluster_that_was_away_for_minutes_has_its_time_when_it_is_back() -> None:
    """Lost: hours of computation, since an API server denies all for some seconds after it starts."""
    assert insisted(back=10 * 60, gives=10 * 60 + 20) >= 10 * 60 + 20


def test_one_that_is_there_and_does_not_give_it_holds_a_turn_no_longer_than_a_minute() -> None:
    """Lost: a turn for a quarter of an hour, by a step that leaves what cannot be fetched."""
    with pytest.raises(Denied):
        insisted(back=0, gives=SEEN_SECONDS + 5)
    with pytest.raises(Denied):
        insisted(back=2 * AWAY_SECONDS, gives=AWAY_SECONDS + 5)
