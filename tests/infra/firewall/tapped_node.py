"""A node that writes into a file, beside what it does, all that it carries as a relay: what its operator could see.

Run as a program with the site's folder and the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from trio.abc import Stream

from node.config import Folder
from node.daemon import run
from node.network import relay
from node.network.splice import splice


class Tapped(Stream):
    """A stream whose bytes are copied to ``out``, both ways."""

    def __init__(self, stream: Stream, out: Path) -> None:
        self._stream = stream
        self._out = out

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        self._copy(data)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._copy(data)
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _copy(self, data: bytes | bytearray | memoryview) -> None:
        with self._out.open("ab") as file:
            file.write(data)


if __name__ == "__main__":
    out = Path(sys.argv[2])

    async def tapped(one: Stream, other: Stream, passes: Callable[[int], bool]) -> None:
        await splice(Tapped(one, out), other, passes)

    relay.splice = tapped  # type: ignore[assignment]
    sys.exit(run(Folder(Path(sys.argv[1]))))
