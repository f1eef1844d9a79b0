"""The heads of all chains of an audit log as one Merkle map: where the last row about each subject stands.

The map's leaves are sorted by SHA-256 of the subject; each is that hash, the index of the subject's last row, and how
many rows it has, the two as eight bytes big-endian. The tree over them is a log's (RFC 9162). Two neighbours without
anything between them show that a subject has no row.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from catalog.body import Index
from catalog.dagcbor import Value
from catalog.error import VerificationFailed
from catalog.merkle import EMPTY_ROOT, leaf_hash, node_hash, prove_inclusion, verify_inclusion

Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]

MAX_HEADS: Final = 1 << 40


def subject_hash(subject: str) -> bytes:
    """Under which 32 bytes a subject stands in the map."""
    return hashlib.sha256(subject.encode()).digest()


class Head(Value, frozen=True, kw_only=True):
    """The last row of one chain: the subject's hash, the row's index, and how many rows the chain has."""

    subject: Hash
    index: Index
    count: Index

    @property
    def leaf(self) -> bytes:
        """The hash of the map's leaf."""
        return leaf_hash(self.subject + self.index.to_bytes(8, "big") + self.count.to_bytes(8, "big"))


class PlacedHead(Value, frozen=True, kw_only=True):
    """A head with its place in the map, and the audit path from there."""

    head: Head
    place: Index
    path: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=64)]


class HeadProof(Value, frozen=True, kw_only=True):
    """The subject's own head; or, where it has none, the heads on both sides of where it would stand."""

    heads: Annotated[tuple[PlacedHead, ...], msgspec.Meta(max_length=2)]


@dataclass(frozen=True, slots=True)
class HeadMap:
    """The map with all its inner hashes. ``heads`` are sorted by subject; ``levels`` begin with the leaves' hashes."""

    heads: tuple[Head, ...]
    levels: tuple[Sequence[bytes], ...]

    @classmethod
    def of(cls, heads: Iterable[Head]) -> HeadMap:
        """The map of these heads, one for each subject."""
        ordered = tuple(sorted(heads, key=lambda head: head.subject))
        level = [head.leaf for head in ordered]
        levels: list[Sequence[bytes]] = [level]
        while len(level) > 1:
            # A full subtree of RFC 9162 lies where it lies in a tree of pairs; only the last of a row may be alone.
            level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
            levels.append(level)
        return cls(ordered, tuple(levels))

    @property
    def root(self) -> bytes:
        """The root over all heads, 32 bytes."""
        root, size = b"", len(self.heads)
        for height, level in enumerate(self.levels):
            if size >> height & 1:
                peak = level[(size >> height) - 1]
                root = node_hash(peak, root) if root else peak
        return root or EMPTY_ROOT

    def prove(self, subject: str) -> HeadProof:
        """The proof of the subject's head, or that it has none."""
        key = subject_hash(subject)
        at = bisect_left(self.heads, key, key=lambda head: head.subject)
        if at < len(self.heads) and self.heads[at].subject == key:
            return HeadProof(heads=(self._placed(at),))
        beside = (place for place in (at - 1, at) if 0 <= place < len(self.heads))
        return HeadProof(heads=tuple(self._placed(place) for place in beside))

    def _placed(self, place: int) -> PlacedHead:
        path = prove_inclusion(place, len(self.heads), lambda height, index: self.levels[height][index])
        return PlacedHead(head=self.heads[place], place=place, path=tuple(path))


def verify_head(subject: str, root: bytes, count: int, proof: HeadProof) -> Head | None:
    """The head of ``subject`` in the map ``(count, root)``, or none if the proof shows that it has none.

    Raises:
        VerificationFailed: the proof shows neither.
    """
    for placed in proof.heads:
        verify_inclusion(placed.head.leaf, placed.place, count, root, placed.path)
    key = subject_hash(subject)
    if len(proof.heads) == 1 and proof.heads[0].head.subject == key:
        return proof.heads[0].head
    before, after = -1, count
    for placed in proof.heads:
        if placed.head.subject < key:
            before = max(before, placed.place)
        elif placed.head.subject > key:
            after = min(after, placed.place)
        else:
            raise VerificationFailed("a proof of a chain's head was refused: it shows the head and denies it")
    # Without neighbours the map must be empty; with them, nothing may stand between.
    if after != before + 1 or (count == 0 and root != EMPTY_ROOT):
        raise VerificationFailed("a proof was refused: it leaves room for the head that it says is not there")
    return None
