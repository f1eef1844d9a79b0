"""The smaller ports of a simulated site: its clock, its randomness, its CWL, and what runs its steps."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection

from catalog.cid import Cid
from catalog.error import NotFound, VerificationFailed
from catalog.index import Index
from catalog.project import ProjectRef
from node.ports import Bulk
from node.step import Finished, Product, Usage, Work
from tests.simulation.consortium import EPOCH_BEGAN, Site, compute, read_tool, read_workflow
from tests.simulation.disk import Change, Write
from tests.simulation.scheduler import Event, Nap, Scheduler, Turn
from tests.simulation.watch import Watch
from workflow.argument import Data, data_in
from workflow.graph import Workflow
from workflow.receipt import Form, Receipt
from workflow.tool import Tool

MAX_BLOB = 1 << 20


class SimulatedClock:
    """The clock of one site, which is as wrong as the site's ``skew`` says at the time."""

    def __init__(self, scheduler: Scheduler, site: Site) -> None:
        self._scheduler = scheduler
        self._site = site

    def now(self) -> int:
        return EPOCH_BEGAN + self._scheduler.now + self._site.skew

    async def sleep(self, seconds: float) -> None:
        await Nap(int(seconds * 1000))


class SimulatedRandom:
    """Bytes that are the same in every run of a seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def token(self, count: int) -> bytes:
        return self._random.randbytes(count)


class SimulatedReceiving:
    """What other sites gave is not written down here: no invariant asks for it."""

    async def released(self, receipt: Receipt, datasets: Collection[Cid], person: str) -> None:
        await Turn("received")


class SimulatedValues:
    """The outputs that disclosure control reads, and writes anew."""

    def __init__(self, site: Site, index: Index, watch: Watch) -> None:
        self._site = site
        self._index = index
        self._watch = watch

    async def hold(self, data: bytes, project: ProjectRef) -> Cid:
        cid = Cid.of(data)
        async with Change(Write.HOLD):
            self._site.disk.blobs[cid] = data
            self._watch.made(self._site, cid, self._index)
        return cid

    async def read(self, root: Cid, path: str = "", limit: int = MAX_BLOB) -> bytes:
        await Turn("blobs.read")
        if root not in self._site.disk.blobs:
            raise NotFound(f"{root} is not stored here")
        return self._site.disk.blobs[root]

    async def missing(self, root: Cid) -> list[Cid]:
        await Turn("blobs.missing")
        return [] if root in self._site.disk.blobs else [root]


class SimulatedLists:
    """No step of the simulation makes a list that a later one is scattered over."""

    async def value(self, data: Data, datasets: Collection[Cid], project: ProjectRef) -> bytes:
        raise NotFound(f"{data.cid} is not stored here")


class SimulatedRecords:
    """The records of disclosure control."""

    def __init__(self, site: Site) -> None:
        self._disk = site.disk

    async def keep(self, data: bytes) -> Cid:
        cid = Cid.of(data)
        async with Change(Write.KEEP):
            self._disk.records[cid] = data
        return cid

    async def read(self, record: Cid) -> bytes:
        await Turn("records.read")
        if record not in self._disk.records:
            raise NotFound(f"{record} is lost")
        return self._disk.records[record]


class SimulatedTurn:
    """A lock."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._taken = False
        self._waiting: deque[Event[None]] = deque()

    async def __aenter__(self) -> None:
        while self._taken:
            self._waiting.append(Event(self._scheduler))
            await self._waiting[-1]
        self._taken = True

    async def __aexit__(self, *_: object) -> None:
        self._taken = False
        if self._waiting:
            self._waiting.popleft().set(None)


class SimulatedDocuments:
    """CWL texts, really parsed."""

    async def workflow(self, text: str) -> Workflow:
        await Turn("documents.workflow")
        return read_workflow(text)


class SimulatedSteps:
    """Blocks are real CWL; running one is a pure function. Opening data is told to the watch."""

    runner = "sandbox"
    fault = ""

    def __init__(self, site: Site, index: Index, bulk: Bulk, scheduler: Scheduler, watch: Watch, broken: float) -> None:
        self._site = site
        self._index = index
        self._bulk = bulk
        self._scheduler = scheduler
        self._watch = watch
        self._broken = broken

    async def tool(self, block: Cid) -> Tool:
        await Turn("steps.tool")
        entry = self._index.by_subject("block", str(block))
        if entry is None:
            raise NotFound(f"no block {block}")
        return read_tool((await self._bring(entry.site, block)).decode())

    async def run(self, work: Work, seconds: float, _order: Cid, _project: ProjectRef) -> Finished:
        await Turn("steps.run")
        block, data = work.block, list(data_in(dict(work.inputs)))
        self._watch.opens(self._site, block, data)
        tool = await self.tool(block)
        for item in data:
            await self._bring(item.site, item.cid)
        files = [self._site.disk.blobs[item.cid] for item in data]
        await Turn("steps.opened")
        takes = self._scheduler.random.choice([5, 50, 500, 5_000, 40_000])
        await Nap(min(takes, int(seconds * 1000)))
        usage = Usage(takes / 1000, 0.1, 1 << 20)
        if takes > seconds * 1000:
            return Finished({}, usage, "it ran out of time")
        if self._scheduler.random.random() < self._broken:
            return Finished({}, usage, "it ended with code 1")
        made = compute(tool.label, files)
        cid = Cid.of(made)
        name = tool.outputs[0].name
        async with Change(Write.STORE):
            self._site.disk.blobs[cid] = made
            self._watch.made(self._site, cid, self._index)
        return Finished({name: Product(f"{name}.json", cid, len(made), Form.FILE)}, usage)

    async def _bring(self, site: str, cid: Cid) -> bytes:
        blobs = self._site.disk.blobs
        if cid not in blobs:
            if site == self._site.did:
                raise NotFound(f"{cid} is not stored here")
            data = await self._bulk.get(site, f"/ipfs/{cid}", MAX_BLOB)
            if not cid.matches(data):
                raise VerificationFailed("other bytes came than the CID names")
            async with Change(Write.FETCH):
                blobs[cid] = data
        return blobs[cid]
