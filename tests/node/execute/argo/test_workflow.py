"""The Workflows of Argo: what they hold, what is told to one that runs, and what is read of one that failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.execute.argo.workflow import failure, handing_over, is_over, is_taken, is_young, telling, turns, workflow

NEXT = {"type": "Suspend", "displayName": "next", "phase": "Running"}


def step(name: str, phase: str = "Running", **more: str) -> dict[str, Any]:
    return {"type": "Suspend", "displayName": f"round(0:{name})", "phase": phase, **more}


def going(phase: str, **nodes: dict[str, Any]) -> dict[str, Any]:
    return {"status": {"phase": phase, "nodes": nodes}}


def test_argo_learns_names_and_nothing_else_of_steps_and_starts_no_pod() -> None:
    """Lost: an argument of a command on the page of whoever looks at Argo, or pods with a network beside steps."""
    made = workflow("steps-1", ["step-1", "step-2"], "owner")
    assert made["spec"]["arguments"] == {"parameters": [{"name": "steps", "value": '["step-1", "step-2"]'}]}
    kinds = {kind for each in made["spec"]["templates"] for kind in each if kind not in ("name", "inputs", "outputs")}
    assert kinds == {"dag", "suspend"}
    assert "serviceAccountName" not in made["spec"]


def test_whose_turn_it_is_is_read_of_the_nodes_of_steps_alone() -> None:
    """Lost: a step that runs before Argo lets it, or never."""
    seen = going(
        "Running",
        a=step("step-1"),
        b=step("step-2", "Pending"),
        c=step("step-3", "Failed"),
        d=NEXT,
        e={"displayName": "round(0:step-4", "phase": "Running"},
        f={"phase": "Running"},
    )
    found = turns(seen)
    assert {name: (turn.key, turn.has_come, turn.is_over) for name, turn in found.items()} == {
        "step-1": ("a", True, False),
        "step-2": ("b", False, False),
        "step-3": ("c", False, True),
    }


def test_ends_are_told_of_what_runs_still_and_say_nothing_of_how() -> None:
    """Lost: how a step ended, which may tell of data, on the page of whoever looks at Argo."""
    patch = telling({"a": True, "b": False}, "2026-01-01T00:00:00Z")
    assert patch[0] == {"op": "test", "path": "/status/nodes/a/phase", "value": "Running"}
    said = {each["path"]: each["value"] for each in patch if each["op"] != "test"}
    assert said["/status/nodes/a/phase"] == "Succeeded"
    assert said["/status/nodes/b/phase"] == "Failed"
    assert said["/status/nodes/b/message"] == "ended before its time, or not begun"
    assert telling({}, "") == []


def test_a_round_is_handed_to_what_stands_by_and_refused_once_it_has_gone_on() -> None:
    """Lost: a step that Argo never starts, for it was told too late."""
    patch = handing_over(going("Running", a=step("step-1"), b=NEXT), ["step-3"])
    assert patch is not None
    assert patch[0] == {"op": "test", "path": "/status/nodes/b/phase", "value": "Running"}
    given = {each["name"]: each["value"] for each in patch[1]["value"]["parameters"]}
    assert json.loads(given["steps"]) == ["step-3"]
    assert handing_over(going("Running", a=step("step-1")), ["step-3"]) is None, "a step is not what stands by"
    assert handing_over(going("Running", b=NEXT | {"phase": "Succeeded"}), ["step-3"]) is None
    assert handing_over(going("Succeeded", b=NEXT), ["step-3"]) is None
    assert handing_over({}, ["step-3"]) is None


def test_one_that_was_just_made_is_waited_for() -> None:
    """Lost: steps that come a moment after the first have Workflows of their own."""
    assert is_young({})
    assert is_young(going("Running", a=step("step-1")))
    assert not is_young(going("Running", b=NEXT))
    assert not is_young(going("Running", b=NEXT | {"phase": "Succeeded"}))
    assert not is_young(going("Failed"))


def test_a_step_is_told_why_it_is_not_let_run() -> None:
    """Lost: Argo's own reason."""
    failed = step("step-1", "Error", message="stopped")
    assert failure(going("Running", a=failed), "step-1") == "stopped"
    assert failure(going("Running", a=failed), "step-2") == ""
    assert failure(going("Running", a=step("step-1", "Succeeded")), "step-1") == "somebody ended it there"
    assert failure({"status": {"phase": "Error", "message": "no room"}}, "step-2") == "no room"
    assert failure({"status": {"phase": "Failed"}}, "step-2") == "it does not say why"
    assert failure(going("Succeeded"), "step-2") == "", "it is sent again"
    assert failure({}, "step-2") == ""


@pytest.mark.parametrize("status", [None, [], "x", {"nodes": []}, {"nodes": {"a": None}}, {"phase": 5}])
def test_what_is_no_status_is_none(status: object) -> None:
    """Lost: a node that stops since an API server answered something else."""
    odd = {"status": status}
    assert turns(odd) == {}
    assert failure(odd, "step-1") == ""
    assert handing_over(odd, []) is None
    assert not is_over(odd)
    assert is_taken(odd) is (status == {"phase": 5})
