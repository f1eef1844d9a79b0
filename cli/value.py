"""The beginning of a value on a terminal: as text, without what steers a terminal."""

from __future__ import annotations

from typing import Final

from cli.output import document, say

LINES: Final = 40
"""Lines of a value that are shown."""

_CONTINUES: Final = bytes(range(0x80, 0xC0))
_REST: Final = 3
"""Bytes of a letter in UTF-8 after its first, at most."""


def tell_value(name: str, seen: bytes, *, more: bool = False) -> None:
    """Show what was ``seen`` of the value ``name``, of which there is ``more`` or not."""
    whole = seen.lstrip(_CONTINUES)  # the end of something long may begin within a letter
    try:
        lines = (whole if len(seen) - len(whole) <= _REST else seen).decode().split("\n")
    except UnicodeDecodeError:
        say(f"{name} is no text; it begins: {seen[:32].hex(' ')}")
        return
    say(f"{name}:")
    document("\n".join(lines[:LINES]))
    if len(lines) > LINES or more:
        say("… and more")
