"""Checking the proof of a fork, as somebody does who has no node."""

from pathlib import Path

import pytest

from catalog.dagcbor import encode
from catalog.fork import Fork, ForkFile
from cli.main import run
from tests.catalog.test_fork import OTHER, ROOT, Log, enrolment


def made(path: Path, *, honest: bool = False, strange: bool = False) -> str:
    first, second = Log("a", 3), Log("a" if honest else "b", 3)
    fork = Fork(first=first.note(3), second=second.note(3))
    file = ForkFile(fork=fork, enrolments=(enrolment(by=OTHER if strange else ROOT),))
    path.write_bytes(encode(file))
    return str(path)


def test_a_proof_is_checked_with_nothing_but_its_file(tmp_path, capsys):
    assert run(["catalog", "verify-fork", made(tmp_path / "proof")]) == 0
    told = capsys.readouterr().out
    assert ROOT.did in told
    assert "it signed two histories of its audit log, both of 3 leaves" in told


@pytest.mark.parametrize("what", ["honest", "strange", "cut", "large", "garbage"])
def test_what_proves_nothing_is_refused_in_one_line(tmp_path, capsys, what):
    """Lost: an honest site is called a liar by whoever believes a file."""
    path = tmp_path / "proof"
    name = made(path, honest=what == "honest", strange=what == "strange")
    if what == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif what == "large":
        path.write_bytes(bytes(2 << 20))
    elif what == "garbage":
        path.write_bytes(b"\xff")
    assert run(["catalog", "verify-fork", name]) != 0
    told = capsys.readouterr()
    assert "proven" not in told.out
    assert len(told.err.splitlines()) == 1
