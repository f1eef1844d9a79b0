"""When what ran: a bar for each attempt at a step, over time (Gantt's chart), as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workflow.picture.drawing import EDGE, INK, LINE, SOFT, colours, fitted, length, picture, tip, words

_NAMES: Final = 330
_CHART: Final = 720
_RIGHT: Final = 30
_MARGIN: Final = 24
_TOP: Final = 84
_ROW: Final = 26
_BAR: Final = 16
_TICKS: Final = 8
_MOST: Final = 400
"""Bars of a picture; of more, the first ones and how many are not drawn."""

_STEPS: Final = tuple(
    unit * times
    for unit, all_times in (
        (1, (1, 2, 5, 10, 20, 50, 100, 200, 500)),
        (1_000, (1, 2, 5, 10, 15, 30)),
        (60_000, (1, 2, 5, 10, 15, 30)),
        (3_600_000, (1, 2, 4, 6, 12)),
        (86_400_000, (1, 2, 7, 14, 30, 90, 365)),
    )
    for times in all_times
)
"""Milliseconds between the lines of the axis: those that people count in."""


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt: what, where, from when until when (Unix milliseconds), how it stands, and more about it."""

    name: str
    where: str
    begin: int
    end: int
    status: str
    note: str


def gantt(title: str, told: str, bars: Sequence[Bar], begin: int, end: int) -> str:
    """The picture of ``bars`` from ``begin`` to ``end``, at which a line says ``now`` if a bar goes on there.

    ``told`` stands under the title. The same values give the same bytes.
    """
    drawn = bars[:_MOST]
    left = _MARGIN + _NAMES
    height = _TOP + _ROW * len(drawn) + 34 + (22 if len(bars) > _MOST else 0)
    span = max(end - begin, 1)
    floor = _TOP + _ROW * len(drawn)
    parts = [
        words(_MARGIN, 32, fitted(title, _NAMES + _CHART, 20), size=18, weight=600),
        words(_MARGIN, 54, fitted(told, _NAMES + _CHART), fill=SOFT),
    ]
    for tick in range(0, span + 1, _step(span)):
        at = left + _CHART * tick / span
        parts += [
            f'<path d="M{at:.1f} {_TOP - 8}V{floor}" stroke="{LINE}"/>',
            words(round(at, 1), floor + 18, _since(tick), size=11.5, fill=SOFT, anchor="middle"),
        ]
    for row, bar in enumerate(drawn):
        parts.append(_drawn(bar, _TOP + _ROW * row, left, begin, span))
    parts.append(f'<path d="M{left} {_TOP - 8}V{floor}H{left + _CHART}" fill="none" stroke="{EDGE}"/>')
    if len(bars) > _MOST:
        parts.append(words(_MARGIN, floor + 42, f"{len(bars) - _MOST:,} more are not drawn", fill=SOFT))
    return picture(left + _CHART + _RIGHT + _MARGIN, height, f"When what ran: {title}", parts)


def _drawn(bar: Bar, top: float, left: float, begin: int, span: int) -> str:
    strong, light = colours(bar.status)
    start = left + _CHART * max(bar.begin - begin, 0) / span
    width = max(_CHART * (bar.end - bar.begin) / span, 3)
    base, half = top + _ROW / 2 + 4.5, _NAMES / 2
    told = f"{bar.status} · {_since(bar.end - bar.begin)}"
    outside = start + width + 6 + length(told, 11.5) <= left + _CHART + _RIGHT
    inside = length(told, 11.5) + 12 <= width
    label = ""
    if inside:
        label = words(round(start + 7, 1), base, told, size=11.5, fill="#fff")
    elif outside:
        label = words(round(start + width + 6, 1), base, told, size=11.5, fill=strong)
    else:
        label = words(round(start - 6, 1), base, told, size=11.5, fill=strong, anchor="end")
    about = f"{bar.name} at {bar.where}: {told}" + (f". {bar.note}" if bar.note else "")
    return (
        f"<g>{tip(about)}"
        + words(_MARGIN, base, fitted(bar.name, half - 14, 14.5), weight=600, fill=INK)
        + words(_MARGIN + half, base, fitted(bar.where, half - 22, 12), size=12, fill=SOFT)
        + f'<rect x="{start:.1f}" y="{top + (_ROW - _BAR) / 2:g}" width="{width:.1f}" height="{_BAR}" rx="2"'
        + f' fill="{strong if bar.status not in ("running", "waiting") else light}" stroke="{strong}"/>'
        + (label if bar.status not in ("running", "waiting") or not inside else label.replace("#fff", strong))
        + "</g>"
    )


def _step(span: int) -> int:
    """Milliseconds between two lines, so that there are at most a few."""
    return next((step for step in _STEPS if span / step <= _TICKS), max(span // _TICKS, 1))


def _since(millis: int) -> str:
    """A time behind the beginning, or a length, in the unit that fits."""
    for unit, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if millis >= unit:
            whole = f"{millis / unit:.1f}".removesuffix(".0")
            return f"{whole} {name}"
    return f"{millis} ms" if millis else "0"
