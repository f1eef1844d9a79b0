"""Tiles of a log (C2SP tlog-tiles): which files a tree of a size has, their names, and proofs over them.

A *hash tile* holds up to 256 consecutive hashes of one level, each over a full tile of the level below; an *entry
bundle* holds the leaves under a tile of level 0, each behind its length in two bytes. A tile with fewer than 256
entries is partial and carries its width in its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from catalog import merkle
from catalog.error import BadInput, VerificationFailed, shown
from catalog.merkle import HASH, Frontier, Subtree, leaf_hash, node_hash

HEIGHT: Final = 8
"""Tree levels in one tile."""

WIDTH: Final = 1 << HEIGHT
"""Entries of a full tile."""

ENTRIES: Final = -1
"""The «level» of an entry bundle."""

MAX_LEAF: Final = (1 << 16) - 1
"""Bytes of a leaf that a bundle can hold."""

MAX_TILE: Final = WIDTH * (MAX_LEAF + 2)
"""Bytes of the largest tile of any kind."""

ReadTile = Callable[[int, int, int], bytes]
"""``(level, index, width)`` → the content of that tile, exactly as wide as asked."""

_TOP: Final = merkle.MAX_SIZE.bit_length() // HEIGHT
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The coordinates of a hash tile, or of an entry bundle if ``level`` is :data:`ENTRIES`.

    Raises:
        BadInput: no tree has such a tile.
    """

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        sized = ENTRIES <= self.level <= _TOP and 1 <= self.width <= WIDTH
        if not sized or not 0 <= self.index <= merkle.MAX_SIZE >> self._shift + HEIGHT:
            raise BadInput(f"no log has a tile of level {self.level}, index {self.index}, width {self.width}")

    @classmethod
    def parse(cls, path: str) -> Tile:
        """Read a path as :attr:`path` writes it; nothing else is a path of a tile.

        Raises:
            BadInput: it is not the path of a tile.
        """
        match = _PATH.fullmatch(path) if len(path) <= 64 else None
        if match is None:
            raise BadInput(f"«{shown(path, 64)}» is not the path of a tile")
        level = ENTRIES if match["level"] == "entries" else int(match["level"])
        tile = cls(level, int(re.sub("[x/]", "", match["index"])), int(match["width"] or WIDTH))
        if tile.path != path:
            raise BadInput(f"«{shown(path, 64)}» is not the path of a tile as the specification writes it")
        return tile

    @property
    def path(self) -> str:
        """The path below the log's prefix: ``tile/0/x001/234.p/5``, ``tile/entries/000``."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        index, rest = f"{self.index % 1000:03}", self.index // 1000
        while rest:
            index, rest = f"x{rest % 1000:03}/{index}", rest // 1000
        return f"tile/{level}/{index}" + ("" if self.width == WIDTH else f".p/{self.width}")

    @property
    def _shift(self) -> int:
        return HEIGHT * max(self.level, 0)

    @property
    def start(self) -> int:
        """The index of the first leaf under this tile."""
        return self.index * WIDTH << self._shift

    @property
    def stop(self) -> int:
        """The index after the last leaf under this tile."""
        return (self.index * WIDTH + self.width) << self._shift

    def within(self, size: int) -> bool:
        """Whether a tree of ``size`` leaves has every entry of this tile."""
        return self.stop <= size


def tile_at(level: int, index: int, size: int) -> Tile | None:
    """The tile at these coordinates as wide as a tree of ``size`` leaves has it, or none if it has none."""
    width = min((size >> HEIGHT * max(level, 0)) - index * WIDTH, WIDTH)
    return Tile(level, index, width) if width > 0 else None


def bundles(old: int, new: int) -> list[Tile]:
    """The entry bundles, as wide as a tree of ``new`` leaves has them, that hold the leaves ``old`` to ``new``."""
    first = old - old % WIDTH
    return [Tile(ENTRIES, start // WIDTH, min(new - start, WIDTH)) for start in range(first, new, WIDTH) if old < new]


def encode_bundle(leaves: Iterable[bytes]) -> bytes:
    """An entry bundle: each leaf behind its length, two bytes big-endian.

    Raises:
        BadInput: a leaf is larger than 65,535 bytes.
    """
    parts = []
    for leaf in leaves:
        if len(leaf) > MAX_LEAF:
            raise BadInput(f"a leaf of {len(leaf):,} bytes does not fit in a log: at most {MAX_LEAF:,}")
        parts += [len(leaf).to_bytes(2, "big"), leaf]
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The ``width`` leaves of an entry bundle.

    Raises:
        VerificationFailed: it is cut off, or holds more.
    """
    leaves, at = [], 0
    for _ in range(width):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        leaves.append(data[start:at])
        if start > len(data) or at > len(data):
            raise VerificationFailed(f"an entry bundle was refused: it ends within leaf {len(leaves)} of {width}")
    if at != len(data):
        raise VerificationFailed(f"an entry bundle was refused: it holds more than {width} leaves")
    return leaves


def prefix(tile: Tile, width: int, data: bytes) -> bytes:
    """The first ``width`` entries of the content ``data`` of ``tile``: the content of the narrower tile.

    Raises:
        VerificationFailed: ``data`` is not as wide as ``tile``.
    """
    if tile.level == ENTRIES:
        return encode_bundle(decode_bundle(data, tile.width)[:width])
    return data[: HASH * width] if len(split_hashes(tile, data)) >= width else data


def split_hashes(tile: Tile, data: bytes) -> list[bytes]:
    """The hashes in the content of a hash tile.

    Raises:
        VerificationFailed: it is not exactly as long as its width says.
    """
    if len(data) != HASH * tile.width:
        raise VerificationFailed(f"{tile.path} has {len(data):,} bytes where {HASH * tile.width:,} were expected")
    return [data[at : at + HASH] for at in range(0, len(data), HASH)]


def subtree_of(size: int, read_tile: ReadTile) -> Subtree:
    """A subtree reader over the tiles of a tree of ``size`` leaves, for the proofs of :mod:`catalog.merkle`.

    Tiles are read once each. The reader raises VerificationFailed for a tile of the wrong length.
    """
    known: dict[tuple[int, int], list[list[bytes]]] = {}

    def subtree(height: int, index: int) -> bytes:
        level, up = divmod(height, HEIGHT)
        number, offset = divmod(index << up, WIDTH)
        if (level, number) not in known:
            tile = tile_at(level, number, size)
            if tile is None:
                raise BadInput(f"a tree of {size} leaves has no subtree {index} of height {height}")
            known[level, number] = [split_hashes(tile, read_tile(level, number, tile.width))]
        rows = known[level, number]
        while len(rows) <= up:
            below = iter(rows[-1])
            rows.append([node_hash(left, right) for left, right in zip(below, below, strict=False)])
        return rows[up][offset >> up]

    return subtree


def check_tiles(size: int, root: bytes, read_tile: ReadTile) -> None:
    """Check every hash tile of a tree against the tiles below it, and all of them against ``root``.

    Raises:
        VerificationFailed: naming the tile that is not what the level below says, or the root.
    """
    below: list[bytes] = []
    peaks: list[bytes] = []
    level, count = 0, size
    while count:
        roots: list[bytes] = []
        for start in range(0, count, WIDTH):
            tile = Tile(level, start // WIDTH, min(count - start, WIDTH))
            hashes = split_hashes(tile, read_tile(level, tile.index, tile.width))
            if level and hashes != below[start : start + tile.width]:
                raise VerificationFailed(f"{tile.path} does not agree with the tiles of the level below")
            frontier = Frontier().extend(hashes)
            if tile.width == WIDTH:
                roots.append(frontier.root)
            else:
                peaks[:0] = frontier.peaks
        below, level, count = roots, level + 1, count >> HEIGHT
    if merkle.fold(peaks) != root:
        raise VerificationFailed(f"the tiles of level 0 do not hash to the root of the tree of {size} leaves")


@dataclass(frozen=True, slots=True)
class Edge:
    """The partial tile of each level of a tree, from level 0 up: all that appending needs."""

    size: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ()

    @classmethod
    def read(cls, size: int, read_tile: ReadTile) -> Edge:
        """The edge of a tree of ``size`` leaves, from its partial tiles.

        Raises:
            VerificationFailed: a tile has the wrong length.
        """
        levels: list[tuple[bytes, ...]] = []
        count = size
        while count:
            tile = tile_at(len(levels), count // WIDTH, size)
            data = read_tile(tile.level, tile.index, tile.width) if tile else b""
            levels.append(tuple(split_hashes(tile, data)) if tile else ())
            count >>= HEIGHT
        return cls(size, tuple(levels))

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return merkle.fold([peak for row in reversed(self.levels) for peak in Frontier().extend(row).peaks])

    def extend(self, leaves: Sequence[bytes]) -> tuple[Edge, dict[Tile, bytes]]:
        """The edge with more leaves, given by their hashes, and the content of every hash tile that is new."""
        written: dict[Tile, bytes] = {}
        levels = list(self.levels)
        rising, level = list(leaves), 0
        while rising:
            if level == len(levels):
                levels.append(())
            row = [*levels[level], *rising]
            first = (self.size >> HEIGHT * level) // WIDTH
            rising = []
            for start in range(0, len(row), WIDTH):
                part = row[start : start + WIDTH]
                written[Tile(level, first + start // WIDTH, len(part))] = b"".join(part)
                if len(part) == WIDTH:
                    rising.append(Frontier().extend(part).root)
            levels[level] = tuple(row[len(row) - len(row) % WIDTH :])
            level += 1
        return Edge(self.size + len(leaves), tuple(levels)), written


def check_bundle(tile: Tile, leaves: Sequence[bytes], hashes: Sequence[bytes]) -> None:
    """Check the leaves of the entry bundle ``tile`` against the hashes of its level 0 tile.

    Raises:
        VerificationFailed: naming the bundle and the index of the first leaf that differs.
    """
    for offset, (leaf, expected) in enumerate(zip(leaves, hashes, strict=True)):
        if leaf_hash(leaf) != expected:
            raise VerificationFailed(f"{tile.path}: leaf {tile.start + offset} is not what the log committed to")
