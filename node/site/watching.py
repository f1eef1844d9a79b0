"""A submission on its way, for its person: what happened, as a stream in pages, and the graph of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import trio

from catalog.cid import Cid
from catalog.error import BadInput, NotFound
from node.api.watched import EventsPage, EventView, GraphView, StepView
from node.bus.journal import CANCELLED, State
from node.site.site import Site
from node.site.submitting import find
from node.storage.events import Event, Told
from workflow.graph import Step, order_of_steps
from workflow.receipt import BY_ITS_PERSON, Receipt

MOST_EVENTS: Final = 256
"""Of one page."""

_DIGITS: Final = 9


async def events(site: Site, did: str, submission: Cid, after: str, seconds: float) -> EventsPage:
    """What happened to the person's own submission behind number ``after``; if nothing, what happens in ``seconds``.

    Raises:
        NotFound: none of that CID by this person. BadInput: ``after`` is no number.
    """
    if not after.isascii() or not after.isdecimal() or len(after) > _DIGITS:
        raise BadInput("«after» is the number of the event that you had last, 0 for the first")
    told = await _told(site, did, submission, int(after))
    with trio.move_on_after(seconds):
        while not told.events and not _ended(told):
            changed = site.changed  # before it is looked again, or a change between the two would be slept through
            told = await _told(site, did, submission, int(after))
            if not told.events and not _ended(told):
                await changed.wait()
    found = tuple(_event(each, site.membership.names) for each in told.events)
    last = found[-1].number if found else int(after)
    return EventsPage(events=found, after=last, ended=_ended(told) and len(found) < MOST_EVENTS)


async def _told(site: Site, did: str, submission: Cid, after: int) -> Told:
    told = await site.events.after(submission, after, MOST_EVENTS)
    if told.person != did:
        raise NotFound(f"no submission {submission} was made here; see «comity submission list»")
    return told


def _ended(told: Told) -> bool:
    return State(told.state).ended


def _event(event: Event, names: Mapping[str, str]) -> EventView:
    order, receipt = event.order, event.receipt
    if order is None:
        return EventView(number=event.number, at=event.at, kind="state", status=event.told, reason=event.reason)
    status, reason = _answered(receipt) if receipt is not None else _unanswered(event)
    return EventView(
        number=event.number,
        at=event.at,
        kind="step",
        status=status,
        reason=reason,
        step=order.step,
        shard=order.shard,
        attempt=order.attempt,
        site=order.site,
        site_name=names.get(order.site, ""),
        wall=receipt.spent.wall_millis if receipt is not None and receipt.spent is not None else None,
        cost=receipt.cost if receipt is not None else 0,
    )


def _answered(receipt: Receipt) -> tuple[str, str]:
    held = [output.reason for output in receipt.outputs.values() if output.reason]
    cancelled = BY_ITS_PERSON in (receipt.reason, *held)
    return CANCELLED if cancelled else str(receipt.status), receipt.reason or "; ".join(held)


def _unanswered(event: Event) -> tuple[str, str]:
    if event.kind == "ordered":
        return "running", ""
    return event.told, event.reason


async def graph(site: Site, did: str, submission: Cid) -> GraphView:
    """The steps of the person's own submission and what feeds them.

    Raises:
        NotFound: none of that CID by this person.
    """
    record = await find(site, did, submission)
    workflow = await site.documents.workflow(record.workflow)
    return GraphView(label=workflow.label, steps=tuple(map(_step, order_of_steps(workflow))))


def _step(step: Step) -> StepView:
    feeds = dict.fromkeys(source.step for each in step.inputs for source in each.sources if source.step)
    return StepView(step=step.id, label=step.label or step.id, after=tuple(feeds), scattered=bool(step.scatter))
