"""Check a log's folder offline, trusting nothing but the keys: leaves, tiles, root, bodies, signatures.

Nothing is written and no lock is taken. Every fault names a file and, where there is one, a leaf. Which of two
files that disagree is wrong is told by the root that the checkpoint's signature vouches for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from catalog.checkpoint import Checkpoint, open_checkpoint
from catalog.error import ComityError, Damaged, VerificationFailed
from catalog.merkle import EMPTY_ROOT, Frontier, leaf_hash
from catalog.note import parse_note
from catalog.tiles import ENTRIES, HEIGHT, MAX_TILE, WIDTH, Tile, split_hashes, tile_at
from node.regular import read_regular
from node.storage.bodycheck import Account, Keys, check_database
from node.storage.durable import ASIDE
from node.storage.logfolder import CHECKPOINT, read_note
from node.storage.tilefolder import TILES, TileFolder

MOST_LISTED: Final = 256
"""Faults of a log that are listed one by one, and leftovers; one that has more is not told better by all of them."""

MOST_LACKING: Final = 16
"""Places of 256 leaves of which nothing was found, after which no more is looked for: a checkpoint may say any size."""

NO_KEYS: Final[Mapping[str, int]] = MappingProxyType({})
NO_WITNESSES: Final[Mapping[str, Iterable[str]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: the file below the log's folder, the leaf that it concerns, and what was found."""

    file: str
    index: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {'' if self.index is None else f'leaf {self.index}: '}{self.reason}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked, in counts, and what was wrong.

    ``absent`` bodies never came here, ``erased`` ones did; ``unchecked`` cosignatures are by keys that were not
    given. ``leftovers`` are files that a crash left and that the next opening drops. At most :data:`MOST_LISTED` of
    these and of ``faults`` are listed; ``unlisted`` are the faults beyond.
    """

    origin: str
    size: int
    leaves: int
    bodies: int
    erased: int
    absent: int
    cosignatures: int
    unchecked: int
    leftovers: tuple[str, ...]
    faults: tuple[Fault, ...]
    unlisted: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.faults


@dataclass(slots=True)
class Findings:
    """What a check has found so far."""

    faults: list[Fault] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    leaves: int = 0
    suspect: set[int] = field(default_factory=set)
    from_bundles: bool = False
    unlisted: int = 0

    def fault(self, file: str, index: int | None, reason: str) -> None:
        """Note one fault."""
        if len(self.faults) < MOST_LISTED:
            self.faults.append(Fault(file, index, reason))
        else:
            self.unlisted += 1

    def leave(self, name: str) -> None:
        """Note one file that a crash left."""
        if len(self.leftovers) < MOST_LISTED:
            self.leftovers.append(name)


def check_folder(
    folder: Path,
    origin: str,
    did: str,
    witnesses: Mapping[str, Iterable[str]] = NO_WITNESSES,
    earlier: Mapping[str, int] = NO_KEYS,
) -> Report:
    """Check the log ``origin``, whose key is ``did``, in ``folder``.

    ``witnesses`` are key names and their dids, those of before too; ``earlier`` are the log's own keys of before, and
    of how many leaves each may have signed a checkpoint.

    What is damaged is in the report; nothing is raised for it.

    Raises:
        NotFound: there is no log's folder.
    """
    found = Findings()
    files = TileFolder(folder)
    checkpoint = _check_checkpoint(folder, origin, did, found)
    rows = _check_leaves(files, checkpoint, found)
    _check_upper(files, rows, found)
    _check_strays(files, checkpoint.size, found)
    account = Account(files, checkpoint, found.from_bundles, rows, frozenset(found.suspect))
    kept = check_database(folder, account, Keys(did, earlier, witnesses), found.fault)
    return Report(
        origin=origin,
        size=checkpoint.size,
        leaves=found.leaves,
        bodies=kept.bodies,
        erased=kept.erased,
        absent=kept.absent,
        cosignatures=kept.cosignatures,
        unchecked=kept.unchecked,
        leftovers=(*found.leftovers, *kept.leftovers),
        faults=tuple(found.faults),
        unlisted=found.unlisted,
    )


def _check_checkpoint(folder: Path, origin: str, did: str, found: Findings) -> Checkpoint:
    try:
        note = read_note(folder / CHECKPOINT)
        try:
            return open_checkpoint(note, origin, did)
        except VerificationFailed as error:
            found.fault(CHECKPOINT, None, str(error))
            # What it says is still the best account of which files should be here.
            return Checkpoint.parse(parse_note(note).text)
    except FileNotFoundError:
        if (folder / TILES).exists():
            found.fault(CHECKPOINT, None, "it is missing")
    except (Damaged, VerificationFailed) as error:
        found.fault(CHECKPOINT, None, str(error))
    return Checkpoint(origin, 0, EMPTY_ROOT)


@dataclass(slots=True)
class _Side:
    """One account of the leaf hashes: the entry bundles', or the tiles' of level 0. ``whole`` if all were readable."""

    frontier: Frontier = field(default_factory=Frontier)
    rows: list[bytes] = field(default_factory=list)
    whole: bool = True

    def add(self, hashes: list[bytes] | None) -> None:
        if hashes is None:
            self.whole = False
        elif self.whole:
            self.frontier = self.frontier.extend(hashes)
            if len(hashes) == WIDTH:
                self.rows.append(Frontier().extend(hashes).root)

    def is_root(self, root: bytes) -> bool:
        return self.whole and self.frontier.root == root


def _check_leaves(files: TileFolder, checkpoint: Checkpoint, found: Findings) -> list[list[bytes]] | None:
    """Hash every leaf, compare with level 0, and both with the root.

    Returns the hashes of each level from 1 up, as the account that leads to the root says; none if neither does.
    """
    bundles, level = _Side(), _Side()
    differing: list[tuple[Tile, int]] = []
    lacking = 0
    for start in range(0, checkpoint.size, WIDTH):
        bundle = Tile(ENTRIES, start // WIDTH, min(checkpoint.size - start, WIDTH))
        listed = _hashes_of_tile(files, Tile(0, bundle.index, bundle.width), found)
        hashed = _hashes_of_bundle(files, bundle, listed, found)
        lacking += hashed is None and listed is None
        if lacking > MOST_LACKING:
            bundles.whole = level.whole = False
            found.fault(CHECKPOINT, start, f"no more was looked for from here on: it says {checkpoint.size:,} leaves")
            break
        bundles.add(hashed)
        level.add(listed)
        found.leaves += len(hashed or ())
        if hashed is not None and listed is not None:
            differing += [(bundle, start + at) for at in range(bundle.width) if hashed[at] != listed[at]]
    from_bundles, from_tiles = bundles.is_root(checkpoint.root), level.is_root(checkpoint.root)
    for bundle, index in differing:
        below = Tile(0, bundle.index, bundle.width)
        if not from_bundles:
            found.suspect.add(index)
            found.fault(bundle.path, index, "it is not what the log committed to")
        if not from_tiles:
            found.fault(below.path, index, "the hash is not that of the leaf in the log")
    if not from_bundles and not from_tiles and not found.faults:
        found.fault(CHECKPOINT, None, f"the {checkpoint.size} leaves do not hash to its root")
    found.from_bundles = from_bundles
    return _levels((bundles if from_bundles else level).rows) if from_bundles or from_tiles else None


def _levels(row: list[bytes]) -> list[list[bytes]]:
    """The hashes of level 1, and those of every level above it."""
    levels = []
    while row:
        levels.append(row)
        row = [Frontier().extend(row[at : at + WIDTH]).root for at in range(0, len(row) - WIDTH + 1, WIDTH)]
    return levels


def _hashes_of_bundle(
    files: TileFolder, bundle: Tile, listed: list[bytes] | None, found: Findings
) -> list[bytes] | None:
    try:
        return [leaf_hash(leaf) for leaf in files.read_leaves(bundle)]
    except ComityError as error:
        where = str(files.file(bundle))
        reason = str(error).replace(f"{where} is damaged: ", "").replace(where, "it")
        found.fault(bundle.path, _first_unreadable(files.file(bundle), bundle, listed or []), reason)
        return None


def _first_unreadable(path: Path, bundle: Tile, listed: list[bytes]) -> int | None:
    """Where an entry bundle that cannot be read as a whole stops agreeing with its hashes; none if that is unknown."""
    if not listed:
        return None
    try:
        data, at = read_regular(path, MAX_TILE), 0
    except (FileNotFoundError, Damaged):
        return None
    for offset, expected in enumerate(listed):
        stop = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if leaf_hash(data[at + 2 : stop]) != expected:
            return bundle.start + offset
        at = stop
    return None


def _hashes_of_tile(files: TileFolder, tile: Tile, found: Findings) -> list[bytes] | None:
    try:
        return split_hashes(tile, files.require(tile.level, tile.index, tile.width))
    except ComityError as error:
        found.fault(tile.path, None, str(error))
        return None


def _check_upper(files: TileFolder, rows: list[list[bytes]] | None, found: Findings) -> None:
    """Check the hash tiles from level 1 up against the level below."""
    for level, row in enumerate(rows or (), start=1):
        for start in range(0, len(row), WIDTH):
            expected = row[start : start + WIDTH]
            tile = Tile(level, start // WIDTH, len(expected))
            listed = _hashes_of_tile(files, tile, found)
            for at, (right, shown) in enumerate(zip(expected, listed or expected, strict=True)):
                if right != shown:
                    first = start + at << HEIGHT * level
                    found.fault(tile.path, first, "the hash over the leaves from here on is not theirs")


def _check_strays(files: TileFolder, size: int, found: Findings) -> None:
    """Sort the files that the checkpoint does not need into leftovers of a crash and files of no log."""
    if (files.path / TILES).is_symlink():
        found.fault(TILES, None, "it is a link, which is not followed")
        return
    for path, tile in _sorted(files):
        name = path.relative_to(files.path).as_posix()
        if tile is None and not path.name.endswith(ASIDE):
            found.fault(name, None, "it is no file of a log")
        elif tile is None or tile_at(tile.level, tile.index, size) != tile:
            found.leave(name)


def _sorted(files: TileFolder) -> Iterator[tuple[Path, Tile | None]]:
    return iter(sorted(files.scan(), key=lambda each: each[0]))
