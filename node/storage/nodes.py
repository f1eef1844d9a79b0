"""A stored node: where its file lies, and what it links to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from catalog.cid import DAG_CBOR, DAG_PB, Cid
from catalog.dagcbor import decode_plain
from node.storage.dagpb import MAX_NODE, decode_node


def node_path(nodes: Path, cid: Cid) -> Path:
    """Where a node lies in the folder ``nodes``: below the first byte of its digest, under its name."""
    return nodes / f"{cid.digest[0]:02x}/{cid}"  # in one: paths are put together slowly


def read_node(path: Path, most: int = MAX_NODE) -> bytes:
    """The bytes of a node's file, which may have ``most``; one byte more if the file has more.

    Asking for the most that a node may have would have that much set aside each time.

    Raises:
        OSError: it is not there, or the disk does not give it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, min(os.fstat(fd).st_size, most) + 1)
    finally:
        os.close(fd)


def has_nodes(nodes: Path) -> bool:
    """Whether any node lies in the folder ``nodes``."""
    return any(path.is_file() for path in nodes.glob("??/*"))


def links_of(cid: Cid, data: bytes) -> Iterator[Cid]:
    """What the verified bytes ``data`` of ``cid`` link to.

    Raises:
        VerificationFailed: malformed.
    """
    if cid.codec == DAG_PB:
        yield from (link.cid for link in decode_node(data).links)
    elif cid.codec == DAG_CBOR:
        yield from _cbor_links(decode_plain(data))


def _cbor_links(plain: object) -> Iterator[Cid]:
    if isinstance(plain, Cid):
        yield plain
    elif isinstance(plain, dict | list):
        for value in plain.values() if isinstance(plain, dict) else plain:
            yield from _cbor_links(value)
