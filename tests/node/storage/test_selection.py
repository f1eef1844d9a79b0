"""Which nodes a question for a CAR gets: no more than is needed, and all that is."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from catalog.cid import Cid
from catalog.error import BadInput, NotFound, VerificationFailed
from node.storage.dagpb import Link, PBNode
from node.storage.directory import resolve
from node.storage.disk import DiskBlobs
from node.storage.importer import import_path
from node.storage.selection import Scope, Span, parse_span, select
from node.storage.unixfs import (
    CHUNK,
    Child,
    Data,
    FileBuilder,
    Kind,
    build_file,
    chunks_of,
    encode_data,
    file_bytes,
    leaf,
    put_node,
)
from tests.node.storage.test_disk import content


class Nodes(dict[Cid, bytes]):
    """Nodes in memory, as ``put`` and ``get`` of UnixFS."""

    def put(self, cid: Cid, data: bytes) -> None:
        self[cid] = data

    def get_node(self, cid: Cid) -> bytes:
        if cid not in self:
            raise NotFound(str(cid))
        return self[cid]


def large(nodes: Nodes, leaves: int) -> Child:
    """A file of so many leaves, all but the last of which are the size of a chunk but small to make."""
    builder = FileBuilder(nodes.put)
    for piece in content("large", leaves * CHUNK - 7):
        builder.add(leaf(piece, nodes.put))
    return builder.finish()


def selected(nodes: Nodes, root: Cid, span: Span, scope: Scope = Scope.ENTITY) -> Nodes:
    return Nodes(select(root, "", scope, span, nodes.get_node))


@given(data=st.data())
def test_a_span_of_a_file_is_had_from_what_is_selected_for_it_and_little_more_is(data: st.DataObject) -> None:
    """Lost: a reader of a part gets another part, or fetches a whole file for a few bytes."""
    nodes, root, all_of_it = file_and_bytes()
    first = data.draw(st.integers(0, root.size - 1))
    last = data.draw(st.integers(first, min(first + 3 * CHUNK, root.size + 9)))
    got = selected(nodes, root.cid, Span(first, last))
    whole = all_of_it[first : last + 1]
    assert b"".join(file_bytes(root.cid, got.get_node, first, last + 1)) == whole
    assert sum(map(len, got.values())) <= len(whole) + 2 * CHUNK + 5 * 10_000


@cache
def file_and_bytes() -> tuple[Nodes, Child, memoryview]:
    nodes = Nodes()
    root = large(nodes, 400)
    return nodes, root, memoryview(b"".join(file_bytes(root.cid, nodes.get_node)))


@pytest.mark.parametrize(
    ("text", "size", "within"),
    [
        ("0:*", 10, (0, 10)), ("0:9", 10, (0, 10)), ("3:3", 10, (3, 4)), ("9:100", 10, (9, 10)), ("-3:*", 10, (7, 10)),
        ("-3:-2", 10, (7, 9)), ("10:20", 10, (10, 10)), ("0:-1", 10, (0, 10)), ("-100:*", 10, (0, 10)),
        ("0:*", 0, (0, 0)), ("5:-8", 10, (5, 5)),
    ],
)  # fmt: skip
def test_spans_are_those_of_the_specification(text: str, size: int, within: tuple[int, int]) -> None:
    assert parse_span(text).within(size) == within


@pytest.mark.parametrize(
    "text", ["", "1", "1:", ":1", "*:1", "9:1", "-1:-2", "1:2:3", "+1:2", "1 :2", "٣:9", "1:" + "9" * 40]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_span(text)


def test_scopes_give_one_node_what_makes_up_a_folder_or_all(tmp_path: Path) -> None:
    """Lost: who lists a folder fetches its files, or who fetches it gets no more than a list."""
    tree = tmp_path / "tree"
    (tree / "in" / "deep").mkdir(parents=True)
    (tree / "in" / "a.csv").write_bytes(b"a")
    (tree / "in" / "deep" / "b.bin").write_bytes(bytes(CHUNK + 1))
    for number in range(5000):
        (tree / "in" / f"{number:0100}").touch()
    nodes = Nodes()
    root = import_path(tree, nodes.put, lambda _: None).cid
    inner = resolve(root, "in", nodes.get_node)

    def under(path: str, scope: Scope) -> list[Cid]:
        return [cid for cid, _ in select(root, path, scope, Span(), nodes.get_node)]

    assert under("", Scope.BLOCK) == [root]
    assert under("in", Scope.BLOCK) == [root, inner]
    listed = under("in", Scope.ENTITY)
    assert len(listed) == len(set(listed)) > 20, "a sharded folder is many nodes"
    assert Cid.of(b"a") not in listed
    assert set(under("", Scope.ALL)) == set(nodes)
    assert under("in/a.csv", Scope.ALL)[-1] == Cid.of(b"a")
    with pytest.raises(NotFound):
        under("in/none", Scope.ALL)


def test_a_file_of_one_leaf_is_that_leaf_in_every_scope() -> None:
    nodes = Nodes()
    root = build_file(chunks_of(b"small"), nodes.put).cid
    for scope in Scope:
        assert list(selected(nodes, root, Span(1, 2), scope)) == [root]


def test_a_damaged_node_ends_the_answer(tmp_path: Path) -> None:
    """Lost: bytes that are known to be wrong go out in this site's name."""

    async def main() -> None:
        store = DiskBlobs(tmp_path / "store")
        root = await store.add(b"".join(content("x", 3 * CHUNK)))
        path = store._place(Cid.of(next(content("x", CHUNK))))
        path.write_bytes(b"damaged")
        with pytest.raises(VerificationFailed):
            await trio.to_thread.run_sync(lambda: list(select(root, "", Scope.ALL, Span(), store.get)))

    trio.run(main)


def bomb() -> tuple[Cid, Nodes]:
    """A file of 51 nodes, each of which is twice the one below it: 2^50 bytes, of one leaf of one byte."""
    nodes = Nodes()
    child = leaf(b"x", nodes.put)
    for _ in range(50):
        message = Data(Kind.FILE, size=2 * child.size, blocks=(child.size, child.size))
        links = (Link("", child.cid, child.total), Link("", child.cid, child.total))
        child = put_node(PBNode(links, encode_data(message)), 2 * child.size, nodes.put)
    return child.cid, nodes


@pytest.mark.parametrize("span", [Span(), Span(1), Span(0, (1 << 50) - 2), Span(1 << 49, (1 << 49) + 5), Span(-1)])
def test_few_nodes_that_declare_an_endless_file_are_walked_once(span: Span) -> None:
    """Lost: two small questions hold both turns of a node for ever, and nobody gets anything from it."""
    root, nodes = bomb()
    got = selected(nodes, root, span)
    assert Cid.of(b"x") in got
    assert len(got) <= 51
