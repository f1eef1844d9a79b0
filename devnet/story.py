"""A story told in the terminal, act by act, with the time that each took; plain text where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

WIDTH = 114
_INDENT = (0, 0, 0, 4)


@dataclass(frozen=True, slots=True)
class Act:
    """An act that is over, and the seconds that it took."""

    title: str
    seconds: float


class Story:
    """Tells acts on a console and keeps their times. Texts are shown as they are, whatever markup they hold."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=False)
        if not self._console.is_terminal or self._console.width > WIDTH:
            self._console.width = WIDTH
        self.acts: list[Act] = []
        self._began = time.perf_counter()

    def open(self, title: str, lines: Sequence[str]) -> None:
        """The title and what it is about."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        for line in lines:
            self._console.print(Text(line, style="dim"))

    @contextmanager
    def act(self, title: str) -> Iterator[None]:
        """An act: what happens inside is timed. One that fails ends with its error, untimed."""
        number = len(self.acts) + 1
        self._console.print()
        self._console.print(Rule(Text(f"{number}  {title}", style="bold"), align="left", style="dim", characters="─"))
        began = time.perf_counter()
        with self._console.status(Text(title)):
            yield
        seconds = time.perf_counter() - began
        self.acts.append(Act(title, seconds))
        self._show(Text(f"{seconds:.1f} s", style="dim"))

    def tell(self, text: str, style: str = "") -> None:
        """A sentence."""
        self._show(Text(text, style=style))

    def quote(self, text: str) -> None:
        """What a program printed, line by line."""
        for line in text.rstrip().splitlines():
            for part in Text(line).wrap(self._console, self._console.width - 6):
                self._show(Text("│ ", style="cyan") + part)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table."""
        made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for name in head:
            made.add_column(name, overflow="fold")
        for row in rows:
            made.add_row(*(Text(cell) for cell in row))
        self._show(made)

    def _show(self, what: RenderableType) -> None:
        self._console.print(Padding(what, _INDENT, expand=False))

    def close(self, lines: Sequence[str]) -> None:
        """The end, with the time of the whole."""
        self._console.print()
        self._console.print(Rule(style="dim", characters="─"))
        for line in lines:
            self._console.print(Text(line, style="bold"), soft_wrap=True)

    @property
    def seconds(self) -> float:
        """The time since the beginning."""
        return time.perf_counter() - self._began
