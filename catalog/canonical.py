"""What a DAG-CBOR value may be made of, and in which order its maps are (IPLD DAG-CBOR specification, strictness).

The encoder and the decoder keep to the order of the map that they are given, so that neither has to sort what is in
order already, which it nearly always is.
"""

from __future__ import annotations

from typing import Any, Final

from catalog.cid import Cid
from catalog.error import BadInput

_LEAVES: Final = frozenset((str, bytes, bool, type(None), Cid))
_SIMPLE: Final = _LEAVES | {int}
_TEXT: Final = frozenset((str,))
_BITS_63: Final = 1 << 63

_MOST_ORDERS: Final = 1024
_LONGEST_ORDER: Final = 512
"""Characters in all keys of a map whose order is remembered."""
_orders: dict[tuple[str, ...], tuple[str, ...]] = {}
"""The orders of the maps that occur again and again, by the keys as they came."""


def check_plain(plain: object) -> None:
    """Check what was decoded, the order of its maps included.

    Raises:
        BadInput: it has what DAG-CBOR does not know (dates, big numbers, floats, keys that are not text), or a map
            that is out of order.
    """
    stack: list[Any] = [[plain]]
    while stack:
        held = stack.pop()
        for value in held.values() if type(held) is dict else held:
            kind = type(value)
            if kind in _LEAVES:
                continue
            if kind is int:
                if not -_BITS_63 <= value < _BITS_63:
                    raise BadInput("a number in it has more than 64 bits")
            elif kind is list:
                stack.append(value)
            elif kind is dict:
                if not _TEXT.issuperset(map(type, value)):
                    raise BadInput("a key in it is not text")
                keys = tuple(value)
                if _in_order(keys) != keys:
                    raise BadInput("a map in it is out of order")
                stack.append(value)
            else:
                raise BadInput(f"a {kind.__name__} in it")


def ordered(value: Any) -> Any:
    """``value``, made of maps, lists, text, bytes, integers, booleans, null and CIDs, with every map in order.

    Raises:
        TypeError: something else is in it.
    """
    kind = type(value)
    if kind in _SIMPLE:
        return value
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            raise TypeError("a key that is not text has no place in DAG-CBOR")
        return {key: ordered(value[key]) for key in _in_order(tuple(value))}
    if kind is list or kind is tuple:
        return value if _SIMPLE.issuperset(map(type, value)) else [ordered(each) for each in value]
    raise TypeError(f"{kind.__name__} has no place in DAG-CBOR")


def _in_order(keys: tuple[str, ...]) -> tuple[str, ...]:
    """``keys`` with shorter ones first, in bytes of UTF-8, and those of one length in the order of their bytes."""
    known = _orders.get(keys)
    if known is None:
        known = tuple(sorted(keys, key=_rank))
        if len(_orders) < _MOST_ORDERS and sum(map(len, keys)) <= _LONGEST_ORDER:
            _orders[keys] = known
    return known


def _rank(key: str) -> tuple[int, bytes]:
    data = key.encode()
    return len(data), data
