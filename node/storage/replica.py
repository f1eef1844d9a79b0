"""A replica of another site's log: leaves that its key signed for, and the bodies that we may see."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from catalog.checkpoint import open_checkpoint
from catalog.error import VerificationFailed
from catalog.leaf import decode_leaf, opens
from catalog.tiles import MAX_LEAF
from node.storage.logfolder import LogFolder, open_folder
from node.storage.stored import StoredLog


class ReplicaLog(StoredLog):
    """The log of a peer, as far as it was fetched and verified. Leaves are opaque to it."""

    def __init__(self, held: LogFolder) -> None:
        super().__init__(held)

    @classmethod
    async def open(cls, folder: Path, origin: str, did: str) -> ReplicaLog:
        """Open the replica of the log ``origin``, whose key is ``did``; an empty one is made if there is none.

        Raises:
            Conflict: another process holds it.
            VerificationFailed: a file is missing or damaged; the message names it.
        """
        return cls(await trio.to_thread.run_sync(_open, folder, origin, did))

    async def extend(self, note: str, new_leaves: Sequence[bytes]) -> None:
        """Add the leaves from ``size`` up to the size in ``note``, a checkpoint that the log's key signed.

        The root is recomputed; if anything is wrong, everything stays as it was. Nothing is done if the checkpoint
        is the one that is here.

        Raises:
            VerificationFailed: not the log's signature, other leaves than its root says, or a smaller log.
            ComityError: the disk refused.
        """
        async with self._writing:
            self._check_writable()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._extend, note, new_leaves)

    async def put_body(self, index: int, salt: bytes, body: bytes) -> None:
        """Keep the body of a leaf, if the leaf commits to it.

        Raises:
            NotFound: the replica has no such leaf yet.
            VerificationFailed: the leaf commits to something else.
            Conflict: the body was erased here.
        """
        leaf = decode_leaf(await self.leaf(index))
        if not opens(leaf, body, salt):
            raise VerificationFailed(
                f"a body for leaf {index} of «{self.origin}» was refused: it is not what the leaf says"
            )
        await trio.to_thread.run_sync(self._bodies.put, index, salt, body)

    async def missing_bodies(self, start: int, limit: int) -> list[int]:
        """The first ``limit`` leaves from ``start`` on whose body is neither here nor erased."""
        return await trio.to_thread.run_sync(partial(self._bodies.missing, start, self.size, limit))

    def _extend(self, note: str, leaves: Sequence[bytes]) -> None:
        checkpoint = open_checkpoint(note, self.origin, self._held.did)
        if checkpoint.size != self.size + len(leaves) or any(len(leaf) > MAX_LEAF for leaf in leaves):
            raise VerificationFailed(
                f"«{self.origin}» sent {len(leaves)} leaves after {self.size} for a checkpoint of {checkpoint.size}"
            )
        growth = self._state.grow(leaves)
        if growth.edge.root != checkpoint.root:
            raise VerificationFailed(
                f"the {checkpoint.size} leaves of «{self.origin}» do not hash to the root that its key signed"
            )
        if leaves or not self.note:
            self._commit(growth, note, checkpoint, [])


def _open(folder: Path, origin: str, did: str) -> LogFolder:
    folder.mkdir(parents=True, exist_ok=True)
    return open_folder(folder, origin, did, create=True)
