"""Removing nodes that nothing names any more: what is stored, less what is reached, is dropped.

A node is known here by its digest, so that one CID reached keeps the node under another codec too: rather one too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from catalog.cid import Cid
from catalog.error import BadInput, ComityError
from node.storage.durable import sync_folders


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed; ``spared`` is when the oldest root was added that was kept for being fresh, none if none was.

    The time is trio's.
    """

    nodes: int
    bytes: int
    spared: float | None

    def and_more(self, nodes: int, size: int) -> Swept:
        """The same with so many nodes more, of so many bytes."""
        return Swept(self.nodes + nodes, self.bytes + size, self.spared)


def collect(folder: Path) -> dict[bytes, list[Cid]]:
    """Every node stored in the folders of ``folder``, by its digest."""
    stored: dict[bytes, list[Cid]] = {}
    for cid in _names(folder):
        stored.setdefault(cid.digest, []).append(cid)
    return stored


def remove(
    place: Callable[[Cid], Path], stored: Mapping[bytes, list[Cid]], reached: set[bytes], spared: float | None
) -> Swept:
    """Remove the files of all ``stored`` nodes that are not ``reached``, durably.

    Raises:
        ComityError: the disk refuses.
    """
    count = size = 0
    folders: set[Path] = set()
    try:
        for digest in stored.keys() - reached:
            for cid in stored[digest]:
                path = place(cid)
                size += path.stat().st_size
                path.unlink()
                folders.add(path.parent)
                count += 1
        sync_folders(folders)
    except OSError as error:
        raise ComityError(
            f"{error.filename or place} could not be removed: {error.strerror}; see to the disk"
        ) from error
    return Swept(count, size, spared)


def _names(folder: Path) -> Iterator[Cid]:
    for each in folder.iterdir():
        for path in each.iterdir():
            try:
                yield Cid.parse(path.name)
            except BadInput:
                continue  # not a node: «comity site fsck» says what it is
