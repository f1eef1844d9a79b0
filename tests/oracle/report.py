"""What was checked in one direction, as report.go has it, and how both are shown."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Check(msgspec.Struct):
    what: str
    by: str
    logs: int
    items: int


class Flip(msgspec.Struct):
    what: str
    by: str
    flipped: int
    refused: int
    example: str


class Report(msgspec.Struct):
    checks: list[Check] = []
    flips: list[Flip] = []
    faults: list[str] = []

    def passed(self, what: str, by: str, items: int) -> None:
        """One more log, and so many things in it, passed a check."""
        for check in self.checks:
            if (check.what, check.by) == (what, by):
                check.logs += 1
                check.items += items
                return
        self.checks.append(Check(what, by, 1, items))

    def flipped(self, what: str, by: str, place: str, refusal: str | None) -> None:
        """One byte was flipped at ``place``; none accepted it, or else it is a fault."""
        flip = next((each for each in self.flips if (each.what, each.by) == (what, by)), None)
        if flip is None:
            flip = Flip(what, by, 0, 0, "")
            self.flips.append(flip)
        flip.flipped += 1
        if refusal is None:
            self.faults.append(f"{place}: a flipped byte was accepted by {by}")
            return
        flip.refused += 1
        flip.example = flip.example or f"{place}: {refusal}"


def lines(title: str, report: Report) -> Iterator[str]:
    """The report as a table."""
    yield title
    yield f"  {'checked':30} {'by':28} {'logs':>6} {'items':>8}"
    for check in report.checks:
        yield f"  {check.what:30} {check.by:28} {check.logs:6} {check.items:8,}"
    yield f"  {'one byte flipped in':30} {'shown to':28} {'times':>6} {'refused':>8}"
    for flip in report.flips:
        yield f"  {flip.what:30} {flip.by:28} {flip.flipped:6,} {flip.refused:8,}"
        yield f"      {_short(flip.example)}"
    for fault in report.faults:
        yield f"  FAULT {fault}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 150 else line[:149] + "…"
