"""A part of a file at another site, had in one question and verified without the rest of it."""

from __future__ import annotations

from typing import IO, Final
from urllib.parse import quote

from catalog.cid import Cid
from catalog.error import BadInput, NotFound, VerificationFailed
from node.site.gateway import PREFIX
from node.site.transfer import Holders
from node.storage.car import read_header, read_nodes
from node.storage.directory import resolve
from node.storage.selection import Span
from node.storage.unixfs import Get, file_bytes, load

MOST: Final = 64 << 20
"""Bytes that are asked for at once, for they are held in memory."""
_AROUND: Final = 8 << 20
"""Bytes of nodes beside those asked for: the folders on the way, and what the first and last leaf hold more."""


async def fetch_span(holders: Holders, site: str, root: Cid, path: str, first: int, last: int) -> bytes:
    """The bytes ``first`` to ``last``, both included, of the file at ``path`` below ``root``; fewer at its end.

    Raises:
        BadInput: no such span, or more than :data:`MOST`.
        NotFound, Unreachable, VerificationFailed: as the ``Bulk`` port says, or what came is not what was asked for.
    """
    if not 0 <= first <= last or last - first >= MOST:
        raise BadInput(f"a part of a file is at most {MOST >> 20} MiB, from its first to its last byte")

    def take(answer: IO[bytes]) -> bytes:
        get = below_root(answer, root)
        try:
            target = resolve(root, path, get)
        except NotFound as error:
            raise VerificationFailed(f"what came below «{root}» is of another path") from error
        begin, end = Span(first, last).within(load(target, get).size)
        return b"".join(file_bytes(target, get, begin, end))

    below = f"/{quote(path)}" if path else ""
    asked = f"{PREFIX}{root}{below}?format=car&dag-scope=entity&entity-bytes={first}:{last}"
    return await holders.query(site, asked, b"", take, last - first + 1 + _AROUND)


def below_root(answer: IO[bytes], root: Cid) -> Get:
    """The nodes of a CAR that was asked for below ``root``, each verified, by their CIDs.

    Raises:
        VerificationFailed: it is another root's, or a node is not what it claims to be; and, where one is asked for
            that did not come.
    """
    if read_header(answer) != (root,):
        raise VerificationFailed(f"another root came than «{root}», which was asked for")
    nodes = dict(read_nodes(answer))

    def get(cid: Cid) -> bytes:
        try:
            return nodes[cid]
        except KeyError:
            raise VerificationFailed(f"what came below «{root}» lacks a part of what was asked for") from None

    return get
