"""Fetches a root into a store of its own: ``python -m bench.blobclient FOLDER BASE ROOT``.

Prints the seconds it took, the processor seconds, and by how many KiB the process grew.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import trio

from bench.blobserver import KEY
from bench.memory import forget_peak, peak
from bench.storage import Asking, fetched
from catalog.cid import Cid
from catalog.key import PrivateKey
from node.network.bulk import BulkClient
from node.storage.disk import DiskBlobs
from node.system import SystemClock, SystemRandom


async def main(folder: Path, base: str, root: Cid) -> None:
    """Fetch it."""
    with BulkClient(PrivateKey(bytes([9]) * 32), SystemClock(), SystemRandom()) as client:
        asking, store = Asking(client, base), DiskBlobs(folder)
        await client.get(KEY.did, base, "/usage", limit=100)
        before, began, resident = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), forget_peak()
        await fetched(asking, store, root)
        after = resource.getrusage(resource.RUSAGE_SELF)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(time.perf_counter() - began, used, peak() - resident)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2], Cid.parse(sys.argv[3]))
