"""A root from one process into another's store, as sites move them: the pieces that benchmarks of transfers share."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

from bench.blobserver import KEY, USAGE
from catalog.cid import Cid
from catalog.key import PrivateKey
from node.network.bulk import BulkClient
from node.site.transfer import Transfer
from node.storage.disk import DiskBlobs
from node.system import SystemClock, SystemRandom

T = TypeVar("T")

_ASKER: Final = PrivateKey(bytes([9]) * 32)


@dataclass(frozen=True, slots=True)
class Asking:
    """The ``Holders`` port over one server."""

    client: BulkClient
    base: str

    async def query(self, site: str, path: str, query: bytes, take: Callable[[IO[bytes]], T], limit: int) -> T:
        """See the port."""
        return await self.client.stream(site, self.base, path, take, limit=limit, query=query)

    async def usage(self) -> tuple[float, int, int]:
        """Of the server: processor seconds so far, most KiB of memory since this was asked, and KiB now."""
        seconds, most, now = (await self.client.get(KEY.did, self.base, USAGE, limit=100)).split()
        return float(seconds), int(most), int(now)


@contextmanager
def asking(store: Path) -> Iterator[Asking]:
    """A server of ``store`` in a process of its own, with a client."""
    command = [sys.executable, "-m", "bench.blobserver", str(store)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        BulkClient(_ASKER, SystemClock(), SystemRandom()) as client,
    ):
        try:
            assert server.stdout is not None
            yield Asking(client, f"https://127.0.0.1:{server.stdout.readline().strip()}")
        finally:
            server.terminate()


async def fetched(holder: Asking, store: DiskBlobs, root: Cid) -> float:
    """Seconds until ``root`` is here, verified and durable."""
    began = time.perf_counter()
    with await store.arrive(root, KEY.did) as arrival:
        await Transfer(root, [KEY.did], holder, arrival, 1 << 40).run()
        await store.adopt(root, arrival)
    return time.perf_counter() - began
