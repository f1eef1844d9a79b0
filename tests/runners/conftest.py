"""What the tests of all runners share; at the end of a run, which guarantees hold in which runner."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.kubernetes.cluster import Cluster, running
from tests.runners.clusters import Ready, ready
from tests.runners.conformance import GUARANTEES


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One for all tests of a run: whoever has it has it alone."""
    with running() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def there(cluster: Cluster) -> Iterator[Ready]:
    """The cluster made ready for a node, for tests that break or refuse something; others have their own."""
    with ready(cluster) as there:
        yield there


@pytest.fixture
def work(there: Ready) -> Iterator[Path]:
    """A step's work folder in the volume of ``there``."""
    with tempfile.TemporaryDirectory(dir=there.volume) as folder:
        made = Path(folder, "steps", "one", "left", "work")
        made.mkdir(parents=True)
        yield made


RUNNERS = ("sandbox", "docker", "kubernetes", "argo")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        guarantee = getattr(getattr(item, "function", None), "guarantee", None)
        if guarantee is not None:
            runner = Path(item.path).stem.removeprefix("test_")
            item.user_properties += [("guarantee", guarantee), ("runner", runner)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = dict(_outcomes(terminalreporter))
    seen = [name for name in RUNNERS if any(runner == name for _, runner in outcomes)]
    if not seen:
        return
    width = max(len(each) for each in GUARANTEES) + 2
    terminalreporter.section("guarantees by runner")
    terminalreporter.write_line(" " * width + "".join(f"{name:<12}" for name in seen))
    for guarantee in GUARANTEES:
        cells = [outcomes.get((guarantee, name), "–") for name in seen]
        terminalreporter.write_line(f"{guarantee:<{width}}" + "".join(f"{cell:<12}" for cell in cells).rstrip())


def _outcomes(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[tuple[str, str], str]]:
    """How the tests of a guarantee ended with a runner; the worst is told last."""
    for outcome, word in (("passed", "holds"), ("skipped", "untested"), ("failed", "FAILS"), ("error", "FAILS")):
        for report in terminalreporter.stats.get(outcome, ()):
            told = dict(getattr(report, "user_properties", ()))
            if "guarantee" in told:
                yield (str(told["guarantee"]), str(told["runner"])), word
