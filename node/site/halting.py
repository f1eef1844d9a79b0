"""Halting this site and letting it go on: a steward's signed word, written into the audit log before it is acted on."""

from __future__ import annotations

from functools import partial

from catalog.dagcbor import decode
from catalog.error import Conflict, Denied, VerificationFailed
from catalog.key import check
from catalog.leaf import decode_leaf
from catalog.member import Role
from node.api import schema
from node.automator.book import Line
from node.automator.halt import Scope
from node.message import Halt, Place
from node.site.freshness import is_fresh
from node.site.publishing import member_of
from node.site.site import Site
from workflow.account import MAX_REQUEST, Chain, HaltFields

CHUNK = 1024
"""Leaves that are looked through at once."""


async def halt(site: Site, did: str, request: schema.HaltRequest) -> schema.Written:
    """Halt, or go on with, what the steward ``did`` names; steps of what is halted are ended. The row's index.

    Raises:
        Denied: not a steward of this site, or a word that is too old or was given before.
        VerificationFailed: not signed by whom it says. Conflict: nothing of that kind is halted, or the policy of now
            is not known here.
    """
    person = member_of(site, did, Role.STEWARD)
    word = decode(Halt, request.statement, MAX_REQUEST)
    check(word, did)
    if (word.person, word.site) != (did, site.root):
        raise VerificationFailed("the word is another person's, or for another site")
    if not is_fresh(word.at, site.clock.now()) or site.book.halts.used(request.statement):
        raise Denied("this word was given before, or more than ten minutes ago; give it anew")
    scope, name = Scope(word.project, word.member), site.book.halts.name
    if word.resume and scope not in site.book.halts.standing:
        standing = ", ".join(each.words(name) for each in site.book.halts.standing) or "nothing"
        raise Conflict(f"{scope.words(name)} is not halted by itself; halted is: {standing}")
    if word.resume and scope == Scope(None, None) and (lost := await _lost_policy(site)) is not None:
        raise Conflict(
            f"the policy of entry {lost} of the catalog was lost with what a backup lacked, and an older one stands;"
            " write it anew first: comity policy set FILE"
        )

    def fields(chain: Chain, _index: int) -> HaltFields:
        return HaltFields(
            project=word.project,
            member=word.member,
            reason=f"{word.reason} (by {person.name})",
            statement=request.statement,
            chain=chain,
        )

    kind = "resume" if word.resume else "halt"
    index = await site.book.write([Line(kind, (), fields, (site.root,))])
    site.notify()
    if site.swarm is not None:
        site.swarm.wake()
    if not word.resume and site.consorting is not None:
        site.consorting.orders.stop(
            partial(_concerns, site), f"this site was halted for {scope.words(name)}: {word.reason}"
        )
    return schema.Written(index=index)


async def _lost_policy(site: Site) -> int | None:
    """The place of a policy behind the one that stands of which only the leaf is here, after a restore."""
    standing = site.index.site(site.root).latest("policy", "")
    start = 0 if standing is None else standing.index + 1
    for first in range(start, site.catalog.size, CHUNK):
        rows = await site.catalog.read(first, min(first + CHUNK, site.catalog.size))
        lacking = [
            place
            for place, (leaf, kept) in enumerate(rows, first)
            if kept is None and decode_leaf(leaf).kind_name == "policy"
        ]
        if lost := await site.catalog.standing(lacking):
            return lost[-1]
    return None


def _concerns(site: Site, message: Place) -> bool:
    submission = message.submission
    bus = site.membership.site_of(message.order.bus)
    members = [submission.site, submission.project.site, bus or ""]
    return bool(site.book.halts.refusal(submission.project, members))
