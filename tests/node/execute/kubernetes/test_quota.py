"""What a namespace's quotas leave to steps."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.error import NotFound, VerificationFailed
from node.execute.kubernetes.quota import bounds, machine_of


class Answers:
    """An API server that knows quotas alone."""

    def __init__(self, *hard: dict[str, object]) -> None:
        self._hard = hard

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/steps/resourcequotas"
        return {"items": [{"status": {"hard": each}} for each in self._hard]}


def bounded(*hard: dict[str, object]) -> dict[str, str]:
    return bounds(Answers(*hard), "steps")  # type: ignore[arg-type]


def test_what_steps_have_is_what_quotas_leave_them() -> None:
    """Lost: a site with a cluster of a thousand processors is passed over, or one with a small quota is chosen."""
    found = bounded({"limits.cpu": "16", "limits.memory": "64Gi", "pods": "200"})
    assert found == {"limits.cpu": "16", "limits.memory": "64Gi"}
    machine = machine_of(found)
    assert (machine.processors, machine.memory_mib, machine.processor) == (16, 64 << 10, "")


def test_of_several_quotas_the_narrowest_holds() -> None:
    found = bounded({"limits.cpu": "9", "limits.memory": "2G"}, {"limits.cpu": "4500m"}, {"limits.cpu": "1k"})
    assert found == {"limits.cpu": "4500m", "limits.memory": "2G"}
    machine = machine_of(found)
    assert (machine.processors, machine.memory_mib) == (4, 1907)


def test_a_boast_or_a_pittance_is_a_number_that_the_catalog_takes() -> None:
    machine = machine_of({"limits.cpu": "1e18", "limits.memory": "1"})
    assert (machine.processors, machine.memory_mib) == (1 << 16, 1)
    assert machine_of({"limits.cpu": "1m", "limits.memory": "9E"}).memory_mib == 1 << 30


def test_without_a_quota_nothing_is_told() -> None:
    """Lost: a number that nobody gave."""
    for found in ({}, {"limits.cpu": "4"}):
        with pytest.raises(NotFound, match=r"no quota of CPUs and memory.*comity site deploy"):
            machine_of(found)


@pytest.mark.parametrize(
    "wrong",
    ["", "much", "4Xi", "NaN", "Infinity", "1e1000000", "9e999999999999999999", "9" * 99, "-1", "٣", None, {"a": 1}],
)
def test_what_is_no_quantity_is_refused(wrong: object) -> None:
    with pytest.raises(VerificationFailed, match="quantity"):
        machine_of({"limits.cpu": str(wrong), "limits.memory": "1Gi"})
