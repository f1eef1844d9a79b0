"""Statistics and models: enough people for what is told of them, or they stay.

A number computed from n people and k parameters leaves n − k residual degrees of freedom (statistics by group: for
each measured column, as many parameters as numbers are told of it). With too few of them the numbers are the people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from privacy.disclosure.reading import Part
from privacy.disclosure.rules import Rules

Numbers = Fraction | tuple["Numbers", ...]
"""A number, or lists of them."""


@dataclass(frozen=True, slots=True)
class Group:
    """What is told of ``count`` people: numbers by name."""

    count: int
    values: Mapping[str, Numbers]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of each group of the column ``by``, or of one group of all if it is empty.

    ``measures`` are the columns that the numbers are about. ``where`` is none if the file does not say it.
    """

    by: str
    measures: tuple[str, ...]
    groups: Mapping[str, Group]
    where: Mapping[str, frozenset[str]] | None


@dataclass(frozen=True, slots=True)
class Model:
    """An estimate from ``count`` people: numbers by parameter and of the fit, and how many people each level of a
    categorical column has.
    """

    count: int
    parameters: Mapping[str, Mapping[str, Fraction]]
    fit: Mapping[str, Fraction]
    levels: Mapping[str, int]
    where: Mapping[str, frozenset[str]] | None


def faults(estimate: Statistics | Model, rules: Rules) -> tuple[str, ...]:
    """Why ``estimate`` stays, in plain words for the steward; none if it may leave."""
    found = _of_model(estimate, rules) if isinstance(estimate, Model) else _of_statistics(estimate, rules)
    return tuple(found)


def numbers(of: Numbers) -> Iterator[Fraction]:
    """All numbers in nested lists."""
    if isinstance(of, Fraction):
        yield of
        return
    for each in of:
        yield from numbers(each)


def told(numbers_: Numbers) -> int:
    """How many numbers are told: a symmetric square counts its half once."""
    if isinstance(numbers_, tuple) and _is_symmetric(numbers_):
        return len(numbers_) * (len(numbers_) + 1) // 2
    return sum(1 for _ in numbers(numbers_))


def read_numbers(part: Part) -> Numbers:
    """A number, or lists of numbers, at most three deep.

    Raises:
        BadInput: something else stands there.
    """
    return tuple(read_numbers(each) for each in part.items()) if part.is_list else part.number()


def _of_statistics(statistics: Statistics, rules: Rules) -> Iterator[str]:
    for name, group in statistics.groups.items():
        if group.count < rules.group:
            yield f"the group «{name}» has {group.count} people; at least {rules.group} are told of"
            continue
        all_told = sum(told(each) for each in group.values.values())
        columns = max(1, len(statistics.measures))
        freedom = group.count - -(-all_told // columns)
        if freedom < rules.freedom:
            yield (
                f"the group «{name}» has {all_told} numbers about {columns} columns of {group.count} people: {freedom}"
                f" degrees of freedom remain, and {rules.freedom} are needed"
            )


def _of_model(model: Model, rules: Rules) -> Iterator[str]:
    freedom = model.count - len(model.parameters)
    if model.count < rules.group:
        yield f"the model is of {model.count} people; at least {rules.group} are needed"
    if freedom < rules.freedom:
        yield f"the model has {freedom} residual degrees of freedom; at least {rules.freedom} are needed"
    for level, count in model.levels.items():
        if count < rules.group:
            yield f"the level «{level}» has {count} people; at least {rules.group} are needed"


def _is_symmetric(rows: tuple[Numbers, ...]) -> bool:
    return all(isinstance(row, tuple) and len(row) == len(rows) for row in rows) and all(
        one[at] == rows[at][beside]  # type: ignore[index]  # both are tuples, as was just seen
        for beside, one in enumerate(rows)
        for at in range(len(rows))
    )
