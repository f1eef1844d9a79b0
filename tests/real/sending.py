"""The sender of a transfer, to be killed: ``python -m tests.real.sending FOLDER PORT`` serves the store in ``FOLDER``.

Prints the port, any free one for 0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from bench.blobserver import KEY
from node.network.blob import Blob, BulkRequest
from node.network.bulk_server import serve_bulk
from node.site.gateway import Gateway, read_question
from node.storage.disk import DiskBlobs
from node.system import SystemClock


async def main(folder: Path, port: int) -> None:
    gateway = Gateway(DiskBlobs(folder))

    async def answer(request: BulkRequest) -> Blob:
        return await gateway.answer(read_question(request.method, request.path, request.query, request.body))

    async def serve(*, task_status: object) -> None:
        await serve_bulk(
            "127.0.0.1",
            port,
            KEY,
            answer,
            clock=SystemClock(),
            site_of=lambda did: did,
            task_status=task_status,  # type: ignore[arg-type]
        )

    async with trio.open_nursery() as nursery:
        print(await nursery.start(serve), flush=True)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]))
