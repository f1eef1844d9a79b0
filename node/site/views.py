"""What people are shown: the site's values as the local interface gives them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from catalog.dagcbor import cid_of, encode, to_json
from catalog.entry import Entry
from catalog.fork import Fork, ForkFile, said_of
from catalog.index import Index, SiteIndex
from catalog.member import KeyFields, Role
from catalog.plural import counted
from node.api import plans, schema
from node.api.faults import MAX_FAULTS, FaultsView, FaultView
from node.api.swarm import SwarmView
from node.bus.journal import CANCELLED, WAITING, Record, Refusal, State
from node.site.membership import Membership
from node.site.swarm import Published
from privacy.fault import PolicyFaults
from workflow.argument import data_in
from workflow.order import Order
from workflow.plan.draft import Word
from workflow.plan.make import Absent, Elsewhere, Plan, Planned
from workflow.receipt import BY_ITS_PERSON, Receipt, Status
from workflow.submission import Submission


def entry_view(entry: Entry, names: Mapping[str, str], left: Collection[str] = ()) -> schema.EntryView:
    """An entry with its site's name, and whether that is one of those that ``left``."""
    body = entry.body
    return schema.EntryView(
        site=entry.site,
        site_name=names.get(entry.site, ""),
        index=entry.index,
        kind=body.kind,
        subject=entry.subject,
        actor=body.actor,
        at=body.at,
        audience=body.audience,
        fields=msgspec.Raw(to_json(entry.fields)),
        left=entry.site in left,
    )


def faults_view(index: SiteIndex) -> FaultsView:
    """How much of a site's catalog does not count, and the first entries of it."""
    found = index.versions.blamed(MAX_FAULTS)
    return FaultsView(
        count=index.versions.faulty, faults=tuple(FaultView(index=place, reason=reason) for place, reason in found)
    )


def swarm_view(published: Published) -> SwarmView:
    """How the Kubo fares that this site publishes in."""
    return SwarmView(
        version=published.version,
        repo=published.repo,
        roots=published.roots,
        bytes=published.bytes,
        peers=published.peers,
        fault=published.fault,
    )


def policy_faults_view(faults: PolicyFaults) -> schema.PolicyFaultsView | None:
    """What rules of this site's policy failed; none if none did."""
    last = faults.last
    if last is None:
        return None
    return schema.PolicyFaultsView(
        count=faults.count, rules=last.rules, action=last.action, at=last.at, reason=last.reason
    )


def first_fault(index: SiteIndex) -> str:
    """The first entry of a site's catalog that does not count, with the reason; empty if there is none."""
    found = index.versions.blamed(1) if index.versions.faulty else ()
    return next((f"entry {place}: {reason}" for place, reason in found), "")


def plan_view(
    plan: Plan, submission: Submission, names: Mapping[str, str], asked: Collection[tuple[str, int]]
) -> plans.PlanView:
    """A plan with the sites' names, against the submission's limits; sites were ``asked`` of these instances."""
    return plans.PlanView(
        steps=tuple(_planned(each, names, asked) for each in plan.steps),
        cost=plan.cost,
        budget=submission.budget,
        finish=plan.finish,
        deadline=submission.deadline,
        least_finish=plan.bounds.finish,
        least_cost=plan.bounds.cost,
        front=tuple(plans.PointView(finish=finish, cost=cost) for finish, cost in plan.front),
        min_sites=submission.min_sites,
        absent=tuple(_absent(each, names) for each in plan.absent),
        unforeseen=plan.unforeseen,
    )


def fork_view(fork: Fork, index: Index, membership: Membership) -> schema.ForkView:
    """A proven fork, with what somebody outside needs to check it."""
    site = fork.origin.partition("/")[0]
    keys = [entry for entry in index.site(site).entries("key") if _is_node(entry)]
    founder = membership.founders.get(site)
    founding = (founder.enrolment,) if founder is not None and founder.enrolment else ()
    enrolments = dict.fromkeys((*(encode(entry.body) for entry in keys[-7:]), *founding))
    return schema.ForkView(
        site=site,
        site_name=membership.names.get(site, site),
        origin=fork.origin,
        reason=said_of(fork),
        proof=encode(ForkFile(fork=fork, enrolments=tuple(enrolments))),
    )


def _is_node(entry: Entry) -> bool:
    fields = entry.fields
    return isinstance(fields, KeyFields) and fields.role is Role.NODE and not fields.removed


def _absent(each: Absent, names: Mapping[str, str]) -> plans.AbsentView:
    return plans.AbsentView(
        step=each.step,
        shard=each.shard,
        data=each.data,
        sites=tuple(names.get(site, site) for site in each.holders),
        reasons=_elsewhere(each.reasons, names),
    )


def _elsewhere(reasons: Sequence[Elsewhere], names: Mapping[str, str]) -> tuple[schema.ElsewhereView, ...]:
    return tuple(schema.ElsewhereView(site=names.get(each.site, each.site), reason=each.reason) for each in reasons)


def _said(word: Word | None) -> str:
    if word is None:
        return ""
    return f"asks {counted(word.stewards, 'steward')}" if word.stewards else "allows it"


def _planned(each: Planned, names: Mapping[str, str], asked: Collection[tuple[str, int]]) -> plans.PlannedView:
    return plans.PlannedView(
        step=each.step,
        shard=each.shard,
        site=each.site,
        site_name=names.get(each.site, ""),
        data=each.data,
        start=each.start,
        finish=each.finish,
        cost=each.cost,
        elsewhere=_elsewhere(each.elsewhere, names),
        moved=each.moved,
        receipts=each.estimate.receipts,
        spread=each.estimate.spread,
        basis=str(each.estimate.basis),
        said=_said(each.said) or ("no answer" if (each.step, each.shard) in asked else ""),
    )


def submission_view(
    record: Record, plan: Plan | None, results: Sequence[schema.ResultView], names: Mapping[str, str], paused: str
) -> schema.SubmissionView:
    """A submission with every instance that is planned or was ordered, the newest attempt at each.

    ``paused`` is why it does not go on, if it runs.
    """
    instances = _instances(record, plan, names)
    scattered = {i.step for i in instances if i.shard > 0}
    asked = [i for i in instances if i.step in scattered] or instances
    absent = [i for i in asked if record.ended and i.status != Status.DONE]
    return schema.SubmissionView(
        submission=record.cid,
        project=record.submission.project.name,
        person=record.submission.person,
        state=str(record.state),
        reason=record.reason if record.ended else paused or _by_its_person(record),
        began=record.began,
        ended=record.ended or None,
        deadline=record.submission.deadline,
        budget=record.submission.budget,
        spent=record.spent,
        instances=tuple(instances),
        results=tuple(results),
        took_part=tuple(dict.fromkeys(i.site_name for i in asked if i.status == Status.DONE)),
        absent=(
            *(schema.ElsewhereView(site=i.site_name, reason=f"{i.status}: {i.reason}") for i in absent),
            *_left_out(plan, names),
        ),
    )


def _left_out(plan: Plan | None, names: Mapping[str, str]) -> Iterator[schema.ElsewhereView]:
    """The holders of the data that a plan goes without."""
    for each in plan.absent if plan else ():
        reasons = {other.site: other.reason for other in each.reasons}
        for site in each.holders:
            why = reasons.get(site, "no site may run it")
            yield schema.ElsewhereView(site=names.get(site, site), reason=f"left out of the plan: {why}")


def _by_its_person(record: Record) -> str:
    return "its person paused it; no step is ordered until it is resumed" if record.state is State.PAUSED else ""


def _instances(record: Record, plan: Plan | None, names: Mapping[str, str]) -> list[schema.InstanceView]:
    receipts = {receipt.order: receipt for receipt in record.receipts}
    refusals = {refusal.order: refusal for refusal in record.refusals}
    newest: dict[tuple[str, int], Order] = {}
    for order in sorted(record.orders, key=lambda each: each.attempt):
        newest[order.step, order.shard] = order
    views: dict[tuple[str, int], schema.InstanceView] = {}
    status, reason = _unordered(record)
    for planned in plan.steps if plan else ():
        if plan is not None and record.state is State.DONE and planned.step in plan.unforeseen:
            continue  # of an empty list nothing is run: what was has its order
        views[planned.step, planned.shard] = schema.InstanceView(
            step=planned.step,
            shard=planned.shard,
            site=planned.site,
            site_name=names.get(planned.site, ""),
            status=status,
            reason=reason,
            rules=(),
            cost=0,
            data=planned.data,
        )
    for place, order in newest.items():
        views[place] = _ordered(order, receipts.get(cid_of(order)), refusals.get(cid_of(order)), record, names)
    return list(views.values())


def _unordered(record: Record) -> tuple[str, str]:
    """How far an instance came for which there is no order, and why no further."""
    if record.word is not None:
        return CANCELLED, "it was not ordered yet"
    if record.state.ended:
        return "skipped", "it was not ordered, for the submission ended before"
    return "waiting", ""


def _ordered(
    order: Order, receipt: Receipt | None, refusal: Refusal | None, record: Record, names: Mapping[str, str]
) -> schema.InstanceView:
    status, reason = _ending(receipt, refusal, record)
    return schema.InstanceView(
        step=order.step,
        shard=order.shard,
        site=order.site,
        site_name=names.get(order.site, ""),
        status=status,
        reason=reason,
        rules=receipt.decision.rules if receipt and receipt.decision else (),
        cost=receipt.cost if receipt else 0,
        data=tuple(item.name for item in data_in(order.inputs)),
    )


def _ending(receipt: Receipt | None, refusal: Refusal | None, record: Record) -> tuple[str, str]:
    """How far an order came, and why no further."""
    if receipt is not None:
        held = [output.reason for output in receipt.outputs.values() if output.reason]
        cancelled = record.word is not None and BY_ITS_PERSON in (receipt.reason, *held)
        return CANCELLED if cancelled else str(receipt.status), receipt.reason or "; ".join(held)
    if record.state is State.CANCELLING and refusal is not None and refusal.kind != WAITING:
        return (CANCELLED if refusal.kind == CANCELLED else "running"), refusal.reason
    if refusal is not None:
        return refusal.kind, refusal.reason
    return ("unreachable", "it gave no receipt") if record.ended else ("running", "")
