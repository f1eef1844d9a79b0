"""Stored values: outputs of steps that are not one plain file or folder, as JSON (docs/protocol/values.md).

A value without files is the CID of a file that holds its JSON. One with files is the CID of a folder: the JSON is
called :data:`VALUE`, the files lie below :data:`FILES`, and each File or Directory in the JSON has its path in that
folder as its ``location``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Annotated, Any, Final

import msgspec

from catalog.error import BadInput, shown

VALUE: Final = "value.json"
FILES: Final = "files"
MOST_BYTES: Final = 4 << 20
MOST_DEPTH: Final = 64
MOST_MEMBERS: Final = 100_000

Pointer = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^(/([^~/]|~[01])*)*\Z")]
"""What of a value is meant, as RFC 6901 has it: empty for all of it."""


def read_value(data: bytes) -> object:
    """The value that ``data`` is the JSON of.

    Raises:
        BadInput: it is none, too large or too deep, or names a file that is not below :data:`FILES`.
    """
    if len(data) > MOST_BYTES:
        raise BadInput(f"a stored value of more than {MOST_BYTES:,} bytes was refused")
    try:
        value: object = json.loads(data.decode(), parse_constant=finite, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise BadInput("a stored value is not JSON") from error
    _check(value)
    return value


def write_value(value: object) -> bytes:
    """The JSON of a value: the same value has the same bytes.

    Raises:
        BadInput: as :func:`read_value`; or it is nothing that JSON has.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        data = text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput("a value cannot be stored: it is nothing that JSON has") from error
    if len(data) > MOST_BYTES:
        raise BadInput(f"a value of more than {MOST_BYTES:,} bytes cannot be stored: write it to a file")
    _check(value)
    return data


def pointed(value: object, pointer: str) -> object:
    """What stands at ``pointer`` in a value.

    Raises:
        BadInput: nothing does.
    """
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(value):
            value = value[int(name[:9])]
        else:
            raise BadInput(f"there is no «{shown(pointer)}» in a stored value")
    return value


def locations(value: object) -> Iterator[dict[str, Any]]:
    """Every File and Directory in a value that has a location: it is no literal."""
    for each in _members(value):
        if isinstance(each, dict) and each.get("class") in ("File", "Directory") and each.get("location") is not None:
            yield each


def finite(text: str) -> float:
    """A number of JSON: neither NaN nor infinite, nor more than there is.

    Raises:
        ValueError: it is.
    """
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _members(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        yield each
        waiting.extend(each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())


def _check(value: object) -> None:
    waiting: list[tuple[object, int]] = [(value, 0)]
    count = 0
    while waiting:
        each, depth = waiting.pop()
        below: Sequence[object] = (
            list(each.values()) if isinstance(each, dict) else each if isinstance(each, list) else ()
        )
        count += 1
        if depth > MOST_DEPTH or count + len(waiting) + len(below) > MOST_MEMBERS:
            raise BadInput(f"a value of more than {MOST_MEMBERS:,} members, or nested too deep, was refused")
        waiting.extend((member, depth + 1) for member in below)
    for each in locations(value):
        if not _is_inner(each["location"]):
            raise BadInput(f"a stored value names the file «{shown(str(each['location']))}», which is not part of it")


def _is_inner(location: object) -> bool:
    if not isinstance(location, str) or not location.startswith(f"{FILES}/") or not location.isprintable():
        return False
    return all(part not in ("", ".", "..") for part in location.split("/"))
