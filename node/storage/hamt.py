"""Sharded folders: a hash array mapped trie of fanout 256 over murmur3 (UnixFS specification, HAMT directories).

A name's place is the first 64 bits of its murmur3-x64-128, a byte a level, most significant first. A link to an
entry is named by two hexadecimal digits of its slot and the entry's name, one to a deeper shard by the digits alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput, VerificationFailed
from node.storage.dagpb import Link, PBNode
from node.storage.unixfs import Child, Data, Get, Kind, Node, Put, check_name, encode_data, load, put_node

FANOUT: Final = 256
MURMUR3: Final = 0x22
_LEVELS: Final = 8
_MASK: Final = (1 << 64) - 1


def build_shard(entries: Sequence[tuple[str, Child]], put: Put) -> Child:
    """Build the sharded folder of ``entries`` (distinct names, in any order).

    Raises:
        BadInput: two names with the same 64-bit hash.
    """
    return _build([(murmur3(name.encode()), name, child) for name, child in entries], 0, put)


def _build(entries: list[tuple[bytes, str, Child]], level: int, put: Put) -> Child:
    if level == _LEVELS:
        raise BadInput(f"the names {entries[0][1]!r} and {entries[1][1]!r} collide in a sharded folder: rename one")
    slots: dict[int, list[tuple[bytes, str, Child]]] = {}
    for entry in entries:
        slots.setdefault(entry[0][level], []).append(entry)
    links: list[Link] = []
    size = bits = 0
    for slot in sorted(slots):
        held = slots[slot]
        name, child = ("", _build(held, level + 1, put)) if len(held) > 1 else held[0][1:]
        links.append(Link(f"{slot:02X}{name}", child.cid, child.total))
        size += child.size
        bits |= 1 << slot
    message = Data(Kind.HAMT, data=_bitfield(bits), hash=MURMUR3, fanout=FANOUT)
    return put_node(PBNode(tuple(links), encode_data(message)), size, put)


def shard_entries(root: Node, get: Get) -> Iterator[tuple[str, Cid]]:
    """The (name, CID) of each entry, in the order of their hashes; every name is checked to lie in its place.

    Raises:
        NotFound: a shard is not here.
        VerificationFailed: a malformed shard, or a name out of place, doubled or not allowed.
    """
    # A deeper shard is loaded when its turn comes, so that a lying one is met before its siblings cost anything.
    stack = [(cid, place, name) for place, name, cid in reversed(_placed(root, b""))]
    while stack:
        cid, place, name = stack.pop()
        if not name:
            shard = _below(cid, len(place), get)
            stack.extend((below, deeper, held) for deeper, held, below in reversed(_placed(shard, place)))
        elif murmur3(name.encode()).startswith(place):
            yield name, cid
        else:
            raise _refused("a name is not where its hash says")


def _placed(node: Node, prefix: bytes) -> list[tuple[bytes, str, Cid]]:
    return [(prefix + bytes([slot]), name, cid) for slot, name, cid in _slots(node)]


def find_in_shard(root: Node, name: str, get: Get) -> Cid | None:
    """The entry ``name`` of a sharded folder, if there is one; raises as :func:`shard_entries` does."""
    node = root
    for level, slot in enumerate(murmur3(name.encode())):
        found = next(((held, cid) for at, held, cid in _slots(node) if at == slot), None)
        if found is None or found[0]:
            return found[1] if found is not None and found[0] == name else None
        node = _below(found[1], level + 1, get)
    return None


def _below(cid: Cid, level: int, get: Get) -> Node:
    node = load(cid, get)
    # Each shard but the root must hold something: else few nodes would cost endless work to walk.
    if node.message.kind != Kind.HAMT or not node.links or level >= _LEVELS:
        raise _refused("what it links to is not a shard")
    return node


def _slots(node: Node) -> list[tuple[int, str, Cid]]:
    """(slot, name or "", CID) of each link, the shard's shape checked."""
    message = node.message
    if message.hash != MURMUR3 or message.fanout != FANOUT:
        raise _refused("it has another hash or fanout than murmur3 and 256")
    slots: list[tuple[int, str, Cid]] = []
    bits = 0
    for link in node.links:
        digits, name = link.name[:2], link.name[2:]
        if len(digits) != 2 or not set(digits) <= set("0123456789ABCDEF"):
            raise _refused("a link does not begin with its slot")
        slot = int(digits, 16)
        if slots and slot <= slots[-1][0]:
            raise _refused("its slots are not in order")
        if name:
            _check(name)
        slots.append((slot, name, link.cid))
        bits |= 1 << slot
    if (message.data or b"") != _bitfield(bits):
        raise _refused("its bitfield is not that of its links")
    return slots


def _check(name: str) -> None:
    try:
        check_name(name)
    except BadInput as error:
        raise _refused(str(error)) from error


def _bitfield(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "big")


def _refused(reason: str) -> VerificationFailed:
    return VerificationFailed(f"a folder's shard was refused: {reason}")


def murmur3(data: bytes) -> bytes:
    """The first half of MurmurHash3-x64-128 with seed 0, big-endian: 8 bytes."""
    one, two = 0x87C37B91114253D5, 0x4CF5AD432745937F
    low = high = 0
    tail = len(data) & ~15
    for at in range(0, tail, 16):
        low ^= _turn(int.from_bytes(data[at : at + 8], "little") * one & _MASK, 31) * two & _MASK
        low = ((_turn(low, 27) + high) * 5 + 0x52DCE729) & _MASK
        high ^= _turn(int.from_bytes(data[at + 8 : at + 16], "little") * two & _MASK, 33) * one & _MASK
        high = ((_turn(high, 31) + low) * 5 + 0x38495AB5) & _MASK
    high ^= _turn(int.from_bytes(data[tail + 8 :], "little") * two & _MASK, 33) * one & _MASK
    low ^= _turn(int.from_bytes(data[tail : tail + 8], "little") * one & _MASK, 31) * two & _MASK
    low, high = low ^ len(data), high ^ len(data)
    low = (low + high) & _MASK
    high = (high + low) & _MASK
    return ((_mix(low) + _mix(high)) & _MASK).to_bytes(8, "big")


def _turn(number: int, count: int) -> int:
    return (number << count | number >> (64 - count)) & _MASK


def _mix(number: int) -> int:
    number = (number ^ number >> 33) * 0xFF51AFD7ED558CCD & _MASK
    number = (number ^ number >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return number ^ number >> 33
