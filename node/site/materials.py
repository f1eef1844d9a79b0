"""Where a step's blocks and data come from: resident files in place, this site's blobs, or a site that holds them.

What a catalog publishes is stored as it comes: it is open, or ciphertext. What else comes is a value that was released
to this site for a project, and is sealed under that project's key from the first byte on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.error import BadInput, ComityError, Damaged, Full, NotFound, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.project import ProjectRef
from node.execute.environment.description import FILE, MOST_BYTES, Reference, read
from node.site.keyholders import KeyHolders
from node.site.locating import environments_for, published_label, refused, title_of
from node.site.transfer import Holders, Transfer, nowhere
from node.site.underway import UnderWay
from node.storage.arriving import Arrival
from node.storage.brought import Brought
from node.storage.disk import DiskBlobs
from node.storage.reachable import Reachable
from node.storage.resident import Residents
from node.storage.shared import SharedData
from privacy.trust import blocks_at
from workflow.argument import Data

MAX_BYTES = 1 << 40
"""Bytes of a root that are fetched at most, unless less was announced."""
SLACK = 256 << 20
"""Bytes beside what was announced: a million empty files take so much in names."""
Arrived = Callable[[str, str, Cid], Awaitable[None]]
"""Told that a root which its owner, the first, published has come whole, and that the second gave of it."""

Locate = Callable[[str, Cid], Sequence[str]]
"""Which sites mirror a root that its owner published."""


class Materials:
    """The ``Materials`` of the step executor, for the site ``site``."""

    def __init__(
        self,
        site: str,
        index: Index,
        blobs: DiskBlobs,
        residents: Residents,
        brought: Brought,
        holders: Holders,
        mirrors: Locate,
        arrived: Arrived,
        shared: SharedData,
        keyholders: KeyHolders,
        name: Callable[[str], str],
    ) -> None:
        """``arrived`` is told of each root that has come whole, and who gave of it, before it is used.

        ``name`` gives the name of a site.
        """
        self._site = site
        self._index = index
        self._blobs = blobs
        self._residents = residents
        self._brought = brought
        self._holders = holders
        self._mirrors = mirrors
        self._arrived = arrived
        self._shared = shared
        self._keyholders = keyholders
        self._name = name
        self.under_way = UnderWay()
        self._coming: dict[tuple[str, Cid], trio.Lock] = {}

    async def block(self, cid: Cid) -> None:
        """See to it that a block is stored here whole, from any site that shares it.

        Raises:
            NotFound: no site shares it with this one. Unreachable, VerificationFailed: it cannot be fetched now.
        """
        failure: ComityError = NotFound(
            f"no block {cid} is shared with this site; check the CID or ask its author to share it"
        )
        for entry in blocks_at(self._index, cid, self._site):
            try:
                await self.bring(entry.site, cid)
            except (NotFound, Unreachable, VerificationFailed) as error:
                failure = error
            else:
                return
        raise failure

    async def environment(self, cid: Cid, block: Cid) -> None:
        """See to it that the environment of a block is stored here whole, from any site that shares the block.

        Raises:
            Infeasible: it is larger than the block says.
            NotFound: no site does, or none says that the block runs in it. Unreachable, VerificationFailed: it cannot
                be fetched now.
        """
        failure: ComityError = NotFound(
            f"the environment {cid} of the block {block} is shared with this site by nobody; ask the block's author"
        )
        for entry in blocks_at(self._index, block, self._site):
            if not isinstance(entry.fields, BlockFields) or entry.fields.environment != cid:
                continue
            try:
                await self.bring(entry.site, cid, named=block)
            except (NotFound, Unreachable, VerificationFailed) as error:
                failure = error
            else:
                return
        raise failure

    async def resident(self, data: Data) -> Path | None:
        """The path of resident data of this site, hashed just now.

        Raises:
            VerificationFailed: the bytes are no longer what was published.
        """
        if data.site != self._site or not data.cid.is_keyed:
            return None
        found = await self._residents.find(data.cid)
        if found is None:
            raise NotFound(f"the resident dataset {data.cid} was not published from this machine")
        try:
            now = await self._blobs.hash_path(found.path)
        except BadInput as error:
            raise VerificationFailed("the data cannot be read any more as they were published") from error
        if now != found.plain:
            raise VerificationFailed("the data changed since they were published; their steward publishes them anew")
        return found.path

    async def opened(self, data: Data, order: Cid, target: Path) -> bool:
        """Whether ``data`` are a shared dataset; then they lie decrypted at ``target``, for the step of ``order``.

        Raises:
            NotFound, Unreachable, VerificationFailed: as for :meth:`bring`. Denied: its key is not given for the step.
        """
        index = self._index.sites.get(data.site)
        fields = index.typed(DatasetFields, "dataset", str(data.cid)) if index is not None else None
        if fields is None or fields.withdrawn or fields.level is not Level.SHARED:
            return False
        await self.bring(data.site, data.cid)
        key = await self._keyholders.for_step(data.site, fields, order)
        await self._shared.checkout(data.cid, key, target)
        return True

    async def stored(self, data: Data, project: ProjectRef) -> Cid:
        """See to it that data are stored here whole, for ``project`` alone unless a catalog publishes them."""
        await self.bring(data.site, data.cid, project)
        return data.cid

    async def bring(self, site: str, root: Cid, project: ProjectRef | None = None, named: Cid | None = None) -> None:
        """Have ``root`` here whole, as ``site`` published it; if it does not, as it made it for ``project``.

        With ``named`` it is the environment of the block of that CID. It comes from that site and from those that
        mirror it; every node is verified before it is stored. Whoever wants the same at the same time waits for it.

        What lies here already is fetched as well, unless that site delivered it before: it may be here under
        another label, and whoever names a CID must show that it has the bytes. Nor does a site learn from what it
        is asked for whether they lie here.

        Raises:
            NotFound: the site has no such thing for us, or we are the site and lack it.
            Infeasible: it is larger than was announced. Full: it has no room; what had come of it is given up.
        """
        if site == self._site:
            if await self._blobs.missing(root):
                raise NotFound(f"{root} is not stored here")
            return
        sealed = None if published_label(self._index, site, root) is not None else project
        async with self._turn(site, root):
            if not await self._brought.had_from(site, root) or await self._blobs.missing(root, sealed):
                await self._fetch(site, root, sealed, named or root)

    async def complete(self, site: str, root: Cid, named: Cid | None = None) -> None:
        """Have whole again what ``site``, or this site, published and what was here: only what lacks is fetched.

        Raises:
            NotFound, Unreachable, VerificationFailed, Full: nobody who has it gives it now.
        """
        if site != self._site and not await self._brought.had_from(site, root):
            await self.bring(site, root, named=named)
            return
        async with self._turn(site, root):
            # What lacks below a node that lacked itself is known when that has come.
            while lacking := await self._blobs.missing(root):
                await self._taken(site, root, None, named or root, lacking)

    @asynccontextmanager
    async def _turn(self, site: str, root: Cid) -> AsyncIterator[None]:
        turn = self._coming.setdefault((site, root), trio.Lock())
        try:
            async with turn:
                yield
        finally:
            if not turn.locked():
                self._coming.pop((site, root), None)

    async def _fetch(self, site: str, root: Cid, project: ProjectRef | None, named: Cid) -> None:
        # What another process was taking into the store may have been swept from there since: then all comes anew.
        if await self._taken(site, root, project, named) and await self._blobs.missing(root, project):
            await self._taken(site, root, project, named)
        if await self._blobs.missing(root, project):
            raise Damaged(f"«{root}» came and is not whole here: fetch it again, and see to the site's disk")
        await self._brought.keep(site, root)

    async def _taken(
        self, site: str, root: Cid, project: ProjectRef | None, named: Cid, lacking: Sequence[Cid] = ()
    ) -> bool:
        """Have what comes, or had come, in the store; whether another process had begun to put it there.

        With ``lacking`` no more of it comes than that, and what is below and not here.
        """
        with await self._blobs.arrive(root, site, project) as arrival:
            begun = arrival.whole
            sites = [each for each in (site, *self._mirrors(site, named)) if each != self._site]
            here: Callable[[Cid], bool] = self._is_stored if lacking else nowhere
            if named != root and not lacking:
                here = await self._in_environments(sites)
            most = await self._most(site, root, named)
            transfer = Transfer(root, sites, self._holders, arrival, most, lacking, here)
            with self.under_way.showing(transfer.progress):
                if not begun:
                    await self._come(transfer, arrival, site, root)
                # Before anybody can use them: a crash between the two leaves a row more, never one less.
                for giver in arrival.sources:
                    await self._arrived(site, giver, root)
                await self._blobs.adopt(root, arrival)
        return begun

    async def _come(self, transfer: Transfer, arrival: Arrival, site: str, root: Cid) -> None:
        """Raises what the transfer does; who refused is told by name, and what."""
        try:
            await transfer.run()
        except Full:
            await trio.to_thread.run_sync(arrival.discard)  # it would take the room that is left, for nothing
            raise
        except NotFound as error:
            if not transfer.refused:
                raise
            raise refused([self._name(each) for each in transfer.refused], title_of(self._index, site, root)) from error

    async def _in_environments(self, sites: Collection[str]) -> Callable[[Cid], bool]:
        """Tells what lies here of environments that each of ``sites`` may have: they need not give that once more.

        By what they are asked for they learn that this site ran a block which they may run too, and nothing else.
        """
        known: list[Reachable] = []
        for cid in environments_for(self._index, sites):
            if self._blobs.size_in_clear(cid) is not None:
                below = await self._blobs.reachable(cid)
                known += [below] if below.complete else []
        return lambda cid: any(each.holds(cid) for each in known)

    def _is_stored(self, cid: Cid) -> bool:
        return self._blobs.size(cid) is not None

    async def _most(self, site: str, root: Cid, named: Cid) -> int:
        """Bytes that a root may take: what was announced and an eighth for its tree and its encryption.

        Of an environment the block that runs in it says so, which is here; of other blocks nobody does.
        """
        if named != root:
            announced = read(Reference, await self._blobs.read(named, FILE, MOST_BYTES)).bytes
        else:
            index = self._index.sites.get(site)
            dataset = index.typed(DatasetFields, "dataset", str(root)) if index is not None else None
            if dataset is None:
                return MAX_BYTES
            announced = dataset.size
        return announced + announced // 8 + SLACK
