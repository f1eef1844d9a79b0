"""Policies to start from, each with its table of cases: copy one, change it, publish it. None names a site."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

NAMES: Final = ("hospital", "registry", "rare-disease", "open-data", "institute")
"""A teaching hospital that shares aggregates, a registry with purpose limits, a rare-disease cohort with two approvals,
open benchmark data, and a site that pools what others released to it.
"""


def _text(file: str) -> str:
    return files(__name__).joinpath(file).read_text(encoding="utf-8")


STARTERS: Final[Mapping[str, str]] = {name: _text(f"{name}.cedar") for name in NAMES}
"""The starter policies by name."""

CASES: Final[Mapping[str, str]] = {name: _text(f"{name}.cases.yaml") for name in NAMES}
"""The table of cases of each (``cli/casefile.py``)."""

HOSPITAL: Final = STARTERS["hospital"]
INSTITUTE: Final = STARTERS["institute"]
