"""How a log is to go on: the hashes of what comes next, checked against its signed root before any of it is fetched.

Whoever follows a log holds the *edge* of its tree. From a peer come the hash of each full entry bundle that follows
(tiles of level 1) and the leaves of the last, partial one. If they rebuild the root, every bundle can be checked by
itself as it arrives, in any order, from anybody; memory is 32 bytes for each 256 leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.error import VerificationFailed
from catalog.merkle import Frontier, fold, leaf_hash
from catalog.tiles import WIDTH, Edge, Tile, tile_at


def hash_tiles(old: int, new: int) -> list[Tile]:
    """The tiles of level 1, as wide as a tree of ``new`` leaves has them, over the full bundles beyond ``old``."""
    first, full = old // WIDTH, new // WIDTH
    wanted = (tile_at(1, index, new) for index in range(first // WIDTH, -(-full // WIDTH)) if first < full)
    return [tile for tile in wanted if tile is not None]


@dataclass(frozen=True, slots=True)
class Extension:
    """The leaves that follow ``edge`` in a tree of ``size``: ``hashes`` of the full bundles from its partial one on."""

    edge: Edge
    size: int
    hashes: tuple[bytes, ...]

    @classmethod
    def checked(cls, edge: Edge, size: int, root: bytes, hashes: Sequence[bytes], tail: Sequence[bytes]) -> Extension:
        """The extension to the tree ``(size, root)``; ``tail`` are the leaves of its last, partial bundle.

        Raises:
            VerificationFailed: edge, hashes and tail together are not that tree.
        """
        first, full = edge.size // WIDTH, size // WIDTH
        below = tuple(leaf_hash(leaf) for leaf in tail)
        kept = edge.levels[0] if edge.levels else ()
        partial = first == full and below[: len(kept)] != kept
        if len(hashes) != full - first or len(tail) != size % WIDTH or partial:
            raise _other(size)
        peaks = [peak for row in reversed(edge.levels[1:]) for peak in Frontier().extend(row).peaks]
        bundles = Frontier(first, tuple(peaks)).extend(hashes)
        if fold([*bundles.peaks, *Frontier().extend(below).peaks]) != root:
            raise _other(size)
        return cls(edge, size, tuple(hashes))

    def take(self, bundle: Tile, leaves: Sequence[bytes]) -> list[bytes]:
        """The leaves of a full bundle that are beyond the edge, if the bundle is what the tree has there.

        Raises:
            VerificationFailed: naming the bundle.
        """
        first = self.edge.size // WIDTH
        below = [leaf_hash(leaf) for leaf in leaves]
        kept = self.edge.levels[0] if bundle.index == first and self.edge.levels else ()
        whole = Frontier().extend(below).root == self.hashes[bundle.index - first]
        if not whole or len(leaves) != WIDTH or tuple(below[: len(kept)]) != kept:
            raise VerificationFailed(
                f"{bundle.path}: leaves {bundle.start} to {bundle.stop - 1} are not what the log committed to"
            )
        return list(leaves[len(kept) :])


def _other(size: int) -> VerificationFailed:
    return VerificationFailed(f"the tiles of a tree of {size} leaves do not rebuild the root that its key signed")
