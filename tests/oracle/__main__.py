"""Logs in both directions, and decisions, with one Go program; a table of what was checked. Called by ``run``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import trio

from tests.oracle.ours import write_logs
from tests.oracle.policies import Answered, AskedPolicy, compare, generated, written
from tests.oracle.report import Report, lines
from tests.oracle.theirs import verify_logs


def main(binary: str) -> int:
    with tempfile.TemporaryDirectory(prefix="comity-oracle-") as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        ours.mkdir()
        theirs.mkdir()
        trio.run(write_logs, ours)
        there = ask(binary, "verify", ours)
        ask(binary, "write", theirs)
        here = trio.run(verify_logs, theirs)
        decided = compare(asked := generated(), ask_decisions(binary, asked, Path(folder, "policies.json")))
    for line in (
        *lines("Comity wrote, Go verified", there),
        "",
        *lines("Tessera wrote, Comity verified", here),
        "",
        *decided.lines(),
    ):
        print(line)
    faults = len(there.faults) + len(here.faults) + len(decided.faults)
    empty = not all((there.checks, there.flips, here.checks, here.flips, decided.asked))
    print("\noracle:", "nothing was checked" if empty else f"{faults} faults" if faults else "both sides agree")
    return 1 if faults or empty else 0


def ask(binary: str, command: str, folder: Path) -> Report:
    """What the Go program reports; it ends with 1 if it found a fault, and with 2 if it could not do its work."""
    done = subprocess.run([binary, command, str(folder)], stdout=subprocess.PIPE, check=False, timeout=600)
    if done.returncode not in (0, 1):
        sys.exit(f"oracle: «{command}» could not be done")
    return msgspec.json.decode(done.stdout, type=Report)


def ask_decisions(binary: str, asked: list[AskedPolicy], file: Path) -> list[list[Answered]]:
    """What cedar-go says of each question to each policy."""
    file.write_bytes(written(asked))
    done = subprocess.run([binary, "decide", str(file)], stdout=subprocess.PIPE, check=False, timeout=600)
    if done.returncode:
        sys.exit("oracle: «decide» could not be done")
    return msgspec.json.decode(done.stdout, type=list[list[Answered]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
