"""The cases that do not pass, as ``docs/conformance.md`` lists them with their reasons."""

from __future__ import annotations

import re

from tests.conformance.suite import ROOT

PAGE = ROOT / "docs" / "conformance.md"
_ROW = re.compile(r"^\| `(?P<id>[a-z0-9_-]+)` \|", re.MULTILINE)


def known() -> frozenset[str]:
    """Their names."""
    return frozenset(_ROW.findall(PAGE.read_text()))
