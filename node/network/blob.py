"""What a bulk request asks, and what an answer carries: the values between the bulk server and the site behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from trio.abc import Stream

from catalog.httpsig import SignedRequest

PIECE: Final = 1 << 18
"""Bytes of a piece of what is in memory, 256 KiB."""


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """A request whose signature, freshness and nonce were checked.

    ``asker`` is the did:key that signed it, and may be anybody's. ``path`` and ``query`` are as they were sent, in
    normal form, still percent-encoded. ``range`` is the first and last byte wanted, both included. ``body`` is at
    most 64 KiB. ``signed`` is what the asker signed, for the audit log to keep.
    """

    asker: str
    method: str
    path: str
    query: str
    range: tuple[int, int] | None
    body: bytes
    signed: SignedRequest | None = None


def lasting() -> bool:
    """Nothing ends it."""
    return True


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes of an answer, read as they are sent.

    ``read(first, end)`` yields the bytes from ``first`` up to ``end``, without ``end`` itself, and exactly those; for
    a blob of unknown ``size`` it is called with ``(0, None)`` and yields everything, and ranges do not apply. It is
    called, and yields, in a worker thread unless it is ``ready``, in memory. The connection breaks off if it raises or
    yields another number of bytes. While a blob that is not ``ready`` is sent, ``stands`` is asked again and again, in
    trio's thread, whether the asker may have it still; by a no, or what it raises, the connection breaks off.
    """

    size: int | None
    read: Callable[[int, int | None], Iterator[bytes]]
    ready: bool = False
    stands: Callable[[], bool] = lasting


def blob_of(data: bytes) -> Blob:
    """The blob whose bytes are in memory already."""

    def read(first: int, end: int | None) -> Iterator[bytes]:
        stop = len(data) if end is None else end
        for start in range(first, stop, PIECE):
            yield data[start : min(start + PIECE, stop)]

    return Blob(len(data), read, ready=True)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An agreement to leave HTTP (RFC 9110, 7.8): ``run`` speaks ``protocol`` on the connection to its end."""

    protocol: str
    run: Callable[[Stream], Awaitable[None]]


Answer = Callable[[BulkRequest], Awaitable[Blob | Upgrade | None]]
"""How a site answers: a blob, an agreement to leave HTTP, or nothing for what is unknown, forbidden or wrong alike.

It may raise any :class:`~catalog.error.ComityError` to the same effect.
"""
