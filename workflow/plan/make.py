"""The plan: each step instance at a site, what it costs, when it should end, and why it does not run elsewhere.

A step runs where the labels of its inputs let it: beside resident data, else at the requester's own site, to which
the outputs before it are released. Planning across offers, to a proven bound, builds on these same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.error import BadInput, Denied, Infeasible
from catalog.index import Index
from catalog.label import Label
from catalog.offer import MICRO, OfferFields
from privacy.label import effective_readers
from privacy.trust import has_left
from workflow.argument import Argument, Data, Many, data_in
from workflow.graph import Source, Step, Workflow, order_of_steps
from workflow.price import most, moved_to
from workflow.unfold import given_inputs, shards

MAX_INSTANCES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Why a step instance does not run at ``site``."""

    site: str
    reason: str


@dataclass(frozen=True, slots=True)
class Planned:
    """One step instance: ``start`` and ``finish`` in ms from the beginning, ``cost`` at most in millionths."""

    step: str
    shard: int
    site: str
    data: tuple[str, ...]
    start: int
    finish: int
    cost: int
    elsewhere: tuple[Elsewhere, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Every instance, in the order of the steps; ``cost`` of all at most, and ``finish`` in ms from the start."""

    steps: tuple[Planned, ...]
    cost: int
    finish: int


@dataclass(frozen=True, slots=True)
class Members:
    """The sites to choose from, and those that left: name for people by root key; and the requester's own."""

    names: Mapping[str, str]
    home: str


def make_plan(workflow: Workflow, inputs: Mapping[str, Argument], index: Index, members: Members) -> Plan:
    """Place every instance.

    Raises:
        BadInput: the inputs do not fit the workflow.
        Denied: data that is not in the catalog here, or whose site left the consortium.
        Infeasible: a step that no site may run, with each site's reason.
    """
    values: dict[Source, Argument] = dict(given_inputs(workflow, inputs))
    ready: dict[Source, int] = dict.fromkeys(values, 0)
    free: dict[str, int] = {}
    steps: list[Planned] = []
    for step in order_of_steps(workflow):
        begin = max([ready[s] for each in step.inputs for s in each.sources] or [0])
        placed = []
        for shard, given in enumerate(shards(step, values)):
            site, elsewhere = _choose(step, given, index, members)
            offer = _offer(index, site, members)
            start = max(begin, free.get(site, 0))
            free[site] = start + offer.step_millis
            names = tuple(item.name for item in data_in(given) if item.cid != _UNKNOWN)
            cost = most(offer, moved_to(index, site, given))
            placed.append(Planned(step.id, shard, site, names, start, free[site], cost, elsewhere))
        steps.extend(placed)
        if len(steps) > MAX_INSTANCES:
            raise BadInput(f"the workflow unfolds into more than {MAX_INSTANCES:,} steps; submit it in parts")
        for name in step.outputs:
            source = Source(step.id, name)
            ready[source] = max([each.finish for each in placed] or [begin])
            values[source] = _promise(step, name, placed)
    return Plan(tuple(steps), sum(each.cost for each in steps), max([each.finish for each in steps] or [0]))


def check_limits(plan: Plan, *, now: int, deadline: int, budget: int) -> None:
    """Refuse a plan that does not keep deadline and budget, before anything runs.

    Raises:
        Infeasible: names the limit that binds and by how much; both, if both do.
    """
    faults = []
    if plan.cost > budget:
        short = (plan.cost - budget) / MICRO
        faults.append(
            f"the budget {budget / MICRO:.2f} does not cover the plan's {plan.cost / MICRO:.2f}: +{short:.2f}"
        )
    if now > deadline:
        faults.append(f"the deadline passed {_span(now - deadline)} ago")
    elif now + plan.finish > deadline:
        late = now + plan.finish - deadline
        faults.append(f"the deadline is {_span(late)} before the plan's expected finish")
    if faults:
        raise Infeasible("no feasible plan: " + "; ".join(faults) + ". Nothing was run")


def _span(millis: int) -> str:
    """A time span for people."""
    seconds = millis / 1000
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.1):.1f} s"


_UNKNOWN = Cid.of(b"")
"""Stands in for the CID of an output that no step has made yet."""


def _promise(step: Step, name: str, placed: list[Planned]) -> Argument:
    promised = [Data(site=each.site, cid=_UNKNOWN, name=name) for each in placed]
    return Many(items=tuple(promised)) if step.scatter else promised[0]


def _choose(
    step: Step, given: Mapping[str, Argument], index: Index, members: Members
) -> tuple[str, tuple[Elsewhere, ...]]:
    """The site of an instance, and each other site's reason."""
    data = [item for item in data_in(dict(given)) if item.cid != _UNKNOWN]
    labels = {item: _label(item, index, members) for item in data}
    reasons = {site: _reason(site, labels, index, members) for site in members.names}
    fit = [site for site, reason in reasons.items() if not reason]
    if not fit:
        told = "; ".join(f"{members.names[site]}: {reason}" for site, reason in sorted(reasons.items()))
        raise Infeasible(f"no site may run step «{step.id}»: {told}")
    holders = [item.site for item in data if item.site in fit]
    chosen = holders[0] if holders else members.home if members.home in fit else fit[0]
    why = "its data are there" if holders else "the outputs before it are released to the requester's site"
    other = {site: reasons[site] or f"it runs at {members.names[chosen]}: {why}" for site in members.names}
    return chosen, tuple(Elsewhere(site, reason) for site, reason in sorted(other.items()) if site != chosen)


def _reason(site: str, labels: Mapping[Data, Label], index: Index, members: Members) -> str:
    if stale := index.site(site).stale:
        return stale
    for item, label in labels.items():
        readers, owner = effective_readers(label), members.names.get(item.site, "its owner")
        # That a person there reads it opens it to nobody's steps.
        if readers is not None and site not in readers:
            if readers == {item.site}:
                return f"«{item.name}» is resident at {owner} and may not leave it"
            return f"«{item.name}» is shared by {owner} with others"
    if index.site(site).typed(OfferFields, "offer") is None:
        return "it offers no computation"
    return ""


def _label(data: Data, index: Index, members: Members) -> Label:
    if has_left(index, data.site):
        owner = members.names.get(data.site, data.site)
        raise Denied(f"the dataset {data.cid} is not offered any more: its site, {owner}, left the consortium")
    fields = index.site(data.site).typed(DatasetFields, "dataset", str(data.cid))
    if fields is None or fields.withdrawn:
        raise Denied(f"no dataset {data.cid} stands in the catalog; see «comity dataset list»")
    return fields.label


def _offer(index: Index, site: str, members: Members) -> OfferFields:
    offer = index.site(site).typed(OfferFields, "offer")
    if offer is None:
        raise BadInput(f"{members.names[site]} offers no computation")
    return offer
