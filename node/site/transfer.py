"""Fetching a whole root from several holders at once: who is asked for what, until every node is here.

The root is asked for first; what a node links to becomes known, and is wanted, when it has come. What is wanted is
dealt out in batches to whoever is free, so a fast holder gives more than a slow one. Each node is verified as it
arrives and kept (:class:`node.storage.arriving.Arrival`), so neither a crash nor a holder that breaks off costs more
than the nodes that were on their way. A holder that sends what it was not asked for, or wrong bytes, is asked no more;
one that is slow is overtaken: what it has not sent is asked of another as well when nothing else is left to ask for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Final, Protocol, TypeVar

import trio

from catalog.cid import DAG_PB, RAW, Cid
from catalog.dagcbor import encode
from catalog.error import BadInput, ComityError, Infeasible, NotFound, Unreachable, VerificationFailed
from node.site.gateway import MOST_CIDS, PREFIX, Wanted
from node.storage.arriving import Arrival
from node.storage.car import read_header, read_nodes
from node.storage.dagpb import decode_node
from node.storage.nodes import links_of

T = TypeVar("T")

LINES: Final = 2
"""Questions at once to one holder: while one answer is verified the next one is under way."""
FIRST_BATCH: Final = 1 << 20
LARGEST_BATCH: Final = 16 << 20
"""Bytes that one question asks for: about a second's worth of what that holder has sent so far."""
TRIES: Final = 6
"""Times that a holder is asked again that breaks off and sends nothing meanwhile."""
PAUSE_SECONDS: Final = 0.5
"""Before it is asked again; twice as long each time."""
OVERTAKE_SECONDS: Final = 2.0
"""How long a holder has what it was asked for to itself."""
MAX_DEPTH: Final = 256
"""Nodes below one another: 64 folders in folders, each sharded, and the tree of a file."""
_TOGETHER: Final = 128 << 10
"""Bytes of nodes that are kept together; so much may have come in vain when this process is killed."""
_OVERHEAD: Final = 256
"""Bytes that a node costs beside its own."""
_INNER: Final = 16 << 10
"""Bytes that a node which links to others is taken for."""
_SLACK: Final = 1 << 20
"""Bytes of an answer beside the nodes in it."""


def nowhere(_cid: Cid) -> bool:
    """Nothing is here."""
    return False


class Holders(Protocol):
    """Asks other sites for nodes."""

    async def query(self, site: str, path: str, query: bytes, take: Callable[[IO[bytes]], T], limit: int) -> T:
        """Let ``take`` read the answer of ``site`` in a worker thread.

        Raises:
            Unreachable, NotFound, VerificationFailed: as the ``Bulk`` port says.
        """


@dataclass(frozen=True, slots=True)
class Want:
    """A node that is to come: what its parent says that it and all below it take (a hint), and how deep it lies."""

    cid: Cid
    size: int
    depth: int


@dataclass(slots=True)
class Progress:
    """How far a transfer is: ``done`` of ``total`` bytes, as far as is known; ``began`` is trio's time.

    ``arrived`` gives the bytes that came since it began, ``resumed`` are those that were here before.
    """

    root: Cid
    sites: tuple[str, ...]
    arrived: Callable[[], int]
    total: int = 0
    resumed: int = 0
    began: float = field(default_factory=trio.current_time)

    @property
    def done(self) -> int:
        """Bytes that are here."""
        return self.resumed + self.arrived()

    @property
    def rate(self) -> float:
        """Bytes a second that came since it began."""
        return self.arrived() / max(trio.current_time() - self.began, 0.001)

    @property
    def seconds_left(self) -> float | None:
        """At that rate; none while nothing has come."""
        return max(0, self.total - self.done) / self.rate if self.rate else None


@dataclass(slots=True)
class _Batch:
    """What ``site`` was asked for at ``since`` and has not sent yet."""

    site: str
    wants: dict[Cid, Want]
    since: float


@dataclass(frozen=True, slots=True)
class _Came:
    """A node that came, and what it links to."""

    want: Want
    size: int
    below: tuple[Want, ...]


class Transfer:
    """One root on its way here from ``sites``; used once."""

    def __init__(
        self,
        root: Cid,
        sites: Sequence[str],
        holders: Holders,
        arrival: Arrival,
        limit: int,
        lacking: Sequence[Cid] = (),
        here: Callable[[Cid], bool] = nowhere,
    ) -> None:
        """``limit`` bounds the bytes that are taken, and so the disk that a lying root can fill.

        What is ``here``, which is asked in a worker thread, does not come, nor what is below it. With ``lacking`` only
        these come, and what is below them.
        """
        self._root = root
        self._lacking_here, self._here = lacking, here
        self._holders = holders
        self._arrival = arrival
        self._limit = limit
        self._sites = list(dict.fromkeys(sites))
        self._wanted: deque[Want] = deque()
        self._known: set[Cid] = set()  # wanted, or asked for
        self._batches: list[_Batch] = []
        self._changed = trio.Event()
        self._speed: dict[str, float] = {}
        self._lacking: dict[Cid, set[str]] = {}  # of what is wanted, who does not have it
        self._failure: ComityError = NotFound(f"nobody who has «{root}» is known")
        self._over = False
        self.refused: dict[str, None] = {}
        """The sites that answered and gave nothing, in their order."""
        self.progress = Progress(root, tuple(self._sites), lambda: arrival.added)

    async def run(self) -> None:
        """Have all nodes below the root in the arrival.

        Raises:
            NotFound: no holder has it for us. Unreachable: none answers. VerificationFailed: all that answer send
                something else, or there is more than ``limit``. What the last holder did that was left is told.
            ComityError: the disk refuses.
        """
        await self._resume()
        async with trio.open_nursery() as nursery:
            for site in self._sites:
                for _ in range(LINES):
                    nursery.start_soon(self._ask_on, site)
            while self._sites and not self._over and (self._wanted or self._batches):
                await self._changed.wait()
            nursery.cancel_scope.cancel()
        if self._over or self._wanted or self._batches:
            raise self._failure

    async def _resume(self) -> None:
        """Find what lies here from before, verified, and what is still wanted."""
        wanted, size = [Want(self._root, 0, 0)], 0
        if self._lacking_here:
            self._arrival.keep_only(())
            wanted = [Want(cid, 0, 0 if cid == self._root else 1) for cid in self._lacking_here]
        elif self._arrival.held:
            wanted, size = await trio.to_thread.run_sync(_look_through, self._arrival, self._root, self._here)
        self._limit -= size
        self._wanted.extend(wanted)
        self._known.update(want.cid for want in wanted)
        self.progress.resumed = size
        self.progress.total = size + sum(want.size for want in wanted)

    @property
    def _left(self) -> int:
        """Bytes that may still come; what two holders sent counts once."""
        return self._limit - self._arrival.added

    async def _ask_on(self, site: str) -> None:
        """Ask ``site`` for what is wanted until nothing is, or it has failed for good."""
        failed = 0
        while site in self._sites:
            batch = self._deal(site)
            if batch is None:
                with trio.move_on_after(OVERTAKE_SECONDS):
                    await self._changed.wait()
                continue
            try:
                failed = 0 if await self._carry(batch) else failed + 1
            except (BadInput, NotFound, VerificationFailed) as error:
                if isinstance(error, NotFound):
                    self.refused[site] = None
                self._give_up(site, error)
            except ComityError as error:
                self._failure, self._over = error, True
                self._wake()
                return
            if failed == TRIES:
                self._give_up(site, self._failure)
            elif failed:
                await trio.sleep(PAUSE_SECONDS * 2 ** (failed - 1))

    def _deal(self, site: str) -> _Batch | None:
        """What ``site`` is asked for next: what nobody was asked for, else what another is slow with."""
        wants: dict[Cid, Want] = {}
        size = 0
        most = min(max(FIRST_BATCH, int(self._speed.get(site, 0))), LARGEST_BATCH)
        others: list[Want] = []
        while self._wanted and len(wants) < MOST_CIDS and size < most:
            want = self._wanted.popleft()
            if site in self._lacking.get(want.cid, ()):
                others.append(want)
                continue
            wants[want.cid] = want
            size += _own_size(want)
        self._wanted.extendleft(reversed(others))
        if not wants:
            wants = self._overtaken(site)
        if not wants:
            return None
        batch = _Batch(site, wants, trio.current_time())
        self._batches.append(batch)
        return batch

    def _overtaken(self, site: str) -> dict[Cid, Want]:
        late = trio.current_time() - OVERTAKE_SECONDS
        others = [each for each in self._batches if each.site != site and each.since < late]
        if not others:
            return {}
        slowest = min(others, key=lambda each: each.since)
        slowest.since = trio.current_time()
        return {cid: want for cid, want in slowest.wants.items() if site not in self._lacking.get(cid, ())}

    async def _carry(self, batch: _Batch) -> bool:
        """Ask for a batch and take what comes; false if it broke off before anything came.

        Raises:
            NotFound, VerificationFailed: the site is of no use. ComityError: nothing can go on.
        """
        came: list[_Came] = []
        asked = dict(batch.wants)

        def take(answer: IO[bytes]) -> None:
            read_header(answer)
            for nodes in _some(read_nodes(answer)):
                below = [
                    tuple(each for each in _below(_asked_for(asked, cid), data) if not self._here(each.cid))
                    for cid, data in nodes
                ]
                self._arrival.put(nodes)
                self._arrival.came_from(batch.site)
                for (cid, data), linked in zip(nodes, below, strict=True):
                    came.append(_Came(asked.pop(cid), len(data), linked))

        query = encode(Wanted(cids=tuple(batch.wants)))
        began, broke_off = trio.current_time(), False
        try:
            await self._holders.query(batch.site, f"{PREFIX}{self._root}", query, take, self._left + _SLACK)
        except Unreachable as error:
            self._blame(error)
            broke_off = True
        else:
            for cid in asked:
                self._lacking.setdefault(cid, set()).add(batch.site)
        finally:
            self._settle(batch, came)
        size = sum(each.size for each in came)
        self._speed[batch.site] = size / max(trio.current_time() - began, 0.01)
        if self._left < 0:
            raise Infeasible(f"«{self._root}» was not fetched: there is more below it than was announced")
        return bool(came) or not broke_off

    def _settle(self, batch: _Batch, came: Sequence[_Came]) -> None:
        """Take a batch off the books: what came is done with, whoever was asked for it; the rest is wanted again."""
        self._batches.remove(batch)
        for each in came:
            for asked in (batch, *self._batches):
                asked.wants.pop(each.want.cid, None)
            self._known.discard(each.want.cid)
            self._lacking.pop(each.want.cid, None)
            fresh = [below for below in each.below if not self._is_known(below.cid)]
            self._known.update(below.cid for below in fresh)
            # The latest first: so what is known and not yet here stays little, however large the root.
            self._wanted.extendleft(reversed(fresh))
            if each.want.depth == 0:
                self.progress.total = each.size + sum(below.size for below in each.below)
        under_way = {cid for other in self._batches for cid in other.wants}
        self._wanted.extendleft(want for want in batch.wants.values() if want.cid not in under_way)
        self._look_for_hope()

    def _is_known(self, cid: Cid) -> bool:
        return cid in self._known or self._arrival.holds(cid)

    def _give_up(self, site: str, why: ComityError) -> None:
        self._blame(why)
        if site in self._sites:
            self._sites.remove(site)
        self._look_for_hope()

    def _blame(self, why: ComityError) -> None:
        """Tell this in the end, unless what ended it all is known already."""
        if not self._over:
            self._failure = why

    def _look_for_hope(self) -> None:
        """Go on, unless there is something that no holder which is left has."""
        if any(lacking.issuperset(self._sites) for lacking in self._lacking.values()) and not self._over:
            if len(self._sites) == len(self.progress.sites):  # else why one was given up says more
                self._failure = NotFound(f"«{self._root}» is not whole anywhere that it was asked for")
            self._over = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _some(nodes: Iterator[tuple[Cid, bytes]]) -> Iterator[list[tuple[Cid, bytes]]]:
    """The nodes as they come, some at a time; those before a fault come before it is raised."""
    batch: dict[Cid, bytes] = {}
    size = 0
    try:
        for cid, data in nodes:
            batch[cid] = data
            size += len(data)
            if size >= _TOGETHER:
                yield list(batch.items())
                batch, size = {}, 0
    except (Unreachable, VerificationFailed):
        yield list(batch.items())
        raise
    yield list(batch.items())


def _asked_for(asked: Mapping[Cid, Want], cid: Cid) -> Want:
    """What was said of a node when it was asked for.

    Raises:
        VerificationFailed: it was not.
    """
    want = asked.get(cid)
    if want is None:
        raise VerificationFailed(f"a node came that was not asked for: «{cid}»")
    return want


def _own_size(want: Want) -> int:
    """About what a node itself takes, of what it and all below it do."""
    most = want.size if want.cid.codec == RAW else min(want.size, _INNER)
    return most + _OVERHEAD


def _look_through(arrival: Arrival, root: Cid, stored: Callable[[Cid], bool]) -> tuple[list[Want], int]:
    """What is still wanted below ``root``, in its order, and how many bytes have come. Blocking."""
    wanted: list[Want] = []
    size = 0
    stack = [Want(root, 0, 0)]
    known = {root}
    here: set[Cid] = set()
    while stack:
        trio.from_thread.check_cancelled()
        want = stack.pop()
        try:
            data = arrival.get(want.cid)
        except NotFound:
            wanted.append(want)
            continue
        size += len(data)
        here.add(want.cid)
        fresh = {below.cid: below for below in _below(want, data) if below.cid not in known and not stored(below.cid)}
        known.update(fresh)
        stack.extend(reversed(fresh.values()))
    # What hangs below a node that was lost comes again: nobody would look below it otherwise.
    arrival.keep_only(here)
    return wanted, size


def _below(want: Want, data: bytes) -> Iterator[Want]:
    """What a node links to.

    Raises:
        VerificationFailed: malformed, or too deep.
    """
    if want.cid.codec == DAG_PB:
        links = [(link.cid, link.total) for link in decode_node(data).links]
    else:
        links = [(cid, 0) for cid in links_of(want.cid, data)]
    if links and want.depth == MAX_DEPTH:
        raise VerificationFailed(f"a root was refused: more than {MAX_DEPTH} nodes below one another")
    for cid, size in links:
        if not cid.is_keyed:
            yield Want(cid, min(size, 1 << 50), want.depth + 1)
