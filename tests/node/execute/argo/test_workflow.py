"""The Workflows of Argo: what they hold, what is handed to one that runs, and what is read of one that failed."""

from __future__ import annotations

import json
from typing import Any

from node.execute.argo.workflow import failure, handing_over, workflow


def going(phase: str, **nodes: dict[str, Any]) -> dict[str, Any]:
    return {"status": {"phase": phase, "nodes": nodes}}


def test_argo_learns_names_and_nothing_else_of_steps() -> None:
    """Lost: an argument of a command, which may tell of data, on the page of whoever looks at Argo."""
    made = workflow("steps-1", ["step-1", "step-2"], "owner", "account")
    assert made["spec"]["arguments"] == {"parameters": [{"name": "steps", "value": '["step-1", "step-2"]'}]}
    starts = [each["resource"] for each in made["spec"]["templates"] if "resource" in each]
    assert [each["action"] for each in starts] == ["patch"], "it makes no pod: it lets one start"


def test_a_round_is_handed_to_what_stands_by_and_refused_once_it_has_gone_on() -> None:
    """Lost: a step that Argo never starts, for it was told too late."""
    waiting = going("Running", a={"type": "Pod", "phase": "Running"}, b={"type": "Suspend", "phase": "Running"})
    patch = handing_over(waiting, ["step-3"])
    assert patch is not None
    assert patch[0] == {"op": "test", "path": "/status/nodes/b/phase", "value": "Running"}
    given = {each["name"]: each["value"] for each in patch[1]["value"]["parameters"]}
    assert json.loads(given["steps"]) == ["step-3"]
    assert handing_over(going("Running", b={"type": "Suspend", "phase": "Succeeded"}), ["step-3"]) is None
    assert handing_over(going("Succeeded", b={"type": "Suspend", "phase": "Running"}), ["step-3"]) is None
    assert handing_over({}, ["step-3"]) is None


def test_a_step_is_told_why_it_is_not_started() -> None:
    """Lost: Argo's own reason."""
    failed = {"phase": "Error", "displayName": "round(0:step-1)", "message": "quota"}
    assert failure(going("Running", a=failed), "step-1") == "quota"
    assert failure(going("Running", a=failed), "step-2") == ""
    assert failure({"status": {"phase": "Error", "message": "no account"}}, "step-2") == "no account"
    assert failure(going("Succeeded"), "step-2") == "it ended without it"
    assert failure({}, "step-2") == ""
