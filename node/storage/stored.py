"""A log on disk as its readers see it: what a site's own log and a replica of another's have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import trio

from catalog import tiles
from catalog.checkpoint import Checkpoint, cosigners, merge_cosignatures, open_checkpoint
from catalog.error import BadInput, ComityError, Conflict, Damaged, NotFound, VerificationFailed
from catalog.leaf import decode_leaf, opens
from catalog.merkle import Subtree, leaf_hash, prove_consistency, prove_inclusion, root_of
from catalog.note import parse_note
from catalog.tiles import Tile
from node.storage import bodies
from node.storage.durable import show_file, write_files
from node.storage.logfolder import CHECKPOINT, COSIGNED, Growth, LogFolder, State
from node.storage.shown import show_leaves


@dataclass(slots=True, eq=False)
class Cosigning:
    """A note with cosignatures of ``witnesses`` that are to be kept, and what became of them."""

    note: str
    witnesses: Mapping[str, str]
    times: dict[str, int] | None = None
    failure: ComityError = field(default_factory=lambda: ComityError("keeping a cosignature was interrupted"))


class StoredLog:
    """Reads, proofs, erasure and cosignatures of one log. Made by :class:`DiskLog` and :class:`ReplicaLog`.

    Every method works on what is committed. Disk work is done in threads.
    """

    def __init__(self, held: LogFolder) -> None:
        self._held = held
        self._tiles = held.tiles
        self._bodies = held.bodies
        self._state = held.state
        self._writing = trio.Lock()
        self._cosigning = trio.Lock()
        self._cosignings: list[Cosigning] = []
        self._uncertain: str | None = None
        self._closed = False
        self.erasures = 0
        """How often bodies of it were erased in this run."""

    def trust(self, did: str, earlier: tuple[str, ...]) -> None:
        """The log's key is ``did`` from now on; checkpoints by its ``earlier`` keys are still read."""
        self._held = replace(self._held, did=did, earlier=earlier)

    @property
    def keys(self) -> tuple[str, ...]:
        """The log's key, and those that it had before."""
        return self._held.dids

    @property
    def folder(self) -> Path:
        """Where the log lies."""
        return self._held.path

    @property
    def origin(self) -> str:
        """The log's name, and its key's."""
        return self._state.checkpoint.origin

    @property
    def recovered(self) -> str | None:
        """What opening dropped because no checkpoint covers it, in plain words; none if nothing."""
        return self._held.recovered

    @property
    def checkpoint(self) -> Checkpoint:
        """The committed checkpoint."""
        return self._state.checkpoint

    @property
    def note(self) -> str:
        """The committed checkpoint as the note that the log's key signed; empty for a replica that has nothing."""
        return self._state.note

    @property
    def size(self) -> int:
        """The number of committed leaves."""
        return self._state.checkpoint.size

    @property
    def root(self) -> bytes:
        """The root over the committed leaves."""
        return self._state.checkpoint.root

    async def leaf(self, index: int) -> bytes:
        """The bytes of one leaf, checked against the tree.

        Raises:
            NotFound: the log has no such leaf.
            Damaged: its file is damaged.
        """
        if not 0 <= index < self.size:
            raise NotFound(f"«{self.origin}» has no leaf {index}: it has {self.size}")
        return (await self.leaves(index, index + 1))[0]

    async def leaves(self, start: int, stop: int) -> list[bytes]:
        """The leaves from ``start`` up to, not including, ``stop``, each checked against the tree.

        Raises:
            BadInput: the log does not have them all.
            Damaged: a file is damaged.
        """
        if not 0 <= start <= stop <= self.size:
            raise BadInput(f"«{self.origin}» has the leaves 0 to {self.size}; {start} to {stop} were asked for")
        return await trio.to_thread.run_sync(self._read_leaves, start, stop)

    async def read(self, start: int, stop: int) -> list[tuple[bytes, tuple[bytes, bytes] | None]]:
        """The leaves of a range, each with its salt and body, checked; none where those were erased or are not here.

        Raises:
            BadInput: the log does not have them all.
            Damaged: what is stored is damaged.
        """
        if not 0 <= start <= stop <= self.size:
            raise BadInput(f"«{self.origin}» has the leaves 0 to {self.size}; {start} to {stop} were asked for")
        return await trio.to_thread.run_sync(self._read_range, start, stop)

    async def body(self, index: int) -> tuple[bytes, bytes] | None:
        """Salt and body of a leaf, checked against its commitment; none if erased or, in a replica, not here.

        Raises:
            NotFound: the log has no such leaf.
            Damaged: what is stored is damaged.
        """
        if not 0 <= index < self.size:
            raise NotFound(f"«{self.origin}» has no leaf {index}: it has {self.size}")
        return await trio.to_thread.run_sync(self._read_body, index)

    def peek(self, index: int) -> bytes | None:
        """The body of a leaf at once: one indexed read, without a thread, not checked against its leaf.

        For projections of the log, which must answer with nothing in between.
        """
        return self._bodies.peek(index)

    async def any_body(self, indexes: Sequence[int]) -> bool:
        """Whether the body of any of these leaves is here."""
        return bool(await trio.to_thread.run_sync(self._bodies.sizes, indexes))

    async def fitting(self, indexes: Sequence[int], room: int, beside: int) -> list[int]:
        """The first of ``indexes`` whose bodies, with ``beside`` bytes for each, fit into ``room``; at least one."""
        sizes = await trio.to_thread.run_sync(self._bodies.sizes, indexes)
        for count, index in enumerate(indexes):
            room -= sizes.get(index, 0) + beside
            if room < 0:
                return list(indexes[: max(count, 1)])
        return list(indexes)

    async def show(
        self, indexes: Sequence[int], size: int
    ) -> tuple[list[tuple[bytes, tuple[bytes, bytes] | None]], bytes]:
        """The leaves at ``indexes`` (ascending), each with its salt and body, and one proof of them all.

        The proof is :func:`catalog.multiproof.prove_many` in the tree of the first ``size`` leaves.

        Raises:
            BadInput: the log or that tree does not have them all.
            Damaged: what is stored is damaged.
        """
        self._check_size(size)
        return await trio.to_thread.run_sync(self._show, indexes, size)

    async def tile(self, path: str) -> bytes | None:
        """The content of the tile or entry bundle at a path of C2SP tlog-tiles, as narrow as it says.

        None if that is no path of a tile, or of one that the committed tree does not have.

        Raises:
            Damaged: its file is damaged.
        """
        try:
            tile = Tile.parse(path)
        except BadInput:
            return None
        return await trio.to_thread.run_sync(self._tiles.read, tile) if tile.within(self.size) else None

    async def prove(self, index: int, size: int) -> list[bytes]:
        """The audit path of a leaf in the tree of the first ``size`` leaves.

        Raises:
            BadInput: ``index`` is not below ``size``, or the log is smaller than that.
            Damaged: a tile is damaged.
        """
        self._check_size(size)
        return await trio.to_thread.run_sync(lambda: prove_inclusion(index, size, self._subtree(size)))

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the first ``old`` leaves begin the first ``new``.

        Raises:
            BadInput: the log is smaller than that.
            Damaged: a tile is damaged.
        """
        self._check_size(new)
        return await trio.to_thread.run_sync(lambda: prove_consistency(old, new, self._subtree(new)))

    async def root_at(self, size: int) -> bytes:
        """The root over the first ``size`` leaves.

        Raises:
            BadInput: the log is smaller than that.
            Damaged: a tile is damaged.
        """
        self._check_size(size)
        return await trio.to_thread.run_sync(self._root_at, size)

    async def erase(self, *indexes: int) -> None:
        """Overwrite salt and body of leaves on disk; the log still verifies. Erasing again changes nothing.

        Raises:
            NotFound: the log has no such leaf.
            Conflict: another process reads the database at this moment.
        """
        self._check_erasable(indexes)
        if indexes:
            self.erasures += 1
            await trio.to_thread.run_sync(self._bodies.erase, *indexes)

    async def prune(self, rows: Mapping[int, Sequence[bytes]]) -> None:
        """Erase the leaves of ``rows``, and keep under these hashes what each was about.

        Raises:
            NotFound, Conflict: as for :meth:`erase`.
        """
        self._check_erasable(rows)
        if rows:
            self.erasures += 1
            await trio.to_thread.run_sync(self._bodies.prune, rows)

    async def pruned(self, start: int, stop: int) -> dict[int, list[bytes]]:
        """The leaves of a range that were pruned, each with the hashes of what it was about."""
        return await trio.to_thread.run_sync(self._bodies.pruned, start, stop)

    async def standing(self, indexes: Iterable[int]) -> list[int]:
        """Those of ``indexes`` that were not erased here: their bodies are here, or may still come."""
        return await trio.to_thread.run_sync(self._bodies.standing, indexes)

    async def mentioning(self, text: bytes) -> list[int]:
        """The leaves whose bodies are here and contain ``text``, in their order."""
        return await trio.to_thread.run_sync(self._bodies.mentioning, text)

    async def add_cosignatures(self, note: str, witnesses: Mapping[str, str]) -> dict[str, int]:
        """Keep the cosignatures that ``note``, a checkpoint of this log, carries from ``witnesses`` (name → did).

        The first that a witness gives for a size is kept for good: cosigning the same size again renews nothing.
        Returns when each of them cosigned that size first, in Unix seconds. Those that come while the disk is busy are
        kept together.

        Raises:
            VerificationFailed: not signed by the log's key, not this log's root, or a known witness's line is false.
            BadInput: the log is smaller than that.
        """
        mine = Cosigning(note, witnesses)
        self._cosignings.append(mine)
        async with self._cosigning:
            if mine in self._cosignings:
                group, self._cosignings = self._cosignings, []
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._keep_cosignatures, group)
        if mine.times is None:
            raise type(mine.failure)(str(mine.failure)) from mine.failure
        return mine.times

    async def cosigned(self, least: int = 0, count: int = 1) -> str | None:
        """The smallest checkpoint with at least ``least`` leaves that ``count`` witnesses cosigned, as a note."""
        return await trio.to_thread.run_sync(self._bodies.cosigned, least, count)

    async def last_cosigned(self, count: int = 1) -> str | None:
        """The largest checkpoint that ``count`` witnesses cosigned, as a note."""
        return await trio.to_thread.run_sync(self._bodies.last_cosigned, count)

    async def aclose(self) -> None:
        """Release the folder. Closing again does nothing."""
        with trio.CancelScope(shield=True):
            async with self._writing, self._cosigning:
                if not self._closed:
                    self._closed = True
                    await trio.to_thread.run_sync(self._held.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _check_erasable(self, indexes: Iterable[int]) -> None:
        beyond = next((index for index in indexes if not 0 <= index < self.size), None)
        if beyond is not None:
            raise NotFound(f"«{self.origin}» has no leaf {beyond} to erase: it has {self.size}")

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise BadInput(f"«{self.origin}» has {self.size} leaves; a tree of {size} was asked for")

    def _check_writable(self) -> None:
        if self._closed:
            raise Conflict(f"the log in {self.folder} was closed")
        if self._uncertain:
            raise ComityError(
                f"the log in {self.folder} takes nothing more: its disk failed while a checkpoint was being written"
                f" ({self._uncertain}); restart the node, which reads what the disk holds"
            )

    def _commit(
        self, growth: Growth, note: str, checkpoint: Checkpoint, rows: Sequence[tuple[int, bytes, bytes]]
    ) -> None:
        """Bodies, tiles, checkpoint, in this order; the caller holds ``_writing``.

        Raises:
            ComityError: the disk refused; nothing was committed, unless it failed in the commit itself, after which
                nothing more is taken: a second checkpoint of the same size would be a fork.
        """
        before = self._state.edge.size
        try:
            self._bodies.append(before, rows)
            self._tiles.write(growth.tiles)
        except OSError as error:
            raise ComityError(
                f"nothing was added to the log in {self.folder} ({error}); check the disk's space"
            ) from error
        self._uncertain = "it was interrupted"
        try:
            write_files({self.folder / CHECKPOINT: note.encode()})
        except OSError as error:
            self._uncertain = str(error)
            raise ComityError(
                f"the checkpoint in {self.folder} could not be written ({error}); restart the node"
            ) from error
        self._uncertain = None
        self._state = State(checkpoint, note, growth.edge, growth.tail)
        # The log is right with or without the narrower tiles; opening it tries again.
        with suppress(OSError):
            for tile in growth.tiles:
                self._tiles.replace(tile, before)

    def _subtree(self, size: int) -> Subtree:
        return tiles.subtree_of(size, self._tiles.require)

    def _root_at(self, size: int) -> bytes:
        return root_of(size, self._subtree(size))

    def _read_leaves(self, start: int, stop: int) -> list[bytes]:
        found: list[bytes] = []
        for bundle in tiles.bundles(start, stop):
            below = Tile(0, bundle.index, bundle.width)
            leaves = self._tiles.read_leaves(bundle)
            hashes = tiles.split_hashes(below, self._tiles.require(0, below.index, below.width))
            for offset in range(max(start - bundle.start, 0), bundle.width):
                if leaf_hash(leaves[offset]) != hashes[offset]:
                    raise Damaged(
                        f"{self._tiles.file(bundle)} or {below.path} is damaged: leaf {bundle.start + offset} is not"
                        " what was committed to; run «comity site fsck»"
                    )
                found.append(leaves[offset])
        return found

    def _read_range(self, start: int, stop: int) -> list[tuple[bytes, tuple[bytes, bytes] | None]]:
        bodies = self._bodies.between(start, stop)
        leaves = self._read_leaves(start, stop)
        for index, (salt, body) in bodies.items():
            self._check_opens(index, leaves[index - start], salt, body)
        return [(leaf, bodies.get(start + offset)) for offset, leaf in enumerate(leaves)]

    def _show(self, indexes: Sequence[int], size: int) -> tuple[list[tuple[bytes, tuple[bytes, bytes] | None]], bytes]:
        found, proof = show_leaves(self._tiles, indexes, size)
        bodies = self._bodies.among(indexes)
        for index, leaf in zip(indexes, found, strict=True):
            if index in bodies:
                self._check_opens(index, leaf, *bodies[index])
        return [(leaf, bodies.get(index)) for index, leaf in zip(indexes, found, strict=True)], proof

    def _read_body(self, index: int) -> tuple[bytes, bytes] | None:
        found = self._bodies.get(index)
        if found is not None:
            salt, body = found
            self._check_opens(index, self._read_leaves(index, index + 1)[0], salt, body)
        return found

    def _check_opens(self, index: int, leaf: bytes, salt: bytes, body: bytes) -> None:
        if not opens(decode_leaf(leaf), body, salt):
            raise Damaged(f"{self.folder / bodies.FILE}: the body of leaf {index} is not what was committed to")

    def _keep_cosignatures(self, group: Sequence[Cosigning]) -> None:
        kept: dict[int, str | None] = {}
        merged: dict[int, str] = {}
        good: list[tuple[int, Cosigning]] = []
        for each in group:
            try:
                size = self._check_own(each.note)
                if size not in kept:
                    kept[size] = self._bodies.cosigned_at(size)
                before = merged.get(size, kept[size])
                merged[size] = merge_cosignatures(before, each.note, self._held.dids, each.witnesses)
                good.append((size, each))
            except ComityError as error:
                each.failure = error
        try:
            for size, note in merged.items():
                if note != kept[size]:
                    self._keep_cosigned(size, note)
        except ComityError as error:
            for _, each in good:
                each.failure = error
            return
        for size, each in good:
            each.times = cosigners(merged[size], each.witnesses)

    def _keep_cosigned(self, size: int, note: str) -> None:
        count = len(parse_note(note).signatures) - 1
        if count:
            self._bodies.keep_cosigned(size, note, count)
            if self._bodies.last_cosigned() == note:
                show_file(self.folder / COSIGNED, note.encode())

    def _check_own(self, note: str) -> int:
        """The size in ``note``, if it is a checkpoint of this log."""
        checkpoint = open_checkpoint(note, self.origin, *self._held.dids)
        self._check_size(checkpoint.size)
        newest = self._state.checkpoint
        root = newest.root if checkpoint.size == newest.size else self._root_at(checkpoint.size)
        if checkpoint.root != root:
            raise VerificationFailed(
                f"«{self.origin}» is forked: its checkpoint of {checkpoint.size} leaves has another root than here"
            )
        return checkpoint.size
