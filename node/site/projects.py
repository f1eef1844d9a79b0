"""Ending projects at this site: steps are stopped, what was held and brought is destroyed, and that is certified.

Whether a project is over is asked of the catalog and the clock whenever anything is done for it, so access stops
without this. What is done here may be cut off anywhere and is done again: a site is finished with a project when its
own catalog holds the certificate for the terms that the project ended under. After a restore the certificate comes back
from the members, and what it says was destroyed from the backup: the audit log lacks the row, and it is done again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import trio

from catalog.block import BlockFields
from catalog.body import Body, fields_of, write_body
from catalog.certificate import NOT_COVERED, CertificateFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.entry import Entry
from catalog.error import ComityError, Damaged, VerificationFailed
from catalog.index import Index
from catalog.key import Signer
from catalog.mirror import MirrorFields
from catalog.project import ProjectFields, ProjectRef
from node.automator.book import AuditBook, Line
from node.automator.hold import Holdings
from node.bus.journal import Record
from node.message import Place
from node.ports import Clock
from node.site.orders import Orders
from node.storage.brought import Brought
from node.storage.disk import DiskBlobs
from node.storage.fresh import FRESH_SECONDS
from node.storage.journal import SubmissionJournal
from node.storage.memo import Memos
from node.storage.sweep import Swept
from workflow.account import Chain, DestroyFields

MAX_PAUSE = 60.0
"""Seconds after which the clock is looked at again, whatever it was set to meanwhile."""
AGAIN_SECONDS = 2.0
SWEEP_SECONDS = 60.0
"""Between two sweeps of the store that something gave room for: a withdrawal, the end of a mirror, a start."""
log = logging.getLogger("comity.projects")


@dataclass(frozen=True, slots=True)
class Ending:
    """What projects are ended with."""

    index: Index
    holdings: Holdings
    blobs: DiskBlobs
    brought: Brought
    memos: Memos
    journal: SubmissionJournal
    book: AuditBook
    write: Callable[[Body], Awaitable[Entry]]
    signer: Signer
    clock: Clock


class Projects:
    """Ends the projects that are over, as the site ``site``; ``pending`` says of each why it is not finished."""

    def __init__(self, site: str, ending: Ending, orders: Orders) -> None:
        self._site = site
        self._ending = ending
        self._orders = orders
        self._woken = trio.Event()
        self._stopped: dict[ProjectRef, float] = {}
        self._untouched: set[tuple[ProjectRef, Cid]] = set()
        self._doubted: set[int] = set()
        self._destroying: ProjectRef | None = None
        self._litter = False
        self._swept = float("-inf")
        self._due: float | None = None
        self.pending: dict[ProjectRef, str] = {}

    async def begin(self, site: str) -> None:
        """What counts of ``site`` is told again: nothing that is done here depends on what was told before."""

    async def counted(self, _site: str, entries: Sequence[Entry]) -> None:
        """A project may have ended: its steps stop before anything else is done. What gives room is swept soon."""
        if self._due is None and any(_gives_room(entry) for entry in entries):
            self._due = max(trio.current_time(), self._swept + SWEEP_SECONDS)
            self._woken.set()
        if any(entry.body.kind == "project" for entry in entries):
            self.close()
            self._woken.set()

    def litter(self) -> None:
        """Something that was kept is kept no more: the store is swept soon."""
        self._litter = True
        self._woken.set()

    async def run(self) -> None:
        """End what is over, whenever something is; until cancelled."""
        await self._doubt()
        # Not at once: what keeps a root may be read of a catalog that is still catching up.
        self._due = trio.current_time() + SWEEP_SECONDS
        while True:
            self._woken = trio.Event()
            pause = await self.settle()
            with trio.move_on_after(pause):
                await self._woken.wait()

    async def _doubt(self) -> None:
        """Find the certificates of this site whose destruction its audit log does not have."""
        for entry in self._ending.index.site(self._site).entries("certificate"):
            if isinstance(entry.fields, CertificateFields) and not await self._was_destroyed(entry.fields):
                self._doubted.add(entry.index)

    async def _was_destroyed(self, certificate: CertificateFields) -> bool:
        try:
            kind, row = await self._ending.book.row(certificate.audit)
            of = certificate.project if row is None else fields_of(row, DestroyFields).project
        except (Damaged, VerificationFailed):
            return False
        return kind == "destroy" and of == certificate.project

    def close(self) -> list[ProjectRef]:
        """Hold nothing more for projects that are over, and stop their steps. Done at once; gives those to finish."""
        now = self._ending.clock.now()
        over = [(ref, fields) for ref, fields in self._all() if fields.over(now)]
        for ref, _ in over:
            self._ending.holdings.end(ref)
            self._orders.stop(_of(ref), _ended(ref))
        return [ref for ref, fields in over if not self._certified(ref, fields)]

    async def settle(self) -> float:
        """Finish what is over; how many seconds may pass until there is more to do."""
        self.pending = dict.fromkeys(self.close(), "")
        for ref in list(self.pending):
            try:
                self.pending[ref] = await self._finish(ref)
            except ComityError as error:
                self.pending[ref] = str(error)
                log.warning("what was held for %s is not destroyed yet: %s", ref.name, error)
        if self._litter or (self._due is not None and trio.current_time() >= self._due):
            await self._tidy()
        again = self._litter or any(self.pending.values())
        return AGAIN_SECONDS if again else min(self._next(), self._until_due())

    def _until_due(self) -> float:
        return float("inf") if self._due is None else max(0.001, self._due - trio.current_time())

    async def _tidy(self) -> None:
        self._swept, self._due = trio.current_time(), None
        try:
            swept = await self._sweep([])
            self._litter = False
        except ComityError as error:
            self._due = self._swept + SWEEP_SECONDS
            log.warning("the store was not swept yet: %s", error)
            return
        if swept.spared is not None:  # what nobody named yet may be named by nobody in the end
            self._due = swept.spared + FRESH_SECONDS

    def _next(self) -> float:
        """Seconds until the next project's time is over."""
        now = self._ending.clock.now()
        ends = [fields.not_after - now for _, fields in self._all() if not fields.over(now)]
        return max(0.001, min([MAX_PAUSE, *((end + 1) / 1000 for end in ends)]))

    def _all(self) -> list[tuple[ProjectRef, ProjectFields]]:
        return [
            (ProjectRef(site=entry.site, name=entry.fields.name), entry.fields)
            for entry in self._ending.index.entries("project")
            if isinstance(entry.fields, ProjectFields)
        ]

    def _certified(self, ref: ProjectRef, fields: ProjectFields) -> bool:
        own = self._ending.index.site(self._site).latest("certificate", ref.subject)
        certificate = own.fields if own is not None and own.index not in self._doubted else None
        stands = isinstance(certificate, CertificateFields) and certificate.terms == fields.terms
        return stands or (ref, fields.terms) in self._untouched

    # --- one project -------------------------------------------------------------------------------------------------

    async def _finish(self, ref: ProjectRef) -> str:
        """Destroy what is here for a project that is over and certify it; why that is not finished, else empty."""
        fields = self._ending.index.site(ref.site).typed(ProjectFields, "project", ref.name)
        if fields is None or not fields.over(self._ending.clock.now()):
            return ""
        records = await self._ending.journal.records()
        mine = [record for record in records if record.submission.project == ref]
        trace = self._ending.book.ledger.traces.of(ref)
        if not (mine or trace.values or trace.datasets or self._party(ref, fields)):
            self._untouched.add((ref, fields.terms))
            return ""
        await self._orders.gone(_of(ref), _ended(ref))
        stopped = self._stopped.setdefault(ref, trio.current_time())
        values = trace.values | _delivered(mine)
        self._destroying = ref
        try:
            swept = await self._sweep(records)
        finally:
            self._destroying = None
        if swept.spared is not None and swept.spared <= stopped:
            rest = max(0.0, swept.spared + FRESH_SECONDS - trio.current_time())
            return f"something that was stored before it ended and has no name yet is kept for {rest:.0f} s more"
        swept = swept.and_more(*await trio.to_thread.run_sync(self._ending.blobs.sealed.end, ref))
        await self._ending.brought.forget(values - set(self._kept(ref)()))
        await self._certify(ref, fields, len(values), swept, sorted(trace.datasets))
        return ""

    def _party(self, ref: ProjectRef, fields: ProjectFields) -> bool:
        approval = self._ending.index.site(self._site).latest("approve", ref.subject)
        return self._site in (ref.site, *fields.members) or approval is not None

    async def _certify(
        self, ref: ProjectRef, fields: ProjectFields, values: int, swept: Swept, datasets: Sequence[Cid]
    ) -> None:
        """Write down that it is done, in the audit log first."""

        def account(chain: Chain, _index: int) -> DestroyFields:
            return DestroyFields(project=ref, values=values, nodes=swept.nodes, bytes=swept.bytes, chain=chain)

        place = await self._ending.book.write([Line("destroy", datasets, account)])
        certificate = CertificateFields(
            project=ref,
            terms=fields.terms,
            values=values,
            nodes=swept.nodes,
            bytes=swept.bytes,
            not_covered=NOT_COVERED,
            audit=place,
        )
        earlier = self._ending.index.site(self._site).latest("certificate", ref.subject)
        await self._ending.write(
            write_body(
                "certificate",
                certificate,
                site=self._site,
                at=self._ending.clock.now(),
                by=self._ending.signer,
                previous=earlier.index if earlier else None,
            )
        )
        self._stopped.pop(ref, None)
        log.info("the project %s ended: %d values destroyed, %d bytes", ref.name, values, swept.bytes)

    # --- what stays --------------------------------------------------------------------------------------------------

    async def _sweep(self, records: Sequence[Record]) -> Swept:
        """Remove from the store what nothing here names any more."""
        records = records or await self._ending.journal.records()
        now = self._ending.clock.now()
        over = {ref for ref, fields in self._all() if fields.over(now)}
        delivered = _delivered(record for record in records if record.submission.project not in over)
        kept, remembered = self._kept(self._destroying), await self._ending.memos.roots(self._destroying)
        return await self._ending.blobs.drop(lambda: [*delivered, *remembered, *kept()])

    def _kept(self, destroyed: ProjectRef | None) -> Callable[[], list[Cid]]:
        """Gives the roots that are named now, but for what is named by projects that are destroyed."""

        def kept() -> list[Cid]:
            gone = {ref for ref, fields in self._all() if self._gone(ref, fields, destroyed)}
            traces = self._ending.book.ledger.traces
            return [
                *self._ending.holdings.roots(),
                *self._published(),
                *(root for ref in traces.projects() if ref not in gone for root in traces.of(ref).values),
            ]

        return kept

    def _gone(self, ref: ProjectRef, fields: ProjectFields, destroyed: ProjectRef | None) -> bool:
        over = fields.over(self._ending.clock.now())
        return over and (ref == destroyed or self._certified(ref, fields))

    def _published(self) -> Iterable[Cid]:
        """Blocks and open data that any member's catalog names, but for what is mirrored here no more.

        They are nobody's held value.
        """
        ceased = self._ceased()
        for entry in (*self._ending.index.entries("block"), *self._ending.index.entries("dataset")):
            fields = entry.fields
            if not isinstance(fields, DatasetFields | BlockFields) or (entry.site, fields.cid) in ceased:
                continue
            if isinstance(fields, BlockFields):
                yield from fields.roots
            elif not (fields.level is Level.RESIDENT or fields.withdrawn):
                yield fields.cid

    def _ceased(self) -> set[tuple[str, Cid]]:
        """What this site mirrored and mirrors no more: what is used of it later is fetched again."""
        mirrors = (entry.fields for entry in self._ending.index.site(self._site).entries("mirror"))
        return {(each.owner, each.cid) for each in mirrors if isinstance(each, MirrorFields) and each.withdrawn}


def _gives_room(entry: Entry) -> bool:
    """Whether something that may lie here is named no more by what an entry says."""
    fields = entry.fields
    return entry.body.kind == "withdraw" or (isinstance(fields, DatasetFields | MirrorFields) and fields.withdrawn)


def _of(ref: ProjectRef) -> Callable[[Place], bool]:
    return lambda message: message.submission.project == ref


def _ended(ref: ProjectRef) -> str:
    return f"the project «{ref.name}» has ended"


def _delivered(records: Iterable[Record]) -> set[Cid]:
    """What was released to this site in the submissions of ``records``."""
    return {
        output.cid
        for record in records
        for receipt in record.receipts
        for output in receipt.outputs.values()
        if output.cid is not None
    }
