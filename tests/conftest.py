"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

collect_ignore = ["real", "runners"]
"""Tests beside real components build and start these first: they are run by their name, as «make test-real» does."""

# No test asserts a time: on a busy machine any example may take long.
settings.register_profile("comity", deadline=None)
settings.load_profile("comity")
