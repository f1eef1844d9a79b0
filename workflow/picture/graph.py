"""What feeds what: the steps of a workflow in layers from left to right, as SVG.

Layers by the longest way from the beginning, and in each layer by the mean place of what feeds a step, there and back
(the barycentre heuristic of Sugiyama, Tagawa and Toda, IEEE SMC 11(2), 1981).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from workflow.picture.drawing import EDGE, INK, SOFT, colours, fitted, picture, tip, words

_MARGIN: Final = 24
_TOP: Final = 84
_WIDTH: Final = 210
_HEIGHT: Final = 62
_ACROSS: Final = 70
_DOWN: Final = 22
_SWEEPS: Final = 4


@dataclass(frozen=True, slots=True)
class Box:
    """A step: its name, what feeds it, and how many of its instances stand how, in words and as a status."""

    id: str
    name: str
    after: Sequence[str]
    told: str
    status: str


def graph(title: str, told: str, boxes: Sequence[Box]) -> str:
    """The picture of ``boxes``, each of which stands behind those that feed it. The same values give the same bytes."""
    ways = _ways(boxes)
    layers = _layers(boxes, ways)
    rows = max((len(layer) for layer in layers), default=1)
    whole = rows * (_HEIGHT + _DOWN) - _DOWN
    places: dict[str, tuple[float, float]] = {}
    for column, layer in enumerate(layers):
        top = _TOP + (whole - len(layer) * (_HEIGHT + _DOWN) + _DOWN) / 2
        for row, each in enumerate(layer):
            places[each] = _MARGIN + column * (_WIDTH + _ACROSS), top + row * (_HEIGHT + _DOWN)
    width = max(len(layers) * (_WIDTH + _ACROSS) - _ACROSS, 560) + 2 * _MARGIN
    parts = [
        words(_MARGIN, 32, fitted(title, width - 2 * _MARGIN, 20), size=18, weight=600),
        words(_MARGIN, 54, fitted(told, width - 2 * _MARGIN), fill=SOFT),
        *(_arrow([places[each] for each in way]) for way in ways),
        *(_drawn(box, *places[box.id]) for box in boxes),
    ]
    return picture(width, _TOP + whole + _MARGIN, f"What feeds what: {title}", parts)


def _depths(boxes: Sequence[Box]) -> dict[str, int]:
    depth: dict[str, int] = {}
    for box in boxes:
        depth[box.id] = 1 + max((depth[each] for each in box.after if each in depth), default=-1)
    return depth


def _ways(boxes: Sequence[Box]) -> list[list[str]]:
    """Each link as what it goes through: the two steps, and between them a gap in each layer that it crosses."""
    depth = _depths(boxes)
    return [
        [each, *(f"{each}\0{box.id}\0{layer}" for layer in range(depth[each] + 1, depth[box.id])), box.id]
        for box in boxes
        for each in box.after
        if each in depth
    ]


def _layers(boxes: Sequence[Box], ways: Sequence[Sequence[str]]) -> list[list[str]]:
    """What stands in each layer, steps and gaps, from above."""
    depth = _depths(boxes)
    layers: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for box in boxes:
        layers[depth[box.id]].append(box.id)
    before: dict[str, list[str]] = {box.id: [] for box in boxes}
    behind: dict[str, list[str]] = {box.id: [] for box in boxes}
    for way in ways:
        for layer, gap in enumerate(way[1:-1], depth[way[0]] + 1):
            layers[layer].append(gap)
        for start, end in pairwise(way):
            before.setdefault(end, []).append(start)
            behind.setdefault(start, []).append(end)
    for _ in range(_SWEEPS):
        _sort(layers, before)
        _sort(layers[::-1], behind)
    return layers


def _sort(layers: Sequence[list[str]], beside: Mapping[str, Sequence[str]]) -> None:
    """Each layer by the mean place, from 0 to 1, of what each of it hangs on in the layers before."""
    place: dict[str, float] = {}
    for layer in layers:
        now = _spread(layer)
        mean = {}
        for each in layer:
            known = [place[other] for other in beside.get(each, ()) if other in place]
            mean[each] = sum(known) / len(known) if known else now[each]
        layer.sort(key=mean.__getitem__)
        place |= _spread(layer)


def _spread(layer: Sequence[str]) -> dict[str, float]:
    return {each: row / (len(layer) - 1) if len(layer) > 1 else 0.5 for row, each in enumerate(layer)}


def _arrow(places: Sequence[tuple[float, float]]) -> str:
    """From the right of the first place through those between to the left of the last."""
    drawn = [f"M{places[0][0] + _WIDTH:g} {places[0][1] + _HEIGHT / 2:g}"]
    for number, (start, end) in enumerate(pairwise(places)):
        last = number == len(places) - 2
        left, top, base = start[0] + _WIDTH, start[1] + _HEIGHT / 2, end[1] + _HEIGHT / 2
        right, bend = end[0] - (10 if last else 0), _ACROSS / 2
        drawn.append(f"C{left + bend:g} {top:g} {right - bend:g} {base:g} {right:g} {base:g}")
        drawn.append("" if last else f"H{right + _WIDTH:g}")
    tip_at = places[-1][0] - 2, places[-1][1] + _HEIGHT / 2
    return (
        f'<path d="{"".join(drawn)}" fill="none" stroke="{EDGE}" stroke-width="1.5"/>'
        f'<path d="M{tip_at[0]:g} {tip_at[1]:g}l-9 -4.5v9z" fill="{EDGE}"/>'
    )


def _drawn(box: Box, left: float, top: float) -> str:
    strong, light = colours(box.status)
    return (
        f"<g>{tip(f'{box.name}: {box.told}')}"
        f'<rect x="{left:g}" y="{top:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="3" fill="{light}" stroke="{strong}"/>'
        f'<rect x="{left:g}" y="{top:g}" width="5" height="{_HEIGHT}" rx="2" fill="{strong}"/>'
        + words(left + 18, top + 26, fitted(box.name, _WIDTH - 30, 17), size=15, weight=600, fill=INK)
        + words(left + 18, top + 46, fitted(box.told, _WIDTH - 30, 12), size=12, fill=SOFT)
        + "</g>"
    )
