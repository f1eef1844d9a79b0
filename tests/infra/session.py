"""How a component is used: for a block, or from a terminal to stay."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tests.infra.machine import RefusedError
from tests.infra.place import Place

T = TypeVar("T")


@contextmanager
def running(place: Place, up: Callable[[], T], down: Callable[[], None]) -> Iterator[T]:
    """What ``up`` gives, for a block, which nobody else uses meanwhile; then ``down``, unless a terminal keeps it.

    Processes that are started within the block use it too, side by side, and leave its end to this one.
    """
    mark = f"COMITY_HELD_{place.mark}"
    if mark in os.environ:
        yield up()
        return
    with place.held():
        try:
            made = up()
            os.environ[mark] = str(os.getpid())
            yield made
        finally:
            os.environ.pop(mark, None)
            if not place.kept.exists():
                down()


def command(place: Place, up: Callable[[], str], down: Callable[[], None]) -> int:
    """The program's ``up``, which prints what a shell is to be told, and ``down``; both may be said twice."""
    if sys.argv[1:] not in (["up"], ["down"]):
        print("say «up» or «down»", file=sys.stderr)
        return 2
    try:
        with place.held():
            if sys.argv[1] == "down":
                down()
            else:
                _up_to_stay(place, up, down)
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


def _up_to_stay(place: Place, up: Callable[[], str], down: Callable[[], None]) -> None:
    try:
        print(up())
    except BaseException:
        down()
        raise
    place.kept.touch()
