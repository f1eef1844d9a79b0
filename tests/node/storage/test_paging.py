"""A tree in pages: each path once, in its order, wherever a page ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.cid import Cid
from catalog.error import VerificationFailed
from node.storage import paging
from node.storage.directory import build_directory
from node.storage.paging import Item, page_of
from node.storage.unixfs import Child, Get, build_file, load

NAMES = st.text("ab-/é.", min_size=1, max_size=3).filter(lambda name: "/" not in name and name not in (".", ".."))
TREES = st.recursive(st.binary(max_size=40), lambda below: st.dictionaries(NAMES, below, max_size=5), max_leaves=30)


class Nodes(dict[Cid, bytes]):
    """Nodes in memory."""

    def put(self, cid: Cid, data: bytes) -> None:
        self[cid] = data

    def add(self, tree: object) -> Child:
        if isinstance(tree, bytes):
            return build_file([tree] if tree else [], self.put)
        assert isinstance(tree, dict)
        return build_directory({name: self.add(below) for name, below in tree.items()}, self.put)


def flat(tree: dict[str, object], above: str = "") -> Iterator[tuple[str, bytes | None]]:
    for name, below in sorted(tree.items()):
        yield f"{above}{name}", below if isinstance(below, bytes) else None
        if isinstance(below, dict):
            yield from flat(below, f"{above}{name}/")


def paged(root: Cid, get: Get) -> list[Item]:
    items, more = page_of(load(root, get), "", get)
    while more:
        assert items
        page, more = page_of(load(root, get), items[-1].path, get)
        assert page, "a page has nothing and says that there is more"
        items += page
    return items


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, TREES, max_size=6), st.integers(1, 5), st.integers(1, 60))
def test_pages_of_any_size_are_the_tree(tree: dict[str, object], most: int, room: int) -> None:
    """Lost: a file, or an empty folder, that lay where a page ended; or one that comes twice."""
    nodes = Nodes()
    root = nodes.add(tree).cid
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "MOST_ITEMS", most)
        patch.setattr(paging, "ROOM", room)
        found = paged(root, nodes.__getitem__)
    assert [(item.path, item.data) for item in found] == list(flat(tree))


def test_a_large_file_comes_without_its_bytes_and_a_sharded_folder_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a page that holds a terabyte; or, of a large folder, all but its first page."""
    monkeypatch.setattr(paging, "SMALL", 10)
    nodes = Nodes()
    many = {f"{number:05}-{'x' * 200}": b"%d" % number for number in range(1_200)}
    root = nodes.add({"many": many, "large": b"more than ten"}).cid
    items = paged(root, nodes.__getitem__)
    assert items[0] == Item("large", 13, None)
    assert [item.path for item in items[2:]] == [f"many/{name}" for name in sorted(many)]


def test_folders_in_folders_without_end_are_refused() -> None:
    """Lost: a small tree keeps a node at work for ever."""
    nodes = Nodes()
    tree: object = b"deep"
    for _ in range(70):
        tree = {"a": tree}
    with pytest.raises(VerificationFailed):
        paged(nodes.add(tree).cid, nodes.__getitem__)


def test_pages_are_not_parts_of_another_folder(tmp_path: Path) -> None:
    """Lost: a place that is not in the tree any more ends the rest of it."""
    nodes = Nodes()
    root = nodes.add({"a": {"b": b"1"}, "c": b"2"}).cid
    items, more = page_of(load(root, nodes.__getitem__), "a/zz/y", nodes.__getitem__)
    assert ([item.path for item in items], more) == (["c"], False)
