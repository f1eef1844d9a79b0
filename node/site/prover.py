"""The process behind :mod:`node.site.provers`: leaves with their bodies in, what they say out, until its input ends.

It knows no key and opens no file, so a body that some decoder stumbles over does no more than end it.
"""

from __future__ import annotations

import sys
from typing import IO, Final

import msgspec

from catalog.reading import pack, read_leaves

_HEAD: Final = 4
_ASKED: Final = msgspec.msgpack.Decoder(tuple[str, int, list[tuple[bytes, bytes | None]]])


def write_frame(file: IO[bytes], data: bytes) -> None:
    """Send ``data`` behind its length in four bytes."""
    file.write(len(data).to_bytes(_HEAD, "big") + data)
    file.flush()


def read_frame(file: IO[bytes]) -> bytes | None:
    """What one :func:`write_frame` sent; none at the end, be it in the middle of one."""
    head = file.read(_HEAD)
    size = int.from_bytes(head, "big")
    data = file.read(size) if len(head) == _HEAD else b""
    return data if len(head) == _HEAD and len(data) == size else None


def serve(source: IO[bytes], target: IO[bytes]) -> None:
    """Answer until ``source`` ends."""
    while (data := read_frame(source)) is not None:
        origin, start, rows = _ASKED.decode(data)
        write_frame(target, pack(read_leaves(origin, start, rows)))


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
