"""Catching up with one member's catalog: its leaves by tiles, then the bodies that we may see, into the index."""

from __future__ import annotations

from catalog.body import Body, read_body
from catalog.checkpoint import Checkpoint
from catalog.dagcbor import Value, decode
from catalog.error import NotFound, VerificationFailed
from catalog.index import SiteIndex
from catalog.leaf import decode_leaf
from catalog.origin import LogName
from catalog.tiles import bundles, decode_bundle
from node.message import Hash
from node.ports import Bulk, Log, PeerLog

MAX_BUNDLE = 256 * (2 + 512)
MAX_BODY_ANSWER = 80 << 10


class BodyAnswer(Value, frozen=True, kw_only=True):
    """A body and the salt of its commitment, as served to a site that may see it."""

    salt: Hash
    body: bytes


def bundle_path(site: str, tile: str) -> str:
    """Where a site serves a tile of its catalog."""
    return f"/log/{site}/{LogName.CATALOG}/{tile}"


def body_path(site: str, index: int) -> str:
    """Where a site serves the body of a leaf."""
    return f"/log/{site}/{LogName.CATALOG}/body/{index}"


async def fetch_leaves(bulk: Bulk, site: str, replica: PeerLog, checkpoint: Checkpoint, note: str) -> int:
    """Bring ``replica`` up to ``checkpoint``; the number of new leaves.

    Raises:
        Unreachable: the site stopped answering; what was verified before stays.
        VerificationFailed: its tiles do not rebuild the root that it signed.
    """
    old = replica.size
    if checkpoint.size <= old:
        return 0
    leaves: list[bytes] = []
    for tile in bundles(old, checkpoint.size):
        bundle = decode_bundle(await bulk.get(site, bundle_path(site, tile.path), MAX_BUNDLE), tile.width)
        leaves.extend(bundle[max(0, old - tile.start) :])
    await replica.extend(note, leaves)
    return checkpoint.size - old


async def fetch_bodies(bulk: Bulk, site: str, replica: PeerLog, start: int) -> int:
    """Ask for every body from ``start`` that is not here; the number that came. Those we may not see stay absent.

    Raises:
        Unreachable: the site stopped answering; what came before stays.
    """
    came = 0
    while missing := await replica.missing_bodies(start, 256):
        for index in missing:
            try:
                data = await bulk.get(site, body_path(site, index), MAX_BODY_ANSWER)
            except NotFound:
                continue
            answer = decode(BodyAnswer, data, MAX_BODY_ANSWER)
            await replica.put_body(index, answer.salt, answer.body)
            came += 1
        start = missing[-1] + 1
    return came


async def index_log(log: Log, index: SiteIndex) -> int:
    """Feed ``index`` what the log holds beyond it; the number of leaves taken."""
    before = index.size
    for position in range(before, log.size):
        kind, body = await _read(log, position, index)
        index.add(position, kind, body)
    return index.size - before


async def _read(log: Log, position: int, index: SiteIndex) -> tuple[str, Body | None]:
    """A leaf's kind and body. What does not decode is recorded and named; it never stops the log."""
    try:
        kind = decode_leaf(await log.leaf(position)).kind_name
        stored = await log.body(position)
        return kind, read_body(stored[1]) if stored is not None else None
    except VerificationFailed as error:
        index.faults[position] = str(error)
        return "", None
