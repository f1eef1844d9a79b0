"""What the terminal shows: tables, plain where nobody looks at a screen, and JSON where it was asked for.

Much of the text comes from other sites. Nothing of it may steer the terminal, so control characters are shown as
such and never sent.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from cli.session import Session

if TYPE_CHECKING:
    from rich.table import Table

    from node.api.schema import StatusView

Row = Sequence[str]
COPIED: Final = 32
"""Characters of a word that nobody types: it is shown whole, to be copied."""


def clean(text: str) -> str:
    """Text without control characters; each becomes a question mark in a box."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def say(text: str) -> None:
    """One line for a person."""
    print(clean(text), flush=True)


def warn(text: str) -> None:
    """One line beside the answer, for what is no error."""
    print(clean(f"warning: {text}"), file=sys.stderr, flush=True)


def show(session: Session, value: object, tell: Callable[[], None]) -> None:
    """``value`` as JSON if that was asked for, else whatever ``tell`` prints."""
    if session.json:
        from catalog.dagcbor import to_json

        print(to_json(value).decode(), flush=True)
    else:
        tell()


def document(text: str) -> None:
    """A text of several lines, such as a policy; its line ends and tabs are kept."""
    for line in text.splitlines():
        print("\t".join(clean(part) for part in line.split("\t")))


def table(head: Row, rows: Sequence[Row], none: str = "none") -> None:
    """A table, or the word ``none`` where there are no rows."""
    if not rows:
        say(none)
    elif sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        if (below := columns_below(head, rows, console.width)) is not None:
            for number, line in enumerate(narrow_lines(head, rows, below, console.width)):
                console.out(line, style=None if number else "bold", highlight=False)
        else:
            console.print(rich_table(head, rows))
    else:
        print("\n".join(plain_lines(head, rows)), flush=True)


def rich_table(head: Row, rows: Sequence[Row]) -> Table:
    """A table for a screen."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, header_style="bold", pad_edge=False)
    for name in head:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*(Text(clean(cell)) for cell in row))
    return made


def plain_lines(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    """A table as lines, columns two spaces apart."""
    cells = [[clean(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def columns_below(head: Row, rows: Sequence[Row], width: int) -> list[int] | None:
    """None if a table fits. Else the columns with words that are copied whole, such as CIDs, keys and paths.

    Beside these, the longest until the rest would fit into a screen and a half, so that no row becomes a column of
    single words; and those with the longest words until the words of the others fit: none is broken.
    """
    columns = [[clean(row[at]) for row in (head, *rows)] for at in range(len(head))]
    if sum(max(map(len, cells)) + 2 for cells in columns) - 2 <= width:
        return None
    longest = {at: _longest(cells) for at, cells in enumerate(columns)}
    full = {at: max(map(len, cells)) for at, cells in enumerate(columns)}
    below = {at for at, size in longest.items() if size >= COPIED}
    while sum(full[at] + 2 for at in full.keys() - below) - 2 > width * 3 // 2:
        below.add(max(full.keys() - below, key=lambda at: full[at]))
    while beside := longest.keys() - below:
        if sum(longest[at] + 2 for at in beside) - 2 <= width:
            break
        below.add(max(beside, key=lambda at: longest[at]))
    return sorted(below)


def _longest(cells: Row) -> int:
    """Characters of the longest word."""
    return max((len(word) for cell in cells for word in cell.split()), default=0)


def narrow_lines(head: Row, rows: Sequence[Row], below: Sequence[int], width: int) -> Iterator[str]:
    """A table for a screen of ``width`` characters, where the columns ``below`` have a line each under their row."""
    beside = [at for at in range(len(head)) if at not in below]
    cells = [[clean(row[at]) for at in beside] for row in (head, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(beside))]
    least = [max(1, *(_longest([row[at]]) for row in cells)) for at in range(len(beside))]
    while sum(widths) + 2 * len(widths) - 2 > width:
        spare = [have - need for have, need in zip(widths, least, strict=True)]
        if max(spare, default=0) <= 0:
            break
        widest = max((at for at, left in enumerate(spare) if left > 0), key=lambda at: widths[at])
        widths[widest] -= 1
    heading, *laid = [list(_wrapped(row, widths)) for row in cells]
    yield from ["\n".join(heading)] if heading else []
    for lines, row in zip(laid, rows, strict=True):
        yield from lines
        yield from (f"  {head[at]} {clean(row[at])}" for at in below if row[at] != "–")


def _wrapped(cells: Row, widths: Sequence[int]) -> Iterator[str]:
    wrapped = [textwrap.wrap(cell, room, break_on_hyphens=False) for cell, room in zip(cells, widths, strict=True)]
    for parts in zip_longest(*wrapped, fillvalue=""):
        yield "  ".join(part.ljust(room) for part, room in zip(parts, widths, strict=True)).rstrip()


def pairs(values: Sequence[tuple[str, str]]) -> None:
    """Names with their values, a line each."""
    width = max(len(name) for name, _ in values)
    for name, value in values:
        say(f"{name.ljust(width)}  {value}")


def confirmed(yes: bool, question: str) -> None:
    """Come back only if ``yes``, or if a person at the terminal agrees.

    Raises:
        BadInput: nobody is there to be asked, or the answer is no.
    """
    import click

    from catalog.error import BadInput

    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput("this asks before it is done, and there is no terminal to ask at; give --yes")
    if not click.confirm(question):
        raise BadInput("the answer was no: nothing was changed")


def tell_former(status: StatusView) -> None:
    """Say whose publications are not offered any more, under a list of what members offer."""
    if status.former:
        names = ", ".join(f"{each.name} (since epoch {each.epoch})" for each in status.former)
        say(f"not among them, since its site left the consortium: what was published by {names}")


class Footer:
    """A line at the foot of a screen, on standard error: what is waited for. Where nobody looks, there is none.

    Lines that are printed come above it, if they are printed while it is :meth:`cleared`.
    """

    def __init__(self) -> None:
        self._shown = ""
        self._screen = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Say ``text`` there, cut to the screen's width; with no text there is no line."""
        room = shutil.get_terminal_size().columns - 1
        text = clean(text)[:room]
        if self._screen and text != self._shown:
            print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
            self._shown = text

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Take it away for as long as something else is printed."""
        text = self._shown
        self.show("")
        yield
        self.show(text)


@contextmanager
def footer() -> Iterator[Footer]:
    """A :class:`Footer`, gone in the end."""
    made = Footer()
    try:
        yield made
    finally:
        made.show("")


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Shows on a screen that something takes its time; gives a function that changes the text."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(clean(text))) as status:
        yield lambda changed: status.update(escape(clean(changed)))
