"""A picture of who sent what to whom in two runs, as SVG: drawn from the runs themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from devnet.page import FIRST, SECOND

_WIDTH: Final = 992
_BOX: Final = 236
_RIGHT: Final = 716
_ROW: Final = 106
_TOP: Final = 34
_COLOURS: Final = (FIRST, SECOND)
_RUNS: Final = ("first run", "second run")
_INK: Final = "#1d2430"
_SOFT: Final = "#5b6675"


@dataclass(frozen=True, slots=True)
class Lane:
    """A hospital: its name, what stays there, and what became of its output in each run: empty, or why it was held."""

    name: str
    stays: str
    held: tuple[str, ...]


def flow(lanes: Sequence[Lane], institute: str, makes: str) -> str:
    """The picture: hospitals to the left, the institute to the right, a line for each output of each run."""
    height = _TOP + _ROW * len(lanes) - 26
    middle = (_TOP + height) / 2
    lines = [(at, run) for at, lane in enumerate(lanes) for run, held in enumerate(lane.held) if not held]
    ends = {line: middle + 13 * (number - (len(lines) - 1) / 2) for number, line in enumerate(lines)}
    box = 13 * len(lines) + 34
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="What left each hospital" '
        'xmlns="http://www.w3.org/2000/svg">',
        _words(0, 14, "what stays", size=12, fill=_SOFT),
        _words(_BOX + 24, 14, "what leaves", size=12, fill=_SOFT),
        _words(_RIGHT, 14, "what is made of it", size=12, fill=_SOFT),
    ]
    for at, lane in enumerate(lanes):
        top = _TOP + _ROW * at
        parts += _box(1, top, _BOX, _ROW - 28, lane.name, lane.stays)
        for run, held in enumerate(lane.held):
            base = top + 24 + 28 * run
            parts += _held(run, base, held) if held else _released(run, base, ends[at, run])
    parts += _box(_RIGHT, middle - box / 2, _WIDTH - _RIGHT - 1, box, institute, makes)
    return "".join((*parts, "</svg>"))


def _held(run: int, base: float, reason: str) -> list[str]:
    colour, stop = _COLOURS[run], _BOX + 34
    return [
        f'<path d="M{_BOX + 4} {base}H{stop}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="4 4"/>',
        f'<path d="M{stop + 3} {base - 8}v16" stroke="{colour}" stroke-width="3"/>',
        _words(stop + 14, base + 4, f"{_RUNS[run]}: {reason}", size=12.5, fill=colour),
    ]


def _released(run: int, base: float, end: float) -> list[str]:
    colour, bend, tip = _COLOURS[run], _BOX + 150, _RIGHT - 2
    middle = (bend + tip) / 2
    return [
        f'<path d="M{_BOX + 4} {base}H{bend}C{middle} {base} {middle} {end:.1f} {tip - 8} {end:.1f}" fill="none" '
        f'stroke="{colour}" stroke-width="2"/>',
        f'<path d="M{tip} {end:.1f}l-9 -4.5v9z" fill="{colour}"/>',
        _words(_BOX + 24, base - 6, f"{_RUNS[run]}: sums", size=12.5, fill=colour),
    ]


def _box(left: float, top: float, width: float, height: float, title: str, text: str) -> list[str]:
    return [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="3" fill="#fff" stroke="#c9ced6"/>',
        _words(left + 16, top + height / 2 - 4, title, size=15, weight=600),
        _words(left + 16, top + height / 2 + 17, text, size=13, fill=_SOFT),
    ]


def _words(left: float, base: float, text: str, *, size: float, fill: str = _INK, weight: int = 400) -> str:
    return f'<text x="{left}" y="{base}" font-size="{size}" font-weight="{weight}" fill="{fill}">{escape(text)}</text>'
