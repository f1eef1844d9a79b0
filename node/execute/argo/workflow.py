"""A Workflow of Argo that starts Jobs which lie ready: those of its first round at once, and of more as they come.

The Job of a step is made by the node, suspended, and holds all that a step is. What Argo gets are the names: its pods
let a Job start and wait for its end, and are not allowed to make any. While a round runs, a node of the kind «suspend»
stands by for the names of the next; after some time in which none come it goes on without, and the Workflow ends. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from catalog.error import shown
from node.execute.kubernetes.manifest import MANAGED, NODE_LABEL

Value = dict[str, Any]

KEPT_SECONDS: Final = 3600
"""How long Argo's own page shows a Workflow that ended."""

_IDLE: Final = "60"
_ROUNDS, _START, _NEXT = "rounds", "start", "next"
_YES, _NO = "yes", "no"
_SAID: Final = 300
_USER: Final = 8737  # Argo's own, in its image
_JOB: Final = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: {{inputs.parameters.step}}
spec:
  suspend: false
"""


def workflow(name: str, steps: Sequence[str], owner: str, account: str) -> Value:
    """The Workflow ``name`` that starts the Jobs ``steps``, as the ``account`` of Argo's pods in that namespace."""
    spec = {
        "entrypoint": _ROUNDS,
        "serviceAccountName": account,
        "arguments": {"parameters": [{"name": "steps", "value": json.dumps(list(steps))}]},
        "ttlStrategy": {"secondsAfterCompletion": KEPT_SECONDS},
        "podGC": {"strategy": "OnPodCompletion"},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "templates": [_rounds(), _start(), _next()],
    }
    metadata = {"name": name, "labels": MANAGED | {NODE_LABEL: owner}}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}


def handing_over(workflow: Value, steps: Sequence[str]) -> list[Value] | None:
    """The patch (RFC 6902) by which a running ``workflow`` is given its next round; none if it takes no more.

    It is refused by the server if the Workflow has gone on meanwhile.
    """
    status = workflow.get("status", {})
    for key, node in status.get("nodes", {}).items():
        if node.get("type") == "Suspend" and node.get("phase") == "Running" and status.get("phase") == "Running":
            at = f"/status/nodes/{key}"
            given = {"steps": json.dumps(list(steps)), "more": _YES}
            outputs = {"parameters": [{"name": name, "value": value} for name, value in given.items()]}
            return [
                {"op": "test", "path": f"{at}/phase", "value": "Running"},
                {"op": "add", "path": f"{at}/outputs", "value": outputs},
                {"op": "replace", "path": f"{at}/phase", "value": "Succeeded"},
            ]
    return None


def failure(workflow: Value, step: str) -> str:
    """Why ``workflow`` does not start ``step`` any more, or an empty string."""
    status = workflow.get("status", {})
    said = [
        str(node.get("message", ""))
        for node in status.get("nodes", {}).values()
        if node.get("phase") in ("Error", "Failed") and f":{step})" in node.get("displayName", "")
    ]
    if status.get("phase") in ("Error", "Failed"):
        said.append(str(status.get("message", "")))
    elif status.get("phase") == "Succeeded" and not said:
        said.append("it ended without it")
    elif not said:
        return ""
    return shown(next((each for each in said if each), "it does not say why"), _SAID)


def is_taken(workflow: Value) -> bool:
    """Whether Argo's controller has taken it up."""
    return bool(workflow.get("status", {}).get("phase"))


def _rounds() -> Value:
    tasks = [
        {
            "name": "round",
            "template": _START,
            "withParam": "{{inputs.parameters.steps}}",
            "arguments": {"parameters": [{"name": "step", "value": "{{item}}"}]},
        },
        {"name": _NEXT, "template": _NEXT},
        {
            "name": "more",
            "template": _ROUNDS,
            "depends": f"{_NEXT}.Succeeded",
            # A word of its own: an expression cannot hold the quotes of JSON.
            "when": f"{{{{tasks.{_NEXT}.outputs.parameters.more}}}} == {_YES}",
            "arguments": {
                "parameters": [{"name": "steps", "value": f"{{{{tasks.{_NEXT}.outputs.parameters.steps}}}}"}]
            },
        },
    ]
    return {
        "name": _ROUNDS,
        "inputs": {"parameters": [{"name": "steps"}]},
        # A step that came to nothing is told to the node by its own means, and keeps no other from starting.
        "dag": {"failFast": False, "tasks": tasks},
    }


def _start() -> Value:
    return {
        "name": _START,
        "inputs": {"parameters": [{"name": "step"}]},
        "resource": {
            "action": "patch",
            "mergeStrategy": "merge",
            "manifest": _JOB,
            "successCondition": "status.succeeded > 0",
            "failureCondition": "status.failed > 0",
        },
    }


def _next() -> Value:
    return {
        "name": _NEXT,
        "suspend": {"duration": _IDLE},
        "outputs": {
            "parameters": [
                {"name": name, "valueFrom": {"supplied": {}, "default": default}}
                for name, default in (("steps", "[]"), ("more", _NO))
            ]
        },
    }
