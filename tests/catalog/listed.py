"""Which tiles a tree has, listed from the specification: what files of a log are compared with."""

from __future__ import annotations

from collections.abc import Iterator

from catalog.tiles import HEIGHT, WIDTH, Tile, bundles


def tiles_of(size: int) -> Iterator[Tile]:
    """Every entry bundle and hash tile of a tree of ``size`` leaves, level by level."""
    yield from bundles(0, size)
    level, count = 0, size
    while count:
        for start in range(0, count, WIDTH):
            yield Tile(level, start // WIDTH, min(count - start, WIDTH))
        level, count = level + 1, count >> HEIGHT
