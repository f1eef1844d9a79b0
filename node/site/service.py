"""The local interface's ``Service``, answered by the running site."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from importlib.metadata import version

from catalog.body import read_body
from catalog.checkpoint import cosigners, open_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.httpsig import SignedRequest
from catalog.member import epoch_message
from catalog.offer import OfferFields
from node.api import plans, schema
from node.api.blocks import BlockExported, BlockImported, BlockView, ExportBlock, ImportBlock, PackingView
from node.api.copies import BringCopy, Copied, HoldersView, TransferView
from node.api.disclosed import ExaminationView
from node.api.epochs import EpochsView
from node.api.evidence import EvidencePage
from node.api.faults import FaultsView
from node.api.founding import FoundingView, InviteView, Join, NewConsortium, SignEpoch
from node.api.inquiries import AnswerRequest, InquiryView
from node.api.logs import LogView
from node.api.steering import CancelRequest, PauseRequest, Requested
from node.api.tree import FolderView, TreePage
from node.api.watched import EventsPage, GraphView
from node.founding import Invite
from node.site import (
    answering,
    asking,
    blocks,
    disclosures,
    evidence,
    exporting,
    fetching,
    governing,
    halting,
    logs,
    looking,
    mirroring,
    opening,
    publishing,
    results,
    searching,
    steering,
    submitting,
    trees,
    watching,
)
from node.site.capacity import steps_view
from node.site.mentions import mentions
from node.site.site import Site
from node.site.underway import transfer_views
from node.site.views import entry_view, faults_view, first_fault, fork_view, policy_faults_view, swarm_view
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
            members=tuple([await self._member(*each) for each in self._names()]),
            logs=(await self._log(site.catalog), await self._log(site.audit)),
            quorum=epoch.quorum if epoch else 0,
            reach=site.ways.view(),
            runner=site.steps.runner,
            runner_fault=site.steps.fault,
            recovered=tuple(site.recovered),
            halted=site.book.halts.told,
            left=site.membership.left,
            former=tuple(
                schema.FormerView(name=site.membership.names[root], site=root, epoch=epoch)
                for root, epoch in site.membership.former.items()
                if root != site.root
            ),
            swarm=swarm_view(site.swarm.published) if site.swarm is not None else None,
            policy_faults=policy_faults_view(site.judge.faults),
            storage=await mirroring.storage(site),
            steps=await steps_view(site),
        )

    def _names(self) -> list[tuple[str, str]]:
        """The members by root key and name: this site first, then in the order of their names."""
        site = self._site
        return sorted(site.membership.members.items(), key=lambda each: (each[0] != site.root, each[1].casefold()))

    async def _member(self, root: str, name: str) -> schema.MemberView:
        site = self._site
        here = root == site.root
        index = site.index.site(root)
        node = site.membership.nodes.get(root)
        offer = index.typed(OfferFields, "offer")
        behind = site.consorting.follower.behind.get(root, "") if site.consorting and not here else ""
        return schema.MemberView(
            name=name,
            site=root,
            node=site.node.did if here else node,
            keys=index.nodes(),
            here=here,
            connected=here or node in site.network.connected(),
            entries=index.size,
            cosigned=await site.witnessed(root),
            behind=behind,
            price=offer.price if offer else None,
            runner=offer.runner if offer else None,
            stopped=index.stale,
            heard=0 if here else site.freshness.age(root),
            refuses=site.consorting.witnessing.refused.get(root, "") if site.consorting else "",
            faults=index.versions.faulty,
            fault=first_fault(index),
            witness_only=root in site.membership.witnesses,
        )

    async def _log(self, log: StoredLog) -> schema.LogView:
        site = self._site
        note = await log.last_cosigned()
        names = set(cosigners(note, site.membership.nodes)) if note else set()
        size = open_checkpoint(note, log.origin, *log.keys).size if note else 0
        cosigned_by = tuple(sorted(site.membership.names.get(name, name) for name in names))
        push = site.consorting.witnessing.of(log) if site.consorting else None
        return schema.LogView(
            origin=log.origin,
            size=log.size,
            cosigned_size=size,
            cosigners=cosigned_by,
            covered=push.covered() if push else 0,
            waiting=tuple(sorted(site.membership.names.get(each, each) for each in push.lacking(log.size)))
            if push
            else (),
        )

    async def forks(self) -> tuple[schema.ForkView, ...]:
        """The members that were proven to keep two histories of a log, with the proofs."""
        site = self._site
        forks = site.consorting.witness.forks.values() if site.consorting else ()
        return tuple(fork_view(fork, site.index, site.membership) for fork in forks)

    async def founding(self) -> FoundingView:
        """How far the founding is."""
        await self._site.entrance.refresh()
        return self._founding()

    def _founding(self) -> FoundingView:
        entrance = self._site.entrance
        if entrance.invited_to is not None and entrance.invited_to.founded is not None:
            return self._admission(entrance.invited_to)
        founding = entrance.founding
        names = {founder.member.root: founder.member.site for founder in founding.founders}
        epoch = founding.epoch() if founding.complete else None
        return FoundingView(
            name=founding.consortium,
            expected=founding.expected,
            joined=tuple(names.values()),
            signed=tuple(names[root] for root in founding.signatures),
            to_sign=epoch_message(epoch) if epoch else None,
            epoch=epoch,
            consortium=self._site.membership.consortium,
        )

    def _admission(self, invite: Invite) -> FoundingView:
        """How far the admission is of a site that came after the founding."""
        membership = self._site.membership
        last = membership.chain[-1] if membership.chain else None
        names = tuple(member.site for member in last.members) if last is not None else ()
        return FoundingView(
            name=invite.consortium,
            expected=len(names),
            joined=names,
            signed=names,
            to_sign=None,
            epoch=membership.chain[0] if membership.chain else None,
            consortium=membership.consortium,
        )

    async def new_consortium(self, request: NewConsortium) -> FoundingView:
        """Begin a founding here."""
        await self._site.entrance.begin(request.name, request.founders)
        return self._founding()

    async def invite(self) -> InviteView:
        """An invitation for one more founder."""
        invite = await self._site.entrance.invite()
        return InviteView(invite=encode(invite), not_after=invite.not_after)

    async def join(self, request: Join) -> FoundingView:
        """Take an invitation up."""
        await self._site.entrance.join(request.invite, witness_only=request.witness_only)
        return self._founding()

    async def sign_epoch(self, request: SignEpoch) -> FoundingView:
        """Add this site's signature to the founding document."""
        await self._site.entrance.sign(request.signature)
        return self._founding()

    async def epochs(self) -> EpochsView:
        """The epoch of now and what may follow it."""
        return governing.epochs(self._site)

    async def keys(self) -> schema.KeysView:
        """This site's own keys."""
        return governing.keys(self._site)

    async def restart(self) -> schema.Restarting:
        """Start the node anew in its process."""
        return governing.restart(self._site)

    async def write_entry(self, request: schema.WriteEntry) -> schema.Written:
        """Append a signed body to this site's catalog."""
        body = read_body(request.body)
        await governing.check_root_entry(self._site, body)
        await publishing.check_content(self._site, body)
        entry = await self._site.writer.write(body, partial(publishing.check_name, self._site))
        return schema.Written(index=entry.index)

    async def entries(self, person: str, kind: str) -> tuple[schema.EntryView, ...]:
        """The entries of a kind that count now."""
        site = self._site
        publishing.member_of(site, person)
        names = site.membership.names | {site.root: site.config.name}
        left = site.membership.former.keys() - {site.root}
        return tuple(entry_view(entry, names, left) for entry in site.index.entries(kind))

    async def faults(self, person: str, site: str) -> FaultsView:
        """What does not count of a member's catalog."""
        publishing.member_of(self._site, person)
        return faults_view(self._site.index.site(site))

    async def mentions(self, person: str, request: schema.Mentions) -> tuple[schema.MentionView, ...]:
        """Where a key or a CID stands in catalogs."""
        return await mentions(self._site, person, request)

    async def halt(self, person: str, request: schema.HaltRequest) -> schema.Written:
        """Halt this site, or let it go on."""
        return await halting.halt(self._site, person, request)

    async def inquiries(self, person: str) -> tuple[InquiryView, ...]:
        """What stewards are asked."""
        return await answering.inquiries(self._site, person)

    async def examinations(self, person: str) -> tuple[ExaminationView, ...]:
        """What disclosure control examined."""
        return await disclosures.examinations(self._site, person)

    async def answer(self, person: str, request: AnswerRequest) -> schema.Written:
        """A steward's answer."""
        return await answering.answer(self._site, person, request)

    async def preview(self, person: str, signed: SignedRequest, cid: Cid) -> bytes:
        """The first bytes of a value that would leave."""
        return await answering.preview(self._site, person, signed, cid)

    async def look(self, person: str, signed: SignedRequest, cid: Cid) -> bytes:
        """The first bytes of what a step left here."""
        return await looking.look(self._site, person, signed, cid)

    async def search(self, person: str, request: schema.SearchRequest) -> schema.FoundView:
        """Find what the person may see."""
        return await searching.search(self._site, person, request)

    async def import_dataset(self, person: str, request: schema.ImportDataset) -> schema.Imported:
        """Read a path on this machine."""
        return await publishing.import_dataset(self._site, person, request)

    async def bring_copy(self, person: str, request: BringCopy) -> Copied:
        """Have here whole what another member published."""
        return await mirroring.bring_copy(self._site, person, request)

    async def holders(self, person: str) -> tuple[HoldersView, ...]:
        """Who holds what is published."""
        publishing.member_of(self._site, person)
        return mirroring.holders(self._site)

    async def transfers(self) -> tuple[TransferView, ...]:
        """What is on its way here."""
        return transfer_views(self._site.materials.under_way, self._site.membership.names)

    async def rekey(self, person: str, request: schema.Rekey) -> schema.Imported:
        """Encrypt a shared dataset anew."""
        return await opening.rekey(self._site, person, request.cid)

    async def open_shared(
        self, person: str, signed: SignedRequest, cid: Cid, project: str, project_site: str
    ) -> schema.SharedView:
        """What opens a shared dataset."""
        return await opening.open_shared(self._site, person, signed, cid, project, project_site)

    async def shared_piece(self, person: str, cid: Cid, name: str, start: str) -> bytes:
        """Ciphertext of a shared dataset."""
        return await opening.shared_piece(self._site, person, cid, name, start)

    async def import_block(self, person: str, request: ImportBlock) -> BlockImported:
        """Pack a block."""
        return await blocks.import_block(self._site, person, request)

    async def export_block(self, person: str, request: ExportBlock) -> BlockExported:
        """Write the archive of a block."""
        return await exporting.export_block(self._site, person, request)

    async def packing(self) -> tuple[PackingView, ...]:
        """What is done for the blocks that are being packed."""
        return tuple(PackingView(doing=each) for each in self._site.packing)

    async def block(self, person: str, cid: Cid) -> BlockView:
        """A block that this site has or can fetch."""
        return await blocks.show_block(self._site, person, cid)

    async def fetch(self, person: str, signed: SignedRequest, cid: Cid, path: str, part: str) -> bytes:
        """A file of open data or of a block, or a part of one."""
        return await fetching.fetch_file(self._site, person, signed, cid, path, part)

    async def tree(self, person: str, signed: SignedRequest, cid: Cid, path: str, after: str) -> TreePage:
        """What lies at a path of open data or of a block, which comes here whole."""
        return await trees.tree(self._site, person, signed, cid, path, after)

    async def folder(self, person: str, signed: SignedRequest, cid: Cid) -> FolderView:
        """The first names in open data."""
        return await trees.folder(self._site, person, signed, cid)

    async def plan(self, person: str, request: plans.PlanRequest) -> plans.Prepared:
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
        publishing.member_of(self._site, person)
        record = await submitting.wait(self._site, person, submission, seconds)
        return await submitting.view(self._site, record)

    async def cancel(self, person: str, request: CancelRequest) -> schema.SubmissionView:
        """End one of the person's own submissions."""
        return await submitting.view(self._site, await steering.cancel(self._site, person, request))

    async def pause(self, person: str, request: PauseRequest) -> schema.SubmissionView:
        """Pause one of the person's own submissions, or go on with it."""
        return await submitting.view(self._site, await steering.pause(self._site, person, request))

    async def requested(self, person: str, submission: Cid) -> Requested:
        """What one of the person's own submissions asked for."""
        return await steering.requested(self._site, person, submission)

    async def result(
        self, person: str, signed: SignedRequest, submission: Cid, name: str, path: str, part: str
    ) -> bytes:
        """A file of a workflow output, or a part of one."""
        return await results.result(self._site, person, signed, submission, name, path, part)

    async def result_tree(
        self, person: str, signed: SignedRequest, submission: Cid, name: str, path: str, after: str
    ) -> TreePage:
        """What lies in a workflow output."""
        return await results.tree(self._site, person, signed, submission, name, path, after)

    async def events(self, person: str, submission: Cid, after: str, seconds: float) -> EventsPage:
        """What happened to one of the person's own submissions."""
        publishing.member_of(self._site, person)
        return await watching.events(self._site, person, submission, after, seconds)

    async def graph(self, person: str, submission: Cid) -> GraphView:
        """The steps of one of the person's own submissions."""
        publishing.member_of(self._site, person)
        return await watching.graph(self._site, person, submission)

    async def logs(self, person: str, signed: SignedRequest, submission: Cid, step: str) -> tuple[LogView, ...]:
        """What the commands of steps that failed wrote last."""
        return await logs.logs(self._site, person, signed, submission, step)

    async def evidence(self, person: str, submission: Cid, after: str) -> EvidencePage:
        """What shows to others what became of a submission."""
        publishing.member_of(self._site, person)
        return await evidence.evidence(self._site, person, submission, after)

    async def who(self, person: str, request: schema.AskWho) -> AsyncIterator[schema.SiteRows]:
        """Ask the members' audit logs side by side; answers as they arrive, page after page."""
        async with aclosing(asking.ask_all(self._site, person, request)) as answers:
            async for rows in answers:
                yield rows
