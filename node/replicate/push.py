"""Putting a site's own checkpoints before its witnesses (after C2SP tlog-witness), and how far they have cosigned.

One checkpoint at a time stands before all of them, so that they cosign the same one however fast the log grows: the
next is the newest there is once the quorum has cosigned this one. Who is slow or away holds up nobody, as long as the
others are enough. With a checkpoint of the catalog goes what is new in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass

from catalog.checkpoint import Checkpoint, add_line, cosigners
from catalog.error import VerificationFailed
from catalog.merkle import full_path
from catalog.note import parse_line, parse_note
from node.log import OwnLog
from node.message import AddCheckpoint, Added, Row, question_bytes, read_reply
from node.ports import Control
from node.replicate.news import News, no_news, shown_to
from node.replicate.quorum import Quorum

TRIES = 3
"""Questions for one cosignature: one to learn what the witness has seen, one with the proof, one if that changed."""


@dataclass(frozen=True, slots=True)
class Since:
    """What leads to a checkpoint from a size that a witness has seen: a path, and the rows that are new."""

    path: tuple[bytes, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """The checkpoint that is put before the witnesses now, and what leads to it from the sizes that they have seen.

    That was read when the log had seen as many ``erasures``: what is erased meanwhile goes to nobody.
    """

    size: int
    note: str
    since: Mapping[int, Since]
    erasures: int


class Push:
    """The cosigning of one log of this site. ``quorum`` is asked anew each time: members come and go.

    ``moved`` is called when more of the log is covered, so that another checkpoint may be put before them; ``news`` are
    told with it.
    """

    def __init__(
        self,
        log: OwnLog,
        control: Control,
        quorum: Callable[[], Quorum],
        moved: Callable[[], None],
        news: News = no_news,
    ) -> None:
        self.log = log
        self._news = news
        self._control = control
        self._quorum = quorum
        self._moved = moved
        self._target = Target(0, "", {}, 0)
        self._signed: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._covered = 0

    async def load(self) -> None:
        """Read how far the log was cosigned before; its notes were verified when they were kept."""
        quorum = self._quorum()
        note = await self.log.last_cosigned(max(quorum.needed, 1))
        if note is not None and quorum.reached(cosigners(note, quorum.witnesses)):
            self._covered = Checkpoint.parse(parse_note(note).text).size

    def covered(self) -> int:
        """How many leaves stand under a checkpoint that the quorum cosigned; all of them if none is needed."""
        return self.log.size if self._quorum().needed == 0 else self._covered

    def lacking(self, least: int) -> Collection[str]:
        """The witnesses who have not cosigned ``least`` leaves, while the quorum has not; empty once it has."""
        if self.covered() >= least:
            return ()
        return [witness for witness in self._quorum().witnesses if self._signed.get(witness, 0) < least]

    @property
    def standing(self) -> int:
        """How many leaves the checkpoint has that stands before the witnesses."""
        return self._target.size

    def witnesses(self) -> Set[str]:
        """Who they are now."""
        return self._quorum().witnesses.keys()

    def reached(self, least: int) -> bool:
        """Whether every witness has cosigned ``least`` leaves in this run."""
        return all(self._signed.get(witness, 0) >= least for witness in self._quorum().witnesses)

    async def aim(self) -> bool:
        """Put the newest checkpoint before the witnesses, if they are done with the one before; whether it was put."""
        size, note = self.log.size, self.log.note
        if not self._may_aim(size):
            return False
        erasures = self.log.erasures
        # Once for all witnesses: they have mostly seen the same.
        since = {old: await self._since(old, size) for old in set(self._seen.values())}
        if not self._may_aim(size):
            return False
        self._target = Target(size, note, since, erasures)
        return True

    def _may_aim(self, size: int) -> bool:
        return self._target.size < size and (self._target.size <= self._covered or not self._target.size)

    def due(self, witness: str) -> Target | None:
        """What is to be put before ``witness`` now."""
        done = self._signed.get(witness, 0) >= self._target.size
        return None if done or witness not in self._quorum().witnesses else self._target

    async def push(self, witness: str) -> bool:
        """Have ``witness`` cosign what is due, and keep its cosignature; whether anything was.

        Raises:
            Unreachable: it does not answer.
            VerificationFailed: it refuses, has seen more of this log than there is, or its cosignature is false.
        """
        target = self.due(witness)
        if target is None:
            return False
        # As it is now: whoever leaves while it is asked, or gets another key, has cosigned as what it was.
        key = self._quorum().witnesses[witness]
        line = await self._ask(witness, target)
        if parse_line(line).name != witness:
            raise VerificationFailed("its cosignature is in another's name")
        if witness not in await self.log.add_cosignatures(add_line(target.note, line), {witness: key}):
            # A line by a key that nobody knows is none: nothing is kept of it, and it covers nothing.
            raise VerificationFailed("its cosignature is by another key than its node's")
        self._took(witness, target.size)
        return True

    async def _ask(self, witness: str, target: Target) -> str:
        """The line of ``witness`` for ``target``."""
        for _ in range(TRIES):
            old = self._seen.get(witness, 0)
            since = target.since.get(old) if target.erasures == self.log.erasures else None
            since = since or await self._since(old, target.size)
            # At first it is not known what it has: it says so when it is asked.
            rows = shown_to(witness, since.rows) if witness in self._seen else ()
            question = AddCheckpoint(note=target.note, old=old, proof=since.path, rows=rows)
            answer = read_reply(Added, await self._control.ask(witness, question_bytes(question)))
            self._seen[witness] = answer.size
            if answer.line is not None:
                return answer.line
            if answer.size > self.log.size:
                raise VerificationFailed(
                    f"it has cosigned {answer.size} leaves of «{self.log.origin}», and there are {self.log.size} here:"
                    " this site was brought back from an old copy; see «comity site restore»"
                )
            if answer.size > target.size:
                break
        raise VerificationFailed("it has seen another size of this log at each question")

    async def _since(self, old: int, new: int) -> Since:
        if not 0 < old < new:
            return Since((), await self._news(old, new))
        root = b"" if old & (old - 1) else await self.log.root_at(old)
        return Since(tuple(full_path(old, root, await self.log.consistency(old, new))), await self._news(old, new))

    def _took(self, witness: str, size: int) -> None:
        self._signed[witness] = max(size, self._signed.get(witness, 0))
        done = [each for each, signed in self._signed.items() if signed == size]
        if size > self._covered and self._quorum().reached(done):
            self._covered = size
            self._moved()
