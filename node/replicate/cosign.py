"""Cosigning: a witness signs a checkpoint only after it has seen that it extends all that it has verified of its log.

What it signs is durable, with the time, before the signature is given: no crash makes it sign two histories, and the
same size gets the same time however often it is asked for. Whoever shows two histories is proven a liar to everybody,
and nothing new of that log is taken until its root opens a new epoch of it, which is a log of another origin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from catalog.checkpoint import Checkpoint, cosign, open_checkpoint
from catalog.error import Conflict, VerificationFailed
from catalog.fork import AccuseFields, Fork, bare, check_fork, said_of
from catalog.index import Index
from catalog.key import Signer
from catalog.merkle import EMPTY_ROOT, full_path, roots_of_path
from catalog.origin import LogName, log_of
from catalog.reopening import Reopening
from node.log import PeerLog
from node.message import AddCheckpoint, Added, Consistency, ProofAnswer, question_bytes, read_reply
from node.ports import Clock, Control
from node.replicate.reopened import Reopened
from node.replication import Memory, Seen

TRIES = 4
"""How often a question is looked at again because the same log was cosigned meanwhile."""

NOTHING = Seen(0, EMPTY_ROOT)


class Witness:
    """Cosigns other sites' checkpoints as the site ``root``, with the node's key.

    ``keys`` gives the node keys by which a site signs now. ``found`` is called when a fork has become known.
    """

    def __init__(
        self,
        root: str,
        signer: Signer,
        memory: Memory,
        index: Index,
        keys: Callable[[str], frozenset[str]],
        clock: Clock,
        found: Callable[[], None],
        reopened: Reopened | None = None,
    ) -> None:
        self._root = root
        self._signer = signer
        self._memory = memory
        self._index = index
        self._keys = keys
        self._clock = clock
        self._found = found
        self.reopened = reopened or Reopened()
        self.forks: dict[str, Fork] = {}
        """The proven forks by the origin of their log. A higher log epoch, when a root opens one, is none of these."""

    async def load(self) -> None:
        """Read the forks that were proven in earlier runs."""
        await self.reopened.load()
        for fork in await self._memory.forks():
            self._believe(fork)

    # --- cosigning ---------------------------------------------------------------------------------------------------

    async def add(self, site: str, question: AddCheckpoint, replica: PeerLog | None) -> Added:
        """Cosign a checkpoint of a log of ``site``, if it extends what was verified of that log.

        ``replica`` is what is held of it, if anything. The answer has no line, and the size from which a proof is
        needed, if ``question.old`` is another one.

        Raises:
            VerificationFailed: wrong signature, a proof that proves nothing, or a fork, which is kept as proof.
            Conflict: others of the same log came too fast; ask again.
        """
        checkpoint = self._open(site, question.note)
        if checkpoint.size == 0:
            raise VerificationFailed("an empty log is not cosigned")
        for _ in range(TRIES):
            seen = await self._memory.seen(checkpoint.origin)
            before = seen or NOTHING
            await self._check_contradicts(site, checkpoint, question.note, before)
            base = least = self._base(site, checkpoint, before)
            if replica is not None:
                await self._check_held(site, checkpoint, question.note, replica)
                await self.compare(site, replica)
                if replica.size > base.size:
                    base = Seen(replica.size, replica.root, replica.note)
            if checkpoint.size < least.size:
                return Added(size=least.size, line=None)
            if checkpoint.size == before.size:
                return self._line(before)
            if checkpoint.size > base.size:
                if question.old != base.size:
                    return Added(size=base.size, line=None)
                await self._check_extends(site, base, checkpoint, question)
            now = max(self._clock.now() // 1000, before.at)
            anew = Seen(checkpoint.size, checkpoint.root, bare(question.note), now)
            if await self._memory.remember(checkpoint.origin, anew, seen):
                return self._line(anew)
        raise Conflict("that log is being cosigned by another question; ask again")

    def _base(self, site: str, checkpoint: Checkpoint, before: Seen) -> Seen:
        """What a checkpoint has to extend: what was cosigned, or the leaves that the log's new epoch took over."""
        log = log_of(checkpoint.origin, site)
        opened = self.reopened.last(site, log) if log is not None else None
        if before.size or opened is None:
            return before
        if checkpoint.size == opened.size and checkpoint.root != opened.root:
            raise VerificationFailed("its log does not begin with the leaves that its root took over into this epoch")
        return Seen(opened.size, opened.root)

    async def reopen(self, site: str, told: Sequence[Reopening]) -> set[LogName]:
        """Take the new epochs of the logs of ``site`` that its root has opened; the logs that have moved.

        What was proven against the epoch before says nothing of the new one.

        Raises:
            VerificationFailed: one is not by its root, or contradicts what was accepted before.
        """
        moved = await self.reopened.accept(site, told)
        if moved and not any(self._counts(origin) for origin in self.forks if origin.startswith(f"{site}/")):
            self._index.site(site).resume("fork")
        return moved

    def _counts(self, origin: str) -> bool:
        """Whether a log is the one of its name that counts now."""
        site = origin.partition("/")[0]
        return origin in {self.reopened.origin(site, log) for log in LogName}

    def _line(self, seen: Seen) -> Added:
        return Added(size=seen.size, line=cosign(seen.note, self._root, self._signer, seen.at))

    async def _check_extends(self, site: str, base: Seen, new: Checkpoint, question: AddCheckpoint) -> None:
        if base.size == 0:
            return
        roots = roots_of_path(base.size, new.size, question.proof)
        if roots == (base.root, new.root):
            return
        if roots is not None and roots[1] == new.root:
            # By its own proof the larger log begins otherwise: that is all that anybody needs to see it.
            await self._accuse(site, Fork(first=base.note, second=question.note, consistency=question.proof))
        raise VerificationFailed(
            f"a log's {new.size} leaves were not shown to begin with the {base.size} that were signed before"
        )

    # --- what replication shows --------------------------------------------------------------------------------------

    async def size(self, origin: str) -> int:
        """How many leaves of a log were cosigned here."""
        return (await self._memory.seen(origin) or NOTHING).size

    async def see(self, site: str, note: str, least: int, replica: PeerLog | None) -> Checkpoint:
        """Check a checkpoint that ``site`` shows of a log of its own against what was verified; nothing is cosigned.

        ``least`` is how many leaves were cosigned of that log before the site was asked: it cannot have fewer now.

        Raises:
            VerificationFailed: wrong signature, a log that shrank, or a fork, which is kept as proof.
        """
        checkpoint = self._open(site, note)
        before = await self._memory.seen(checkpoint.origin) or NOTHING
        await self._check_contradicts(site, checkpoint, note, before)
        if replica is not None:
            # A smaller log of another history is proof; of the same one it is no more than an old copy.
            await self._check_held(site, checkpoint, note, replica)
        if checkpoint.size < least:
            raise VerificationFailed(
                f"its log shrank from {least} to {checkpoint.size} leaves, as if brought back from an old copy;"
                " nothing new is taken from it until it has them again"
            )
        return checkpoint

    async def compare(self, site: str, replica: PeerLog) -> None:
        """Check that what was fetched of the catalog of ``site`` is the history that was cosigned.

        Raises:
            VerificationFailed: it is another one, which is kept as proof.
        """
        seen = await self._memory.seen(replica.origin)
        if seen is not None:
            await self._check_held(site, Checkpoint(replica.origin, seen.size, seen.root), seen.note, replica)

    async def inquire(self, site: str, note: str, replica: PeerLog, control: Control) -> None:
        """Leaves of ``site`` did not rebuild the root in ``note``: ask the site whether it has forked.

        Raises:
            VerificationFailed: it has, by its own proof. Unreachable: it does not answer.
        """
        checkpoint = self._open(site, note)
        if not 0 < replica.size < checkpoint.size:
            return
        question = Consistency(origin=checkpoint.origin, old=replica.size, new=checkpoint.size)
        path = read_reply(ProofAnswer, await control.ask(site, question_bytes(question))).hashes
        roots = roots_of_path(replica.size, checkpoint.size, path)
        if roots is not None and roots[1] == checkpoint.root and roots[0] != replica.root:
            await self._accuse(site, Fork(first=replica.note, second=note, consistency=path))

    async def _check_contradicts(self, site: str, checkpoint: Checkpoint, note: str, before: Seen) -> None:
        if checkpoint.size == before.size and checkpoint.root != before.root:
            await self._accuse(site, Fork(first=before.note, second=note))

    async def _check_held(self, site: str, checkpoint: Checkpoint, note: str, replica: PeerLog) -> None:
        """Check that a checkpoint is of the history whose leaves are held, as far as they go."""
        size = checkpoint.size
        if not 0 < size <= replica.size:
            return
        held = replica.root if size == replica.size else await replica.root_at(size)
        if held == checkpoint.root:
            return
        if size == replica.size:
            await self._accuse(site, Fork(first=replica.note, second=note))
        path = full_path(size, held, await replica.consistency(size, replica.size))
        await self._accuse(site, Fork(first=note, second=replica.note, consistency=tuple(path)))

    # --- forks -------------------------------------------------------------------------------------------------------

    async def heed(self, site: str) -> None:
        """Check what ``site`` says of others' forks in its catalog; what is proven stops their authority here too."""
        for entry in self._index.site(site).entries("accuse"):
            fields = entry.fields
            if isinstance(fields, AccuseFields) and fields.origin not in self.forks:
                await self._heed(fields.fork)

    async def _heed(self, fork: Fork) -> None:
        accused = fork.origin.partition("/")[0]
        if accused not in self._index.sites:
            return
        try:
            self._check(accused, fork)
        except VerificationFailed:
            return  # an accusation that proves nothing says nothing of the accused
        await self._memory.accuse(fork)
        self._believe(fork)

    def _check(self, site: str, fork: Fork) -> tuple[Checkpoint, Checkpoint]:
        checkpoints = check_fork(fork, self._keys(site) | frozenset(self._index.site(site).nodes()))
        log = log_of(fork.origin, site)
        if log is None:
            raise VerificationFailed("the accusation is of a log that the site does not have")
        for note, checkpoint in zip((fork.first, fork.second), checkpoints, strict=True):
            open_checkpoint(note, fork.origin, *sorted(self._signers(site, log, checkpoint.size)))
        return checkpoints

    def _signers(self, site: str, log: LogName, size: int) -> frozenset[str]:
        """The keys that may have signed a checkpoint of that size: a stolen key's word ends where it was taken back."""
        index = self._index.site(site)
        ever = index.nodes()
        return frozenset(did for did in ever if index.signs(did, log, max(size - 1, 0))) | (self._keys(site) - {*ever})

    async def _accuse(self, site: str, fork: Fork) -> None:
        """Keep a fork as proof, tell of it, and refuse.

        Raises:
            VerificationFailed: always.
        """
        proof = Fork(first=bare(fork.first), second=bare(fork.second), consistency=fork.consistency)
        self._check(site, proof)
        await self._memory.accuse(proof)
        self._believe(proof)
        raise VerificationFailed(f"{said_of(proof)}; nothing new of that log is taken")

    def _believe(self, fork: Fork) -> None:
        site = fork.origin.partition("/")[0]
        self.forks[fork.origin] = fork
        if site in self._index.sites and self._counts(fork.origin):
            self._index.site(site).stop(said_of(fork), "fork")
        self._found()

    def _open(self, site: str, note: str) -> Checkpoint:
        """Read a checkpoint of a log of ``site`` signed by its node."""
        origin = note.partition("\n")[0]
        # A higher log epoch that the site's root has opened is accepted here: another origin, with forks of its own.
        if origin not in {self.reopened.origin(site, log) for log in LogName}:
            raise VerificationFailed("a checkpoint is of no log of the site that shows it")
        if origin in self.forks:
            raise VerificationFailed("nothing new of that log is taken: it has forked, and its root has not mended it")
        return open_checkpoint(note, origin, *sorted(self._keys(site)))
