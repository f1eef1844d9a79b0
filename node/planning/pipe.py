"""What goes to the process that solves, and what comes back from it: a line of JSON each."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from catalog.error import BadInput
from workflow.plan.problem import Problem, Schedule


@dataclass(frozen=True, slots=True)
class Wanted:
    """A problem to solve within so many ``seconds`` and MiB, by so many threads, from the plan there is, if any."""

    problem: Problem
    first: Schedule | None
    seconds: float
    memory_mib: int
    threads: int


@dataclass(frozen=True, slots=True)
class Found:
    """The best schedule so far, if it is a new one, and what no schedule is better than, by the objective.

    ``impossible``: no schedule keeps the limits.
    """

    bound: int
    schedule: Schedule | None = None
    impossible: bool = False


def line(value: Wanted | Found) -> bytes:
    """The value as a line."""
    return msgspec.json.encode(value) + b"\n"


def read_wanted(data: bytes) -> Wanted:
    """What is to be solved.

    Raises:
        BadInput: it is no such line.
    """
    try:
        return msgspec.json.decode(data, type=Wanted)
    except msgspec.DecodeError as error:
        raise BadInput(f"what is to be planned cannot be read: {error}") from error


def read_found(data: bytes) -> Found:
    """What was found.

    Raises:
        BadInput: it is no such line.
    """
    try:
        return msgspec.json.decode(data, type=Found)
    except msgspec.DecodeError as error:
        raise BadInput(f"the solver's answer cannot be read: {error}") from error
