"""Plans, submissions and results, for the people of this site."""

from __future__ import annotations

import trio

from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode, encode
from catalog.error import BadInput, ComityError, Conflict, NotFound, VerificationFailed
from catalog.grant import GrantFields
from catalog.key import UNSIGNED, check
from catalog.plural import counted
from catalog.project import ProjectRef
from node.api import plans, schema
from node.bus.dispatch import concerned
from node.bus.journal import Record, State
from node.site.consorting import Consorting
from node.site.delivered import results_of
from node.site.job import read_job
from node.site.planning import Wish
from node.site.publishing import check_halted, member_of
from node.site.site import Site
from node.site.views import plan_view, submission_view
from privacy.trust import Person, project_of
from workflow.argument import data_in
from workflow.order import MAX_SHARDS
from workflow.plan.draft import Places
from workflow.plan.make import Limits, Plan, check_limits
from workflow.receipt import Status
from workflow.submission import Submission

GRACE_MILLIS = 60_000
"""How far back a submission is valid, for sites whose clocks run behind this one's."""

MAX_SUBMISSION = 1 << 20


def consorting(site: Site) -> Consorting:
    """What the site has as a member.

    Raises:
        Conflict: it is in no consortium yet.
    """
    if site.consorting is None:
        raise Conflict("this site is in no consortium yet; see «comity consortium show»")
    return site.consorting


def _acting(site: Site) -> Consorting:
    """What the site has as a member that others still answer.

    Raises:
        Conflict: it is in no consortium yet, or left.
    """
    if (epoch := site.membership.left) is not None:
        raise Conflict(f"this site left the consortium in epoch {epoch}: nobody carries out a step for it any more")
    return consorting(site)


async def prepare(site: Site, did: str, request: plans.PlanRequest) -> plans.Prepared:
    """Plan a workflow and write the submission that would carry it out, for the person to sign.

    Raises:
        Infeasible: budget or deadline cannot be kept. Denied: no standing in the project. BadInput: what was given.
        Conflict: the site is no member.
    """
    member = _acting(site)
    person = member_of(site, did)
    ref = ProjectRef(site=request.project_site, name=request.project)
    now = site.clock.now()
    project_of(site.index, ref, person, now)
    inputs = read_job(bytes(request.job), site.index)
    wish = Wish.read(request.objective, request.improve)
    names = site.membership.names
    workflow, draft = await member.bus.draft(request.workflow, inputs, names, request.min_sites)
    # Of a list that is made first nobody knows how long it will be: all of it must deliver where nothing is said.
    shards = MAX_SHARDS if draft.unforeseen else draft.shards
    if request.min_sites is not None and request.min_sites > shards:
        raise BadInput(
            f"{request.min_sites} shards must deliver, and the data here make {counted(shards, 'shard')}; name more"
            " datasets, or ask for fewer"
        )
    submission = Submission(
        consortium=_consortium(site),
        epoch=site.membership.epoch.number if site.membership.epoch is not None else 0,
        person=person.did,
        site=site.root,
        project=ref,
        workflow=Cid.of(request.workflow.encode()),
        inputs=inputs,
        grants=_grants(site, person, ref, {item.cid for item in data_in(inputs)}),
        destinations=(site.root,),
        deadline=request.deadline,
        budget=request.budget,
        min_sites=request.min_sites or shards,
        not_before=now - GRACE_MILLIS,
        not_after=request.deadline,
        buses=(site.node.did,),
        nonce=site.random.token(16),
        sig=UNSIGNED,
    )
    asked: set[tuple[str, int]] = set()
    if request.ask:
        asked = {(each.step, each.shard) for each in draft.instances if each.asked}
        said = await member.foresight.said(submission, request.workflow, workflow, draft)
        _, draft = await member.bus.draft(request.workflow, inputs, names, request.min_sites, said)
    if request.after is not None:
        draft = draft.placed(_delivered_at(await find(site, did, request.after)))
    plan = await member.planning.plan(draft, Limits(request.deadline - site.clock.now(), request.budget), wish)
    # It was looked for a while, which the deadline does not wait for.
    check_limits(plan, now=site.clock.now(), deadline=request.deadline, budget=request.budget)
    member.planning.keep(submission.nonce, plan)
    return plans.Prepared(plan=plan_view(plan, submission, names, asked), submission=encode(submission))


def _delivered_at(record: Record) -> Places:
    """Where each instance of a submission delivered that did."""
    delivered = {receipt.order for receipt in record.receipts if receipt.status is Status.DONE}
    return {(order.step, order.shard): order.site for order in record.orders if cid_of(order) in delivered}


def _consortium(site: Site) -> Cid:
    if site.membership.consortium is None:
        raise Conflict("this site is in no consortium yet; see «comity consortium show»")
    return site.membership.consortium


def _grants(site: Site, person: Person, ref: ProjectRef, data: set[Cid]) -> tuple[Cid, ...]:
    """Every grant to this person for this project that names some of the data."""
    found = (entry.fields for entry in site.index.entries("grant"))
    return tuple(
        fields.cid
        for fields in found
        if isinstance(fields, GrantFields)
        and (fields.grant.subject, fields.grant.project) == (person.did, ref)
        and data & set(fields.grant.datasets)
    )


async def submit(site: Site, did: str, request: schema.Submit) -> Cid:
    """Take a signed submission, check it as a stranger's, and start carrying it out.

    Raises:
        VerificationFailed: not signed by the person, or not of this site, consortium or workflow.
        Infeasible: budget or deadline cannot be kept. Denied: no standing in the project, or this site is halted.
        Conflict: the site is no member.
    """
    member = _acting(site)
    submission = decode(Submission, request.submission, MAX_SUBMISSION)
    person = member_of(site, did)
    if (submission.person, submission.site) != (person.did, site.root):
        raise VerificationFailed("the submission is by another person than who sent it")
    check(submission, submission.person)
    if submission.consortium != _consortium(site) or site.node.did not in submission.buses:
        raise VerificationFailed("the submission is for another consortium, or does not name this node as its bus")
    if Cid.of(request.workflow.encode()) != submission.workflow:
        raise VerificationFailed("the workflow is not the one that was signed for")
    now = site.clock.now()
    project_of(site.index, submission.project, person, now)
    plan = member.planning.kept(submission.nonce)
    if plan is None:
        names = site.membership.names
        _, draft = await member.bus.draft(request.workflow, submission.inputs, names, submission.min_sites)
        plan = await member.planning.plan(draft, Limits(submission.deadline - now, submission.budget), Wish())
    check_limits(plan, now=now, deadline=submission.deadline, budget=submission.budget)
    check_halted(site, submission.project, concerned(submission, *(each.site for each in plan.steps)))
    await site.journal.begin(submission, request.workflow, now, plan.places)
    site.start(member.bus.carry, cid_of(submission), site.membership.names)
    return cid_of(submission)


async def view(site: Site, record: Record) -> schema.SubmissionView:
    """A submission as its person sees it."""
    plan: Plan | None = None
    results: list[schema.ResultView] = []
    paused = _paused(site, record)
    try:
        workflow = await site.documents.workflow(record.workflow)
        if record.state is State.DONE:
            results = [
                schema.ResultView(
                    name=each.name, file=each.output.name, cid=each.cid, size=each.output.size or 0, form=each.form
                )
                for each in results_of(workflow, record)
            ]
        bus, names = consorting(site).bus, site.membership.names
        asked = record.submission
        _, plan = await bus.plan(record.workflow, asked.inputs, names, places=record.places, min_sites=asked.min_sites)
    except ComityError as error:  # what it was planned with may be gone by now; what has been delivered is not
        paused = paused or f"it cannot be planned any more: {error}"
    return submission_view(record, plan, results, site.membership.names, paused)


def _paused(site: Site, record: Record) -> str:
    """Why nothing goes on of a submission that runs; empty if all of it does."""
    asked, ended = record.submission, {receipt.order for receipt in record.receipts}
    waits = (order.site for order in record.orders if cid_of(order) not in ended)
    running = record.state in (State.RUNNING, State.PAUSED)
    halted = site.book.halts.refusal(asked.project, concerned(asked, *waits)) if running else ""
    return halted and f"paused, {halted}"


async def find(site: Site, did: str, submission: Cid) -> Record:
    """A submission of this person; another's is as if it were not there.

    Raises:
        NotFound: none of that CID by this person.
    """
    record = await site.journal.record(submission)
    if record.submission.person != did:
        raise NotFound(f"no submission {submission} was made here; see «comity submission list»")
    return record


async def wait(site: Site, did: str, submission: Cid, seconds: float) -> Record:
    """A submission after at most ``seconds``, or as soon as something about it changes."""
    before = await find(site, did, submission)
    if before.ended:
        return before
    paused = _paused(site, before)
    with trio.move_on_after(seconds):
        while True:
            changed = site.changed
            now = await find(site, did, submission)
            if _progress(now) != _progress(before) or _paused(site, now) != paused:
                break
            await changed.wait()
    return await find(site, did, submission)


def _progress(record: Record) -> tuple[int, int, State]:
    return len(record.orders), len(record.receipts), record.state
