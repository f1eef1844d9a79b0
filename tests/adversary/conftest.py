"""Every stage is closed after its test, and at the end there is a line for every attack of the inventory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adversary.attacks import ATTACKS, Attack
from tests.adversary.stage import Stage

_HERE = Path(__file__).parent.name
_ENDED = pytest.StashKey[dict[str, list[str]]]()


@pytest.fixture(autouse=True)
def _curtain() -> Iterator[None]:
    """Coroutines that were under way when a test ended end with it."""
    yield
    while Stage.playing:
        Stage.playing.pop().scheduler.close()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing tried."""
    config.stash[_ENDED] = {}


class _Tried:
    """Notes how each test here ended, in the process that reports."""

    def __init__(self, ended: dict[str, list[str]]) -> None:
        self._ended = ended

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test counts as passed if every part of it did."""
        file, _, rest = report.nodeid.partition("::")
        if Path(file).parent.name == _HERE and (report.when == "call" or not report.passed):
            self._ended.setdefault(f"{Path(file).name}::{rest}", []).append(report.outcome)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen to the tests of this session."""
    session.config.pluginmanager.register(_Tried(session.config.stash[_ENDED]), "attacks")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line for each attack: who, what, what refused it, and whether it succeeds without that."""
    ended = config.stash[_ENDED]
    tried = [attack for attack in ATTACKS if _outcome(ended, attack.test)]
    if not tried:
        return
    terminalreporter.section(f"{len(tried)} of {len(ATTACKS)} attacks")
    for attack in tried:
        terminalreporter.write_line(_line(attack, ended))


def _line(attack: Attack, ended: dict[str, list[str]]) -> str:
    refused = f"refused: {attack.refused_by}" if _outcome(ended, attack.test) == "passed" else "NOT REFUSED"
    without = _outcome(ended, attack.weakened) if attack.weakened else "impossible"
    succeeded = {
        "passed": "without it: succeeds",
        "impossible": f"without it: {attack.without}",
        "skipped": "without it: not tried on this machine",
        "": "without it: not run",
    }
    return " · ".join((attack.side, attack.tries, refused, succeeded.get(without, "without it: NO SUCCESS")))


def _outcome(ended: dict[str, list[str]], name: str) -> str:
    """How the test or, without a case, all its cases ended; empty if none ran."""
    outcomes = [each for test, seen in ended.items() if name in {test, test.partition("[")[0]} for each in seen]
    return next((bad for bad in ("failed", "skipped") if bad in outcomes), "passed" if outcomes else "")
