"""Shows how far bytes are that a command waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from cli.output import working
from cli.session import Session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.copies import TransferView

LOOK_SECONDS: Final = 0.5
TELL_SECONDS: Final = 0.1
_MIB: Final = 1 << 20


@contextmanager
def carrying(session: Session, text: str, cid: str) -> Iterator[Callable[[str], None]]:
    """Shows ``text``, and how much of the root ``cid`` has come, at what rate, and how long it will take.

    Gives a function that changes the text. On a screen alone; a node that does not say is no fault of what is waited
    for. Ctrl-C ends the command and not what the node does, and that is said.
    """

    def look(node: Node) -> str:
        return next((f"{text} {progress_text(each)}" for each in node.transfers() if str(each.cid) == cid), "")

    try:
        with _watching(session, text, look) as change:
            yield change
    except KeyboardInterrupt as stop:
        raise click.Abort(
            "interrupted; the node goes on fetching and keeps what comes: the same command again goes on from there"
        ) from stop


@contextmanager
def packing(session: Session, text: str) -> Iterator[None]:
    """Shows ``text``, and what the node does for the block that is being packed."""

    def look(node: Node) -> str:
        return "; ".join(f"{text} {each.doing}" for each in node.packing())

    with _watching(session, text, look):
        yield


@contextmanager
def _watching(session: Session, text: str, look: Callable[[Node], str]) -> Iterator[Callable[[str], None]]:
    """Shows ``text``, or what ``look`` tells of the node now and then; gives a function that changes the text."""
    over = threading.Event()
    now = [text]

    def watch() -> None:
        from catalog.error import ComityError

        while not over.wait(LOOK_SECONDS):
            try:
                with session.node() as node:
                    told = look(node)
            except ComityError:
                continue
            tell(told or now[0])

    def change(changed: str) -> None:
        now[0] = changed
        tell(changed)

    with working(text) as tell:
        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield change
        finally:
            over.set()
            watching.join(5)


def paced(change: Callable[[str], None], text: str) -> Callable[[int, int], None]:
    """A function that is told how many bytes of how many are there, and shows that with rate and time left.

    Both count from when it is told first: what comes before is another work.
    """
    began: list[tuple[float, int]] = []
    shown = [0.0]

    def tell(done: int, total: int) -> None:
        now = time.monotonic()
        if not began:
            began.append((now, done))
        if now - shown[0] < TELL_SECONDS and done < total:
            return
        shown[0] = now
        rate = (done - began[0][1]) / max(now - began[0][0], 0.001)
        change(f"{text} {_moved(done, total, rate, int(max(0, total - done) / rate) if rate else None)}")

    return tell


def progress_text(moving: TransferView) -> str:
    """«12 of 340 MiB, 56 MiB/s, 6 s left»."""
    return _moved(moving.done, moving.total, moving.rate, moving.seconds_left)


def _moved(done: int, total: int, rate: float, seconds_left: int | None) -> str:
    left = "" if seconds_left is None else f", {_span(seconds_left)} left"
    return f"{done // _MIB:,} of {-(-total // _MIB):,} MiB, {rate / _MIB:,.1f} MiB/s{left}"


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
