"""Merkle trees of a log (RFC 9162 section 2.1, the tree of RFC 6962, over SHA-256).

Proofs are made over a *subtree reader*: a function that gives the hash of a full subtree by height and index, so
the same code works over tiles on disk, tiles from a peer, and hashes in memory. Verification trusts nothing and is
bounded by the length that the sizes imply.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from catalog.error import BadInput, VerificationFailed

HASH: Final = 32
"""Bytes of a hash."""

MAX_SIZE: Final = 1 << 62
"""Leaves that a tree may have; a larger number in a proof or a checkpoint is refused."""

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

Subtree = Callable[[int, int], bytes]
"""``(height, index)`` → hash over the leaves from ``index << height`` up to ``(index + 1) << height``."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one leaf, 32 bytes."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over the hashes of its children."""
    return hashlib.sha256(b"\1" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """What a growing tree must remember: its size and the roots of its full subtrees, the largest first.

    There is one peak for each bit that is set in ``size``.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Frontier:
        """The frontier with one more leaf, given by its hash."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """The frontier with more leaves, given by their hashes."""
        peaks, size = list(self.peaks), self.size
        for peak in leaves:
            bits = size
            while bits & 1:
                peak = node_hash(peaks.pop(), peak)
                bits >>= 1
            peaks.append(peak)
            size += 1
        return Frontier(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return fold(self.peaks)


def fold(peaks: Sequence[bytes]) -> bytes:
    """The root over the peaks of adjacent full subtrees, the largest first."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def root_of(size: int, subtree: Subtree) -> bytes:
    """The root of the first ``size`` leaves."""
    return _range_hash(0, size, subtree)


def prove_inclusion(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree of ``size`` leaves, its sibling first (section 2.1.3.1).

    Raises:
        BadInput: the tree has no such leaf.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise BadInput(f"leaf {index} is not in a tree of {size} leaves; ask for a smaller index or a larger tree")
    path = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(_range_hash(middle, stop, subtree))
            stop = middle
        else:
            path.append(_range_hash(start, middle, subtree))
            start = middle
    return path[::-1]


def prove_consistency(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """The proof that the tree of ``old`` leaves is a beginning of the tree of ``new`` (section 2.1.4.1).

    It is empty if either is empty or both are the same.

    Raises:
        BadInput: ``old`` is larger than ``new``, or negative.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise BadInput(f"a tree of {old} leaves is no beginning of one of {new}; exchange the two sizes")
    if old in (0, new):
        return []
    path = []
    start, stop = 0, new
    while stop != old:
        middle = start + _split(stop - start)
        if old <= middle:
            path.append(_range_hash(middle, stop, subtree))
            stop = middle
        else:
            path.append(_range_hash(start, middle, subtree))
            start = middle
    if start > 0:
        path.append(_range_hash(start, stop, subtree))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the leaf with the hash ``leaf`` is number ``index`` of the tree ``(size, root)`` (section 2.1.3.2).

    Raises:
        VerificationFailed: it is not, or the proof is too short, too long or malformed.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise VerificationFailed(f"an inclusion proof was refused: leaf {index} is not in a tree of {size} leaves")
    _check_hashes(proof)
    node, last, value = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise VerificationFailed(f"an inclusion proof for leaf {index} was refused: it is too long")
        if node & 1 or node == last:
            value = node_hash(step, value)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, step)
        node, last = node >> 1, last >> 1
    if last != 0 or value != root:
        raise VerificationFailed(f"leaf {index} is not in the tree of {size} leaves that its proof names")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree ``(old, old_root)`` is a beginning of ``(new, new_root)`` (section 2.1.4.2).

    Raises:
        VerificationFailed: it is not, or the proof is too short, too long or malformed.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise VerificationFailed(f"a log shrank: {new} leaves were shown after {old}")
    _check_hashes(proof)
    # A tree without leaves begins every tree, and a tree begins itself: nothing is left to prove.
    if old in (0, new):
        trivial = not proof and old_root == (EMPTY_ROOT if old == 0 else new_root)
        if not trivial or (new == 0 and new_root != EMPTY_ROOT):
            raise _inconsistent(old, new)
    # An old tree that is one full subtree has its root as the proof's first hash, which is not sent.
    elif roots_of_path(old, new, full_path(old, old_root, proof)) != (old_root, new_root):
        raise _inconsistent(old, new)


def full_path(old: int, old_root: bytes, proof: Sequence[bytes]) -> list[bytes]:
    """A consistency proof with the hash in front that RFC 9162 leaves out where it is the old root itself."""
    return [*([old_root] if old & (old - 1) == 0 else []), *proof]


def roots_of_path(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The roots of the first ``old`` and of all ``new`` leaves to which a :func:`full_path` leads.

    None if the path is too short or too long for these sizes, of which ``old`` is the smaller one and not 0. Whoever
    finds a path to a root has found the root of the leaves that it begins with: two paths that differ in the one and
    not in the other would be a collision of SHA-256.
    """
    if not 0 < old < new <= MAX_SIZE:
        return None
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    if not path:
        return None
    first = second = path[0]
    for step in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, step)
        node, last = node >> 1, last >> 1
    return (first, second) if last == 0 else None


def _inconsistent(old: int, new: int) -> VerificationFailed:
    return VerificationFailed(f"a log was rewritten: its {old} leaves are not the beginning of its {new}")


def _check_hashes(proof: Sequence[bytes]) -> None:
    if len(proof) > 2 * MAX_SIZE.bit_length() or any(len(step) != HASH for step in proof):
        raise VerificationFailed("a proof was refused: it is not a short list of 32-byte hashes")


def _split(count: int) -> int:
    """The largest power of two smaller than ``count``."""
    return 1 << (count - 1).bit_length() - 1


def _range_hash(start: int, stop: int, subtree: Subtree) -> bytes:
    """The hash over leaves ``start`` to ``stop``; ``start`` is a multiple of the largest full subtree within."""
    peaks = []
    while start < stop:
        height = (stop - start).bit_length() - 1
        peaks.append(subtree(height, start >> height))
        start += 1 << height
    return fold(peaks)
