"""Catching up with one member's catalog from whoever has it: leaves by tiles, then the bodies that we may see.

Nothing here trusts who sends. A tile or a body that is not what the log's key signed for is refused as it arrives,
and the error says what it was; what came before it stays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, TypeVar

import msgspec

from catalog.body import Index
from catalog.checkpoint import Checkpoint
from catalog.dagcbor import Value, decode
from catalog.error import ComityError, VerificationFailed
from catalog.extension import Extension, hash_tiles
from catalog.note import MAX_NOTE
from catalog.origin import LogName
from catalog.tiles import ENTRIES, WIDTH, Edge, Tile, bundles, decode_bundle, split_hashes, tile_at
from node.log import PeerLog
from node.message import Hash
from node.ports import Aside, Bulk, Together

MAX_BUNDLE: Final = 256 * (2 + 512)
"""Bytes of an entry bundle that are accepted: a leaf has 120; who writes larger ones is followed no further."""

MAX_BODY_ANSWER: Final = 80 << 10
MAX_BATCH: Final = 4 << 20
"""Bytes of bodies after which a batch takes no further one."""

MAX_BATCH_ANSWER: Final = 13 << 20
"""Bytes of an answer that are accepted: the last bodies that it took may all be as large as a body can be."""

MAX_BATCH_BODIES: Final = 4096
IN_FLIGHT: Final = 8
"""Requests at once for one log."""

GROUP: Final = 64
"""Bundles that are fetched before they are written: 16,384 leaves, 8 MiB when all are as large as they may be."""

WINDOW: Final = 2048
"""Leaves whose bodies are asked for together."""

T = TypeVar("T")


class BodiesAnswer(Value, frozen=True, kw_only=True):
    """The bodies, of the leaves from the one asked for up to ``stop``, that the asker may see and the sender has.

    ``leaves`` are their places, ascending; ``salts`` and ``bodies`` go with them.
    """

    stop: Index
    leaves: Annotated[tuple[Index, ...], msgspec.Meta(max_length=MAX_BATCH_BODIES)]
    salts: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=MAX_BATCH_BODIES)]
    bodies: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=MAX_BATCH_BODIES)]

    def rows(self, start: int, stop: int) -> list[tuple[int, bytes, bytes]]:
        """(index, salt, body) of each.

        Raises:
            VerificationFailed: it is no answer to a question for the leaves from ``start`` up to ``stop``.
        """
        ascending = all(one < other for one, other in zip(self.leaves, self.leaves[1:], strict=False))
        within = not self.leaves or (self.leaves[0] >= start and self.leaves[-1] < self.stop)
        paired = len(self.leaves) == len(self.salts) == len(self.bodies)
        if not (start < self.stop <= stop and ascending and within and paired):
            raise VerificationFailed(f"a batch of bodies was refused: it does not answer for {start} to {stop}")
        return list(zip(self.leaves, self.salts, self.bodies, strict=True))


def bundle_path(site: str, tile: str) -> str:
    """Where the tile of a site's catalog is served."""
    return f"/log/{site}/{LogName.CATALOG}/{tile}"


def bodies_path(site: str, start: int, stop: int) -> str:
    """Where the bodies of the leaves from ``start`` up to ``stop`` are served, or of the first of them."""
    return f"/log/{site}/{LogName.CATALOG}/bodies/{start}/{stop}"


def checkpoint_path(site: str) -> str:
    """Where the newest checkpoint of a site's catalog that the sender has is served."""
    return f"/log/{site}/{LogName.CATALOG}/checkpoint"


def cosigned_path(site: str, count: int) -> str:
    """Where a site serves the newest checkpoint of its own catalog that ``count`` members cosigned."""
    return f"/log/{site}/{LogName.CATALOG}/cosigned/{count}"


@dataclass(frozen=True, slots=True)
class Sender:
    """The member ``name`` as one that sends what it has of the catalog of ``site``."""

    name: str
    site: str
    bulk: Bulk
    together: Together
    aside: Aside

    async def note(self) -> str:
        """The newest checkpoint that it has.

        Raises:
            Unreachable, NotFound: it does not give one. VerificationFailed: not text.
        """
        data = await self.bulk.get(self.name, checkpoint_path(self.site), MAX_NOTE)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise VerificationFailed("it sent a checkpoint that is not text") from error

    async def tile(self, tile: Tile) -> bytes:
        """The content of a tile, not verified."""
        return await self.bulk.get(self.name, bundle_path(self.site, tile.path), MAX_BUNDLE)

    async def bundle(self, tile: Tile) -> list[bytes]:
        """The leaves of a bundle, not verified."""
        return decode_bundle(await self.tile(tile), tile.width)

    async def bodies(self, start: int, stop: int) -> tuple[int, list[tuple[int, bytes, bytes]]]:
        """Up to where an answer goes, and the (index, salt, body) in it, not verified against their leaves."""
        data = await self.bulk.get(self.name, bodies_path(self.site, start, stop), MAX_BATCH_ANSWER)

        def read() -> tuple[int, list[tuple[int, bytes, bytes]]]:
            answer = decode(BodiesAnswer, data, MAX_BATCH_ANSWER)
            return answer.stop, answer.rows(start, stop)

        return await self.aside(read)

    async def all(self, jobs: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """The results of the jobs, in their order, with a few of them under way at once.

        Raises:
            ComityError: that of the first job that failed; those that had not begun are left out.
        """
        results: dict[int, T] = {}
        failed: list[ComityError] = []

        async def lane(first: int) -> None:
            for place in range(first, len(jobs), IN_FLIGHT):
                if failed:
                    return
                try:
                    results[place] = await jobs[place]()
                except ComityError as error:
                    failed.append(error)

        await self.together([partial(lane, first) for first in range(min(IN_FLIGHT, len(jobs)))])
        if failed:
            raise failed[0]
        return [results[place] for place in range(len(jobs))]


async def fetch_leaves(sender: Sender, replica: PeerLog, checkpoint: Checkpoint, note: str) -> int:
    """Bring ``replica`` up to ``checkpoint``, which ``note`` is; the number of new leaves.

    Raises:
        Unreachable, NotFound: the sender does not give everything; the full bundles that came are kept.
        VerificationFailed: a tile is not of the tree whose root was signed; it and what came with it is not kept.
    """
    old = replica.size
    if checkpoint.size <= old:
        return 0
    if replica.edge.size > checkpoint.size:
        await replica.drop_added()
    tiles, tail = await _tiles(sender, replica.edge.size, checkpoint.size)
    try:
        extension = _extension(replica.edge, checkpoint, tiles, tail)
    except VerificationFailed:
        if replica.edge.size == old:
            raise
        # What an earlier attempt added was signed for too, but may be of another history than this checkpoint.
        await replica.drop_added()
        tiles, tail = await _tiles(sender, old, checkpoint.size)
        extension = _extension(replica.edge, checkpoint, tiles, tail)
    full = [tile for tile in bundles(replica.edge.size, checkpoint.size) if tile.width == WIDTH]
    for start in range(0, len(full), GROUP):
        await replica.add(await _group(sender, extension, full[start : start + GROUP]))
    await replica.extend(note, tail[max(0, replica.edge.size - (checkpoint.size - len(tail))) :])
    return checkpoint.size - old


async def _tiles(sender: Sender, old: int, new: int) -> tuple[list[tuple[Tile, bytes]], list[bytes]]:
    """The tiles of level 1 over the full bundles beyond ``old`` leaves, and the leaves of the last, partial bundle."""
    wanted = hash_tiles(old, new)
    contents = await sender.all([partial(sender.tile, tile) for tile in wanted])
    last = tile_at(ENTRIES, new // WIDTH, new)
    return list(zip(wanted, contents, strict=True)), await sender.bundle(last) if last is not None else []


def _extension(
    edge: Edge, checkpoint: Checkpoint, tiles: Sequence[tuple[Tile, bytes]], tail: Sequence[bytes]
) -> Extension:
    hashes = [each for tile, data in tiles for each in split_hashes(tile, data)]
    first = edge.size // WIDTH
    return Extension.checked(edge, checkpoint.size, checkpoint.root, hashes[first % WIDTH :], tail)


async def _group(sender: Sender, extension: Extension, tiles: Sequence[Tile]) -> list[bytes]:
    """The leaves of consecutive full bundles, each verified as it came."""

    async def one(tile: Tile) -> list[bytes]:
        data = await sender.tile(tile)
        return await sender.aside(lambda: extension.take(tile, decode_bundle(data, tile.width)))

    rows = await sender.all([partial(one, tile) for tile in tiles])
    return [leaf for row in rows for leaf in row]


@dataclass(frozen=True, slots=True)
class Came:
    """The bodies that came: how many, the lowest of their places, and the places of those that were refused.

    ``stop`` is the leaf up to which all were asked for, and ``failure`` why it was no further.
    """

    count: int
    lowest: int | None
    refused: tuple[int, ...]
    stop: int
    failure: ComityError | None


async def fetch_bodies(sender: Sender, replica: PeerLog, start: int, count: Callable[[int, int], None]) -> Came:
    """Ask for every body from leaf ``start`` on that is not here. Those that we may not see stay absent.

    ``count`` is told how many bodies and bytes came, before they are kept, and may raise.
    """
    came: list[int] = []
    refused: list[int] = []
    failure: ComityError | None = None

    async def window(first: int, stop: int) -> None:
        while first < stop:
            first, rows = await sender.bodies(first, stop)
            count(len(rows), sum(len(body) for _, _, body in rows))
            wrong = await replica.put_bodies(rows)
            refused.extend(wrong)
            came.extend(index for index, _, _ in rows if index not in wrong)

    while failure is None and start < replica.size:
        missing = await replica.missing_bodies(start, IN_FLIGHT * WINDOW)
        if not missing:
            break
        spans = list(_windows(missing))
        start = spans[0][0]
        try:
            await sender.all([partial(window, first, stop) for first, stop in spans])
            start = spans[-1][1]
        except ComityError as error:
            failure = error
    stop = replica.size if failure is None else start
    return Came(len(came), min(came, default=None), tuple(sorted(refused)), stop, failure)


def _windows(missing: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Spans of at most :data:`WINDOW` leaves that hold all of ``missing``, which are ascending."""
    first = missing[0]
    last = first
    for index in missing:
        if index >= first + WINDOW:
            yield first, last + 1
            first = index
        last = index
    yield first, last + 1
