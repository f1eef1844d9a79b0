"""Seeing that what this site publishes and mirrors is whole here, and bringing what lacks from its other holders.

A disk loses bytes, and «site fsck --mend» removes those that went wrong. What is looked at is which nodes are there,
not their bytes: these are hashed whenever they are read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

import trio

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.error import ComityError, Damaged, VerificationFailed
from catalog.index import Index
from catalog.mirror import MirrorFields
from node.site.locating import published_label, whole_of
from node.site.materials import Materials
from node.storage.disk import DiskBlobs

DAY_SECONDS: Final = 86_400.0
FIRST_SECONDS: Final = 5.0
"""After which what lacks is asked for again; twice as long each time, up to an hour."""
HOUR_SECONDS: Final = 3600.0
log = logging.getLogger("comity.repair")


class Repair:
    """Looks after the roots of the site ``site``; ``lacking`` says of each that is not whole why it is not."""

    def __init__(
        self,
        site: str,
        index: Index,
        blobs: DiskBlobs,
        materials: Materials,
        refusal: Callable[[str], str | None],
    ) -> None:
        """``refusal`` says why nothing of an owner's may be fetched now; nothing if it may."""
        self._site = site
        self._index = index
        self._blobs = blobs
        self._materials = materials
        self._refusal = refusal
        self.lacking: dict[Cid, str] = {}

    async def run(self) -> None:
        """Look at the start and once a day, until cancelled; sooner again while something lacks."""
        pause = FIRST_SECONDS
        while True:
            await self.settle()
            await trio.sleep(pause if self.lacking else DAY_SECONDS)
            pause = min(2 * pause, HOUR_SECONDS) if self.lacking else FIRST_SECONDS

    async def settle(self) -> None:
        """Look at every root, and bring what lacks of it."""
        lacking = {}
        for owner, root, named in list(self.roots()):
            if why := await self._lacks(owner, root, named):
                self.lacking[root] = lacking[root] = why
        self.lacking = lacking

    def roots(self) -> Iterator[tuple[str, Cid, Cid]]:
        """What is to be whole here, each with its owner and what that publishes it as: its own, and what is mirrored.

        An environment is published as the block that runs in it.
        """
        own = self._index.site(self._site)
        for entry in (*own.entries("dataset"), *own.entries("block"), *own.entries("mirror")):
            fields = entry.fields
            if isinstance(fields, MirrorFields) and fields.withdrawn:
                continue
            if isinstance(fields, DatasetFields | BlockFields | MirrorFields):
                owner = fields.owner if isinstance(fields, MirrorFields) else self._site
                if published_label(self._index, owner, fields.cid) is not None:
                    for root in whole_of(self._index, owner, fields.cid):
                        yield owner, root, fields.cid

    async def _lacks(self, owner: str, root: Cid, named: Cid) -> str:
        """Why a root is not whole here, after what lacks was asked for; empty if it is."""
        try:
            count = len(await self._blobs.missing(root))
            if not count:
                return ""
            if refused := self._refusal(owner):
                return refused
            await self._materials.complete(owner, root, named)
        except (VerificationFailed, Damaged) as error:
            return f"{error}; stop the node and run: comity site fsck --mend"
        except ComityError as error:
            return str(error)
        log.info("%s is whole again: what lacked came from another site (%d nodes were known to lack)", root, count)
        return ""
