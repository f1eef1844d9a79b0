import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import merkle, tiles
from catalog.error import BadInput, VerificationFailed
from catalog.merkle import Frontier, leaf_hash
from catalog.tiles import ENTRIES, Edge, Tile
from tests.catalog.listed import tiles_of

MOST = 70_000
HASHES = [leaf_hash(b"%d" % number) for number in range(MOST)]


def content(size):
    """Every hash tile of a tree, by the specification's formula: MTH(D[(n*256+i)*256^l : (n*256+i+1)*256^l])."""
    made, row, level = {}, HASHES[:size], 0
    while row:
        for start in range(0, len(row), 256):
            part = row[start : start + 256]
            made[level, start // 256, len(part)] = b"".join(part)
        row = [Frontier().extend(row[at : at + 256]).root for at in range(0, len(row) - 255, 256)]
        level += 1
    return made


SIZES = [0, 1, 2, 5, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, MOST]
TREES = {size: content(size) for size in SIZES}
ROOTS = {size: Frontier().extend(HASHES[:size]).root for size in SIZES}


def reader(size):
    return lambda level, index, width: TREES[size][level, index, width]


def test_paths_are_those_of_the_specification():
    """Lost: other tlog-tiles tools could read our logs."""
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(0, 1234, 5).path == "tile/0/x001/234.p/5"
    assert Tile(ENTRIES, 0).path == "tile/entries/000"
    assert Tile(2, 0, 1).path == "tile/2/000.p/1"


@given(st.integers(ENTRIES, 5), st.integers(0, (1 << 14) - 1), st.integers(1, 256))
def test_a_path_reads_back_as_its_tile(level, index, width):
    """Lost: a node would serve another tile than the one asked for."""
    tile = Tile(level, index, width)
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "", "tile", "tile/0/0", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/05", "tile/00/000", "tile/64/000",
        "tile/0/x000/000", "tile/0/000/", "/tile/0/000", "tile/0/../000", "tile/0/x001/x234", "tile/-1/000",
        "tile/0/000\n", "tile/0/000.p/5/", "tile/0/٠٠٠", "tile/entries/000.p/-1", "checkpoint", "tile/8/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999", "tile/0/" + "x999/" * 500 + "999",
    ],
)  # fmt: skip
def test_anything_else_is_no_path(path):
    """Lost: a peer could name other files, or one tile by two names."""
    with pytest.raises(BadInput):
        Tile.parse(path)


def test_the_tiles_of_70000_leaves_are_those_of_the_specification():
    """Lost: a client that computes which tiles exist would ask in vain (the specification's own example)."""
    found = list(tiles_of(70_000))
    hashes = [tile for tile in found if tile.level != ENTRIES]
    assert sum(tile.level == 0 and tile.width == 256 for tile in hashes) == 273
    assert [tile for tile in hashes if tile.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert Tile(1, 0) in hashes
    assert [tile.level for tile in found].count(ENTRIES) == 274
    assert set(tiles_of(256)) == {Tile(ENTRIES, 0), Tile(0, 0), Tile(1, 0, 1)}


@pytest.mark.parametrize("size", SIZES)
def test_the_named_tiles_are_the_existing_ones_and_hash_to_the_root(size):
    """Lost: a replica could not rebuild the root from what it fetched."""
    hashes = [tile for tile in tiles_of(size) if tile.level != ENTRIES]
    assert {(tile.level, tile.index, tile.width) for tile in hashes} == set(TREES[size])
    assert all(tile.within(size) for tile in hashes)
    assert not any(tile.within(size - 1) for tile in hashes if tile.stop == size)
    tiles.check_tiles(size, ROOTS[size], reader(size))
    assert merkle.root_of(size, tiles.subtree_of(size, reader(size))) == ROOTS[size]
    assert Edge.read(size, reader(size)).root == ROOTS[size]


@pytest.mark.parametrize("size", [1, 257, 65_537, MOST])
def test_proofs_over_tiles_verify(size):
    """Lost: rows of an audit answer could not be proved from the files on disk."""
    subtree = tiles.subtree_of(size, reader(size))
    for index in {0, 1, 255, 256, 257, 65_535, 65_536, size // 2, size - 1}:
        if index < size:
            proof = merkle.prove_inclusion(index, size, subtree)
            merkle.verify_inclusion(HASHES[index], index, size, ROOTS[size], proof)
    for old in SIZES:
        if old <= size:
            proof = merkle.prove_consistency(old, size, subtree)
            merkle.verify_consistency(old, ROOTS[old], size, ROOTS[size], proof)


@settings(deadline=None)
@given(st.lists(st.integers(0, 700), max_size=12))
def test_growing_writes_exactly_the_tiles_that_a_tree_of_that_size_has(steps):
    """Lost: a log grown in steps would differ from one written at once."""
    edge, written = Edge(), {}
    for step in steps:
        edge, new = edge.extend(HASHES[edge.size : edge.size + step])
        assert all(tile.within(edge.size) for tile in new)
        written |= new
    assert edge.root == Frontier().extend(HASHES[: edge.size]).root
    for tile in tiles_of(edge.size):
        if tile.level != ENTRIES:
            assert written[tile] == content(edge.size)[tile.level, tile.index, tile.width]
    assert Edge.read(edge.size, lambda level, index, width: written[Tile(level, index, width)]) == edge


@pytest.mark.parametrize("size", [5, 256, 257, 1000, MOST])
def test_a_flipped_bit_in_any_tile_is_found(size):
    """Lost: damage to a hash tile would go unseen until a proof fails."""
    for key in [*list(TREES[size])[:: max(1, len(TREES[size]) // 40)], max(TREES[size])]:
        data = bytearray(TREES[size][key])
        data[len(data) // 2] ^= 1
        damaged = {**TREES[size], key: bytes(data)}
        with pytest.raises(VerificationFailed, match=r"root|tile/"):
            tiles.check_tiles(size, ROOTS[size], lambda *at, damaged=damaged: damaged[at])
        cut = {**TREES[size], key: bytes(data[:-1])}
        with pytest.raises(VerificationFailed, match=f"{Tile(*key).path} has"):
            tiles.check_tiles(size, ROOTS[size], lambda *at, cut=cut: cut[at])


@given(st.lists(st.binary(max_size=300), max_size=40), st.data())
def test_a_bundle_reads_back_and_a_narrower_one_is_its_beginning(leaves, data):
    """Lost: leaves themselves."""
    bundle = tiles.encode_bundle(leaves)
    assert tiles.decode_bundle(bundle, len(leaves)) == leaves
    if leaves:
        width = data.draw(st.integers(1, len(leaves)))
        narrow = tiles.prefix(Tile(ENTRIES, 0, len(leaves)), width, bundle)
        assert tiles.decode_bundle(narrow, width) == leaves[:width]


@pytest.mark.parametrize(
    ("data", "width"), [(b"", 1), (b"\0", 1), (b"\0\2a", 1), (b"\0\1a\0", 1), (b"\0\1a", 2), (b"\0\1a", 0)]
)
def test_a_bundle_that_is_cut_or_too_long_is_refused(data, width):
    """Lost: a peer could hide leaves behind the end of a bundle."""
    with pytest.raises(VerificationFailed):
        tiles.decode_bundle(data, width)


def test_a_leaf_that_a_bundle_cannot_hold_is_refused():
    """Lost: its length would be cut and every later leaf misread."""
    assert tiles.decode_bundle(tiles.encode_bundle([bytes(65_535)]), 1) == [bytes(65_535)]
    with pytest.raises(BadInput):
        tiles.encode_bundle([bytes(65_536)])


def test_bundles_to_fetch_cover_the_new_leaves_and_nothing_else():
    """Lost: a replica would fetch too little or the whole log again."""
    assert tiles.bundles(0, 0) == tiles.bundles(300, 300) == []
    assert tiles.bundles(0, 5) == [Tile(ENTRIES, 0, 5)]
    assert tiles.bundles(256, 257) == [Tile(ENTRIES, 1, 1)]
    assert tiles.bundles(255, 513) == [Tile(ENTRIES, 0), Tile(ENTRIES, 1), Tile(ENTRIES, 2, 1)]


@pytest.mark.parametrize("coordinates", [(-2, 0, 1), (8, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257), (0, 1 << 60, 1)])
def test_a_tile_that_no_tree_has_cannot_be_named(coordinates):
    """Lost: a path made of numbers from a peer would be bounded by nothing."""
    with pytest.raises(BadInput):
        Tile(*coordinates)
