"""UnixFS against what Kubo 0.39 computed, and against bytes that mean harm."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.cid import DAG_PB, RAW, Cid
from catalog.error import BadInput, NotFound, VerificationFailed
from node.storage.dagpb import MAX_LINKS, MAX_NODE, Link, PBNode, decode_node, encode_node
from node.storage.directory import build_directory, entries_of, resolve
from node.storage.hamt import FANOUT, MURMUR3, murmur3
from node.storage.protobuf import bytes_field, encode_varint, number_field
from node.storage.unixfs import (
    CHUNK,
    MAX_DEPTH,
    Child,
    Data,
    FileBuilder,
    Kind,
    build_file,
    chunks_of,
    decode_data,
    encode_data,
    file_bytes,
    leaf,
    load,
)


class Numbered(TypedDict):
    template: str
    count: int
    size: int


class Tree(TypedDict):
    name: str
    folders: list[str]
    files: list[tuple[str, int]]
    numbered: list[Numbered]
    cid: str


class File(TypedDict):
    seed: str
    size: int
    cid: str


class Zeros(TypedDict):
    size: int
    cid: str


class Vectors(TypedDict):
    files: list[File]
    zeros: list[Zeros]
    trees: list[Tree]


VECTORS: Vectors = json.loads((Path(__file__).parent / "vectors" / "unixfs.json").read_text("utf-8"))


def content(seed: str, size: int) -> Iterator[bytes]:
    """The rule that the vectors state."""
    for index, at in enumerate(range(0, size, CHUNK)):
        yield hashlib.shake_256(f"{seed}/{index}".encode()).digest(min(CHUNK, size - at))


def paths_of(tree: Tree) -> dict[str, int]:
    numbered = {rule["template"].format(i): rule["size"] for rule in tree["numbered"] for i in range(rule["count"])}
    return {**dict(tree["files"]), **numbered}


def drop(cid: Cid, data: bytes) -> None:
    pass


def build_tree(paths: dict[str, int], folders: list[str], put: Callable[[Cid, bytes], None], prefix: str = "") -> Child:
    children: dict[str, Child] = {}
    below: set[str] = set()
    for path, size in paths.items():
        if path.startswith(prefix):
            name, *rest = path[len(prefix) :].split("/")
            if rest:
                below.add(name)
            else:
                children[name] = build_file(content(path, size), put)
    below.update(path[len(prefix) :].split("/")[0] for path in folders if path.startswith(prefix) and path != prefix)
    for name in below - {""}:
        children[name] = build_tree(paths, [f"{f.rstrip('/')}/" for f in folders], put, f"{prefix}{name}/")
    return build_directory(children, put)


class Store:
    """Nodes in memory."""

    def __init__(self) -> None:
        self.nodes: dict[Cid, bytes] = {}
        self.gets = 0

    def put(self, cid: Cid, data: bytes) -> None:
        assert cid.matches(data)
        self.nodes[cid] = data

    def get(self, cid: Cid) -> bytes:
        self.gets += 1
        if cid not in self.nodes:
            raise NotFound("not here")
        return self.nodes[cid]

    def node(self, links: list[Link], message: Data) -> Cid:
        data = encode_node(PBNode(tuple(links), encode_data(message)))
        cid = Cid.of(data, DAG_PB)
        self.nodes[cid] = data
        return cid


def entries(store: Store, root: Cid) -> list[tuple[str, Cid]]:
    return list(entries_of(load(root, store.get), store.get))


@pytest.mark.parametrize("vector", VECTORS["files"], ids=lambda vector: str(vector["size"]))
def test_a_file_has_the_cid_that_kubo_gives_it(vector: File) -> None:
    assert str(build_file(content(vector["seed"], vector["size"]), drop).cid) == vector["cid"]


@pytest.mark.parametrize("vector", VECTORS["zeros"], ids=lambda vector: str(vector["size"]))
def test_a_file_of_three_levels_has_the_cid_that_kubo_gives_it(vector: Zeros) -> None:
    builder = FileBuilder(drop)
    zeros = leaf(bytes(CHUNK), drop)
    for _ in range(vector["size"] // CHUNK):
        builder.add(zeros)
    assert str(builder.finish().cid) == vector["cid"]


@pytest.mark.parametrize("vector", VECTORS["trees"], ids=lambda vector: vector["name"])
def test_a_tree_has_the_cid_that_kubo_gives_it_and_lists_and_resolves_as_built(vector: Tree) -> None:
    store = Store()
    paths = paths_of(vector)
    root = build_tree(paths, vector["folders"], store.put)
    assert str(root.cid) == vector["cid"]
    assert root.size == sum(paths.values())
    names = [name for name, _ in entries(store, root.cid)]
    assert sorted(names) == sorted({path.split("/")[0] for path in (*paths, *vector["folders"])})
    for path in list(paths)[:15] + list(paths)[-5:]:
        found = resolve(root.cid, path, store.get)
        assert b"".join(file_bytes(found, store.get)) == b"".join(content(path, paths[path]))
    for path in vector["folders"]:
        assert load(resolve(root.cid, path, store.get), store.get).is_folder


def test_murmur3_is_the_published_function() -> None:
    assert murmur3(b"") == bytes(8)
    assert murmur3(b"hello").hex() == "cbd8a7b341bd9b02"
    assert murmur3(b"The quick brown fox jumps over the lazy dog").hex() == "e34bbc7bbc071b6c"


def test_a_file_is_read_back_in_order() -> None:
    store = Store()
    data = b"".join(content("order", 3 * CHUNK + 7))
    assert b"".join(file_bytes(build_file(chunks_of(data), store.put).cid, store.get)) == data


def test_files_of_other_tools_are_read_inline_data_and_other_widths() -> None:
    store = Store()
    inline = store.node([], Data(Kind.FILE, data=b"world", size=5))
    raw = leaf(b"hello ", store.put).cid
    root = store.node([Link("", raw, 6), Link("", inline, 13)], Data(Kind.FILE, size=11, blocks=(6, 5)))
    assert b"".join(file_bytes(root, store.get)) == b"hello world"
    empty = store.node([], Data(Kind.FILE, size=0))
    assert b"".join(file_bytes(empty, store.get)) == b""


texts = st.text(st.characters(codec="utf-8"), max_size=20)
cids = st.builds(Cid.of, st.binary(max_size=8), st.sampled_from([RAW, DAG_PB]))
links = st.builds(Link, texts, cids, st.integers(0, (1 << 63) - 1))
nodes = st.builds(PBNode, st.lists(links, max_size=5).map(tuple), st.none() | st.binary(max_size=40))
sizes = st.integers(0, (1 << 63) - 1)
messages = st.builds(
    Data,
    st.sampled_from(Kind),
    st.none() | st.binary(max_size=20),
    st.none() | sizes,
    st.lists(sizes, max_size=4).map(tuple),
    st.none() | sizes,
    st.none() | sizes,
)


@given(nodes)
def test_a_dag_pb_node_decodes_to_what_was_encoded(node: PBNode) -> None:
    assert decode_node(encode_node(node)) == node


@given(messages)
def test_a_unixfs_message_decodes_to_what_was_encoded(message: Data) -> None:
    assert decode_data(encode_data(message)) == message


@st.composite
def damaged(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> bytes:
    """Bytes that almost are right: some cut, changed or put in."""
    data = bytearray(draw(source))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(st.binary(max_size=200) | damaged(nodes.map(encode_node)))
def test_what_decodes_as_dag_pb_is_canonical_and_nothing_else_is_raised(data: bytes) -> None:
    try:
        node = decode_node(data)
    except VerificationFailed:
        return
    assert encode_node(node) == data


@given(st.binary(max_size=60) | damaged(messages.map(encode_data)))
def test_what_decodes_as_unixfs_is_canonical_and_nothing_else_is_raised(data: bytes) -> None:
    try:
        message = decode_data(data)
    except VerificationFailed:
        return
    assert encode_data(message) == data


@settings(max_examples=200)
@given(st.data())
def test_a_tree_from_a_peer_ends_in_bytes_names_or_a_refusal(data: st.DataObject) -> None:
    """Else a malformed tree would end a node's task with an error that nobody expects."""
    store = Store()
    known = [leaf(b"x", store.put).cid, Cid.of(b"absent")]
    for _ in range(data.draw(st.integers(1, 4))):
        names = data.draw(st.lists(st.sampled_from(["", "a", "b", "../x", "00", "0Aa", "FFz"]), max_size=3))
        made = [Link(name, data.draw(st.sampled_from(known)), 1) for name in names]
        known.append(store.node(made, data.draw(messages)))
    root = known[-1]
    for read in (lambda: list(file_bytes(root, store.get)), lambda: entries(store, root)):
        try:
            read()
        except (VerificationFailed, NotFound, BadInput):
            continue


CID_FIELD = bytes_field(1, bytes(Cid.of(b"")))
LINK = CID_FIELD + bytes_field(2, b"a") + number_field(3, 1)


def test_a_link_of_version_0_is_read_as_what_it_names() -> None:
    """Trees that IPFS made in its first years, and still makes unless it is told otherwise."""
    old = bytes_field(2, bytes_field(1, b"\x12\x20" + bytes(32)) + bytes_field(2, b"a") + number_field(3, 1))
    assert decode_node(old).links == (Link("a", Cid.from_bytes(b"\x01\x70\x12\x20" + bytes(32)), 1),)


@pytest.mark.parametrize(
    "data",
    [
        bytes_field(1, b"data") + bytes_field(2, LINK),
        bytes_field(1, b"a") + bytes_field(1, b"b"),
        bytes_field(2, CID_FIELD + number_field(3, 1)),
        bytes_field(2, CID_FIELD + bytes_field(2, b"\xff") + number_field(3, 1)),
        bytes_field(2, CID_FIELD + bytes_field(2, b"a") + number_field(3, 1 << 63)),
        bytes_field(2, bytes_field(2, b"a") + CID_FIELD + number_field(3, 1)),
        bytes_field(2, bytes_field(1, b"\x12\x20" + bytes(31)) + bytes_field(2, b"a") + number_field(3, 1)),
        bytes_field(3, b"x"),
        b"\x0a\x80\x00",
        b"\x0a" + encode_varint(1 << 62) + b"x",
        bytes_field(1, bytes(MAX_NODE)),
        bytes_field(2, LINK) * (MAX_LINKS + 1),
    ],
    ids=[
        "data before links", "data twice", "no name", "name not UTF-8", "size of 64 bits", "fields out of order",
        "half a CID of version 0", "unknown field", "padded varint", "cut off", "too large", "too many links",
    ],
)  # fmt: skip
def test_dag_pb_with_a_second_encoding_or_beyond_bounds_is_refused(data: bytes) -> None:
    with pytest.raises(VerificationFailed):
        decode_node(data)


def test_a_part_that_is_not_the_size_its_parent_declares_is_refused() -> None:
    """Else a peer could make us write more than the size that was checked."""
    store = Store()
    part = leaf(b"12345", store.put).cid
    root = store.node([Link("", part, 5)], Data(Kind.FILE, size=4, blocks=(4,)))
    with pytest.raises(VerificationFailed):
        list(file_bytes(root, store.get))
    lying = store.node([Link("", part, 5)], Data(Kind.FILE, size=4, blocks=(5,)))
    with pytest.raises(VerificationFailed):
        list(file_bytes(lying, store.get))


def test_a_few_nodes_cannot_cost_endless_work() -> None:
    """Empty parts, doubled at each level, would be 2**60 nodes to walk."""
    store = Store()
    cid = leaf(b"", store.put).cid
    for _ in range(60):
        cid = store.node([Link("", cid, 0)] * 2, Data(Kind.FILE, size=0, blocks=(0, 0)))
    with pytest.raises(VerificationFailed):
        list(file_bytes(cid, store.get))
    store.gets = 0
    shard = store.node([], Data(Kind.HAMT, data=b"", hash=MURMUR3, fanout=FANOUT))
    for _ in range(60):
        slots = [Link(f"{slot:02X}", shard, 0) for slot in range(256)]
        shard = store.node(slots, Data(Kind.HAMT, data=b"\xff" * 32, hash=MURMUR3, fanout=FANOUT))
    with pytest.raises(VerificationFailed):
        entries(store, shard)
    assert store.gets <= 9


def test_a_tree_deeper_than_the_bound_is_refused() -> None:
    store = Store()
    cid = leaf(b"x", store.put).cid
    for level in range(MAX_DEPTH + 1):
        if level == MAX_DEPTH:
            assert list(file_bytes(cid, store.get)) == [b"x"]
        cid = store.node([Link("", cid, 0)], Data(Kind.FILE, size=1, blocks=(1,)))
    with pytest.raises(VerificationFailed):
        list(file_bytes(cid, store.get))
    with pytest.raises(BadInput):
        resolve(cid, "/".join("a" * (MAX_DEPTH + 1)), store.get)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc", "a\0b", "x" * 256, "ä" * 128])
def test_a_name_that_could_lead_elsewhere_is_refused_built_or_read(name: str) -> None:
    store = Store()
    child = leaf(b"x", store.put)
    with pytest.raises(BadInput):
        build_directory({name: child}, store.put)
    plain = store.node([Link(name, child.cid, 1)], Data(Kind.DIRECTORY))
    with pytest.raises(VerificationFailed):
        entries(store, plain)
    if name:
        slot = murmur3(name.encode())[0]
        bits = (1 << slot).to_bytes(slot // 8 + 1, "big")
        message = Data(Kind.HAMT, data=bits, hash=MURMUR3, fanout=FANOUT)
        with pytest.raises(VerificationFailed):
            entries(store, store.node([Link(f"{slot:02X}{name}", child.cid, 1)], message))


def test_names_doubled_or_out_of_place_are_refused() -> None:
    """Else the folder that one member lists would not be the folder that another looks up in."""
    store = Store()
    child = leaf(b"x", store.put).cid
    for names in (["a", "a"], ["b", "a"]):
        with pytest.raises(VerificationFailed):
            entries(store, store.node([Link(name, child, 1) for name in names], Data(Kind.DIRECTORY)))
    wrong = murmur3(b"a")[0] ^ 1
    bits = (1 << wrong).to_bytes(wrong // 8 + 1, "big")
    message = Data(Kind.HAMT, data=bits, hash=MURMUR3, fanout=FANOUT)
    with pytest.raises(VerificationFailed):
        entries(store, store.node([Link(f"{wrong:02X}a", child, 1)], message))


def test_a_path_through_a_file_or_to_nothing_is_not_found() -> None:
    store = Store()
    root = build_directory({"a": leaf(b"x", store.put)}, store.put).cid
    for path in ("b", "a/b"):
        with pytest.raises(NotFound):
            resolve(root, path, store.get)
    for path in ("/a", "a/", "a//b", "../a"):
        with pytest.raises(BadInput):
            resolve(root, path, store.get)


def test_a_shard_that_contradicts_itself_is_refused() -> None:
    """Else two shards with the same entries could have different CIDs, or a name two meanings."""
    store = Store()
    child = leaf(b"x", store.put).cid
    one, other = sorted(["a", "b"], key=lambda name: murmur3(name.encode()))
    links = [Link(f"{murmur3(name.encode())[0]:02X}{name}", child, 1) for name in (one, other)]
    number = sum(1 << murmur3(name.encode())[0] for name in (one, other))
    bits = number.to_bytes((number.bit_length() + 7) // 8, "big")

    def shard(links: list[Link], bits: bytes, fanout: int = FANOUT) -> Cid:
        return store.node(links, Data(Kind.HAMT, data=bits, hash=MURMUR3, fanout=fanout))

    assert [name for name, _ in entries(store, shard(links, bits))] == [one, other]
    empty = shard([], b"")
    for bad in (
        shard(links[::-1], bits),
        shard([links[0], links[0]], bits),
        shard(links[:1], bits),
        shard(links, bits, fanout=16),
        shard([Link("00", empty, 1)], b"\x01"),
        shard([Link("00", child, 1)], b"\x01"),
        shard([Link("0aa", child, 1)], b"\x04\x00"),
    ):
        with pytest.raises(VerificationFailed):
            entries(store, bad)
