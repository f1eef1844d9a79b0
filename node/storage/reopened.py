"""The epochs of this site's own logs on disk: the reopenings beside each, and the log begun anew under one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from catalog.checkpoint import Checkpoint, sign_checkpoint
from catalog.dagcbor import decode, encode
from catalog.error import ComityError, Conflict, Damaged, VerificationFailed
from catalog.key import Signer
from catalog.merkle import root_of
from catalog.origin import LogName, log_of, number_of, origin_of
from catalog.reopening import Reopening, Reopenings, check_accepted, check_chain
from catalog.tiles import subtree_of
from node.regular import read_regular
from node.storage.durable import write_files
from node.storage.facts import Facts, Kept
from node.storage.logfolder import CHECKPOINT, COSIGNED, open_folder, read_note
from node.storage.tilefolder import TileFolder

FILE: Final = "reopenings"
_MAX: Final = 256 << 10


def read_reopenings(folder: Path) -> tuple[Reopening, ...]:
    """The reopenings of the log in ``folder``, the oldest first; not verified.

    Raises:
        Damaged: the file is damaged.
    """
    try:
        data = read_regular(folder / FILE, _MAX)
    except FileNotFoundError:
        return ()
    try:
        return decode(Reopenings, data, _MAX).chain
    except VerificationFailed as error:
        raise Damaged(f"{folder / FILE} is damaged ({error}); restore it from a backup") from error


def own_origin(folder: Path, site: str, log: LogName) -> str:
    """The origin of this site's own log in ``folder``.

    Raises:
        Damaged: its reopenings are damaged, or the log was not begun anew under the last of them.
    """
    chain = read_reopenings(folder)
    origin = origin_of(site, log, len(chain))
    if chain and _written_origin(folder) not in (None, origin):
        raise Damaged(f"a new epoch of the log in {folder} was begun and not finished; run «comity site restore» again")
    return origin


def unopened(folder: Path, origin: str, chain: Sequence[Reopening], roots: Sequence[str]) -> str:
    """Why the log in ``folder`` is in no epoch that a root of its site opened with ``chain``; empty if it is."""
    number = number_of(origin)
    if not number:
        return ""
    site, log = origin.split("/")[0], LogName(origin.split("/")[1])
    if len(chain) < number:
        return f"nothing here shows that the root key opened epoch {number} of it"
    opened = chain[number - 1]
    try:
        check_accepted(site, log, chain[:number], roots)
        if root_of(opened.size, subtree_of(opened.size, TileFolder(folder).require)) != opened.root:
            return f"it does not begin with the leaves that the root key took over into epoch {number}"
    except ComityError as error:
        return str(error)
    return ""


def origin_in(folder: Path, site: str, log: LogName) -> str:
    """The origin that the checkpoint in ``folder`` carries, if it is of that log in whatever epoch; else the first's.

    For logs of other sites, and for copies: whether their roots opened that epoch is not asked here.
    """
    written = _written_origin(folder) or ""
    return written if log_of(written, site) is log else origin_of(site, log)


def reopen(folder: Path, reopening: Reopening, key: Signer, earlier: Sequence[str], roots: Sequence[str]) -> None:
    """Begin the epoch that ``reopening`` opens in ``folder``; done again, it finishes what a crash cut off.

    Its leaves must be those that the reopening takes over. Cosignatures of the epoch before are of another log now.

    Raises:
        Conflict: the log is held by a running node, or has grown since.
        VerificationFailed: it is not signed by the last of ``roots``, or is not the next epoch of this log.
    """
    known = read_reopenings(folder)
    if not known or known[-1] != reopening:
        chain = (*known, reopening)
        check_chain(reopening.site, reopening.log, chain, roots)
    else:
        chain = known
    old = origin_of(reopening.site, reopening.log, reopening.number - 1)
    if _written_origin(folder) == old:
        held = open_folder(folder, old, key.did, earlier=tuple(earlier))
        try:
            checkpoint = held.state.checkpoint
            if (checkpoint.size, checkpoint.root) != (reopening.size, reopening.root):
                raise Conflict(f"the log in {folder} has grown since its new epoch was signed; run it again")
            write_files({folder / FILE: encode(Reopenings(chain=chain))})
            held.bodies.forget_cosigned()
            (folder / COSIGNED).unlink(missing_ok=True)
        finally:
            held.close()
        note = sign_checkpoint(Checkpoint(reopening.origin, reopening.size, reopening.root), key)
        write_files({folder / CHECKPOINT: note.encode()})


def unfinished(folder: Path) -> Reopening | None:
    """The reopening that was written down and whose log was not begun; none if there is none."""
    chain = read_reopenings(folder)
    return chain[-1] if chain and _written_origin(folder) != chain[-1].origin else None


def _written_origin(folder: Path) -> str | None:
    try:
        return read_note(folder / CHECKPOINT).partition("\n")[0]
    except FileNotFoundError:
        return None


class AcceptedReopenings:
    """The port ``ReopeningMemory`` over the site's database: the new epochs of other sites' logs."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    async def reopened(self) -> list[Reopening]:
        """Every reopening that was accepted."""
        return await self._facts.all(Kept.REOPENING, Reopening)

    async def keep_reopening(self, reopening: Reopening) -> None:
        """Keep one; durable on return."""
        await self._facts.keep(Kept.REOPENING, reopening.origin, reopening)
