"""``comity audit look``: what a step left, as text that steers no terminal."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from catalog.cid import Cid
from cli.main import run
from cli.value import tell_value
from node.api.person import Persons
from node.keyfile import Identity
from tests.node.api.serving import Running

CID = str(Cid.of(b"what it said"))


@pytest.fixture
def anna(running: Running, steward: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that name the running site and its steward."""
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    Persons(tmp_path / "home").add(steward)
    return ["--site", str(running.folder), "--as", "Sister Agnes"]


def test_a_steward_reads_what_a_failed_step_said(
    running: Running, anna: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: the one line that says what to mend."""
    assert run([*anna, "audit", "look", CID]) == 0
    assert capsys.readouterr().out == f"{CID}:\nTraceback\nKeyError: 'age'\n"
    assert run([*anna, "audit", "look", CID, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["cid"], b64decode(told["value"])) == (CID, b"Traceback\nKeyError: 'age'\n")
    assert running.site.calls == [f"look {CID}"] * 2


def test_what_is_no_cid_is_refused(anna: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a traceback of ours for a typing error of theirs."""
    assert run([*anna, "audit", "look", "bafk…"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (b"\x1b[31mred\nblue", "said:\n\ufffd[31mred\nblue\n"),
        ("ä fault".encode()[1:], "said:\n fault\n"),
        (b"\xff\x00\xff\xfe", "said is no text; it begins: ff 00 ff fe\n"),
        (b"\n".join(b"%d" % n for n in range(50)), "said:\n" + "".join(f"{n}\n" for n in range(40)) + "… and more\n"),
    ],
)
def test_a_value_is_shown_as_text_without_what_steers_a_terminal(
    seen: bytes, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: what a step prints moves a steward's cursor; or a letter that was cut in two hides all the rest."""
    tell_value("said", seen)
    assert capsys.readouterr().out == shown
