"""A Workflow of Argo whose nodes are steps: those of its first round, and of more as they come.

Each step is a node of the kind «suspend», which Argo brings to «Running» when it is its turn; then this node has the
step's Job made, and says when that ended. So Argo schedules and shows steps and starts no pod: one of its own could not
be without network, and would hold room in the cluster until its step ends. Of a step Argo gets a random name.

While a round runs, another such node stands by for the names of the next; after some time in which none come it goes
on without, and the Workflow ends. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from catalog.error import shown
from node.execute.kubernetes.manifest import MANAGED, NODE_LABEL

Value = dict[str, Any]

KEPT_SECONDS: Final = 3600
"""How long Argo's own page shows a Workflow that ended."""

LONGEST_SECONDS: Final = 7 * 24 * 3600
"""How long Argo keeps up one whose node never came back."""

_IDLE: Final = "60"
_ROUNDS, _ROUND, _STEP, _NEXT = "rounds", "round", "step", "next"
_YES, _NO = "yes", "no"
_SAID: Final = 300
_OVER: Final = ("Succeeded", "Failed", "Error")
_OF_A_STEP: Final = re.compile(rf"{_ROUND}\(\d+:([^()]+)\)")


@dataclass(frozen=True, slots=True)
class Turn:
    """The node of one step: its key in the Workflow's status, and its phase there."""

    key: str
    phase: str

    @property
    def has_come(self) -> bool:
        """Whether Argo lets the step run."""
        return self.phase == "Running"

    @property
    def is_over(self) -> bool:
        """Whether Argo is done with it."""
        return self.phase in _OVER


def workflow(name: str, steps: Sequence[str], owner: str) -> Value:
    """The Workflow ``name`` whose first round are ``steps``, of the node ``owner``."""
    spec = {
        "entrypoint": _ROUNDS,
        "arguments": {"parameters": [{"name": "steps", "value": json.dumps(list(steps))}]},
        "activeDeadlineSeconds": LONGEST_SECONDS,
        "ttlStrategy": {"secondsAfterCompletion": KEPT_SECONDS},
        "templates": [_rounds(), _step(), _next()],
    }
    metadata = {"name": name, "labels": MANAGED | {NODE_LABEL: owner}}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}


def turns(workflow: Value) -> dict[str, Turn]:
    """The steps of ``workflow`` that Argo knows by now."""
    named = (
        (_OF_A_STEP.fullmatch(str(node.get("displayName", ""))), key, node) for key, node in _nodes(workflow).items()
    )
    return {of[1]: Turn(key, str(node.get("phase", ""))) for of, key, node in named if of is not None}


def telling(ended: Mapping[str, bool], at: str) -> list[Value]:
    """The patch (RFC 6902) that says of nodes, by their keys, whether their steps ended or were ended; ``at`` when.

    It is refused by the server if Argo is done with one of them. How a step ended is nobody's to know there.
    """
    patch: list[Value] = []
    for key, well in ended.items():
        node = f"/status/nodes/{key}"
        patch += [
            {"op": "test", "path": f"{node}/phase", "value": "Running"},
            {"op": "add", "path": f"{node}/finishedAt", "value": at},
            {"op": "add", "path": f"{node}/message", "value": "" if well else "ended before its time, or not begun"},
            {"op": "replace", "path": f"{node}/phase", "value": "Succeeded" if well else "Failed"},
        ]
    return patch


def handing_over(workflow: Value, steps: Sequence[str]) -> list[Value] | None:
    """The patch (RFC 6902) by which a running ``workflow`` is given its next round; none if it takes no more.

    It is refused by the server if the Workflow has gone on meanwhile.
    """
    for key, node in _nodes(workflow).items():
        if [node.get("displayName"), node.get("phase"), _phase(workflow)] == [_NEXT, "Running", "Running"]:
            at = f"/status/nodes/{key}"
            given = {"steps": json.dumps(list(steps)), "more": _YES}
            outputs = {"parameters": [{"name": name, "value": value} for name, value in given.items()]}
            return [
                {"op": "test", "path": f"{at}/phase", "value": "Running"},
                {"op": "add", "path": f"{at}/outputs", "value": outputs},
                {"op": "replace", "path": f"{at}/phase", "value": "Succeeded"},
            ]
    return None


def is_young(workflow: Value) -> bool:
    """Whether Argo has still to come to where a next round can be handed over."""
    return not is_over(workflow) and all(node.get("displayName") != _NEXT for node in _nodes(workflow).values())


def failure(workflow: Value, step: str) -> str:
    """Why Argo does not let ``step`` of ``workflow`` run any more, or an empty string."""
    turn, phase = turns(workflow).get(step), _phase(workflow)
    if turn is not None and turn.is_over:
        said = [str(_nodes(workflow)[turn.key].get("message", "")), "somebody ended it there"]
    elif phase in ("Error", "Failed"):
        said = [str(_status(workflow).get("message", "")), "it does not say why"]
    else:
        return ""
    return shown(next(each for each in said if each), _SAID)


def is_taken(workflow: Value) -> bool:
    """Whether Argo's controller has taken it up."""
    return bool(_phase(workflow))


def ended_well(workflow: Value) -> bool:
    """Whether all that Argo knew of it has run: what it does not know, it was not told in time."""
    return _phase(workflow) == "Succeeded"


def is_over(workflow: Value) -> bool:
    """Whether Argo is done with all of it."""
    return _phase(workflow) in _OVER


def _status(workflow: Value) -> Value:
    found = workflow.get("status")
    return found if isinstance(found, dict) else {}


def _phase(workflow: Value) -> str:
    return str(_status(workflow).get("phase", ""))


def _nodes(workflow: Value) -> dict[str, Value]:
    found = _status(workflow).get("nodes")
    return {str(key): node for key, node in found.items() if isinstance(node, dict)} if isinstance(found, dict) else {}


def _rounds() -> Value:
    tasks = [
        {
            "name": _ROUND,
            "template": _STEP,
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


def _step() -> Value:
    return {"name": _STEP, "inputs": {"parameters": [{"name": "step"}]}, "suspend": {}}


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
