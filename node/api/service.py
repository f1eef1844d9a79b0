"""What the local interface can be asked, as one Protocol: the server dispatches to it, ``node/site.py`` is it.

``person`` is the key that signed the HTTP request (verified by the server); whether it is enrolled here, and as
what, is the service's question. Errors are those of ``catalog.error``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from catalog.cid import Cid
from catalog.httpsig import SignedRequest
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


class Service(Protocol):
    """A running site, as terminals and notebooks meet it."""

    async def status(self) -> schema.StatusView:
        """What this node is and how it fares; needs no person."""

    async def founding(self) -> FoundingView:
        """How far the founding is.

        Raises:
            NotFound: none has begun here.
        """

    async def new_consortium(self, request: NewConsortium) -> FoundingView:
        """Begin a founding here.

        Raises:
            Conflict: this site is in a consortium, or founding one, already.
        """

    async def invite(self) -> InviteView:
        """An invitation for one more founder."""

    async def join(self, request: Join) -> FoundingView:
        """Take an invitation up; taking the same one up again goes on.

        Raises:
            VerificationFailed: it was altered. Denied: it has expired or was used. Unreachable: no answer.
        """

    async def sign_epoch(self, request: SignEpoch) -> FoundingView:
        """Add this site's signature to the founding document."""

    async def epochs(self) -> EpochsView:
        """The epoch of now and what may follow it.

        Raises:
            NotFound: this site is in no consortium yet.
        """

    async def keys(self) -> schema.KeysView:
        """This site's own keys."""

    async def forks(self) -> tuple[schema.ForkView, ...]:
        """The members that were proven to keep two histories of a log, with the proofs; needs no person."""

    async def restart(self) -> schema.Restarting:
        """Start the node anew in its process, to carry out what lies ready in its folder.

        Raises:
            Conflict: nothing lies ready.
        """

    async def write_entry(self, request: schema.WriteEntry) -> schema.Written:
        """Append a signed body to this site's catalog; its own signature is its authority.

        Raises:
            VerificationFailed: not signed by whom it needs, or not the next version of its subject.
            BadInput: its content is not acceptable (a policy that does not validate, say).
        """

    async def entries(self, person: str, kind: str) -> tuple[schema.EntryView, ...]:
        """The entries of a kind that count now and that the person may see."""

    async def faults(self, person: str, site: str) -> FaultsView:
        """What does not count of the catalog of the member with the root key ``site``: how much, and the first of it.

        Raises:
            NotFound: it is no member.
        """

    async def mentions(self, person: str, request: schema.Mentions) -> tuple[schema.MentionView, ...]:
        """Where a key or a CID stands in the bodies of all catalogs that are here; for stewards of this site."""

    async def halt(self, person: str, request: schema.HaltRequest) -> schema.Written:
        """Halt this site, or let it go on: all, one project or one member; for stewards of this site.

        Raises:
            Denied: no steward, or a word given before. Conflict: nothing of that kind is halted.
        """

    async def inquiries(self, person: str) -> tuple[InquiryView, ...]:
        """What stewards of this site are asked; for them.

        Raises:
            Denied: no steward.
        """

    async def examinations(self, person: str) -> tuple[ExaminationView, ...]:
        """What left this site, or waited for stewards, and what disclosure control found in it; for stewards.

        Raises:
            Denied: no steward.
        """

    async def answer(self, person: str, request: AnswerRequest) -> schema.Written:
        """A steward's answer to what is asked.

        Raises:
            Denied: no steward, or the one who asks. NotFound: nothing of that CID is asked any more.
        """

    async def preview(self, person: str, signed: SignedRequest, cid: Cid) -> bytes:
        """The first bytes of a value that would leave; for stewards, and written down.

        Raises:
            Denied, NotFound: not for this person, or no such value.
        """

    async def look(self, person: str, signed: SignedRequest, cid: Cid) -> bytes:
        """The first bytes of what a step left here; for stewards, and written down.

        Raises:
            Denied: not for this person. NotFound: nothing of that name is held here, or others own it too.
        """

    async def search(self, person: str, request: schema.SearchRequest) -> schema.FoundView:
        """Find datasets, blocks and projects that the person may see, by words and facets.

        Raises:
            BadInput: too many words, an unknown facet, or a page that is too far.
        """

    async def import_dataset(self, person: str, request: schema.ImportDataset) -> schema.Imported:
        """Read a path on this machine; for stewards of this site."""

    async def bring_copy(self, person: str, request: BringCopy) -> Copied:
        """Have here whole what another member published; for stewards who will mirror it."""

    async def holders(self, person: str) -> tuple[HoldersView, ...]:
        """Who holds what is published, and how many of them answer."""

    async def transfers(self) -> tuple[TransferView, ...]:
        """What is on its way here now."""

    async def rekey(self, person: str, request: schema.Rekey) -> schema.Imported:
        """Encrypt a shared dataset anew, under a new key; for stewards of this site, who publish it then.

        Raises:
            NotFound: this site has no such dataset, or not its key any more.
        """

    async def open_shared(
        self, person: str, signed: SignedRequest, cid: Cid, project: str, project_site: str
    ) -> schema.SharedView:
        """The header of a shared dataset, sealed for the person, once its ciphertext is at this site.

        ``signed`` is the person's request, which goes to whoever keeps the key, and into the audit logs of both sites.

        Raises:
            NotFound: no such dataset. Denied: label, grant or policy do not let the person have it, or not any more.
            Unreachable: nobody who has the key, or the bytes, answers.
        """

    async def shared_piece(self, person: str, cid: Cid, name: str, start: str) -> bytes:
        """Ciphertext of a shared dataset that was opened here: at most 8 MiB of a body, from a byte on.

        ``name`` is «manifest», or the number of a body; then it goes on with the bodies behind that.

        Raises:
            NotFound: nothing of that name for this person.
        """

    async def import_block(self, person: str, request: ImportBlock) -> BlockImported:
        """Pack a block; for stewards and researchers of this site."""

    async def export_block(self, person: str, request: ExportBlock) -> BlockExported:
        """Write a block that is open to all as the archive of an image; for stewards of this site.

        Raises:
            Denied: no steward, or the block is for some alone.
        """

    async def packing(self) -> tuple[PackingView, ...]:
        """The blocks that are being packed; needs no person."""

    async def block(self, person: str, cid: Cid) -> BlockView:
        """A block that this site has or can fetch.

        Raises:
            NotFound: no such block, or none shared with this site.
        """

    async def fetch(self, person: str, signed: SignedRequest, cid: Cid, path: str, part: str) -> bytes:
        """A file that the person may read, or its bytes ``part`` (``FIRST-LAST``), at most 16 MiB of it.

        It is fetched from its holder if need be; of a part no more is than it takes.

        ``signed`` is the person's request, which the audit log keeps.

        Raises:
            NotFound: no such thing, or not for this person.
        """

    async def tree(self, person: str, signed: SignedRequest, cid: Cid, path: str, after: str) -> TreePage:
        """The file or folder at ``path`` of open data or of a block, all of which is brought here with the first page.

        Of a folder every path below it, sorted, with the bytes of small files; ``after`` is the last one of the page
        before. Other files are read by :meth:`fetch`, part by part. Written down once.

        Raises:
            NotFound: no such thing, or not for this person.
        """

    async def folder(self, person: str, signed: SignedRequest, cid: Cid) -> FolderView:
        """The first names in open data, if they are a folder; no more is fetched than the folder itself.

        Raises:
            NotFound: no such thing, or not for this person. Unreachable: nobody who has it answers.
        """

    async def plan(self, person: str, request: plans.PlanRequest) -> plans.Prepared:
        """Plan a workflow.

        Raises:
            Infeasible: budget or deadline cannot be kept; the message names which.
            Denied: no standing in the project. BadInput: the workflow or the job.
        """

    async def submit(self, person: str, request: schema.Submit) -> schema.Submitted:
        """Take a signed submission and carry it out."""

    async def submissions(self, person: str) -> tuple[schema.SubmissionView, ...]:
        """The person's own submissions, newest first."""

    async def submission(self, person: str, submission: Cid, seconds: float) -> schema.SubmissionView:
        """One of the person's own submissions, after at most ``seconds`` or as soon as something changes."""

    async def cancel(self, person: str, request: CancelRequest) -> schema.SubmissionView:
        """End one of the person's own submissions.

        Raises:
            NotFound: none of that CID by this person. Conflict: it has ended. Denied: the word is old.
        """

    async def pause(self, person: str, request: PauseRequest) -> schema.SubmissionView:
        """Pause one of the person's own submissions, or go on with it.

        Raises:
            NotFound: none of that CID by this person. Conflict: it does not run; or, to go on, is not paused.
        """

    async def requested(self, person: str, submission: Cid) -> Requested:
        """What one of the person's own submissions asked for.

        Raises:
            NotFound: none of that CID by this person.
        """

    async def result(
        self, person: str, signed: SignedRequest, submission: Cid, name: str, path: str, part: str
    ) -> bytes:
        """A file of at most 16 MiB at ``path`` in a workflow output, or the bytes ``part`` of one."""

    async def result_tree(
        self, person: str, signed: SignedRequest, submission: Cid, name: str, path: str, after: str
    ) -> TreePage:
        """What lies at ``path`` in a workflow output, page by page; with the first one all of it comes to the node."""

    async def events(self, person: str, submission: Cid, after: str, seconds: float) -> EventsPage:
        """What happened to one of the person's own submissions behind number ``after``, waited for if it is nothing."""

    async def graph(self, person: str, submission: Cid) -> GraphView:
        """How the steps of one of the person's own submissions hang together."""

    async def logs(self, person: str, signed: SignedRequest, submission: Cid, step: str) -> tuple[LogView, ...]:
        """What the commands of steps that failed wrote last, as far as the person may read it; written down.

        ``step`` is a step or, with its shard in brackets, an instance; all of them if it is empty. Of another site's
        submission a steward is given what was written here.

        Raises:
            NotFound: no such submission, or no such step of it failed. Denied: its project is over, or the site halted.
        """

    async def evidence(self, person: str, submission: Cid, after: str) -> EvidencePage:
        """The files by which others can check one of the person's own submissions that has ended, page by page.

        ``after`` is what the page before said, «0» for the first.

        Raises:
            NotFound: none of that CID by this person. Conflict: it has not ended.
        """

    def who(self, person: str, request: schema.AskWho) -> AsyncIterator[schema.SiteRows]:
        """Ask the members' audit logs side by side; answers as they arrive."""
