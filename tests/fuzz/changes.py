"""Small changes to bytes that are right, as Hypothesis draws them: of the bytes, or of the value that they encode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from hypothesis import strategies as st

from catalog.cid import Cid
from catalog.dagcbor import LINK
from tests.fuzz.corpus import CID, KEY, OTHER

PIECES: Final = (
    b"",
    b"\0",
    b"\n",
    b"\n\n",
    b" ",
    b"=",
    b"/",
    b"\x7f",
    b"\xff" * 9,
    b"\xa0",
    b"\xbf\x61a\x01\xff",  # a map without a length
    b"\x9f\xff",
    b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",  # a list of 2**64 - 1 things
    b"\xbb\x00\x00\x00\xff\xff\xff\xff\xff",
    b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",  # as many bytes
    b"\x7a\xff\xff\xff\xff",
    b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x3b\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xc2\x49\x01" + b"\0" * 8,  # a number of 65 bits
    b"\xd8\x2a\x58\x25\0",  # a link that is cut off
    b"\xd8\x2a\x41\0",
    b"\xc0\x60",
    b"\xd8\x1c\x00",  # shared references
    b"\xd8\x1d\x00",
    b"\xd9\x01\x00\x82",  # texts that are referred to by number
    b"\xd8\x19\x00",
    b"\xd8\x23\x64(a+)",  # an expression that is compiled
    b"\xd9\x01\x02\x81\x00",  # a set
    b"\xf9\x7e\x00",
    b"\xfb" + b"\0" * 8,
    b"\xf7",
    b"\x81" * 40,
    "\u202e".encode(),
    "— ".encode(),
    "٣".encode(),
    b"\x1b[2J",
    b"\xed\xa0\x80",  # half a surrogate
    b"9" * 20,
    b"-1",
    b"0",
    b"%2e%2e",
    b"..",
    KEY.did.encode(),
)

ATOMS: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    1,
    255,
    (1 << 32) - 1,
    (1 << 53) + 1,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
    -(1 << 63),
    1 << 70,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "a",
    "\n",
    "\x1b[2J\u202e",
    "../../etc/passwd",
    "x" * 300,
    "٣",
    KEY.did,
    OTHER.did,
    b"",
    b"\0" * 32,
    b"\xff" * 64,
    b"x" * 70_000,
    CID,
    [],
    {},
    [[]] * 300,
    {"type": "heads"},
    {"": None},
    cbor2.CBORTag(2, b"\1" * 9),
    cbor2.CBORTag(28, [cbor2.CBORTag(29, 0)]),  # a list that holds itself
    cbor2.CBORTag(35, "(a+)+"),
    cbor2.CBORTag(256, ["x" * 300, *[cbor2.CBORTag(25, 0)] * 300]),
    cbor2.CBORTag(258, [0]),
)


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


TAGS: Final = (2, 25, 28, 29, 35, 256, 258)
"""Tags that CBOR libraries read by themselves: large numbers, references to what was before, expressions, sets."""

DEEP: Final = (_nested(31), _nested(40), _nested(900))


@dataclass(frozen=True)
class Bytes:
    """At ``place`` (of 65,536 parts of the whole), ``drop`` bytes give way to ``piece``."""

    place: int
    drop: int
    piece: bytes

    def apply(self, data: bytes) -> bytes:
        at = self.place * (len(data) + 1) >> 16
        return data[:at] + self.piece + data[at + self.drop :]


@dataclass(frozen=True)
class Flip:
    """One bit flips."""

    place: int
    bit: int

    def apply(self, data: bytes) -> bytes:
        at = self.place * len(data) >> 16
        return data[:at] + bytes([data[at] ^ 1 << self.bit]) + data[at + 1 :] if data else data


@dataclass(frozen=True)
class Copy:
    """``length`` bytes from one place stand at another too, ``times`` over."""

    source: int
    place: int
    length: int
    times: int

    def apply(self, data: bytes) -> bytes:
        start, at = self.source * (len(data) + 1) >> 16, self.place * (len(data) + 1) >> 16
        return data[:at] + data[start : start + self.length] * self.times + data[at:]


@dataclass(frozen=True)
class Tree:
    """In DAG-CBOR, one node of the value is replaced, doubled, dropped, renamed or tagged. Other bytes stay as is."""

    place: int
    how: str
    atom: Any

    def apply(self, data: bytes) -> bytes:
        try:
            value = cbor2.loads(data, tag_hook=_read, semantic_decoders=_LEFT)
        except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
            return data
        spots = list(_spots([value]))
        holder, key = spots[self.place * len(spots) >> 16]
        if self.how == "replace":
            holder[key] = self.atom
        elif self.how == "tag":
            holder[key] = cbor2.CBORTag(self.atom, holder[key])
        elif self.how == "drop" and len(spots) > 1:
            del holder[key]
        elif isinstance(holder, dict):
            holder[self.atom if isinstance(self.atom, str) else "more"] = holder[key]
        else:
            holder.append(holder[key])
        # With the whole value dropped or doubled, what was around it shows what is left.
        try:
            return cbor2.dumps(holder if not spots[0][0] else spots[0][0][0], canonical=True, default=_write)
        except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
            return data


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where every node of a value hangs: its holder and its key there."""
    stack = [value]
    while stack:
        holder = stack.pop()
        for key, each in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            yield holder, key
            if isinstance(each, dict | list):
                stack.append(each)


def _read(tag: cbor2.CBORTag, _immutable: bool) -> Any:
    return Cid.from_bytes(tag.value[1:]) if tag.tag == LINK else tag


def _left(tag: int) -> Callable[[Any, bool], cbor2.CBORTag]:
    """A tag as it came: read as its library would, it could hold itself."""
    return lambda value, _immutable: cbor2.CBORTag(tag, value)


_LEFT: Final = {tag: _left(tag) for tag in TAGS}


def _write(encoder: cbor2.CBOREncoder, value: Any) -> None:
    encoder.encode(cbor2.CBORTag(LINK, b"\0" + bytes(value)))


Change = Bytes | Flip | Copy | Tree

_place = st.integers(0, (1 << 16) - 1)
_piece = st.sampled_from(PIECES) | st.binary(max_size=12)
# By their places: some values cannot be hashed, which Hypothesis does with what it chooses from.
_value = st.integers(0, len(ATOMS + DEEP) - 1).map((ATOMS + DEEP).__getitem__)
_change = st.one_of(
    st.builds(Flip, _place, st.integers(0, 7)),
    st.builds(Bytes, _place, st.sampled_from((0, 1, 2, 8, 40, 1 << 20)), _piece),
    st.builds(Copy, _place, _place, st.integers(1, 200), st.sampled_from((1, 2, 90, 3000))),
    st.builds(Tree, _place, st.just("tag"), st.sampled_from(TAGS)),
    st.builds(Tree, _place, st.sampled_from(("replace", "replace", "drop", "more")), _value),
)

changes: Final = st.lists(_change, min_size=1, max_size=4)
"""One to four changes, one after the other; Hypothesis shrinks a failure to the fewest."""


def apply(data: bytes, drawn: list[Change]) -> bytes:
    """``data`` with the changes."""
    for change in drawn:
        data = change.apply(data)
    return data
