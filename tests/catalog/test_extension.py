"""What is to come of a log, checked before it is fetched: only what the root says, bundle by bundle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import VerificationFailed
from catalog.extension import Extension, hash_tiles
from catalog.merkle import Frontier, leaf_hash
from catalog.tiles import WIDTH, Edge, bundles

LEAVES = [b"%d" % number for number in range(1100)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def parts(old: int, new: int):
    """Edge, size, root, the hashes of the full bundles beyond ``old``, the leaves of the last, partial bundle."""
    full = new // WIDTH
    rows = [Frontier().extend(HASHES[at * WIDTH : (at + 1) * WIDTH]).root for at in range(old // WIDTH, full)]
    edge = Edge().extend(HASHES[:old])[0]
    return edge, new, Frontier().extend(HASHES[:new]).root, rows, LEAVES[full * WIDTH : new]


@given(st.integers(0, 1100), st.integers(0, 1100))
def test_every_bundle_of_the_tree_is_taken_and_no_other(one, other):
    """Lost: leaves that nobody signed for, or an honest log refused."""
    old, new = sorted((one, other))
    extension = Extension.checked(*parts(old, new))
    got = []
    for tile in (each for each in bundles(old, new) if each.width == WIDTH):
        leaves = LEAVES[tile.start : tile.stop]
        got += extension.take(tile, leaves)
        for wrong in ([*leaves[:-1], b"x"], leaves[:-1], leaves[::-1], [*leaves, b"x"]):
            with pytest.raises(VerificationFailed, match=tile.path):
                extension.take(tile, wrong)
    assert got == (LEAVES[old : new // WIDTH * WIDTH] if old < new // WIDTH * WIDTH else [])
    covered = {at for tile in hash_tiles(old, new) for at in range(tile.index * WIDTH, tile.index * WIDTH + tile.width)}
    assert covered >= set(range(old // WIDTH, new // WIDTH))


@pytest.mark.parametrize("what", ["hash", "fewer", "more", "tail", "short tail", "long tail", "edge", "root"])
def test_parts_that_are_not_the_signed_tree_are_refused(what):
    edge, size, root, rows, tail = parts(300, 1000)
    changed = {
        "hash": (edge, size, root, [*rows[:-1], bytes(32)], tail),
        "fewer": (edge, size, root, rows[:-1], tail),
        "more": (edge, size, root, [*rows, bytes(32)], tail),
        "tail": (edge, size, root, rows, [*tail[:-1], b"x"]),
        "short tail": (edge, size, root, rows, tail[:-1]),
        "long tail": (edge, size, root, rows, [*tail, b"x"]),
        "edge": (Edge().extend([*HASHES[:255], bytes(32), *HASHES[256:300]])[0], size, root, rows, tail),
        "root": (edge, size, bytes(32), rows, tail),
    }
    Extension.checked(edge, size, root, rows, tail)
    with pytest.raises(VerificationFailed):
        Extension.checked(*changed[what])


def test_an_edge_of_another_history_is_refused_within_its_last_bundle():
    """Lost: a replica whose last leaves are another history's, under a checkpoint of this one."""
    _, size, root, rows, tail = parts(300, 310)
    other = Edge().extend([*HASHES[:299], bytes(32)])[0]
    with pytest.raises(VerificationFailed):
        Extension.checked(other, size, root, rows, tail)
    _, size, root, rows, tail = parts(300, 600)
    extension = Extension.checked(other, size, root, rows, tail)
    with pytest.raises(VerificationFailed):
        extension.take(bundles(300, 600)[0], LEAVES[256:512])
