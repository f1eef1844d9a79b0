"""Copying a tree from one store of IPLD nodes into another, as a CAR that is never whole anywhere."""

from __future__ import annotations

import fcntl
import os
from typing import IO, Final, Protocol

import trio

from catalog.cid import Cid
from catalog.error import ComityError
from node.storage.kubo import Kubo

PIPE_BYTES: Final = 1 << 20
"""What a pipe may hold on any Linux (pipe-max-size): less, and the two sides wait for each other all the time."""


class Exporting(Protocol):
    """A store that trees come out of."""

    async def export_car(self, root: Cid, file: IO[bytes]) -> None:
        """Write everything below ``root``, verified, as a CAR.

        Raises:
            NotFound, VerificationFailed: some node is not here, or damaged.
        """


async def pour(blobs: Exporting, root: Cid, kubo: Kubo) -> None:
    """Copy everything below ``root`` into a Kubo, through a pipe: no more than its buffer is in memory.

    Raises:
        NotFound, VerificationFailed: the store lacks a node, or one is damaged. Unreachable, ComityError: of the Kubo.
    """
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    source, sink = os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
    failed: list[ComityError] = []

    async def export() -> None:
        try:
            try:
                await blobs.export_car(root, sink)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(sink.close)
        except BrokenPipeError:
            pass  # the Kubo takes no more, and says why below
        except ComityError as error:
            failed.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(export)
        try:
            await trio.to_thread.run_sync(kubo.take, source)
        except ComityError as error:
            failed.append(error)
        finally:
            source.close()  # whoever still writes into it ends
    if failed:
        raise failed[0]
