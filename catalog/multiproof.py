"""One proof for many leaves of a log: the hashes that rebuild the root together with the leaves that are shown.

The tree of RFC 9162 is walked from its root, left before right. Where no shown leaf lies below, the proof gives the
hash; where one does, the walk goes on. So the proof is as short as it can be, it has one form, and the reader, who
walks the same way, needs no index in it. For one leaf it is the audit path in another order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from catalog.error import BadInput, VerificationFailed
from catalog.merkle import EMPTY_ROOT, HASH, MAX_SIZE, Subtree, fold, node_hash

_Given = Callable[[int, int], bytes]


def prove_many(indexes: Sequence[int], size: int, subtree: Subtree) -> bytes:
    """The hashes, 32 bytes each, that lead the leaves at ``indexes`` (ascending, no two alike) to the root.

    Raises:
        BadInput: the tree has no such leaf, or they are not in that order.
    """
    _check_order(indexes, size)
    hashes: list[bytes] = []

    def given(start: int, stop: int) -> bytes:
        hashes.append(_range_hash(start, stop, subtree))
        return hashes[-1]

    # The shown leaves' own hashes play no part in what the proof holds.
    _walk(0, size, indexes, {}, given, known=False)
    return b"".join(hashes)


def root_of_many(leaves: Mapping[int, bytes], size: int, hashes: bytes) -> bytes:
    """The root that ``leaves`` (index → leaf hash) and a proof lead to in a tree of ``size`` leaves.

    Raises:
        VerificationFailed: the proof is too short, too long or malformed, or an index is beyond the tree.
    """
    if not 0 <= size <= MAX_SIZE or len(hashes) % HASH:
        raise VerificationFailed("a proof was refused: it is not a list of 32-byte hashes")
    indexes = sorted(leaves)
    if indexes and not 0 <= indexes[0] <= indexes[-1] < size:
        raise VerificationFailed(f"a proof was refused: leaf {indexes[-1]} is not in a tree of {size} leaves")
    at = 0

    def given(_start: int, _stop: int) -> bytes:
        nonlocal at
        if at >= len(hashes):
            raise VerificationFailed("a proof was refused: it has too few hashes")
        at += HASH
        return hashes[at - HASH : at]

    root = _walk(0, size, indexes, leaves, given, known=True)
    if at != len(hashes):
        raise VerificationFailed("a proof was refused: it has too many hashes")
    return root


def paths_of(leaves: Mapping[int, bytes], size: int, hashes: bytes) -> dict[int, tuple[bytes, ...]]:
    """The audit path of each leaf, its sibling first, out of a proof that :func:`root_of_many` accepted."""
    paths: dict[int, list[bytes]] = {index: [] for index in leaves}
    given = (hashes[at : at + HASH] for at in range(0, len(hashes), HASH))

    def walk(start: int, stop: int, indexes: Sequence[int]) -> bytes:
        if not indexes:
            return next(given) if stop > start else EMPTY_ROOT
        if stop - start == 1:
            return leaves[start]
        middle = start + (1 << (stop - start - 1).bit_length() - 1)
        cut = bisect_left(indexes, middle)
        left, right = walk(start, middle, indexes[:cut]), walk(middle, stop, indexes[cut:])
        for index in indexes[:cut]:
            paths[index].append(right)
        for index in indexes[cut:]:
            paths[index].append(left)
        return node_hash(left, right)

    walk(0, size, sorted(leaves))
    return {index: tuple(path) for index, path in paths.items()}


def _walk(
    start: int, stop: int, indexes: Sequence[int], leaves: Mapping[int, bytes], given: _Given, *, known: bool
) -> bytes:
    """The hash over the leaves ``start`` to ``stop``, of which ``indexes`` lie among them."""
    if not indexes:
        return given(start, stop) if stop > start else EMPTY_ROOT
    if stop - start == 1:
        return leaves[start] if known else b""
    middle = start + (1 << (stop - start - 1).bit_length() - 1)
    cut = bisect_left(indexes, middle)
    left = _walk(start, middle, indexes[:cut], leaves, given, known=known)
    right = _walk(middle, stop, indexes[cut:], leaves, given, known=known)
    return node_hash(left, right) if known else b""


def _range_hash(start: int, stop: int, subtree: Subtree) -> bytes:
    peaks = []
    while start < stop:
        height = (stop - start).bit_length() - 1
        peaks.append(subtree(height, start >> height))
        start += 1 << height
    return fold(peaks)


def _check_order(indexes: Sequence[int], size: int) -> None:
    if not 0 <= size <= MAX_SIZE or any(left >= right for left, right in pairwise(indexes)):
        raise BadInput("the leaves of a proof are named in ascending order, each once")
    if indexes and not 0 <= indexes[0] <= indexes[-1] < size:
        raise BadInput(f"leaf {indexes[-1]} is not in a tree of {size} leaves; ask for a larger tree")
