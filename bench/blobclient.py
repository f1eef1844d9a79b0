"""Fetches a root into a store of its own: ``python -m bench.blobclient FOLDER BASE ROOT``.

Prints the seconds it took, the processor seconds, and by how many KiB the process grew.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import trio

from bench.blobserver import KEY
from bench.memory import forget_peak, peak
from bench.moving import Asking, fetched
from catalog.cid import Cid
from catalog.key import PrivateKey
from node.network.bulk import BulkClient
from node.storage.disk import DiskBlobs
from node.system import SystemClock, SystemRandom


async def main(folder: Path, base: str, root: Cid) -> None:
    """Fetch it."""
    with BulkClient(PrivateKey(bytes([9]) * 32), SystemClock(), SystemRandom()) as client:
        holder, store = Asking(client, base), DiskBlobs(folder)
        await client.get(KEY.did, base, "/usage", limit=100)
        resident, used = forget_peak(), time.process_time()
        took = await fetched(holder, store, root)
        print(took, time.process_time() - used, peak() - resident)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2], Cid.parse(sys.argv[3]))
