"""The receiver of a transfer, to be killed: ``python -m tests.real.receiving FOLDER PORT ROOT TAKEN``.

Adds to the number in the file ``TAKEN`` every byte that it takes off its connections, decrypted, in the moment that it
does: the file is mapped, so that the number outlives the process.
"""

from __future__ import annotations

import mmap
import ssl
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import trio

from bench.blobserver import KEY
from bench.moving import Asking
from catalog.cid import Cid
from catalog.key import PrivateKey
from node.network.bulk import BulkClient
from node.site.transfer import Transfer
from node.storage.disk import DiskBlobs
from node.system import SystemClock, SystemRandom

TAKEN = struct.Struct("<Q")
MOST = 1 << 40


def count_into(path: Path) -> None:
    """Let every TLS connection of this process count what is received."""
    with path.open("r+b") as file:
        number = mmap.mmap(file.fileno(), TAKEN.size)
    turn = threading.Lock()

    class Counted(ssl.SSLSocket):
        def recv_into(self, *arguments: Any, **named: Any) -> int:
            count = super().recv_into(*arguments, **named)
            with turn:
                TAKEN.pack_into(number, 0, TAKEN.unpack_from(number)[0] + count)
            return count

    ssl.SSLContext.sslsocket_class = Counted


async def main(folder: Path, port: int, root: Cid) -> None:
    store = DiskBlobs(folder)
    with BulkClient(PrivateKey(bytes([9]) * 32), SystemClock(), SystemRandom()) as client:
        asking = Asking(client, f"https://127.0.0.1:{port}")
        with await store.arrive(root, KEY.did) as arrival:
            await Transfer(root, [KEY.did], asking, arrival, MOST).run()
            await store.adopt(root, arrival)


if __name__ == "__main__":
    count_into(Path(sys.argv[4]))
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]), Cid.parse(sys.argv[3]))
