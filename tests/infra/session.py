"""How a component is used: for a block, or from a terminal to stay."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tests.infra.machine import RefusedError
from tests.infra.place import Place

T = TypeVar("T")


@contextmanager
def running(place: Place, up: Callable[[], T], down: Callable[[], None]) -> Iterator[T]:
    """What ``up`` gives, for a block, which nobody else uses meanwhile; then ``down``, unless a terminal keeps it."""
    with place.held():
        try:
            yield up()
        finally:
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
