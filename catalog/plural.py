"""Numbers with their nouns, for people."""

from __future__ import annotations

from typing import Final

_IRREGULAR: Final = {"body": "bodies", "entry": "entries", "leaf": "leaves", "process": "processes"}


def counted(number: int, noun: str) -> str:
    """A number with its noun: «1 row», «2,000 rows», «3 leaves»."""
    return f"{number:,} {noun if number == 1 else _plural(noun)}"


def _plural(noun: str) -> str:
    """The plural of a noun of which the last word changes."""
    *before, last = noun.split(" ")
    return " ".join([*before, _IRREGULAR.get(last, last + "s")])
