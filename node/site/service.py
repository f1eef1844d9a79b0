"""The local interface's ``Service``, answered by the running site."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from importlib.metadata import version

import trio

from catalog.body import read_body
from catalog.checkpoint import cosigners, open_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import decode, encode
from catalog.error import ComityError, VerificationFailed
from catalog.key import check
from catalog.member import epoch_message
from catalog.offer import OfferFields
from node.api import schema
from node.message import Rows, Who, WhoAnswer, question_bytes, read_reply
from node.site import publishing, submitting
from node.site.site import Site
from node.site.views import entry_view
from node.storage.stored import StoredLog


class SiteService:
    """Answers terminals and notebooks for ``site``."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def status(self) -> schema.StatusView:
        """What this node is and how it fares."""
        site = self._site
        epoch = site.membership.epoch
        return schema.StatusView(
            name=site.config.name,
            site=site.root,
            node=site.node.did,
            version=version("comity"),
            pid=os.getpid(),
            consortium=epoch.consortium if epoch else None,
            consortium_cid=str(site.membership.consortium) if epoch else None,
            epoch=epoch.number if epoch else None,
            members=tuple([await self._member(root) for root in site.membership.founders]),
            logs=(await self._log(site.catalog), await self._log(site.audit)),
            runner=site.steps.runner,
            runner_fault=site.steps.fault,
            recovered=tuple(site.recovered),
        )

    async def _member(self, root: str) -> schema.MemberView:
        site = self._site
        here = root == site.root
        index = site.index.site(root)
        node = site.membership.nodes[root]
        offer = index.typed(OfferFields, "offer")
        behind = site.consorting.follower.behind.get(root, "") if site.consorting and not here else ""
        return schema.MemberView(
            name=site.membership.founders[root].member.site,
            site=root,
            node=node,
            here=here,
            connected=here or node in site.network.connected(),
            entries=index.size,
            cosigned=await site.witnessed(root),
            behind=behind,
            price=offer.price if offer else None,
            runner=offer.runner if offer else None,
        )

    async def _log(self, log: StoredLog) -> schema.LogView:
        site = self._site
        note = await log.last_cosigned()
        names = set(cosigners(note, site.membership.nodes)) if note else set()
        size = open_checkpoint(note, log.origin, site.node.did).size if note else 0
        cosigned_by = tuple(sorted(site.membership.names.get(name, name) for name in names))
        return schema.LogView(origin=log.origin, size=log.size, cosigned_size=size, cosigners=cosigned_by)

    async def founding(self) -> schema.FoundingView:
        """How far the founding is."""
        await self._site.membership.refresh()
        return self._founding()

    def _founding(self) -> schema.FoundingView:
        founding = self._site.membership.founding
        names = {founder.member.root: founder.member.site for founder in founding.founders}
        epoch = founding.epoch() if founding.complete else None
        return schema.FoundingView(
            name=founding.consortium,
            expected=founding.expected,
            joined=tuple(names.values()),
            signed=tuple(names[root] for root in founding.signatures),
            to_sign=epoch_message(epoch) if epoch else None,
            epoch=epoch,
            consortium=self._site.membership.consortium,
        )

    async def new_consortium(self, request: schema.NewConsortium) -> schema.FoundingView:
        """Begin a founding here."""
        await self._site.membership.begin(request.name, request.founders)
        return self._founding()

    async def invite(self) -> schema.InviteView:
        """An invitation for one more founder."""
        invite = await self._site.membership.invite()
        return schema.InviteView(invite=encode(invite), not_after=invite.not_after)

    async def join(self, request: schema.Join) -> schema.FoundingView:
        """Take an invitation up."""
        await self._site.membership.join(request.invite)
        return self._founding()

    async def sign_epoch(self, request: schema.SignEpoch) -> schema.FoundingView:
        """Add this site's signature to the founding document."""
        await self._site.membership.sign(request.signature)
        return self._founding()

    async def write_entry(self, request: schema.WriteEntry) -> schema.Written:
        """Append a signed body to this site's catalog."""
        body = read_body(request.body)
        await publishing.check_content(self._site, body)
        entry = await self._site.write(body)
        return schema.Written(index=entry.index)

    async def entries(self, person: str, kind: str) -> tuple[schema.EntryView, ...]:
        """The entries of a kind that count now."""
        site = self._site
        publishing.member_of(site, person)
        names = site.membership.names | {site.root: site.config.name}
        return tuple(entry_view(entry, names) for entry in site.index.entries(kind))

    async def import_dataset(self, person: str, request: schema.ImportDataset) -> schema.Imported:
        """Read a path on this machine."""
        return await publishing.import_dataset(self._site, person, request)

    async def import_block(self, person: str, request: schema.ImportBlock) -> schema.BlockImported:
        """Pack a block."""
        return await publishing.import_block(self._site, person, request)

    async def block(self, person: str, cid: Cid) -> schema.BlockView:
        """A block that this site has or can fetch."""
        return await publishing.show_block(self._site, person, cid)

    async def fetch(self, person: str, cid: Cid, path: str) -> bytes:
        """A file of open data or of a block."""
        return await publishing.fetch_file(self._site, person, cid, path)

    async def plan(self, person: str, request: schema.PlanRequest) -> schema.Prepared:
        """Plan a workflow."""
        return await submitting.prepare(self._site, person, request)

    async def submit(self, person: str, request: schema.Submit) -> schema.Submitted:
        """Take a signed submission."""
        return schema.Submitted(submission=await submitting.submit(self._site, person, request))

    async def submissions(self, person: str) -> tuple[schema.SubmissionView, ...]:
        """The person's own submissions."""
        publishing.member_of(self._site, person)
        records = await self._site.journal.records(person)
        return tuple([await submitting.view(self._site, record) for record in records])

    async def submission(self, person: str, submission: Cid, seconds: float) -> schema.SubmissionView:
        """One of the person's own submissions."""
        record = await submitting.wait(self._site, person, submission, seconds)
        return await submitting.view(self._site, record)

    async def result(self, person: str, submission: Cid, name: str) -> bytes:
        """A workflow output."""
        return await submitting.result(self._site, person, submission, name)

    async def who(self, person: str, request: schema.AskWho) -> AsyncIterator[schema.SiteRows]:
        """Ask every member side by side; answers as they arrive, page after page."""
        site = self._site
        publishing.member_of(site, person)
        who = decode(Who, request.question)
        if (who.person, who.site) != (person, site.root):
            raise VerificationFailed("the question is by another person than who sent it")
        check(who, person)
        submitting.consorting(site)
        send, receive = trio.open_memory_channel[schema.SiteRows](0)
        async with send:
            for root in site.membership.founders:
                site.start(self._ask, root, who, send.clone())
        async with receive:
            async for rows in receive:
                yield rows

    async def _ask(self, root: str, who: Who, send: trio.MemorySendChannel[schema.SiteRows]) -> None:
        """Ask one site page after page, until it has no more or nobody listens."""
        before: int | None = None
        async with send:
            while True:
                answer, absent = await self._page(root, Rows(who=who, before=before))
                try:
                    await send.send(self._rows(root, answer, absent))
                except trio.BrokenResourceError:
                    return
                if answer is None or not answer.more or not answer.rows:
                    return
                before = answer.rows[-1].index

    async def _page(self, root: str, question: Rows) -> tuple[WhoAnswer | None, str]:
        control = submitting.consorting(self._site).control
        try:
            return read_reply(WhoAnswer, await control.ask(root, question_bytes(question))), ""
        except ComityError as error:
            return None, str(error)

    def _rows(self, root: str, answer: WhoAnswer | None, absent: str) -> schema.SiteRows:
        membership = self._site.membership
        return schema.SiteRows(
            site=root,
            site_name=membership.names[root],
            node=membership.nodes[root],
            answer=encode(answer) if answer else None,
            absent=absent,
        )
