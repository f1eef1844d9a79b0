"""What the conformance tests have in common: their folders, the mark of a guarantee, and how to wait."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
GUARANTEES: list[str] = []
WAIT_SECONDS = 180
T = TypeVar("T", bound=Callable[..., Any])


def guarantee(name: str) -> Callable[[T], T]:
    """Marks a test of a guarantee, which is a row of the table."""
    if name not in GUARANTEES:
        GUARANTEES.append(name)

    def mark(test: T) -> T:
        test.guarantee = name  # type: ignore[attr-defined]
        return test

    return mark


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not look():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS} s"
        time.sleep(0.02)


SCRIPT = textwrap.dedent


class Case:
    """Tests of a runner. ``subject`` is a fixture of whoever inherits them."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        folder = tmp_path / "steps" / "one"
        folder.mkdir(parents=True)
        return folder

    @pytest.fixture
    def work(self, place: Path) -> Path:
        folder = place / "left" / "work"
        folder.mkdir(parents=True)
        return folder
