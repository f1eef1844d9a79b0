"""One site's catalog, served over HTTPS as a node serves it: ``python -m bench.catalogserver FOLDER NUMBER``.

Prints the port and serves until it is ended. What a newcomer is measured against is in processes of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from bench.catalogs import keys_of
from catalog.origin import LogName, origin_of
from node.network.blob import Blob, BulkRequest, blob_of
from node.network.bulk_server import serve_bulk
from node.site.catalogshelf import CatalogShelf
from node.site.replicas import Replicas
from node.storage.log import DiskLog
from node.system import SystemClock, SystemRandom

RAW = "/raw/"


async def serve(folder: Path, number: int) -> None:
    """Serve the catalog of site ``number`` in ``folder``, and at ``/raw/SIZE`` that many zeros."""
    root, node, _ = keys_of(number)
    origin = origin_of(root.did, LogName.CATALOG)
    async with await DiskLog.open(folder, origin, 0, node, SystemRandom()) as log:
        shelf = CatalogShelf(root.did, log, Replicas(folder.parent, lambda _site: []))

        async def answer(request: BulkRequest) -> Blob:
            if request.path.startswith(RAW):
                return blob_of(bytes(int(request.path.removeprefix(RAW))))
            _, _, site, _, path = request.path.split("/", 4)
            return blob_of(await shelf.answer(site, path, "did:key:anybody"))

        async with trio.open_nursery() as nursery:
            port = await nursery.start(_serve, node, answer)
            print(port, flush=True)


async def _serve(node, answer, *, task_status):  # type: ignore[no-untyped-def]
    await serve_bulk(
        "127.0.0.1", 0, node, answer, clock=SystemClock(), site_of=lambda did: did, task_status=task_status
    )


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]), int(sys.argv[2]))
