"""``python -m bench [NAME …]``: run the benchmarks, print one table, leave each one's figures in ``out/bench``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.figure import Figure, Report
from bench.machine import machine
from catalog.error import BadInput, ComityError

NAMES: Final = (
    *("terminal", "start", "step", "append", "visible", "search", "grant", "audit", "catchup", "growth"),
    *("storage", "policy", "disclosure", "automator", "workflows", "scatter", "runners", "environment"),
)
"""Each is a module of this package with ``measure``, whose docstring says what is measured and what is promised."""

FOLDER: Final = Path("out/bench")
WIDTH: Final = 140
"""A row stays a row, in a pipe too."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks named, or all; 0 when all were measured, whatever they found."""
    console = Console()
    console.width = max(console.width, WIDTH)
    reports = {}
    try:
        for name in _chosen(arguments):
            console.print(f"measuring {name} …", style="dim")
            reports[name] = _measure(name)()
            _keep(name, reports[name])
    except ComityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    console.print(_table([figure for report in reports.values() for figure in report.figures]))
    for report in reports.values():
        for line in report.notes:
            console.print(line, highlight=False, markup=False)
    console.print(f"medians; each row's reference was measured in turn with it. All of it: {FOLDER}/NAME.json")
    return 0


def _chosen(arguments: Sequence[str]) -> Sequence[str]:
    unknown = sorted(set(arguments) - set(NAMES))
    if unknown:
        raise BadInput(f"there is no benchmark «{unknown[0]}»; there are: {', '.join(NAMES)}")
    return arguments or NAMES


def _measure(name: str) -> Callable[[], Report]:
    measure: Callable[[], Report] = import_module(f"bench.{name}").measure
    return measure


def _keep(name: str, report: Report) -> None:
    figures = [
        {"ratio": round(each.ratio, 3), "held": each.held, **asdict(each)}
        | {"median": each.ours.median, "reference_median": each.reference.median}
        for each in report.figures
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = {"benchmark": name, "machine": machine(), "figures": figures, "notes": report.notes}
    (FOLDER / f"{name}.json").write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def _table(figures: Sequence[Figure]) -> Table:
    table = Table(box=None, header_style="bold")
    for heading in ("what", "ours", "reference", "its", "ratio", "promise", "kept"):
        table.add_column(heading, justify="right" if heading in ("ours", "its", "ratio") else "left")
    for each in figures:
        table.add_row(
            each.what,
            _shown(each.ours.median, each.unit),
            each.reference.what,
            _shown(each.reference.median, each.unit),
            f"{each.ratio:.1f}",
            each.floor_text,
            {True: "yes", False: "NO", None: "–"}[each.held],
        )
    return table


def _shown(value: float, unit: str) -> str:
    return f"{value:,.1f} {unit}" if value >= 10 else f"{value:.2f} {unit}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
