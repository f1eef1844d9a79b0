"""Canonical DAG-CBOR (IPLD DAG-CBOR specification), the one encoding of every value that sites sign or send.

A value is a frozen :class:`Value` (a msgspec struct). Encoding is canonical; decoding bounds size and depth
first, checks the shape against the type (unknown fields, missing fields and values out of bounds are errors), and
refuses whatever is not its one encoding. Floats are not used.

cbor2 encodes, because it keeps byte strings and links apart by type; libipld turns a byte string that happens
to look like a CID into a link, which changes the size of one leaf in about 2,200 (docs/decisions/0003).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, Final, TypeVar

import cbor2
import msgspec
import msgspec.inspect

from catalog.canonical import check_plain, ordered
from catalog.cid import DAG_CBOR, Cid
from catalog.error import BadInput, VerificationFailed, shown
from catalog.refusal import in_words, named

LINK: Final = 42
MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A frozen, typed value with one canonical encoding.

    Every field is written, ``None`` as null; a member of a union is written with its tag in ``type``. What was decoded
    refers to nothing that refers back, so no value is looked at when cycles are searched for.
    """


V = TypeVar("V", bound=Value)
J = TypeVar("J")

_BUILT_IN: Final = (bytes, Cid)
_LINK_HEAD: Final = bytes((0xD8, LINK, 0x58))
_UNREADABLE: Final = (cbor2.CBORError, BadInput, ValueError, TypeError, OverflowError)
_FIRST: Final = Lock()
_readable: set[object] = set()


def encode(value: object) -> bytes:
    """The canonical DAG-CBOR of a :class:`Value`, or of plain maps, lists, text, bytes, integers and CIDs.

    Integers have at most 64 bits: the types of a value's fields see to that.

    Raises:
        TypeError: a float or an object of a class that has no place in it, which is a fault of the caller.
    """
    return _dump(ordered(msgspec.to_builtins(value, builtin_types=_BUILT_IN, enc_hook=_refuse)))


def decode(kind: type[V], data: bytes, limit: int = MAX_BYTES) -> V:
    """Read a ``kind`` from at most ``limit`` bytes.

    Raises:
        VerificationFailed: too large, too deep, not of that shape, or not its one encoding: a field that has a
            default is written like any other.
    """
    value = convert(kind, decode_plain(data, limit))
    if _has_defaults(kind) and encode(value) != data:
        raise VerificationFailed(f"{_kind(kind)} was refused: a field that has a default is left out in it")
    return value


def decode_plain(data: bytes, limit: int = MAX_BYTES) -> Any:
    """Read maps, lists, text, bytes, integers, booleans, null and :class:`Cid`, with nothing known of the shape.

    Raises:
        VerificationFailed: too large, too deep, or not canonical DAG-CBOR.
    """
    try:
        plain = _read(data, limit)
        check_plain(plain)
    except _UNREADABLE as error:
        raise VerificationFailed(f"a value was refused: it is not DAG-CBOR ({_short(error)})") from error
    # What is in order now is written as it was, unless a number or a length took more bytes than it needs.
    if _dump(plain) != data:
        raise VerificationFailed("a value was refused: it is not in canonical DAG-CBOR")
    return plain


def glance(data: bytes, limit: int = MAX_BYTES) -> Any:
    """As :func:`decode_plain` for what it has read before, or for a look: what no DAG-CBOR has is not refused.

    Raises:
        VerificationFailed: too large, too deep, or not CBOR.
    """
    try:
        return _read(data, limit)
    except _UNREADABLE as error:
        raise VerificationFailed(f"a value was refused: it is not DAG-CBOR ({_short(error)})") from error


def _read(data: bytes, limit: int) -> Any:
    if len(data) > limit:
        raise VerificationFailed(f"a value of {len(data):,} bytes was refused: at most {limit:,} are read")
    return cbor2.loads(
        data,
        tag_hook=_read_tag,
        semantic_decoders=_REFUSED,
        max_depth=MAX_DEPTH,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )


def _dump(plain: object) -> bytes:
    """The bytes of maps in their order."""
    return cbor2.dumps(plain, default=_write_link)


def convert(kind: type[V], plain: object) -> V:
    """Give decoded maps and lists the type ``kind``.

    Raises:
        VerificationFailed: a field is missing, unknown, of another type or out of bounds; text is neither a link
            nor bytes here, as it is in JSON.
    """
    try:
        return msgspec.convert(plain, _made_readable(kind), strict=True, builtin_types=(bytes,), dec_hook=_read_link)
    except (msgspec.ValidationError, BadInput) as error:
        raise VerificationFailed(f"{_kind(kind)} was refused: {_plainly(error)}") from error


@cache
def _has_defaults(kind: type[Value]) -> bool:
    """Whether a value of that kind can be made of a map that lacks a field."""
    return _lacks(msgspec.inspect.type_info(kind))


def _lacks(kind: msgspec.inspect.Type, tagged: bool = False) -> bool:
    match kind:
        case msgspec.inspect.StructType(fields=fields, tag=tag):
            # One of several kinds must say which it is; where it is the only one, it may leave that out.
            return (tag is not None and not tagged) or any(not each.required or _lacks(each.type) for each in fields)
        case msgspec.inspect.UnionType(types=inner):
            several = sum(isinstance(each, msgspec.inspect.StructType) for each in inner) > 1
            return any(_lacks(each, tagged=several) for each in inner)
        case msgspec.inspect.TupleType(item_types=inner):
            return any(map(_lacks, inner))
        case (
            msgspec.inspect.DictType(value_type=item)
            | msgspec.inspect.VarTupleType(item_type=item)
            | msgspec.inspect.ListType(item_type=item)
            | msgspec.inspect.Metadata(type=item)
        ):
            return _lacks(item)
        case _:
            return False


def cid_of(value: object) -> Cid:
    """The CID of a value's canonical encoding."""
    return Cid.of(encode(value), DAG_CBOR)


def to_json(value: object) -> bytes:
    """The JSON form that people and the local API read: CIDs as text, bytes as base64."""
    return msgspec.json.encode(value, enc_hook=_json_custom)


def from_json(kind: type[J], data: bytes) -> J:
    """Read the JSON form of a ``kind``, a :class:`Value` or a tuple of them.

    Raises:
        BadInput: malformed or of another shape.
    """
    try:
        return msgspec.json.decode(data, type=_made_readable(kind), strict=True, dec_hook=_read_text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadInput) as error:
        raise BadInput(f"{_kind(kind)} was refused: {_plainly(error)}") from error


def _made_readable(kind: type[J]) -> type[J]:
    """``kind``, once one thread has let msgspec look at it and at all that is in it.

    At a type's first use msgspec 0.22 keeps what it learns of the type in the type itself, and keeps it before it is
    complete: a second thread that reads the same type at that moment takes the whole process down.
    """
    if kind not in _readable:
        with _FIRST:
            msgspec.json.Decoder(kind, dec_hook=_read_text)
            _readable.add(kind)
    return kind


def _write_link(encoder: cbor2.CBOREncoder, cid: Cid) -> None:
    """A CID's bytes behind a zero, of which there are more than 23 and fewer than 256, in a string under tag 42."""
    data = b"\0" + bytes(cid)
    encoder.write(_LINK_HEAD + bytes((len(data),)) + data)


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} has no place in DAG-CBOR")


def _read_tag(tag: cbor2.CBORTag, _immutable: bool) -> Cid:
    if tag.tag != LINK or not isinstance(tag.value, bytes) or tag.value[:1] != b"\0":
        raise BadInput("a tag other than 42 in it")
    return Cid.from_bytes(tag.value[1:])


def _refuse_tag(*_: object) -> None:
    raise BadInput("a tag other than 42 in it")


_REFUSED: Final[dict[int, Callable[..., None]]] = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799), _refuse_tag
)
"""The tags that cbor2 would read by itself. Some refer to what was read before, which makes a value of few bytes hold
itself, or be as large as memory; others compile what a peer wrote."""


def _read_link(kind: type, value: object) -> object:
    if kind is Cid and isinstance(value, Cid):
        return value
    raise msgspec.ValidationError(f"expected {kind.__name__}, got {type(value).__name__}")


def _read_text(kind: type, value: object) -> object:
    if kind is Cid and isinstance(value, str):
        return Cid.parse(value)
    raise msgspec.ValidationError(f"expected {kind.__name__}, got {type(value).__name__}")


def _json_custom(value: object) -> object:
    if isinstance(value, Cid):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _kind(kind: type) -> str:
    name = named(kind.__name__)
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _plainly(error: Exception) -> str:
    return shown(in_words(" ".join(str(error).split())))


def _short(error: Exception) -> str:
    return shown(" ".join(str(error).split()))
