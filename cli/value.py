"""The beginning of a value on a terminal: as text, without what steers a terminal."""

from __future__ import annotations

from typing import Final

from cli.output import document, say

LINES: Final = 40
"""Lines of a value that are shown."""

_CONTINUES: Final = bytes(range(0x80, 0xC0))


def tell_value(name: str, seen: bytes, *, more: bool = False) -> None:
    """Show what was ``seen`` of the value ``name``, of which there is ``more`` or not."""
    text = (
        seen if len(seen.lstrip(_CONTINUES)) < len(seen) - 3 else seen.lstrip(_CONTINUES)
    )  # its beginning was cut off
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        say(f"{name} is no text; it begins: {seen[:32].hex(' ')}")
        return
    say(f"{name}:")
    document("\n".join(lines[:LINES]))
    if len(lines) > LINES or more:
        say("… and more")
