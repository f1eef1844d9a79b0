"""Shows how far bytes are that a command waits for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cli.output import working
from cli.session import Session

if TYPE_CHECKING:
    from node.api.copies import TransferView

LOOK_SECONDS: Final = 0.5
_MIB: Final = 1 << 20


@contextmanager
def carrying(session: Session, text: str, cid: str) -> Iterator[None]:
    """Shows ``text``, and how much of the root ``cid`` has come, at what rate, and how long it will take.

    On a screen alone; a node that does not say is no fault of what is waited for.
    """
    over = threading.Event()

    def watch() -> None:
        from catalog.error import ComityError

        while not over.wait(LOOK_SECONDS):
            try:
                with session.node() as node:
                    found = [each for each in node.transfers() if str(each.cid) == cid]
            except ComityError:
                continue
            tell(f"{text} {progress_text(found[0])}" if found else text)

    with working(text) as tell:
        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join(5)


def progress_text(moving: TransferView) -> str:
    """«12 of 340 MiB, 56 MiB/s, 6 s left»."""
    done, total, rate = moving.done // _MIB, -(-moving.total // _MIB), moving.rate / _MIB
    left = "" if moving.seconds_left is None else f", {_span(moving.seconds_left)} left"
    return f"{done:,} of {total:,} MiB, {rate:,.1f} MiB/s{left}"


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
