"""Leaves of a log that are shown together, with one proof of them all; each tile is read once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from catalog import tiles
from catalog.error import Damaged
from catalog.merkle import HASH, leaf_hash
from catalog.multiproof import prove_many
from catalog.tiles import Tile
from node.storage.tilefolder import TileFolder


def show_leaves(folder: TileFolder, indexes: Sequence[int], size: int) -> tuple[list[bytes], bytes]:
    """The leaves at ``indexes`` (ascending), and :func:`catalog.multiproof.prove_many` of them among ``size``. Blocks.

    Raises:
        Damaged: a tile is damaged, or a leaf is not what was committed to.
    """
    read: dict[tuple[int, int, int], bytes] = {}

    def tile(level: int, index: int, width: int) -> bytes:
        if (level, index, width) not in read:
            read[level, index, width] = folder.require(level, index, width)
        return read[level, index, width]

    proof = prove_many(indexes, size, tiles.subtree_of(size, tile))
    found = []
    for number, group in groupby(indexes, lambda index: index // tiles.WIDTH):
        bundle = Tile(tiles.ENTRIES, number, min(size - number * tiles.WIDTH, tiles.WIDTH))
        leaves = folder.read_leaves(bundle)
        hashes = tile(0, number, bundle.width)
        for index in group:
            at = index - bundle.start
            if leaf_hash(leaves[at]) != hashes[at * HASH : (at + 1) * HASH]:
                raise Damaged(
                    f"{folder.file(bundle)} or its hashes are damaged: leaf {index} is not what was committed to;"
                    " run «comity site fsck»"
                )
            found.append(leaves[at])
    return found, proof
