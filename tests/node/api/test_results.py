"""Results as the client gives them: files, folders, and values of CWL, with files or without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catalog.cid import Cid
from catalog.error import BadInput, ComityError
from node.api.client import Node
from node.api.tree import TreeItem, TreePage
from node.keyfile import Identity
from tests.node.api.serving import Running
from tests.node.api.test_client import WORKFLOW, project
from workflow.receipt import Form

FILES = [{"class": "File", "location": "files/0/a.bam"}]


def item(path: str, data: bytes | None = None) -> TreeItem:
    return TreeItem(path=path, size=None if data is None else len(data), data=data)


@pytest.fixture
def submission(running: Running, steward: Identity, researcher: Identity) -> Cid:
    mara, cid = running.node(researcher), project(running.node(steward))
    return mara.submit(mara.plan(WORKFLOW, {"table": cid}, project="pooling", deadline="10m", budget=1))


@pytest.fixture
def mara(running: Running, researcher: Identity) -> Node:
    return running.node(researcher)


def delivers(running: Running, form: Form, data: bytes, *pages: TreePage) -> None:
    running.site.results, running.site.forms, running.site.pages = {"made": data}, {"made": form}, list(pages)


@pytest.mark.parametrize("value", [7, 0.5, "text", None, [1, {"a": None}], True])
def test_a_value_is_given_as_what_it_is(mara: Node, running: Running, submission: Cid, value: object) -> None:
    """Lost: a number comes as a file of digits, and whoever counts on reads it again by hand."""
    delivers(running, Form.VALUE, json.dumps(value).encode())
    assert mara.result_value(submission) == value
    assert not mara.is_folder(submission)


@pytest.mark.parametrize("data", [b"NaN", b'{"class": "File", "location": "/etc/passwd"}', b"{"])
def test_what_is_no_value_is_not_given_as_one(mara: Node, running: Running, submission: Cid, data: bytes) -> None:
    """Lost: what a site made up is taken for a value, with a file of this machine in it."""
    delivers(running, Form.VALUE, data)
    with pytest.raises(BadInput):
        mara.result_value(submission)


def test_files_of_a_value_are_saved_where_it_says(
    mara: Node, running: Running, submission: Cid, tmp_path: Path
) -> None:
    """Lost: a list of files as a result, which nobody can take home."""
    told = json.dumps(FILES).encode()
    items = (item("files"), item("files/0"), item("files/0/a.bam", b"reads"), item("value.json", told))
    delivers(running, Form.VALUE, b"root", TreePage(folder=True, size=0, items=items, more=False))
    assert mara.is_folder(submission)
    with pytest.raises(BadInput, match="has files"):
        mara.result_value(submission)
    saved = mara.save_result(submission, "made", tmp_path / "out")
    assert (saved.folder, saved.files) == (True, 2)
    (there,) = json.loads((tmp_path / "out" / "value.json").read_bytes())
    assert (tmp_path / "out" / there["location"]).read_bytes() == b"reads"


def test_a_result_leads_nowhere_else(mara: Node, running: Running, submission: Cid, tmp_path: Path) -> None:
    """Lost: whoever made a result writes anywhere in a reader's home."""
    page = TreePage(folder=True, size=0, items=(item("../x", b"x"),), more=False)
    delivers(running, Form.FOLDER, b"root", page)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ComityError):
        mara.save_result(submission, None, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_a_value_without_files_is_saved_as_its_json(
    mara: Node, running: Running, submission: Cid, tmp_path: Path
) -> None:
    delivers(running, Form.VALUE, b"[1,2]")
    assert not mara.save_result(submission, None, tmp_path / "out.json").folder
    assert (tmp_path / "out.json").read_bytes() == b"[1,2]"


@pytest.mark.parametrize("form", [Form.FILE, Form.FOLDER])
def test_a_file_is_no_value(mara: Node, running: Running, submission: Cid, form: Form) -> None:
    """Lost: a file that looks like JSON is taken for what a step said."""
    delivers(running, form, b"[1,2]")
    with pytest.raises(BadInput, match="no value"):
        mara.result_value(submission)
