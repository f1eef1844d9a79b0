"""Files and folders as the client writes them: what its node says of a tree leads nowhere else, and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, VerificationFailed
from node.api.client import Node
from node.api.tree import TreeItem, TreePage
from node.keyfile import Identity
from tests.node.api.serving import Running

CID = Cid.of(b"a tree")


@pytest.fixture
def mara(running: Running, researcher: Identity) -> Node:
    return running.node(researcher)


def page(*items: TreeItem, more: bool = False) -> TreePage:
    return TreePage(folder=True, size=0, items=items, more=more)


def file(path: str, data: bytes = b"data") -> TreeItem:
    return TreeItem(path=path, size=len(data), data=data)


def folder(path: str) -> TreeItem:
    return TreeItem(path=path, size=None, data=None)


def test_a_tree_of_several_pages_is_written_as_it_is(mara: Node, running: Running, tmp_path: Path) -> None:
    """Lost: what lies on the second page, empty folders, or files that come in parts."""
    large = TreeItem(path="in/x", size=12, data=None)  # the double gives a file's path three times over
    running.site.pages = [page(file("a"), folder("in"), more=True), page(folder("in/empty"), large, file("z", b""))]
    told: list[int] = []
    made = mara.fetch_tree(CID, "", tmp_path / "out", written=told.append)
    assert (made.folder, made.files, made.bytes) == (True, 3, 16)
    assert (tmp_path / "out" / "in" / "x").read_bytes() == b"in/xin/xin/x"
    assert (tmp_path / "out" / "in" / "empty").is_dir()
    assert (tmp_path / "out" / "z").read_bytes() == b""
    assert told == [4, 16, 16]
    assert [call for call in running.site.calls if call.startswith("tree")] == ["tree  ", "tree  in"]


@pytest.mark.parametrize(
    "items",
    [
        (file("../out-of-it"),),
        (file("/etc/comity-test"),),
        (file("a"), file("a")),
        (file("a"), folder("a")),
        (file("not-told/a"),),
        (folder("in"), file("in/..")),
        (file("a\0b"),),
        (TreeItem(path="x", size=2, data=b"longer"),),
        (TreeItem(path="x", size=1 << 40, data=None),),
    ],
)
def test_a_tree_that_leads_elsewhere_or_is_not_what_it_says_leaves_nothing(
    mara: Node, running: Running, tmp_path: Path, items: tuple[TreeItem, ...]
) -> None:
    """Lost: whoever made a dataset writes anywhere in a reader's home; or half of it stays as if it were all."""
    running.site.pages = [page(*items)]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ComityError):
        mara.fetch_tree(CID, "", tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_pages_without_end_are_given_up(mara: Node, running: Running, tmp_path: Path) -> None:
    """Lost: a node that always says that there is more keeps the client for ever."""
    running.site.pages = [page(file("a"), more=True), page(more=True)]
    with pytest.raises(VerificationFailed):
        mara.fetch_tree(CID, "", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_is_there_is_refused_before_anything_is_fetched(
    mara: Node, running: Running, tmp_path: Path
) -> None:
    """Lost: hours of a transfer, and then «file exists»."""
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match="is there already"):
        mara.fetch_tree(CID, "", tmp_path / "out")
    assert not [call for call in running.site.calls if call.startswith("tree")]


def test_a_span_of_any_size_is_asked_for_in_parts(mara: Node, running: Running, tmp_path: Path) -> None:
    """Lost: --bytes of more than a node gives at once."""
    made = mara.fetch_span(CID, "abcd", 3, 14, tmp_path / "out")
    assert made.bytes == 12
    with pytest.raises(BadInput):
        mara.fetch_span(CID, "abcd", 14, 3, tmp_path / "none")
    assert not (tmp_path / "none").exists()
