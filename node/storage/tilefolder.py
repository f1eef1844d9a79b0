"""The tiles of one log in one folder, laid out as C2SP tlog-tiles publishes them.

Every path is made from a :class:`catalog.tiles.Tile`, which holds integers alone. A file never changes: a wider
partial tile is a new file, and the narrower ones go once a checkpoint needs the wider.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.error import BadInput, Damaged, VerificationFailed
from catalog.tiles import ENTRIES, MAX_TILE, WIDTH, Tile, decode_bundle, prefix, tile_at
from node.regular import read_regular
from node.storage.durable import ASIDE, write_files

TILES: Final = "tile"
_GROWTHS: Final = 8


@dataclass(frozen=True, slots=True)
class TileFolder:
    """The tiles below ``path`` / «tile»."""

    path: Path

    def file(self, tile: Tile) -> Path:
        """Where this tile lies."""
        return self.path / tile.path

    def read(self, tile: Tile) -> bytes | None:
        """The content of ``tile``, from its own file or the beginning of a wider one; none if there is neither.

        Raises:
            Damaged: the file is not as wide as its name says, or no regular one.
        """
        # While the log grows, the file that was just found may be replaced by a wider one.
        for _ in range(_GROWTHS):
            found = self._holders(tile)
            for holder in found:
                with suppress(FileNotFoundError):
                    return self._read_from(holder, tile.width)
            if not found:
                break
        return None

    def require(self, level: int, index: int, width: int) -> bytes:
        """The content of a tile that the checkpoint says is here (:data:`catalog.tiles.ReadTile`).

        Raises:
            Damaged: it is missing, or not as wide as its name says.
        """
        tile = Tile(level, index, width)
        data = self.read(tile)
        if data is None:
            raise Damaged(f"{self.file(tile)} is missing: restore it from a backup or from a member's replica")
        return data

    def read_leaves(self, bundle: Tile) -> list[bytes]:
        """The leaves of an entry bundle that the checkpoint says is here.

        Raises:
            Damaged: its file is missing or malformed.
        """
        try:
            return decode_bundle(self.require(ENTRIES, bundle.index, bundle.width), bundle.width)
        except VerificationFailed as error:
            raise Damaged(f"{self.file(bundle)} is damaged: {error}") from error

    def write(self, tiles: Mapping[Tile, bytes]) -> None:
        """Write these tiles and make them durable."""
        write_files({self.file(tile): data for tile, data in tiles.items()})

    def replace(self, tile: Tile, before: int) -> None:
        """Remove the tile that a tree of ``before`` leaves had at the place of ``tile``, which is wider."""
        narrower = tile_at(tile.level, tile.index, before)
        if narrower is None or narrower == tile:
            return
        file = self.file(narrower)
        file.unlink(missing_ok=True)
        if tile.width == WIDTH:
            with suppress(FileNotFoundError):
                file.parent.rmdir()

    def drop_beyond(self, size: int) -> int:
        """Remove what a tree of ``size`` leaves does not have; return how many leaves were in what was removed.

        Narrower partial tiles of the same tree go too, and what a crash left half-written.
        """
        most = size
        for path, tile in self.scan():
            if tile is None:
                if path.name.endswith(ASIDE):
                    path.unlink()
            elif tile_at(tile.level, tile.index, size) != tile:
                if tile.level == ENTRIES:
                    most = max(most, tile.stop)
                path.unlink()
        return most - size

    def scan(self) -> Iterator[tuple[Path, Tile | None]]:
        """Every file below «tile», with the tile that it is; none if it has the name of no tile."""
        for folder, _, names in os.walk(self.path / TILES):
            for name in names:
                path = Path(folder, name)
                try:
                    yield path, Tile.parse(path.relative_to(self.path).as_posix())
                except BadInput:
                    yield path, None

    def _holders(self, tile: Tile) -> list[Tile]:
        """The files that hold all of ``tile``, the narrowest first."""
        full = Tile(tile.level, tile.index)
        files = [each for each in self._partials(tile) if each.width >= tile.width]
        return sorted(files) + ([full] if self.file(full).is_file() else [])

    def _partials(self, tile: Tile) -> list[Tile]:
        with suppress(FileNotFoundError):
            names = os.listdir(self._partial_folder(tile))
            return [
                Tile(tile.level, tile.index, int(name)) for name in names if name.isdecimal() and 0 < int(name) < WIDTH
            ]
        return []

    def _partial_folder(self, tile: Tile) -> Path:
        return self.file(Tile(tile.level, tile.index, 1)).parent

    def _read_from(self, holder: Tile, width: int) -> bytes:
        path = self.file(holder)
        data = read_regular(path, MAX_TILE)
        try:
            return data if holder.width == width and holder.level == ENTRIES else prefix(holder, width, data)
        except VerificationFailed as error:
            raise Damaged(f"{path} is damaged: {error}") from error
