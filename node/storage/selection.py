"""Which nodes answer a question for a CAR: those on the way down a path, then what is wanted at its end.

This is what ``dag-scope`` and ``entity-bytes`` of the IPFS Trustless Gateway specification ask for (IPIP-402).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from catalog.cid import DAG_PB, RAW, Cid
from catalog.error import BadInput, VerificationFailed
from node.storage.directory import entries_of, resolve
from node.storage.nodes import links_of
from node.storage.unixfs import MAX_DEPTH, Get, Node, load, parse_node

_SPAN: Final = re.compile(r"(-?[0-9]{1,18}):(-?[0-9]{1,18}|\*)")


class Scope(StrEnum):
    """How much is wanted at the end of the path (``dag-scope``)."""

    BLOCK = "block"
    ENTITY = "entity"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file, ``first`` up to ``last`` (both included, none: to the end); negative ones count from its end."""

    first: int = 0
    last: int | None = None

    def within(self, size: int) -> tuple[int, int]:
        """The first byte, and the one behind the last, in a file of ``size`` bytes; the first is not behind the end."""
        first = self.first if self.first >= 0 else max(0, size + self.first)
        last = size - 1 if self.last is None else self.last if self.last >= 0 else size + self.last
        first = min(first, size)
        return first, max(first, min(last + 1, size))


def parse_span(text: str) -> Span:
    """Read ``entity-bytes``: ``FROM:TO`` or ``FROM:*``.

    Raises:
        BadInput: anything else, or one that ends before it begins.
    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise BadInput("entity-bytes is FROM:TO, two numbers, or FROM:*")
    span = Span(int(found[1]), None if found[2] == "*" else int(found[2]))
    if span.last is not None and (span.first < 0) == (span.last < 0) and span.last < span.first:
        raise BadInput("entity-bytes end before they begin")
    return span


def select(root: Cid, path: str, scope: Scope, span: Span, get: Get) -> Iterator[tuple[Cid, bytes]]:
    """The nodes that are asked for, parents before children, each once. ``span`` is looked at for a file's entity.

    Raises:
        BadInput, NotFound, VerificationFailed: as :func:`node.storage.directory.resolve` and ``get`` do.
    """
    got: dict[Cid, bytes] = {}
    given: set[Cid] = set()

    def taking(cid: Cid) -> bytes:
        if cid in given:
            return get(cid)
        data = got[cid] = got.get(cid) or get(cid)
        return data

    def fresh() -> Iterator[tuple[Cid, bytes]]:
        for cid, data in got.items():
            given.add(cid)
            yield cid, data
        got.clear()

    target = resolve(root, path, taking)
    yield from fresh()
    for _ in _below(target, scope, span, taking):
        yield from fresh()


def _below(target: Cid, scope: Scope, span: Span, get: Get) -> Iterator[None]:
    """Gets what is wanted, and stops after each node or so."""
    if scope is Scope.ALL:
        yield from _all(target, get)
        return
    data = get(target)
    yield
    if scope is Scope.BLOCK or target.codec not in (RAW, DAG_PB):
        return
    node = parse_node(target, data)
    if node.is_folder:
        for _ in entries_of(node, get):
            yield
    else:
        yield from _spanned(target, node, get, *span.within(node.size))


def _spanned(target: Cid, top: Node, get: Get, first: int, end: int) -> Iterator[None]:
    """The nodes of a file that hold its bytes from ``first`` up to ``end``.

    What lies wholly within that is gone down once, however often it stands in the file: few nodes may declare a size
    that no walk comes to the end of.
    """
    done: set[Cid] = set()
    stack: list[tuple[Cid, Node, int, int]] = [(target, top, 0, 0)]
    while stack:
        cid, node, at, depth = stack.pop()
        if depth > MAX_DEPTH or node.is_folder:
            raise VerificationFailed("a file's tree was refused: a part of it is none, or it has too many levels")
        whole = first <= at and at + node.size <= end
        if whole and cid in done:
            continue
        if whole:
            done.add(cid)
        yield
        at += len(node.message.data or b"")
        below: list[tuple[Cid, int, int]] = []
        seen: set[Cid] = set()
        for link, size in zip(node.links, node.message.blocks, strict=True):
            within = first <= at and at + size <= end
            if at + size > first and at < end and not (within and (link.cid in done or link.cid in seen)):
                below.append((link.cid, at, size))
                seen |= {link.cid} if within else set()
            at += size
        for linked, start, size in reversed(below):
            part = load(linked, get)
            if part.size != size:
                raise VerificationFailed("a file's tree was refused: a part is not what its parent declares")
            stack.append((linked, part, start, depth + 1))


def _all(target: Cid, get: Get) -> Iterator[None]:
    seen = {target}
    stack = [target]
    while stack:
        cid = stack.pop()
        data = get(cid)
        yield
        below = [linked for linked in links_of(cid, data) if not linked.is_keyed]
        for linked in reversed(below):
            if linked not in seen:
                seen.add(linked)
                stack.append(linked)
