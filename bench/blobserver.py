"""A store, served over HTTPS as a node serves it: ``python -m bench.blobserver FOLDER``.

Prints the port and serves until it is ended: the sender of a transfer is a process of its own.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

import trio

from bench.memory import forget_peak, peak
from catalog.key import PrivateKey
from node.network.blob import Blob, BulkRequest, blob_of
from node.network.bulk_server import serve_bulk
from node.site.gateway import Gateway, read_question
from node.storage.disk import DiskBlobs
from node.system import SystemClock

KEY: Final = PrivateKey(bytes([7]) * 32)
USAGE: Final = "/usage"


async def serve(folder: Path) -> None:
    """Serve what is stored in ``folder``.

    At ``/usage`` stand the processor seconds, the most memory since that was asked, and that of now (KiB).
    """
    gateway = Gateway(DiskBlobs(folder))

    async def answer(request: BulkRequest) -> Blob:
        if request.path == USAGE:
            used = resource.getrusage(resource.RUSAGE_SELF)
            return blob_of(f"{used.ru_utime + used.ru_stime} {peak()} {forget_peak()}".encode())
        return await gateway.answer(read_question(request.method, request.path, request.query, request.body))

    async with trio.open_nursery() as nursery:
        port = await nursery.start(_serve, answer)
        print(port, flush=True)


async def _serve(answer, *, task_status):  # type: ignore[no-untyped-def]
    await serve_bulk("127.0.0.1", 0, KEY, answer, clock=SystemClock(), site_of=lambda did: did, task_status=task_status)


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]))
