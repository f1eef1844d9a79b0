"""A replica of another site's log: leaves that its key signed for, and the bodies that we may see."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from catalog import tiles
from catalog.checkpoint import Checkpoint, open_checkpoint
from catalog.error import ComityError, VerificationFailed
from catalog.leaf import decode_leaf, opens
from catalog.tiles import ENTRIES, MAX_LEAF, WIDTH, Edge, Tile, tile_at
from node.storage.logfolder import Growth, LogFolder, open_folder
from node.storage.stored import StoredLog


class ReplicaLog(StoredLog):
    """The log of a peer, as far as it was fetched and verified. Leaves are opaque to it.

    A long extension is brought in parts: what :meth:`add` took lies in its tiles beyond the checkpoint, where no reader
    sees it and opening the replica again drops it, until :meth:`extend` puts the checkpoint over it.
    """

    def __init__(self, held: LogFolder) -> None:
        super().__init__(held)
        self._ahead = held.state

    @classmethod
    async def open(cls, folder: Path, origin: str, did: str, earlier: tuple[str, ...] = ()) -> ReplicaLog:
        """Open the replica of the log ``origin``, whose key is ``did``; an empty one is made if there is none.

        Its checkpoint may have been signed by one of the ``earlier`` keys.

        Raises:
            Conflict: another process holds it.
            Damaged: a file is missing or damaged; the message names it.
        """
        return cls(await trio.to_thread.run_sync(_open, folder, origin, did, earlier))

    @property
    def edge(self) -> Edge:
        """The edge of the tree of everything that was added, the checkpoint's leaves and those beyond."""
        return self._ahead.edge

    async def add(self, new_leaves: Sequence[bytes]) -> None:
        """Keep the next leaves beyond the checkpoint. The caller has verified them against a checkpoint to come.

        Raises:
            ComityError: the disk refused; the leaves before them are kept.
        """
        async with self._writing:
            self._check_writable()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._add, new_leaves)

    async def drop_added(self) -> None:
        """Forget what was added beyond the checkpoint."""
        async with self._writing:
            self._check_writable()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._drop_added)

    async def extend(
        self, note: str, new_leaves: Sequence[bytes], bodies: Sequence[tuple[int, bytes, bytes]] = ()
    ) -> list[int]:
        """Add the last leaves up to the size in ``note``, a checkpoint that the log's key signed, and put it over them.

        The root is recomputed; if anything is wrong, everything stays as it was. Nothing is done if the checkpoint
        is the one that is here. ``bodies`` of these leaves, (index, salt, body) each, are kept in the same commit;
        returned are the indexes of those that their leaves do not commit to, which are not kept.

        Raises:
            VerificationFailed: not the log's signature, other leaves than its root says, or a smaller log.
            ComityError: the disk refused.
        """
        async with self._writing:
            self._check_writable()
            with trio.CancelScope(shield=True):
                return await trio.to_thread.run_sync(self._extend, note, new_leaves, bodies)

    async def put_bodies(self, rows: Sequence[tuple[int, bytes, bytes]]) -> list[int]:
        """Keep (index, salt, body) of leaves that commit to them; the indexes of those that do not, or are not here.

        What is here already, or was erased here, stays as it is.
        """
        return await trio.to_thread.run_sync(self._put_bodies, rows)

    async def missing_bodies(self, start: int, limit: int) -> list[int]:
        """The first ``limit`` leaves from ``start`` on whose body is neither here nor erased."""
        return await trio.to_thread.run_sync(partial(self._bodies.missing, start, self.size, limit))

    def _put_bodies(self, rows: Sequence[tuple[int, bytes, bytes]]) -> list[int]:
        here = [row for row in rows if 0 <= row[0] < self.size]
        first = min((index for index, _, _ in here), default=0)
        leaves = self._read_leaves(first, max((index + 1 for index, _, _ in here), default=0))
        kept = {row[0]: row for row in here if _opens(leaves[row[0] - first], row)}
        self._bodies.put(kept.values())
        return [index for index, _, _ in rows if index not in kept]

    def _add(self, leaves: Sequence[bytes]) -> None:
        growth = self._ahead.grow(leaves)
        try:
            self._tiles.write({tile: data for tile, data in growth.tiles.items() if tile.width == WIDTH})
        except OSError as error:
            raise ComityError(
                f"nothing was added to the log in {self.folder} ({error}); check the disk's space"
            ) from error
        self._ahead = replace(self._ahead, edge=growth.edge, tail=growth.tail)

    def _drop_added(self) -> None:
        self._ahead = self._state
        self._tiles.drop_beyond(self.size)

    def _extend(self, note: str, leaves: Sequence[bytes], bodies: Sequence[tuple[int, bytes, bytes]]) -> list[int]:
        checkpoint = open_checkpoint(note, self.origin, *self._held.dids)
        ahead = self._ahead
        if checkpoint.size != ahead.edge.size + len(leaves) or any(len(leaf) > MAX_LEAF for leaf in leaves):
            raise VerificationFailed(
                f"«{self.origin}» sent {len(leaves)} leaves after {ahead.edge.size} for a checkpoint of "
                f"{checkpoint.size}"
            )
        growth = ahead.grow(leaves)
        if growth.edge.root != checkpoint.root:
            raise VerificationFailed(
                f"the {checkpoint.size} leaves of «{self.origin}» do not hash to the root that its key signed"
            )
        new = dict(enumerate(leaves, ahead.edge.size))
        kept = [row for row in bodies if row[0] in new and _opens(new[row[0]], row)]
        if checkpoint.size > self.size or not self.note:
            self._put_checkpoint(growth, note, checkpoint, kept)
        return sorted({row[0] for row in bodies} - {row[0] for row in kept})

    def _put_checkpoint(
        self, growth: Growth, note: str, checkpoint: Checkpoint, bodies: Sequence[tuple[int, bytes, bytes]]
    ) -> None:
        before = self.size
        # A full tile that was added earlier is written; the partial ones at the end never were.
        written = dict(growth.tiles) | _partial_tiles(growth)
        self._commit(Growth(growth.edge, growth.tail, written), note, checkpoint, bodies)
        self._ahead = self._state
        with suppress(OSError):
            for level in range(ENTRIES, len(growth.edge.levels)):
                wider = tile_at(level, (before >> tiles.HEIGHT * max(level, 0)) // WIDTH, checkpoint.size)
                if wider is not None:
                    self._tiles.replace(wider, before)


def _partial_tiles(growth: Growth) -> dict[Tile, bytes]:
    size = growth.edge.size
    rows = {level: b"".join(row) for level, row in enumerate(growth.edge.levels) if row}
    if growth.tail:
        rows[ENTRIES] = tiles.encode_bundle(growth.tail)
    found = {tile_at(level, (size >> tiles.HEIGHT * max(level, 0)) // WIDTH, size): row for level, row in rows.items()}
    return {tile: row for tile, row in found.items() if tile is not None}


def _opens(leaf: bytes, row: tuple[int, bytes, bytes]) -> bool:
    """Whether a leaf commits to (index, salt, body); one that is not a leaf of ours commits to nothing."""
    try:
        return opens(decode_leaf(leaf), row[2], row[1])
    except VerificationFailed:
        return False


def _open(folder: Path, origin: str, did: str, earlier: tuple[str, ...]) -> LogFolder:
    folder.mkdir(parents=True, exist_ok=True)
    return open_folder(folder, origin, did, create=True, earlier=earlier)
