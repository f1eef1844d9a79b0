"""Values of every type that travels, made from the types themselves: a type that is new is in here by itself.

A text with a pattern takes the first of :data:`TEXTS` that fits; a type with a pattern that none fits fails loudly.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

import catalog
import node
import privacy
import workflow
from catalog.cid import Cid
from catalog.dagcbor import Value, decode_plain, encode
from catalog.key import PrivateKey
from catalog.label import Label
from privacy.label import resident

KEY = PrivateKey(b"\x05" * 32)
OTHER = PrivateKey(b"\x06" * 32)
CID = Cid.of(b"a blob")

TEXTS = (
    KEY.did,
    "a",
    "statistics",
    f"held:{KEY.did}/{'0a' * 16}",
    "DUO:0000042",
    "https://login.example.org/",
    "linux/amd64",
    "/a",
)

EXACT: dict[type, Value] = {Label: resident(KEY.did)}
"""Of types whose fields must agree with each other, one value."""

_DEPTH = 6
_LOCAL = "node.api"
"""The room whose values a person's own programs say to their own node, in JSON."""


def all_types() -> list[type[Value]]:
    """Every type of value that a peer's bytes may be read as, with no list to forget one in."""
    for room in (catalog, privacy, workflow, node):
        for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
            if not module.name.startswith(_LOCAL):
                importlib.import_module(module.name)
    found = {each for each in _below(Value) if _is_whole(each)}
    return sorted(found, key=lambda each: (each.__module__, each.__name__))


def _below(kind: type[Value]) -> Iterator[type[Value]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _is_whole(kind: type[Value]) -> bool:
    ours = kind.__module__.split(".")[0] in ("catalog", "privacy", "workflow", "node")
    return ours and not kind.__module__.startswith(_LOCAL) and kind.__name__ != "Signed"


def plain_of(kind: type[Value], seed: int) -> Any:
    """Maps and lists that are a ``kind``: the smallest for ``seed`` 0, others at random."""
    return _plain(inspect.type_info(kind), random.Random(seed), seed > 0, 0)


def _plain(type_: inspect.Type, chance: random.Random, full: bool, depth: int) -> Any:  # noqa: C901 – a case for each kind of type
    match type_:
        case inspect.NoneType():
            return None
        case inspect.BoolType():
            return full and chance.random() < 0.5
        case inspect.IntType():
            return _integer(type_, chance, full)
        case inspect.StrType():
            return _text(type_, chance, full)
        case inspect.BytesType():
            least, most = type_.min_length or 0, type_.max_length
            length = least if not full else min(least + chance.randrange(40), least + 40 if most is None else most)
            return chance.randbytes(length)
        case inspect.LiteralType(values=values):
            return chance.choice(values)
        case inspect.EnumType(cls=cls):
            return chance.choice(list(cls)).value
        case inspect.CustomType(cls=cls) if cls is Cid:
            return CID
        case inspect.UnionType(types=types):
            return _plain(_member(types, chance, full, depth), chance, full, depth)
        case inspect.VarTupleType() | inspect.ListType():
            length = _length(type_.min_length, type_.max_length, chance, full, depth)
            return [_plain(type_.item_type, chance, full, depth + 1) for _ in range(length)]
        case inspect.TupleType(item_types=items):
            return [_plain(item, chance, full, depth + 1) for item in items]
        case inspect.DictType():
            length = _length(type_.min_length, type_.max_length, chance, full, depth)
            keys = (_plain(type_.key_type, chance, full, depth + 1) for _ in range(length))
            return {key: _plain(type_.value_type, chance, full, depth + 1) for key in keys}
        case inspect.StructType(cls=cls) if cls in EXACT:
            return decode_plain(encode(EXACT[cls]))
        case inspect.StructType():
            fields = {each.encode_name: _plain(each.type, chance, full, depth + 1) for each in type_.fields}
            return fields if type_.tag is None else {**fields, str(type_.tag_field): type_.tag}
        case inspect.AnyType():
            return {"any": [1, b"bytes", None]} if full else None
    raise NotImplementedError(f"no values are made of {type_}; say how in tests/fuzz/corpus.py")


def _integer(type_: inspect.IntType, chance: random.Random, full: bool) -> int:
    least = max(type_.ge or 0, -1 if type_.gt is None else type_.gt + 1)
    most = min(
        each for each in (type_.le, None if type_.lt is None else type_.lt - 1, (1 << 63) - 1) if each is not None
    )
    return int(least if not full else chance.choice((least, most, chance.randint(int(least), int(most)))))


def _text(type_: inspect.StrType, chance: random.Random, full: bool) -> str:
    least, most = type_.min_length or 0, type_.max_length
    if type_.pattern is None:
        length = least if not full else least + chance.randrange(20)
        return "".join(chance.choice("abc 12é–\n") for _ in range(length if most is None else min(length, most)))
    for text in TEXTS:
        if re.search(type_.pattern, text) and least <= len(text) and (most is None or len(text) <= most):
            return text
    raise NotImplementedError(f"no text fits {type_.pattern}; add one to TEXTS in tests/fuzz/corpus.py")


def _length(least: int | None, most: int | None, chance: random.Random, full: bool, depth: int) -> int:
    wanted = chance.randrange(1, 3) if full and depth < _DEPTH else 0
    return max(least or 0, wanted if most is None else min(wanted, most))


def _member(types: tuple[inspect.Type, ...], chance: random.Random, full: bool, depth: int) -> inspect.Type:
    """One of a union: none at all where a value could go on for ever, and in the smallest."""
    empty = next((each for each in types if isinstance(each, inspect.NoneType)), None)
    if empty is not None and (not full or depth >= _DEPTH):
        return empty
    return chance.choice([each for each in types if each is not empty] or list(types))


def convertible(kind: type[Value], plain: Any) -> Value:
    """``plain`` as a ``kind``; a corpus that is not of its type would fuzz nothing but the first check."""
    return msgspec.convert(plain, kind, strict=True, builtin_types=(bytes,), dec_hook=lambda _, value: value)
