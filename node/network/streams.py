"""Control streams: messages on them, and those that are kept open between questions.

Opening a stream takes a negotiation that costs both ends four times what a question and its answer do, so the end
that opened one asks its next question on it too.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.mplex.mplex_stream import MplexStream

MESSAGE_BYTES: Final = 1 << 20
"""The largest question, and the largest answer."""
KEPT: Final = 4
"""Streams to one node that are kept when nothing is asked on them."""
_LENGTH: Final = 4


class Streams:
    """The streams of one running host that no question is using, by the node at their other end."""

    def __init__(self) -> None:
        self._kept: defaultdict[str, list[INetStream]] = defaultdict(list)

    def take(self, node: str) -> INetStream | None:
        """A stream to ``node`` that was kept and still stands, for one question; none if there is none."""
        kept = self._kept[node]
        while kept:
            stream = kept.pop()
            if _stands(stream):
                return stream
        return None

    async def keep(self, node: str, stream: INetStream) -> None:
        """Keep a stream whose question was answered; close it if there are enough."""
        kept = self._kept[node] = [each for each in self._kept[node] if _stands(each)]
        if len(kept) < KEPT and _stands(stream):
            kept.append(stream)
        else:
            await stream.close()


def _stands(stream: INetStream) -> bool:
    """Whether neither end has closed or reset this stream, nor its connection."""
    muxed = stream.muxed_stream if isinstance(stream, NetStream) else None
    if not isinstance(muxed, MplexStream) or muxed.muxed_conn.is_closed:
        return False
    ended = (muxed.event_local_closed, muxed.event_remote_closed, muxed.event_reset)
    return not any(event.is_set() for event in ended)


async def read_start(stream: INetStream) -> bytes:
    """The first bytes of the next message, however long they take; nothing if the other end has closed the stream."""
    try:
        return await stream.read(_LENGTH)
    except StreamEOF:
        return b""


async def read_message(stream: INetStream, start: bytes = b"") -> bytes:
    """A message, whose first bytes ``start`` may have been read.

    Raises:
        ValueError: a longer one than :data:`MESSAGE_BYTES` is announced.
    """
    length = int.from_bytes(await _read(stream, _LENGTH, start), "big")
    if length > MESSAGE_BYTES:
        raise ValueError(f"a message of {length} bytes was announced, and {MESSAGE_BYTES} is the most")
    return await _read(stream, length)


async def write_message(stream: INetStream, message: bytes) -> None:
    """Send ``message`` behind its length."""
    await stream.write(len(message).to_bytes(_LENGTH, "big") + message)


async def reset(stream: INetStream) -> None:
    """Give a stream up, in both directions."""
    # Shielded: a stream left half-open would count against its peer until the connection ends.
    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
        await stream.reset()


async def _read(stream: INetStream, count: int, start: bytes = b"") -> bytes:
    data = bytearray(start)
    while len(data) < count:
        data += await stream.read(count - len(data))
    return bytes(data)
