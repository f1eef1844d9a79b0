"""Values that steps made and released to this site, read for the bus."""

from __future__ import annotations

import trio

from catalog.project import ProjectRef
from node.ports import Blobs
from node.site.materials import Materials
from node.storage.unixfs import load
from workflow.argument import Data
from workflow.value import MOST_BYTES, VALUE, read_value


class ReleasedValues:
    """The port :class:`node.ports.Values`."""

    def __init__(self, materials: Materials, blobs: Blobs) -> None:
        self._materials = materials
        self._blobs = blobs

    async def value(self, data: Data, project: ProjectRef) -> object:
        """The whole stored value that ``data`` names, brought here for ``project`` if need be.

        Raises:
            BadInput: it is none. NotFound, Unreachable, VerificationFailed: it cannot be had.
        """
        cid = await self._materials.stored(data, project)
        with_files = await trio.to_thread.run_sync(lambda: load(cid, self._blobs.get).is_folder)
        return read_value(await self._blobs.read(cid, VALUE if with_files else "", MOST_BYTES))
