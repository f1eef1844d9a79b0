"""A site's own log on disk: entries go in, and when :meth:`DiskLog.append` returns they are durable and signed for.

Appends that arrive while the disk is busy are committed together by whoever comes next: one flush of each file and
one signature for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from catalog.checkpoint import Checkpoint, add_line, sign_checkpoint
from catalog.error import BadInput, ComityError, Conflict
from catalog.key import Signer
from catalog.leaf import SALT_BYTES, encode_leaf, seal
from catalog.merkle import EMPTY_ROOT
from catalog.note import parse_note
from node.ports import Random
from node.storage.bodies import FILE, Bodies
from node.storage.durable import write_files
from node.storage.logfolder import CHECKPOINT, LogFolder, has_log, open_folder
from node.storage.stored import StoredLog


@dataclass(frozen=True, slots=True)
class Sealed:
    """One entry ready to be committed."""

    leaf: bytes
    salt: bytes
    body: bytes


@dataclass(slots=True, eq=False)
class Batch:
    """The entries of one append, kind and body each, and what became of them."""

    entries: Sequence[tuple[str, bytes]]
    first: int | None = None
    failure: ComityError = field(default_factory=lambda: ComityError("an append was interrupted; restart the node"))


class DiskLog(StoredLog):
    """The log of this site, with its key. New leaves name the consortium epoch in ``epoch``, which may be set."""

    def __init__(self, held: LogFolder, epoch: int, key: Signer, random: Random) -> None:
        super().__init__(held)
        self.epoch = epoch
        self._key = key
        self._random = random
        self._pending: list[Batch] = []
        self.appended: Callable[[], None] = _nobody
        """Called after each commit, before the appends that it holds return."""

    @classmethod
    async def create(cls, folder: Path, origin: str, epoch: int, key: Signer, random: Random) -> DiskLog:
        """Make an empty log in ``folder``, which is made if it is absent, and sign its first checkpoint.

        Raises:
            Conflict: a log is there already.
            BadInput: the origin cannot name a log.
        """
        await trio.to_thread.run_sync(_make, folder, origin, key)
        return await cls.open(folder, origin, epoch, key, random)

    @classmethod
    async def open(
        cls, folder: Path, origin: str, epoch: int, key: Signer, random: Random, earlier: tuple[str, ...] = ()
    ) -> DiskLog:
        """Open the log in ``folder``, and drop what a crash left beyond its checkpoint (see ``recovered``).

        Its checkpoint is by ``key`` or by one of those that the log had ``earlier``.

        Raises:
            NotFound: there is no log.
            Conflict: another process holds it.
            Damaged: a file is missing or damaged; the message names it.
        """
        held = await trio.to_thread.run_sync(open_folder, folder, origin, key.did, False, earlier)
        return cls(held, epoch, key, random)

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> int:
        """Append entries, each a kind and the bytes of its body, and return the index of the first.

        They stand together, durable and under a signed checkpoint, when this returns; places are given in the order
        of the calls. Once begun it is carried out, cancelled or not.

        Raises:
            BadInput: a kind or a body does not fit a leaf; nothing was appended.
            ComityError: the disk refused; nothing was appended, or the log takes nothing more until it is reopened.
        """
        if not entries:
            return self.size
        batch = Batch(entries)
        self._pending.append(batch)
        # Whoever appends has its place already, and what comes after counts on it: it is not taken back.
        with trio.CancelScope(shield=True):
            async with self._writing:
                if batch in self._pending:
                    await self._commit_pending()
        if batch.first is None:
            raise type(batch.failure)(str(batch.failure)) from batch.failure
        return batch.first

    async def sign_anew(self, also: Signer | None = None) -> None:
        """Sign the checkpoint that stands once more, with the log's key of now, and with ``also`` if that is given.

        Raises:
            ComityError: the disk refused.
        """
        async with self._writing:
            self._check_writable()
            note = sign_checkpoint(self.checkpoint, self._key)
            for line in parse_note(sign_checkpoint(self.checkpoint, also)).signatures if also is not None else ():
                note = add_line(note, line.line)
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(write_files, {self.folder / CHECKPOINT: note.encode()})
            self._state = replace(self._state, note=note)

    async def _commit_pending(self) -> None:
        group, self._pending = self._pending, []
        first = self.size
        try:
            self._check_writable()
            sealed = await trio.to_thread.run_sync(self._append, group)
        except ComityError as error:
            for batch in group:
                batch.failure = error
            return
        for batch in sealed:
            batch.first = first
            first += len(batch.entries)
        self.appended()

    def _append(self, group: Sequence[Batch]) -> list[Batch]:
        """Append the batches of ``group`` whose entries fit a leaf, and return them; the others get their failure."""
        sealed: list[Batch] = []
        entries: list[Sealed] = []
        for batch in group:
            try:
                entries += [self._seal(kind, body) for kind, body in batch.entries]
                sealed.append(batch)
            except BadInput as error:
                batch.failure = error
        if entries:
            growth = self._state.grow([entry.leaf for entry in entries])
            checkpoint = Checkpoint(self.origin, growth.edge.size, growth.edge.root)
            note = sign_checkpoint(checkpoint, self._key)
            rows = [(index, entry.salt, entry.body) for index, entry in enumerate(entries, self.size)]
            self._commit(growth, note, checkpoint, rows)
        return sealed

    def _seal(self, kind: str, body: bytes) -> Sealed:
        salt = self._random.token(SALT_BYTES)
        return Sealed(encode_leaf(seal(self.origin, self.epoch, kind, body, salt)), salt, body)


def _nobody() -> None:
    """Nobody waits for it."""


def _make(folder: Path, origin: str, key: Signer) -> None:
    if has_log(folder):
        raise Conflict(f"there is a log in {folder} already; choose another folder")
    note = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), key)
    folder.mkdir(parents=True, exist_ok=True)
    Bodies(folder / FILE).close()
    write_files({folder / CHECKPOINT: note.encode()})
