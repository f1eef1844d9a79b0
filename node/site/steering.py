"""A person ends what they submitted, pauses it, or asks for it once more.

The signed word that it shall end is kept first, and then shown to each site that has an order.
"""

from __future__ import annotations

from typing import Final

import msgspec

from catalog.cid import Cid
from catalog.dagcbor import decode
from catalog.error import Denied, VerificationFailed
from catalog.key import check
from node.api.steering import CancelRequest, PauseRequest, Requested
from node.bus.journal import Record
from node.site.freshness import is_fresh
from node.site.job import write_job
from node.site.publishing import member_of
from node.site.site import Site
from node.site.submitting import consorting, find
from workflow.cancellation import Cancellation

MOST_WORD: Final = 1 << 10
"""Bytes of a signed word."""


async def cancel(site: Site, did: str, request: CancelRequest) -> Record:
    """Take the word of the person ``did`` that a submission of theirs shall end; the record that stands then.

    It may be said again, and changes nothing then.

    Raises:
        NotFound: no submission of that CID by this person. VerificationFailed: another signed the word.
        Denied: it is old. Conflict: the submission has ended, or the site is no member.
    """
    member_of(site, did)
    word = decode(Cancellation, request.statement, MOST_WORD)
    if word.person != did:
        raise VerificationFailed("the word is another person's")
    check(word, did)
    if not is_fresh(word.at, site.clock.now()):
        raise Denied("this word was given more than ten minutes ago; give it anew")
    record = await find(site, did, word.submission)
    if record.word is not None:
        return record
    bus = consorting(site).bus
    await bus.cancel(word)
    site.start(bus.end, word.submission)
    return await site.journal.record(word.submission)


async def pause(site: Site, did: str, request: PauseRequest) -> Record:
    """Make no further order for a submission of the person ``did``, or go on with it; the record that stands then.

    Raises:
        NotFound: no submission of that CID by this person. Conflict: it does not run, is not paused, or the site is no
            member.
    """
    member_of(site, did)
    await find(site, did, request.submission)
    bus = consorting(site).bus
    await (bus.pause if request.paused else bus.resume)(request.submission)
    return await site.journal.record(request.submission)


async def requested(site: Site, did: str, submission: Cid) -> Requested:
    """What a submission of the person ``did`` asked for, to ask for it once more.

    Raises:
        NotFound: no submission of that CID by this person.
    """
    member_of(site, did)
    record = await find(site, did, submission)
    asked = record.submission
    return Requested(
        workflow=record.workflow,
        job=msgspec.Raw(write_job(asked.inputs)),
        project=asked.project,
        span=max(0, asked.deadline - record.began),
        budget=asked.budget,
        min_sites=asked.min_sites,
    )
