"""What the pictures are drawn with. Every text is escaped: much of it comes from other sites."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

INK: Final = "#1d2430"
SOFT: Final = "#5b6675"
LINE: Final = "#dfe3e8"
EDGE: Final = "#a9b1bc"
PAPER: Final = "#fcfcfa"

_DONE: Final = ("#1f5f8b", "#e6eef4")
_GOING: Final = ("#8a6d1a", "#f6efd9")
_BAD: Final = ("#c8643c", "#fbeee7")
_IDLE: Final = ("#8b94a1", "#f1f2ef")
_COLOURS: Final = {
    "done": _DONE,
    "running": _GOING,
    "waiting": _GOING,
    "held": _BAD,
    "denied": _BAD,
    "failed": _BAD,
    "unreachable": _BAD,
}

_WIDE: Final = frozenset("mwMW@%—…")
_THIN: Final = frozenset("iljtfrI.,:;'|!()[] ")


def colours(status: str) -> tuple[str, str]:
    """The colour of a status, and a light one to lie under it."""
    return _COLOURS.get(status, _IDLE)


def words(
    left: float, base: float, text: str, *, size: float = 13, fill: str = INK, weight: int = 400, anchor: str = "start"
) -> str:
    """A line of text whose base lies at ``base``."""
    return (
        f'<text x="{left:g}" y="{base:g}" font-size="{size:g}" font-weight="{weight}" fill="{fill}"'
        f' text-anchor="{anchor}">{clean(text)}</text>'
    )


def clean(text: str) -> str:
    """Text for SVG: escaped, and without what XML has no place for."""
    return escape("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))


def fitted(text: str, width: float, size: float = 13) -> str:
    """As much of a text as is about ``width`` wide, with … where more was."""
    if length(text, size) <= width:
        return text
    kept = text
    while kept and length(f"{kept}…", size) > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def length(text: str, size: float = 13) -> float:
    """About how wide a text is: a reader's font is not known here."""
    return size * sum(0.9 if each in _WIDE else 0.32 if each in _THIN else 0.58 for each in text)


def tip(text: str) -> str:
    """What a browser tells of the element that it stands in, under the pointer."""
    return f"<title>{clean(text)}</title>"


def picture(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    """A whole SVG document."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' height="{height:g}" role="img" aria-label="{clean(label)}"'
        ' font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
