"""Cosigning: a witness signs a checkpoint only after it has seen that it extends the last one it signed.

What it signed is remembered durably before the signature is given, so that no crash makes it sign two histories.
"""

from __future__ import annotations

from catalog.checkpoint import Checkpoint, add_line, cosign, open_checkpoint
from catalog.error import VerificationFailed
from catalog.key import Signer
from catalog.merkle import EMPTY_ROOT, verify_consistency
from node.message import Consistency, Cosigned, Done, ProofAnswer, question_bytes, read_reply
from node.ports import Clock, Control, Memory, Seen


class Witness:
    """Cosigns other sites' checkpoints as the site ``root``, with the node's key."""

    def __init__(self, root: str, signer: Signer, memory: Memory, control: Control, clock: Clock) -> None:
        self._root = root
        self._signer = signer
        self._memory = memory
        self._control = control
        self._clock = clock
        self._delivered: dict[str, int] = {}

    async def witness(self, site: str, node: str, origin: str, note: str) -> Checkpoint:
        """Check that ``note`` extends what was seen of ``origin``; cosign it and hand the cosignature to ``site``.

        Raises:
            VerificationFailed: wrong signature, a log that shrank, or a fork, of which the evidence is kept.
            Unreachable: ``site`` does not give the proof.
        """
        checkpoint = await self.see(site, node, origin, note)
        if checkpoint.size and self._delivered.get(origin) != checkpoint.size:
            # A cosignature may have been lost on its way: it is given again until its owner says that it came.
            line = cosign(note, self._root, self._signer, self._clock.now() // 1000)
            question = Cosigned(note=add_line(note, line))
            read_reply(Done, await self._control.ask(site, question_bytes(question)))
            self._delivered[origin] = checkpoint.size
        return checkpoint

    async def see(self, site: str, node: str, origin: str, note: str) -> Checkpoint:
        """Check that ``note`` extends what was seen of ``origin``, and remember it; nothing is cosigned.

        Raises:
            VerificationFailed, Unreachable: as for :meth:`witness`.
        """
        checkpoint = open_checkpoint(note, origin, node)
        seen = await self._memory.seen(origin) or Seen(0, EMPTY_ROOT)
        if checkpoint.size != seen.size or checkpoint.root != seen.root:
            await self._advance(site, seen, checkpoint, note)
        return checkpoint

    async def _advance(self, site: str, seen: Seen, checkpoint: Checkpoint, note: str) -> None:
        """Remember ``checkpoint`` in the place of ``seen``, once it is known to extend it."""
        origin = checkpoint.origin
        if checkpoint.size <= seen.size:
            shrank = checkpoint.size < seen.size
            reason = f"its log shrank from {seen.size} to {checkpoint.size}" if shrank else "its log has two histories"
            await self._memory.accuse(origin, seen.note, note, reason)
            raise VerificationFailed(f"{origin}: {reason}; nothing new is taken from that site")
        await self._check_extends(site, seen, checkpoint, note)
        await self._memory.remember(origin, Seen(checkpoint.size, checkpoint.root, note), note)

    async def _check_extends(self, site: str, seen: Seen, new: Checkpoint, note: str) -> None:
        if seen.size == 0:
            return
        question = Consistency(origin=new.origin, old=seen.size, new=new.size)
        answer = read_reply(ProofAnswer, await self._control.ask(site, question_bytes(question)))
        try:
            verify_consistency(seen.size, seen.root, new.size, new.root, list(answer.hashes))
        except VerificationFailed:
            reason = f"its {new.size} leaves were not shown to begin with the {seen.size} that it signed before"
            await self._memory.accuse(new.origin, seen.note, note, reason)
            raise
