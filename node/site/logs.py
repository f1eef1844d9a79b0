"""What the commands of a submission's failed steps wrote, for its person; or for a steward where they ran.

The site that ran one is asked what it holds of it. What it names comes like any value, and is written down at both
sites before it is given to anybody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, NotFound
from catalog.httpsig import SignedRequest
from catalog.member import Role
from node.api.logs import LogView
from node.automator.ledger import Attempt
from node.bus.dispatch import concerned
from node.bus.journal import Record
from node.bus.receipts import proofs_of
from node.message import MAX_COMPLAINT, Complained, Complaints, question_bytes, read_reply
from node.site.looking import look
from node.site.publishing import check_halted, member_of
from node.site.results import given
from node.site.site import Site
from node.site.submitting import consorting, find
from node.site.together import side_by_side
from privacy.trust import project_of
from workflow.argument import pieces_in
from workflow.evidence import Evidence
from workflow.order import Order
from workflow.receipt import Status

MOST: Final = 32
"""Instances that are told of at once; who wants another names it."""

SECONDS: Final = 10.0
"""How long a site is waited for."""


async def logs(site: Site, did: str, signed: SignedRequest, submission: Cid, step: str) -> tuple[LogView, ...]:
    """The last words of each instance of ``step``, or of all steps, whose last attempt failed.

    Raises:
        NotFound: no such submission of the person ``did``, or for a steward none of which anything failed here; or
            nothing failed of that step.
        Denied: its project is over, or this site is halted. Conflict: the site is no member.
    """
    person = member_of(site, did)
    try:
        record = await find(site, did, submission)
    except NotFound:
        if person.role is not Role.STEWARD:
            raise
        return await _here(site, did, signed, submission, step)
    project = record.submission.project
    project_of(site.index, project, person, site.clock.now())
    failed = _chosen(step, _failed(record))
    check_halted(site, project, concerned(record.submission, *(order.site for order in failed)))
    consorting(site)
    jobs: list[Callable[[], Awaitable[LogView]]] = [
        partial(_told, site, did, signed, record, order) for order in failed
    ]
    return tuple(await side_by_side(jobs))


def _failed(record: Record) -> Iterable[Order]:
    """The last order of each instance whose site says that it failed, in the order of steps and shards."""
    ended = {receipt.order for receipt in record.receipts if receipt.status is Status.FAILED}
    newest = {(order.step, order.shard): order for order in sorted(record.orders, key=lambda each: each.attempt)}
    return (order for _, order in sorted(newest.items()) if cid_of(order) in ended)


def _chosen(step: str, failed: Iterable[Order]) -> list[Order]:
    chosen = [order for order in failed if step in ("", order.step, f"{order.step}[{order.shard}]")]
    if not chosen:
        raise NotFound(f"no step «{step}» of it failed" if step else "no step of it failed")
    return chosen[:MOST]


async def _told(site: Site, did: str, signed: SignedRequest, record: Record, order: Order) -> LogView:
    """What one order's command wrote, or why that is not told."""
    view = partial(
        LogView,
        step=order.step,
        shard=order.shard,
        attempt=order.attempt,
        site=order.site,
        site_name=site.membership.names.get(order.site, ""),
    )
    try:
        cid = await _named(site, record, order)
        data = b"" if cid is None else await _bytes(site, did, signed, record, order, cid)
    except ComityError as error:
        return view(kind=type(error).__name__, reason=str(error))
    return view(cid=cid, data=data)


async def _named(site: Site, record: Record, order: Order) -> Cid | None:
    """Under which name its site holds what the command of ``order`` wrote; none if that is nothing."""
    proofs = tuple(proofs_of(record, order))
    question = question_bytes(Complained(order=order, submission=record.submission, proofs=proofs))
    return read_reply(Complaints, await consorting(site).control.ask(order.site, question, SECONDS)).cid


async def _bytes(site: Site, did: str, signed: SignedRequest, record: Record, order: Order, cid: Cid) -> bytes:
    """What is held as ``cid``, once it is here and that is written down."""
    proofs = [(proof.order, proof.receipt) for proof in proofs_of(record, order)]
    evidence = Evidence(site.index, record.cid, proofs)
    datasets = frozenset(made for item in pieces_in(order.inputs) for made in evidence.datasets(item))
    await given(site, did, signed, record, cid, order.site, datasets)
    return await site.blobs.read(cid, "", MAX_COMPLAINT)


async def _here(site: Site, did: str, signed: SignedRequest, submission: Cid, step: str) -> tuple[LogView, ...]:
    """What failed at this site of a submission that somebody else made, for a steward."""
    said = {
        (each.access.instance.step, each.access.instance.shard): each
        for each in site.book.ledger.submitted(submission)
        if each.result is not None and each.result.status is Status.FAILED and each.closed < site.book.durable
    }
    chosen = [said[place] for place in sorted(said) if step in ("", place[0], "{}[{}]".format(*place))]
    if not chosen:
        raise NotFound("nothing of such a submission failed at this site; see «comity audit log»")
    return tuple([await _looked(site, did, signed, attempt) for attempt in chosen[:MOST]])


async def _looked(site: Site, did: str, signed: SignedRequest, attempt: Attempt) -> LogView:
    access, errors = attempt.access, attempt.result.errors if attempt.result is not None else None
    view = partial(
        LogView,
        step=access.instance.step,
        shard=access.instance.shard,
        attempt=access.attempt,
        site=site.root,
        site_name=site.config.name,
    )
    if errors is None:
        return view()
    try:
        return view(cid=errors.cid, data=await look(site, did, signed, errors.cid))
    except ComityError as error:
        return view(kind=type(error).__name__, reason=str(error))
