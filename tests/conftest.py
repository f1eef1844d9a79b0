"""What holds for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

collect_ignore = ["real", "runners"]
"""Tests beside real components build and start these first: they are run by their name, as «make test-real» does."""

_LONG = [Path(__file__).parent / folder for folder in ("devnet", "docs")]

# No test asserts a time: on a busy machine any example may take long.
settings.register_profile("comity", deadline=None)
settings.load_profile("comity")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole consortia first, in random order like all others: what is left at the end is short, for any to take."""
    items.sort(key=lambda item: not any(folder in item.path.parents for folder in _LONG))
