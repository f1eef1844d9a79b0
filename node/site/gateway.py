"""What lies below a root, as an IPFS trustless gateway gives it: raw nodes and CARs, which the asker verifies itself.

The paths and queries are those of the Trustless Gateway specification; a list of CIDs, sent by QUERY, is what is asked
for when a root is fetched whole. Who may ask is decided before (``node/site/shelf.py``).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Protocol
from urllib.parse import parse_qsl, unquote

import msgspec
import trio

from catalog.cid import Cid
from catalog.dagcbor import Value, decode
from catalog.error import BadInput, NotFound
from node.network.blob import Blob, lasting
from node.storage.car import header, prefix
from node.storage.directory import resolve
from node.storage.reachable import Reachable
from node.storage.selection import Scope, Span, parse_span, select

PREFIX: Final = "/ipfs/"
MOST_CIDS: Final = 1024
"""CIDs that one question names at most."""
MOST_REMEMBERED: Final = 1 << 20
"""Nodes whose root is remembered, over all roots: 32 bytes each."""
LOOK_SECONDS: Final = 10.0
"""After which a root that was not whole is looked through again."""
_MAX_QUERY: Final = 64 << 10
_PIECE: Final = 64 << 10


class Wanted(Value, frozen=True, kw_only=True):
    """The body of a QUERY: nodes that lie below the root."""

    cids: Annotated[tuple[Cid, ...], msgspec.Meta(min_length=1, max_length=MOST_CIDS)]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for below ``root``: a path there, or the nodes ``cids``."""

    root: Cid
    path: str
    car: bool
    scope: Scope
    span: Span
    cids: tuple[Cid, ...]

    @property
    def begins(self) -> bool:
        """Whether a fetch begins with it: all but one for nodes that do not include the root go on with another."""
        return not self.cids or self.root in self.cids


def read_question(method: str, path: str, query: str, body: bytes) -> Question:
    """Read a request whose path begins with :data:`PREFIX`.

    Raises:
        BadInput: it asks for nothing that is served.
    """
    root, _, rest = path.removeprefix(PREFIX).partition("/")
    if method == "QUERY":
        if rest or query:
            raise BadInput("a list of nodes has no path and no query")
        return Question(Cid.parse(root), "", True, Scope.BLOCK, Span(), decode(Wanted, body, _MAX_QUERY).cids)
    try:
        asked = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else [])
        rest = unquote(rest, errors="strict")
    except ValueError as error:
        raise BadInput("a path or query is not readable") from error
    car = {"car": True, "raw": False}.get(asked.pop("format", ""))
    scope = asked.pop("dag-scope", Scope.ALL if car else Scope.BLOCK)
    span = parse_span(asked.pop("entity-bytes", "0:*"))
    if method != "GET" or car is None or asked or scope not in set(Scope) or (not car and scope != Scope.BLOCK):
        raise BadInput("only format=raw and format=car are served, with dag-scope and entity-bytes")
    return Question(Cid.parse(root), rest, car, Scope(scope), span, ())


class Stored(Protocol):
    """What the gateway needs of a store."""

    def get(self, cid: Cid) -> bytes:
        """A node, verified. Blocking."""

    def size(self, cid: Cid) -> int | None:
        """Bytes of a node, none if it is not here. Blocking."""

    async def reachable(self, root: Cid) -> Reachable:
        """What lies below a root."""


class Gateway:
    """Answers from ``blobs``."""

    def __init__(self, blobs: Stored) -> None:
        self._blobs = blobs
        self._reachable: OrderedDict[Cid, tuple[Reachable, float]] = OrderedDict()
        self._looking = trio.Lock()

    async def answer(self, question: Question, stands: Callable[[], bool] = lasting) -> Blob:
        """The answer to a question of somebody who may ask it; ``stands`` says whether they may still.

        Raises:
            NotFound: nothing of that name lies below the root. BadInput, VerificationFailed: a malformed path or node.
        """
        if question.cids:
            await self._check(question)
            return Blob(None, _car(question.root, lambda: self._held(question.cids)), stands=stands)
        size = await trio.to_thread.run_sync(self._find, question)
        asked = question.root, question.path, question.scope, question.span, self._blobs.get
        if question.car:
            return Blob(None, _car(question.root, lambda: select(*asked)), stands=stands)
        return Blob(size, lambda first, end: iter([deque(select(*asked), 1)[0][1][first:end]]), stands=stands)

    def _find(self, question: Question) -> int:
        """Bytes of the node at the end of the path, which is not read yet: what is not there is said at once."""
        size = self._blobs.size(resolve(question.root, question.path, self._blobs.get))
        if size is None:
            raise NotFound("not stored here")
        return size

    async def _check(self, question: Question) -> None:
        # One after the other: questions for a root that come together look through it once.
        async with self._looking:
            known = await self._known(question)
        if not all(map(known.holds, question.cids)):
            raise NotFound("not below that root")

    async def _known(self, question: Question) -> Reachable:
        known, since = self._reachable.get(question.root, (None, 0.0))
        now = trio.current_time()
        # A root that was not whole may be by now; an asker cannot have it looked through ever again, though.
        stale = known is not None and not known.complete and since + LOOK_SECONDS < now
        if known is None or (stale and not all(map(known.holds, question.cids))):
            known = await self._blobs.reachable(question.root)
            self._reachable[question.root] = known, now
            while len(self._reachable) > 1 and sum(len(each) for each, _ in self._reachable.values()) > MOST_REMEMBERED:
                self._reachable.popitem(last=False)
        self._reachable.move_to_end(question.root)
        return known

    def _held(self, cids: tuple[Cid, ...]) -> Iterator[tuple[Cid, bytes]]:
        """Those of the nodes that are here: another holder may have the others."""
        for cid in cids:
            try:
                yield cid, self._blobs.get(cid)
            except NotFound:
                continue


def _car(root: Cid, nodes: Callable[[], Iterator[tuple[Cid, bytes]]]) -> Callable[[int, int | None], Iterator[bytes]]:
    """A CAR of nodes that are read as they are sent."""

    def read(_first: int, _end: int | None) -> Iterator[bytes]:
        pending = [header(root)]
        size = 0
        for cid, data in nodes():
            pending += prefix(cid, data), data
            size += len(data)
            if size >= _PIECE:
                # A large node goes out as it was read: joining it to what is before it would copy it.
                yield b"".join(pending[:-1])
                yield pending[-1]
                pending, size = [], 0
        yield b"".join(pending)

    return read
