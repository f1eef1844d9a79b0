"""The embedded store: IPLD nodes as files under their CIDs, whole or absent, verified whenever they are read."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import trio

from catalog.cid import RAW, Cid
from catalog.error import BadInput, ComityError, NotFound, VerificationFailed
from catalog.project import ProjectRef
from node.storage.arriving import Arrival, arrival_folder, forget_arrivals
from node.storage.cancelling import cancellable, tick
from node.storage.car import header, prefix, read_header, read_nodes
from node.storage.dagpb import MAX_NODE
from node.storage.directory import entries_of, resolve
from node.storage.durable import sync_folders
from node.storage.exporter import Exporter
from node.storage.fresh import Fresh
from node.storage.importer import import_path
from node.storage.nodes import links_of, node_path, read_node
from node.storage.reachable import Reachable
from node.storage.room import Room
from node.storage.sealed import SealedNodes, Sealing
from node.storage.staging import Staging, alone, clear, locked
from node.storage.sweep import Swept, collect, remove
from node.storage.unixfs import Child, Get, Put, build_file, chunks_of, file_bytes, load

Build = Callable[[Put, Get], Child]
"""Makes nodes, puts them, and gives the root; it may be called once."""
MAX_BYTES: Final = 1 << 40
"""Bytes that one checkout writes at most, unless told otherwise."""
MAX_ENTRIES: Final = 1 << 20
"""Files and folders that one checkout makes at most, unless told otherwise."""
STALE_SECONDS: Final = 7 * 86_400.0
"""How long what began to arrive is kept without going on: a site that is away for a weekend goes on where it was."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder holds under a name. ``size`` is a file's bytes, 0 for a folder."""

    name: str
    cid: Cid
    is_folder: bool
    size: int


class DiskBlobs:
    """Content-addressed bytes in ``folder`` (made with mode 0700): implements :class:`node.ports.Blobs`.

    Opening removes what additions that were cut off left behind. Several may be open on one folder, in one process
    or more.
    """

    def __init__(self, folder: Path, quota: int = 0, keys: Path | None = None) -> None:
        """``quota`` bounds the bytes that it holds; 0 leaves that to the disk. ``keys`` is where projects' keys lie."""
        self._nodes, self._staging, self._arriving = folder / "nodes", folder / "staging", folder / "arriving"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for made in (self._nodes, self._staging, self._arriving, *(self._nodes / f"{byte:02x}" for byte in range(256))):
            made.mkdir(mode=0o700, exist_ok=True)
        sync_folders((self._nodes, folder, folder.parent))
        clear(self._staging)
        self._fresh = Fresh()
        self.sealed = SealedNodes(folder / "held", keys or folder / "keys")
        self._room = Room(quota, (self._nodes, self._staging, self._arriving, self.sealed.folder))
        self.quota = quota

    async def add(self, data: bytes) -> Cid:
        """Store ``data`` as a UnixFS file; durable when it returns.

        Raises:
            ComityError: the disk refuses.
        """
        return await self.build(lambda put, _get: build_file(chunks_of(data), put))

    async def add_path(self, path: Path, progress: Callable[[int], None] | None = None) -> Cid:
        """Import a file or folder as ``ipfs add -r --hidden --cid-version=1 --raw-leaves`` (Kubo 0.39) does.

        Durable when it returns; cancelling it leaves nothing that anyone names. ``progress`` is called, in a worker
        thread, with the bytes read so far.

        Raises:
            BadInput: not there, unreadable, a symbolic link, a device, socket or pipe, a name that is not UTF-8,
                too deep, or changed while it was read; the message names it.
            ComityError: the disk refuses.
        """
        return await self.build(lambda put, _get: import_path(path, put, tick(progress)))

    async def hold_path(self, path: Path, project: ProjectRef) -> Cid:
        """Import a file or folder as :meth:`add_path` does, sealed under the key of ``project``; raises the same."""
        return await self._keep(lambda put: import_path(path, put, tick(None)), self._sealing(project))

    async def hold(self, data: bytes, project: ProjectRef) -> Cid:
        """Store ``data`` as :meth:`add` does, sealed under the key of ``project``; raises the same."""
        return await self._keep(lambda put: build_file(chunks_of(data), put), self._sealing(project))

    async def hash_path(self, path: Path, progress: Callable[[int], None] | None = None) -> Cid:
        """The CID that :meth:`add_path` would give, storing nothing: for data that stay in place; raises the same."""
        child = await trio.to_thread.run_sync(lambda: import_path(path, _drop, tick(progress)))
        return child.cid

    async def put_nodes(self, nodes: Sequence[tuple[Cid, bytes]]) -> None:
        """Store IPLD nodes that came from elsewhere; durable when it returns.

        Raises:
            VerificationFailed: some bytes are not what their CID names, or are too many; none of them was stored.
            ComityError: the disk refuses.
        """

        def store() -> None:
            for cid, data in nodes:
                if len(data) > MAX_NODE or not cid.matches(data):
                    raise VerificationFailed(f"the bytes sent for «{cid}» are not what it names: nothing was stored")
            with self._adding() as staging:
                for cid, data in nodes:
                    staging.put(cid, data)
                staging.commit()

        await trio.to_thread.run_sync(store)

    async def read(self, root: Cid, path: str = "", limit: int = 1 << 20) -> bytes:
        """The whole file at ``path`` below ``root``, verified, at most ``limit`` bytes.

        Raises:
            NotFound: not here, or not complete.
            BadInput: a folder, or larger than ``limit``.
            VerificationFailed: the stored bytes are not what the CID names, or malformed.
        """

        def read() -> bytes:
            cid = resolve(root, path, self.get)
            node = load(cid, self.get)
            if node.size > limit:
                raise BadInput(f"«{path or cid}» has {node.size:,} bytes, more than the {limit:,} asked for")
            return b"".join(cancellable(file_bytes(cid, self.get)))

        return await trio.to_thread.run_sync(read)

    async def read_part(self, root: Cid, path: str, first: int, last: int) -> bytes:
        """The bytes ``first`` to ``last``, both included, of the file at ``path`` below ``root``; fewer at its end.

        Raises:
            NotFound, BadInput, VerificationFailed: as for :meth:`read`.
        """

        def read() -> bytes:
            cid = resolve(root, path, self.get)
            return b"".join(cancellable(file_bytes(cid, self.get, first, last + 1)))

        return await trio.to_thread.run_sync(read)

    async def entries(self, root: Cid, path: str = "") -> tuple[Entry, ...]:
        """What the folder at ``path`` below ``root`` holds, sorted by name.

        Raises:
            NotFound: not here, or not complete.
            BadInput: a file.
            VerificationFailed: as for :meth:`read`.
        """

        def look(name: str, cid: Cid) -> Entry:
            node = load(cid, self.get)
            return Entry(name, cid, node.is_folder, node.size)

        def read() -> tuple[Entry, ...]:
            folder = load(resolve(root, path, self.get), self.get)
            return tuple(look(name, cid) for name, cid in sorted(cancellable(entries_of(folder, self.get))))

        return await trio.to_thread.run_sync(read)

    async def checkout(
        self, root: Cid, target: Path, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES
    ) -> None:
        """Write the file or tree ``root`` to ``target``, which must not exist; every byte verified.

        Files get mode 0444, folders 0755. On failure or cancelling nothing stays at ``target``.

        Raises:
            NotFound, VerificationFailed: as for :meth:`read`.
            BadInput: ``target`` exists, or the tree is beyond the bounds.
            ComityError: the disk refuses.
        """
        exporter = Exporter(self.get, trio.from_thread.check_cancelled, max_bytes, max_entries)
        await trio.to_thread.run_sync(exporter.export, root, target)

    async def arrive(self, root: Cid, source: str, project: ProjectRef | None = None) -> Arrival:
        """What came of ``root`` from ``source`` so far, for it to go on; :meth:`adopt` it when all is there.

        What comes for a ``project`` alone is sealed under its key, on the way and when it is here.

        Raises:
            Conflict: it is being fetched at this moment. ComityError: the disk refuses.
        """

        def begin() -> Arrival:
            key = None if project is None else self.sealed.key_of(project)
            aside = self._arriving if key is None else key.arriving
            return Arrival(arrival_folder(aside, root, source), self._room, key)

        return await trio.to_thread.run_sync(begin)

    async def adopt(self, root: Cid, arrival: Arrival) -> None:
        """Store the nodes that arrived, all of them verified; durable when it returns, and the arrival is gone.

        Raises:
            ComityError: the disk refuses; what was not stored stays in the arrival, which is ``whole`` then.
        """

        def work() -> None:
            arrival.seal()
            with locked(self._staging, fcntl.LOCK_SH):
                arrival.take_in(root, self._place if arrival.key is None else arrival.key.place)
            arrival.discard()

        self._fresh.add(root)
        await trio.to_thread.run_sync(work)

    async def reachable(self, root: Cid) -> Reachable:
        """What is named at or below ``root`` here, some of which may be missing; empty if the root is not stored.

        Raises:
            VerificationFailed: a stored node is damaged or malformed.
        """

        def work() -> Reachable:
            walked = list(cancellable(self._walk(root)))
            whole = all(here for _, here in walked)
            named = [cid for cid, _ in walked] if whole or walked[0][1] else []
            return Reachable(named, complete=whole)

        return await trio.to_thread.run_sync(work)

    async def export_car(self, root: Cid, file: IO[bytes]) -> None:
        """Write everything below ``root`` to ``file`` as a CAR, each node once, in the order of a walk from the root.

        Raises:
            NotFound: some node is not here; ``file`` has what came before it. VerificationFailed: one is damaged.
        """

        def write() -> None:
            file.write(header(root))
            for cid, _ in cancellable(self._walk(root)):
                node = self.get(cid)
                file.write(prefix(cid, node) + node)

        await trio.to_thread.run_sync(write)

    async def import_car(self, file: IO[bytes]) -> tuple[Cid, ...]:
        """Store the nodes of a CAR and give its roots; durable when it returns. A root may lack nodes.

        Raises:
            VerificationFailed: it is no CAR, or not what it claims to be; nothing that anyone names was stored.
            ComityError: the disk refuses.
        """

        def read() -> tuple[Cid, ...]:
            roots = read_header(file)
            with self._adding() as staging:
                for cid, data in cancellable(read_nodes(file)):
                    staging.put(cid, data)
                staging.commit()
            return roots

        roots = await trio.to_thread.run_sync(read)
        self._fresh.add(*roots)
        return roots

    async def node(self, cid: Cid) -> bytes:
        """The IPLD node ``cid`` itself, verified.

        Raises:
            NotFound: not here.
            VerificationFailed: the stored bytes are not what the CID names.
        """
        return await trio.to_thread.run_sync(self.get, cid)

    def size(self, cid: Cid) -> int | None:
        """Bytes of the node ``cid``, damaged or not; none if it is not here. Blocking."""
        size = self.size_in_clear(cid)
        return self.sealed.size(cid) if size is None else size

    def get(self, cid: Cid) -> bytes:
        """The IPLD node ``cid``, verified. Blocking: call it in a worker thread.

        Raises:
            NotFound: not here.
            VerificationFailed: the stored bytes are not what the CID names.
            ComityError: the disk refuses.
        """
        try:
            return self._get(cid)
        except NotFound:
            held = self.sealed.get(cid)
            if held is None:
                raise
        if not cid.matches(held):
            raise VerificationFailed(f"what is held as «{cid}» is other bytes: run the step again")
        return held

    async def missing(self, root: Cid, project: ProjectRef | None = None) -> Sequence[Cid]:
        """Nodes below ``root`` that are known by name and not here; empty when it is complete.

        With a ``project``, what is not held for that is missing. Keyed CIDs name no bytes, and are not missing.

        Raises:
            VerificationFailed: a stored node is damaged or malformed.
        """

        def look() -> list[Cid]:
            size = self.size if project is None else self.sealed.key_of(project).size
            return [cid for cid, here in cancellable(self._walk(root, size)) if not here]

        return await trio.to_thread.run_sync(look)

    async def used(self) -> int:
        """Bytes that lie in its folder, those that are on their way into the store too."""
        return await trio.to_thread.run_sync(self._room.used)

    def named(self, root: Cid) -> None:
        """Something that is kept names ``root`` now, so that it is fresh no more (:data:`FRESH_SECONDS`)."""
        self._fresh.discard(root)

    def touch(self, root: Cid) -> None:
        """Somebody is reading ``root``, so that it is fresh again."""
        self._fresh.add(root)

    async def drop(self, kept: Callable[[], Iterable[Cid]]) -> Swept:
        """Remove every node that is reached neither from ``kept`` roots nor from fresh ones.

        ``kept`` is asked twice, in trio's thread: before the store is looked through, and again while nothing can be
        added, for what has come meanwhile.

        Raises:
            Conflict: something is being added at this moment; nothing was removed, try again.
            VerificationFailed: a node below a kept root is damaged, so that what it names is not known.
            ComityError: the disk refuses; what was removed stays so, try again.
        """

        def work() -> Swept:
            for aside in (self._arriving, *self.sealed.arriving()):
                forget_arrivals(aside, time.time() - STALE_SECONDS, self._room)
            stored, held = self._stored(), self.sealed.files()
            reached: set[bytes] = set()
            whole: set[Cid] = set()
            self._mark(trio.from_thread.run_sync(kept), reached, whole)
            with alone(self._staging):
                fresh = trio.from_thread.run_sync(self._fresh.standing)
                self._mark(trio.from_thread.run_sync(kept), reached, whole)
                self._mark(fresh, reached, whole)
                swept = self._remove(stored, reached, min(fresh.values(), default=None))
                return swept.and_more(*self.sealed.remove(held, reached))

        return await trio.to_thread.run_sync(work)

    def _mark(self, roots: Iterable[Cid], reached: set[bytes], whole: set[Cid]) -> None:
        """Add the digests of all nodes below ``roots``; a root that was ``whole`` before is not walked again."""
        for root in roots:
            if root not in whole:
                walked = list(cancellable(self._walk(root)))
                reached.update(cid.digest for cid, here in walked if here)
                if all(here for _, here in walked):
                    whole.add(root)

    async def build(self, work: Build) -> Cid:
        """Store what ``work`` makes, in a worker thread, with a ``Put`` and a ``Get``; durable when it returns.

        Raises:
            ComityError: the disk refuses; and what ``work`` raises.
        """
        return await self._keep(lambda put: work(put, self.get), self._adding)

    async def _keep(self, work: Callable[[Put], Child], adding: Callable[[], Staging]) -> Cid:
        def store() -> Cid:
            with adding() as staging:
                child = work(staging.put)
                staging.commit()
                return child.cid

        root = await trio.to_thread.run_sync(store)
        self._fresh.add(root)
        return root

    def _sealing(self, project: ProjectRef) -> Callable[[], Staging]:
        return lambda: Sealing(self._staging, self.sealed.key_of(project), self._room)

    # Where nodes are kept; what lies elsewhere than in files overrides these, and nothing above.

    def size_in_clear(self, cid: Cid) -> int | None:
        """The same, but of a node that is held for a project alone none. Blocking."""
        try:
            return self._place(cid).stat().st_size
        except FileNotFoundError:
            return None

    def _get(self, cid: Cid) -> bytes:
        try:
            data = read_node(self._place(cid))
        except FileNotFoundError as error:
            raise NotFound(f"«{cid}» is not in this store, or not completely: fetch it again") from error
        except OSError as error:
            raise ComityError(f"«{cid}» could not be read: {error.strerror}; see to the site's disk") from error
        if not cid.matches(data):
            raise VerificationFailed(f"the stored bytes of «{cid}» are damaged: fetch or add it again")
        return data

    def _adding(self) -> Staging:
        return Staging(self._staging, self._place, self._room)

    def _stored(self) -> dict[bytes, list[Cid]]:
        return collect(self._nodes)

    def _remove(self, stored: dict[bytes, list[Cid]], reached: set[bytes], spared: float | None) -> Swept:
        try:
            return remove(self._place, stored, reached, spared)
        finally:
            self._room.count_again()

    def _place(self, cid: Cid) -> Path:
        return node_path(self._nodes, cid)

    def _walk(self, root: Cid, size: Callable[[Cid], int | None] | None = None) -> Iterator[tuple[Cid, bool]]:
        """Each CID named at or below ``root``, once, and whether its node is here, by the ``size`` that it has."""
        size = size or self.size
        seen = {root}
        stack = [root]
        while stack:
            cid = stack.pop()
            here = size(cid) is not None
            yield cid, here
            # A raw leaf links to nothing: it is not read, so that walking costs little beside the bytes below.
            for linked in links_of(cid, self.get(cid)) if here and cid.codec != RAW else ():
                if linked not in seen and not linked.is_keyed:
                    seen.add(linked)
                    stack.append(linked)


def _drop(cid: Cid, data: bytes) -> None:
    """Store nothing."""
