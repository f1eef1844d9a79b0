"""The values of steps that were released to this site, as the bus reads them (the port ``Values``)."""

from __future__ import annotations

from collections.abc import Callable, Collection

import trio

from catalog.cid import Cid
from catalog.error import Denied
from catalog.index import Index
from catalog.project import ProjectFields, ProjectRef
from node.automator.hold import Holdings
from node.ports import Clock
from node.site.materials import Materials
from node.storage.disk import DiskBlobs
from node.storage.unixfs import load
from workflow.argument import Data
from workflow.value import MOST_BYTES, VALUE


class ReleasedValues:
    """Reads stored values; ``litter`` is called where something came that is to be kept no more."""

    def __init__(
        self,
        index: Index,
        materials: Materials,
        blobs: DiskBlobs,
        holdings: Holdings,
        clock: Clock,
        litter: Callable[[], None],
    ) -> None:
        self._index = index
        self._materials = materials
        self._blobs = blobs
        self._holdings = holdings
        self._clock = clock
        self._litter = litter

    async def value(self, data: Data, datasets: Collection[Cid], project: ProjectRef) -> bytes:
        """The JSON of a stored value, fetched from its holder for ``project`` if need be; made from ``datasets``.

        Raises:
            Unreachable, NotFound, VerificationFailed: it cannot be had. BadInput: no stored value, or one that is too
                large. Denied: the project is over.
        """
        self._check(project)
        self._holdings.account(data.cid, datasets, project)
        cid = await self._materials.stored(data, project)
        try:
            self._check(project)
        except Denied:
            # It ended meanwhile, and what came just now came after the copies were destroyed.
            self._litter()
            raise
        node = await trio.to_thread.run_sync(load, cid, self._blobs.get)
        return await self._blobs.read(cid, VALUE if node.is_folder else "", MOST_BYTES)

    def _check(self, ref: ProjectRef) -> None:
        project = self._index.site(ref.site).typed(ProjectFields, "project", ref.name)
        if project is None or project.over(self._clock.now()):
            raise Denied(f"the project «{ref.name}» has ended")
