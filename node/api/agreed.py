"""What a person asked for, and the check that a prepared submission says exactly that before it is signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from catalog.cid import RAW, Cid
from catalog.error import BadInput, VerificationFailed
from catalog.project import ProjectRef
from node.api.plans import PlanView
from node.api.schema import StatusView
from workflow.argument import Argument, Data, Literal, Many
from workflow.order import MAX_SHARDS
from workflow.submission import Submission

PREFIX = "comity:"

GRACE_MILLIS = 60_000
"""How long after the deadline a submission may count: receipts are still on their way, no step runs any more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request in the person's own words: CWL text, the job as JSON values, and the limits.

    ``holders`` are the sites that publish each dataset, as the catalog says; ``deadline`` is Unix milliseconds,
    ``budget`` millionths.
    """

    person: str
    workflow: str
    job: Mapping[str, object]
    holders: Mapping[Cid, frozenset[str]]
    project: ProjectRef
    deadline: int
    budget: int
    min_sites: int | None


def job_value(value: object) -> object:
    """A job's value as JSON: a CID becomes a CWL File under ``comity:CID``; lists and maps are gone through.

    Raises:
        BadInput: neither a CID nor a value that JSON has.
    """
    if isinstance(value, Cid):
        return {"class": "File", "location": f"{PREFIX}{value}"}
    if isinstance(value, Mapping):
        return {str(name): job_value(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [job_value(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise BadInput(f"a {type(value).__name__} cannot stand in a job; give CIDs, text, numbers, lists or maps")


def check_agreed(asked: Asked, submission: Submission, plan: PlanView, status: StatusView) -> None:
    """Check that ``submission`` asks for what the person asked for, of nobody but this node.

    Raises:
        VerificationFailed: names what differs; nothing is signed.
    """
    sites = {step.site for step in plan.steps} | {status.site}
    same = {
        "person": submission.person == asked.person,
        "site": submission.site == status.site,
        "consortium": submission.consortium == _consortium(status) and submission.epoch == status.epoch,
        "project": submission.project == asked.project,
        "workflow": submission.workflow == Cid.of(asked.workflow.encode(), RAW),
        "deadline": submission.deadline == asked.deadline == plan.deadline,
        "budget": submission.budget == asked.budget == plan.budget,
        "end": submission.not_after <= asked.deadline + GRACE_MILLIS,
        "number of sites": submission.min_sites == (asked.min_sites or _widest(plan)),
        "destinations": all(_site_of(reader) in sites for reader in submission.destinations),
        "bus": submission.buses == (status.node,),
        "inputs": set(submission.inputs) == set(asked.job),
    }
    inputs = {
        f"input «{name}»": _is(argument, asked.job.get(name), asked.holders)
        for name, argument in submission.inputs.items()
    }
    differ = [what for what, right in (same | inputs).items() if not right]
    if differ:
        raise VerificationFailed(
            f"the node prepared a submission that differs from what was asked ({', '.join(differ)}); it was not signed"
        )


def _is(argument: Argument, value: object, holders: Mapping[Cid, frozenset[str]]) -> bool:
    match argument:
        case Many():
            return (
                isinstance(value, list)
                and len(value) == len(argument.items)
                and all(_is(item, each, holders) for item, each in zip(argument.items, value, strict=True))
            )
        case Data():
            if not isinstance(value, dict) or value.get("class") not in ("File", "Directory"):
                return False
            named = value.get("location") == f"{PREFIX}{argument.cid}"
            held = argument.site in holders.get(argument.cid, frozenset((argument.site,)))
            return argument.at is None and named and held and value.get("basename", argument.name) == argument.name
        case Literal():
            return _canonical(json.loads(argument.json)) == _canonical(value)


def _canonical(value: object) -> str:
    # Text, because 1, 1.0 and True are equal to Python and not to a workflow.
    return json.dumps(value, sort_keys=True)


def _widest(plan: PlanView) -> int:
    """How many instances the most scattered step has, at most: all must deliver when nothing else was asked."""
    if plan.unforeseen:
        return MAX_SHARDS
    counts: dict[str, int] = {}
    for step in plan.steps:
        counts[step.step] = counts.get(step.step, 0) + 1
    return max(counts.values(), default=1)


def _site_of(reader: str) -> str:
    return reader.rpartition("@")[2]


def _consortium(status: StatusView) -> Cid | None:
    return Cid.parse(status.consortium_cid) if status.consortium_cid else None
