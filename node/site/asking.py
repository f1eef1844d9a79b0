"""Passing a person's question to audit logs on to the members, side by side, page after page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import trio

from catalog.dagcbor import decode, encode
from catalog.error import BadInput, ComityError, Denied, VerificationFailed
from catalog.key import check
from node.api import schema
from node.message import Rows, Who, WhoAnswer, question_bytes, read_reply
from node.site.publishing import member_of
from node.site.site import Site
from node.site.submitting import consorting

AHEAD: Final = 4
"""Pages that may wait for a client that is still verifying those before."""


async def ask_all(site: Site, person: str, request: schema.AskWho) -> AsyncGenerator[schema.SiteRows, None]:
    """What the members that are asked answer, as it comes.

    Raises:
        VerificationFailed: the question is not this person's. BadInput: a site is asked that is no member.
    """
    member_of(site, person)
    who = decode(Who, request.question)
    if (who.person, who.site) != (person, site.root):
        raise VerificationFailed("the question is by another person than who sent it")
    check(who, person)
    consorting(site)
    members = site.membership.members
    asked = request.sites or tuple(members)
    if not set(asked) <= set(members):
        raise BadInput("a site is asked that is no member; see «comity consortium members»")
    send, receive = trio.open_memory_channel[schema.SiteRows](AHEAD)
    async with send:
        for root in asked:
            site.start(_ask, site, root, who, send.clone())
    async with receive:
        async for rows in receive:
            yield rows


async def _ask(site: Site, root: str, who: Who, send: trio.MemorySendChannel[schema.SiteRows]) -> None:
    """Ask one site page after page, until it has no more or nobody listens."""
    after: int | None = None
    async with send:
        while True:
            answer = await _page(site, root, Rows(who=who, after=after))
            try:
                await send.send(_rows(site, root, answer))
            except trio.BrokenResourceError:
                return
            if isinstance(answer, ComityError) or not answer.more or not answer.rows:
                return
            after = answer.rows[-1].index


async def _page(site: Site, root: str, question: Rows) -> WhoAnswer | ComityError:
    """A page of rows, or why there is none."""
    try:
        return read_reply(WhoAnswer, await consorting(site).control.ask(root, question_bytes(question)))
    except ComityError as error:
        return error


def _rows(site: Site, root: str, answer: WhoAnswer | ComityError) -> schema.SiteRows:
    membership = site.membership
    refusal = answer if isinstance(answer, ComityError) else None
    return schema.SiteRows(
        site=root,
        site_name=membership.names.get(root, root),
        node=site.node.did if root == site.root else membership.nodes.get(root),
        answer=None if isinstance(answer, ComityError) else encode(answer),
        absent="" if refusal is None else str(refusal),
        denied=isinstance(refusal, Denied),
    )
