"""The output file of an endorsed block, read strictly: JSON of one of three forms, bounded, each fault with its place.

The file is never what leaves: it is read into values, checked, and what may leave is written anew
(docs/protocol/disclosure.md). So blanks, the order of names and spare digits carry nothing out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, NoReturn, cast

from catalog.error import BadInput, shown
from privacy.disclosure.table import MAX_TEXT

MAX_BYTES: Final = 8 << 20
MAX_DEPTH: Final = 8
MAX_VALUES: Final = 200_000
MAX_DIGITS: Final = 40
"""Characters of a number."""

MAX_EXPONENT: Final = 300

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
# Never tried twice from one place, nor from one within another: a string that does not end ends with the file.
_QUOTED: Final = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object as they stand."""


class _Number(str):
    """A number as it stands."""

    __slots__ = ()


class Part:
    """One value of the file and its place in it, such as ``groups.benign.sum[3]``."""

    __slots__ = ("_value", "place")

    def __init__(self, value: object, place: str) -> None:
        self._value = value
        self.place = place

    def refuse(self, expected: str) -> NoReturn:
        """Refuse what stands here.

        Raises:
            BadInput: always.
        """
        raise BadInput(f"the output was refused at {shown(self.place or 'its beginning')}: {expected}")

    @property
    def is_map(self) -> bool:
        """Whether it is an object."""
        return isinstance(self._value, _Pairs)

    @property
    def is_list(self) -> bool:
        """Whether it is an array."""
        return isinstance(self._value, list) and not self.is_map

    def members(self) -> dict[str, Part]:
        """The members of an object, whose names are 1 to 64 printable characters, each once.

        Raises:
            BadInput: it is no such object.
        """
        if not isinstance(self._value, _Pairs):
            self.refuse("an object is expected")
        found: dict[str, Part] = {}
        for name, value in self._value:
            part = Part(value, f"{self.place}.{name}" if self.place else name)
            if not 1 <= len(name) <= MAX_TEXT or not name.isprintable():
                part.refuse(f"a name is 1 to {MAX_TEXT} printable characters")
            if name in found:
                part.refuse("it stands twice")
            found[name] = part
        return found

    def record(self, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Part]:
        """The members of an object with these names and no others.

        Raises:
            BadInput: one is missing or unknown.
        """
        found = self.members()
        for name in needed:
            if name not in found:
                self.refuse(f"«{name}» is missing")
        for name, part in found.items():
            if name not in needed and name not in optional:
                part.refuse("it is not known here")
        return found

    def items(self) -> list[Part]:
        """The items of an array.

        Raises:
            BadInput: it is none.
        """
        if not self.is_list:
            self.refuse("an array is expected")
        return [Part(value, f"{self.place}[{at}]") for at, value in enumerate(cast(list[object], self._value))]

    def text(self) -> str:
        """A name: 1 to 64 printable characters.

        Raises:
            BadInput: it is none.
        """
        value = self._value
        if not isinstance(value, str) or isinstance(value, _Number):
            self.refuse("text is expected")
        if not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
            self.refuse(f"1 to {MAX_TEXT} printable characters are expected")
        return value

    def number(self) -> Fraction:
        """A number, exactly as it stands.

        Raises:
            BadInput: it is none, or too long.
        """
        if not isinstance(self._value, _Number):
            self.refuse("a number is expected")
        short = len(self._value) <= MAX_DIGITS and _NUMBER.fullmatch(self._value) is not None
        number = Decimal(self._value) if short else Decimal()
        if not short or (number and abs(number.adjusted()) > MAX_EXPONENT):
            self.refuse(f"a number has at most {MAX_DIGITS} characters and lies between 1e-300 and 1e300")
        return Fraction(number) if number else Fraction()

    def count(self) -> int:
        """A whole number from 0 on, below 10^15.

        Raises:
            BadInput: it is none.
        """
        number = self.number()
        if number.denominator != 1 or not 0 <= number < 10**15:
            self.refuse("a count of people is expected")
        return number.numerator


def read(data: bytes, limit: int = MAX_BYTES) -> Part:
    """Read a file of at most ``limit`` bytes, 8 levels and 200,000 values.

    Raises:
        BadInput: it is not JSON (RFC 8259, UTF-8), has NaN or an infinity, or is too large.
    """
    if len(data) > limit:
        raise BadInput(f"an output of {len(data):,} bytes was refused: at most {limit:,} are read")
    structure = _QUOTED.sub(b"", data)
    if _depth(structure) > MAX_DEPTH:
        raise BadInput(f"the output was refused: it is more than {MAX_DEPTH} levels deep")
    if structure.count(b",") >= MAX_VALUES:
        raise BadInput(f"the output was refused: it has more than {MAX_VALUES:,} values")
    number: Callable[[str], object] = _Number
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_Pairs,
            parse_int=number,
            parse_float=number,
            parse_constant=_no_number,
        )
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the output was refused: it is not JSON ({shown(str(error))})") from error
    return Part(value, "")


def sets(part: Part | None) -> Mapping[str, frozenset[str]] | None:
    """The field ``where``: by column, the values that were counted; none where the file does not say it.

    Raises:
        BadInput: it is not that.
    """
    if part is None:
        return None
    found: dict[str, frozenset[str]] = {}
    for column, values in part.members().items():
        listed = [each.text() for each in values.items()]
        if not listed or len(set(listed)) != len(listed):
            values.refuse("values are expected, each once")
        found[column] = frozenset(listed)
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _depth(structure: bytes) -> int:
    deepest = depth = 0
    for mark in re.findall(rb"[][{}]", structure):
        depth += 1 if mark in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
