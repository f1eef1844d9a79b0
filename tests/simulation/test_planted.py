"""The invariants can fail: faults planted from outside into the core are caught, each by the invariant it breaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from msgspec import structs

from catalog.checkpoint import Checkpoint
from catalog.cid import Cid
from catalog.error import ComityError, VerificationFailed
from catalog.fork import Fork, bare
from catalog.grant import Action
from catalog.key import signed
from catalog.merkle import leaf_hash
from catalog.note import parse_note
from catalog.tiles import ENTRIES, tile_at
from node.automator.automator import Automator
from node.automator.case import Case, Reliance
from node.automator.decide import Judge, Lapse, Verdict
from node.automator.inquiries import Consent
from node.automator.ledger import Attempt, Ledger
from node.automator.verify import Verified
from node.bus.bus import Bus
from node.bus.course import Course, Task
from node.log import PeerLog
from node.message import AddCheckpoint, Added, Row
from node.quota import Quota
from node.replicate.cosign import Witness
from node.replicate.freshness import Freshness
from node.replicate.news import going_on
from node.replicate.replicator import Replicator
from node.replication import Seen
from node.step import Finished
from privacy import decision
from privacy.grant import Chain, Logs
from tests.simulation.disk import SimulatedReplica
from tests.simulation.liar import Habit
from tests.simulation.node import Node
from tests.simulation.watch import Invariant, Violation
from tests.simulation.world import Troubles, World
from workflow.argument import Many
from workflow.graph import Step
from workflow.receipt import Receipt

LYING = Troubles(hospitals=3, trust=True, liar=True, wholesome=True, submissions=2, stewards=4)
STORMY = Troubles(hospitals=2, wholesome=True, lost=0.1, doubled=0.3, delay=5_000, kills=6, submissions=2, copies=1)


def caught(node: type[Node], troubles: Troubles, invariant: Invariant, seeds: int = 40) -> None:
    """Some of the first ``seeds`` runs with the planted fault breaks ``invariant``, and none another one."""
    for seed in range(seeds):
        try:
            World(seed, troubles, node).run()
        except Violation as violation:
            if violation.invariant is not invariant:
                raise
            return
    pytest.fail(f"{seeds} runs with a planted fault, and none broke invariant {invariant.name}")


class Eager(Automator):
    """Runs the step, then writes the intent."""

    async def _open(self, verified: Verified, verdict: Verdict, consent: Consent | None) -> Attempt:
        self._early = await super()._run(verified)
        return await super()._open(verified, verdict, consent)

    async def _run(self, verified: Verified) -> Finished:
        return self._early


class EagerNode(Node):
    automator_class = Eager


def test_data_opened_before_the_intent_is_caught() -> None:
    caught(EagerNode, Troubles(wholesome=True), Invariant.INTENT, 1)


class Forgetful(Node):
    """Comes up with an empty ledger, so that what was delivered before is delivered again."""

    async def rebuild(self) -> Ledger:
        return Ledger()


class Heirless(Automator):
    """Delivers again what was delivered before its log was brought back from an old copy."""

    def _check_instance(self, verified: Verified) -> None:
        self._book.halts.delivered.clear()
        super()._check_instance(verified)


class HeirlessNode(Node):
    automator_class = Heirless


def test_a_ledger_forgotten_at_restore_is_caught() -> None:
    restored = Troubles(hospitals=3, wholesome=True, submissions=3, restores=1, stewards=0)
    caught(HeirlessNode, restored, Invariant.ONCE)


def test_a_ledger_forgotten_at_restart_is_caught() -> None:
    caught(Forgetful, STORMY, Invariant.ONCE)


class Lagging(Replicator):
    """Takes what it has not indexed for indexed, as one that never asks again for what an earlier run missed."""

    async def _bodies(self, site: str, replica: PeerLog, holders: Sequence[str]) -> int:
        if self._index.site(site).size:
            return 0
        return await super()._bodies(site, replica, holders)


class LaggingNode(Node):
    replicator_class = Lagging


def test_a_replica_that_stays_behind_is_caught() -> None:
    caught(LaggingNode, replace(STORMY, stewards=5, kills=0), Invariant.CONVERGES)


class Trusting(Witness):
    """Cosigns whatever is larger, consistent or not."""

    async def _check_extends(self, site: str, base: Seen, new: Checkpoint, question: AddCheckpoint) -> None:
        return

    async def _check_held(self, site: str, checkpoint: Checkpoint, note: str, replica: PeerLog) -> None:
        return


class TrustingNode(Node):
    witness_class = Trusting


def test_a_witness_that_checks_nothing_is_caught() -> None:
    caught(TrustingNode, Troubles(hospitals=3, liar=True, wholesome=True, submissions=2), Invariant.WITNESS)


class Renewing(Witness):
    """Dates a cosignature anew whenever it is asked for it again."""

    def _line(self, seen: Seen) -> Added:
        return super()._line(replace(seen, at=self._clock.now() // 1000))


class RenewingNode(Node):
    witness_class = Renewing


class Twofaced(Witness):
    """Cosigns whatever it is shown last, as if it had seen nothing of that log before."""

    async def add(self, site: str, question: AddCheckpoint, replica: PeerLog | None) -> Added:
        checkpoint = self._open(site, question.note)
        before = await self._memory.seen(checkpoint.origin)
        anew = Seen(checkpoint.size, checkpoint.root, bare(question.note), 1)
        await self._memory.remember(checkpoint.origin, anew, before)
        return self._line(anew)


class TwofacedNode(Node):
    witness_class = Twofaced


def test_a_witness_that_cosigns_two_histories_is_caught() -> None:
    caught(TwofacedNode, LYING, Invariant.WITNESS)


class Credulous(Replicator):
    """Keeps the leaves that it is sent, whatever root they rebuild."""

    async def _fetch(self, holder: str, site: str, replica: PeerLog, checkpoint: Checkpoint, note: str) -> int:
        tile = tile_at(ENTRIES, 0, checkpoint.size)
        assert tile is not None
        assert isinstance(replica, SimulatedReplica)
        log = replica.stored
        new = (await self._sender(holder, site).bundle(tile))[len(log.leaves) :]
        log.leaves.extend(new)
        log.hashes.extend(map(leaf_hash, new))
        log.note = note
        return len(new)


class CredulousNode(Node):
    replicator_class = Credulous


class Obliging(Replicator):
    """Takes the rows that it is shown with a checkpoint, whatever root they rebuild."""

    async def offered(self, site: str, note: str, rows: Sequence[Row]) -> None:
        replica = await self._replicas.of(site)
        size = Checkpoint.parse(parse_note(note).text).size
        fresh = going_on(rows, replica.size, size)
        if site in self._under_way or not fresh:
            return
        assert isinstance(replica, SimulatedReplica)
        log = replica.stored
        log.leaves.extend(row.leaf for row in fresh)
        log.hashes.extend(leaf_hash(row.leaf) for row in fresh)
        log.note = note


class ObligingNode(Node):
    replicator_class = Obliging


def test_a_bad_tile_that_is_taken_is_caught() -> None:
    garbling = replace(LYING, habits=(Habit.GARBLES,), cuts=8, stewards=8)
    caught(CredulousNode, garbling, Invariant.CONVERGES)


def test_false_rows_with_a_checkpoint_that_are_taken_are_caught() -> None:
    garbling = replace(LYING, habits=(Habit.GARBLES,), cuts=8, stewards=8)
    caught(ObligingNode, garbling, Invariant.CONVERGES)


class Gullible(Node):
    """Takes a checkpoint that it heard in gossip for one that it has verified."""

    def heard(self, source: str, message: bytes) -> None:
        super().heard(source, message)
        try:
            checkpoint = Checkpoint.parse(parse_note(message.decode(errors="replace")).text)
        except VerificationFailed:
            return
        kept = self.site.disk.memory.kept
        if checkpoint.origin not in kept or checkpoint.size > kept[checkpoint.origin].size:
            kept[checkpoint.origin] = Seen(checkpoint.size, checkpoint.root, message.decode())


def test_gossip_that_is_believed_is_caught() -> None:
    caught(Gullible, replace(LYING, habits=(Habit.GOSSIPS,)), Invariant.CONVERGES)


class Believing(Witness):
    """Takes every accusation for true."""

    def _check(self, site: str, fork: Fork) -> tuple[Checkpoint, Checkpoint]:
        first, second = (Checkpoint.parse(parse_note(note).text) for note in (fork.first, fork.second))
        return first, second


class BelievingNode(Node):
    witness_class = Believing


def test_an_accusation_that_is_believed_unproven_is_caught() -> None:
    caught(BelievingNode, replace(LYING, habits=(Habit.FORGES,)), Invariant.FORK)


class Boundless(Replicator):
    """Takes as much as anybody sends."""

    @property
    def _quota(self) -> Quota:
        return Quota(self._means.clock.now)

    @_quota.setter
    def _quota(self, quota: Quota) -> None:
        return


class BoundlessNode(Node):
    replicator_class = Boundless


def test_a_flood_that_is_taken_in_is_caught() -> None:
    caught(BoundlessNode, replace(LYING, habits=(Habit.FLOODS,)), Invariant.FLOOD)


def test_a_cosignature_that_is_renewed_is_caught() -> None:
    caught(RenewingNode, STORMY, Invariant.FRESH)


class Unhearing(Judge):
    """Lets a grant count on that was revoked."""

    def _covering(
        self, rests: Reliance, owner: str, dataset: Cid, action: Action, now: int
    ) -> tuple[Chain | None, str]:
        chain, why = super()._covering(rests, owner, dataset, action, now)
        if "revoked" not in why:
            return chain, why
        held = [each for cid in rests.cited for each in Logs(self._index).held(cid) if each.grant.site == owner]
        return Chain((held[0],)), ""


class UnhearingNode(Node):
    judge_class = Unhearing


def test_a_revocation_that_is_ignored_is_caught() -> None:
    caught(UnhearingNode, Troubles(wholesome=True, submissions=4, events=("revoke",)), Invariant.AUTHORITY)


class Lingering(Judge):
    """Lets out what a grant let in, whatever became of that grant while the step ran."""

    def lapse(self, rests: Reliance, action: decision.Action, now: int) -> Lapse | None:
        return None


class LingeringNode(Node):
    judge_class = Lingering


def test_a_release_of_what_a_revoked_grant_let_in_is_caught() -> None:
    revoking = Troubles(hospitals=4, wholesome=True, submissions=9, stewards=0, events=("revoke",) * 3)
    caught(LingeringNode, revoking, Invariant.AUTHORITY)


class Settled(Automator):
    """Lets what was released take effect without asking again, however long the quorum took."""

    async def recover(self) -> list[str]:
        lines = await super().recover()
        self._waiting._lapse = lambda *_: None  # type: ignore[method-assign]
        return lines


class SettledNode(Node):
    automator_class = Settled


def test_a_release_that_was_taken_back_before_the_quorum_came_is_caught() -> None:
    events = ("revoke", "revoke", "end", "unkey")
    parted = Troubles(wholesome=True, submissions=4, cuts=12, halves=6, stewards=0, events=events)
    caught(SettledNode, parted, Invariant.AUTHORITY)


class Heedless(Freshness):
    """Relies on whatever was heard once."""

    def refusal(self, action: decision.Action, sites: Iterable[str]) -> str:
        return ""


class HeedlessNode(Node):
    freshness_class = Heedless


def test_reliance_on_what_was_not_heard_of_for_long_is_caught() -> None:
    silent = Troubles(wholesome=True, tight=True, mute=True, submissions=6, copies=1)
    caught(HeedlessNode, silent, Invariant.FRESH)


class Impatient(Automator):
    """Gives what it releases away before anybody has cosigned it."""

    def _waits(self, attempt: Attempt) -> bool:
        return False


class ImpatientNode(Node):
    automator_class = Impatient


def test_a_release_before_the_quorum_has_cosigned_it_is_caught() -> None:
    caught(ImpatientNode, Troubles(wholesome=True, submissions=2), Invariant.COSIGNED, 10)


class Lenient(Judge):
    """Allows every computation."""

    def compute(self, case: Case, now: int) -> Verdict:
        verdict = super().compute(case, now)
        return Verdict(structs.replace(verdict.decision, allowed=True), structs.replace(verdict.shown, allowed=True))


class LenientNode(Node):
    judge_class = Lenient


def test_a_step_that_policy_forbids_is_caught() -> None:
    caught(LenientNode, Troubles(hospitals=3), Invariant.POLICY)


class Padding(Bus):
    """Gives the first hospital's result to the pool once more."""

    async def _tasks(self, course: Course, step: Step) -> list[Task]:
        for source, value in course._values.items():
            if source.step and isinstance(value, Many):
                course._values[source] = Many(items=(*value.items, value.items[0]))
        return await super()._tasks(course, step)


class PaddingNode(Node):
    bus_class = Padding


def test_a_result_that_is_pooled_twice_is_caught() -> None:
    caught(PaddingNode, Troubles(wholesome=True), Invariant.RESULT, 1)


class Talkative(Automator):
    """Names every output in its receipts, released or not."""

    def _receipt(self, attempt: Attempt) -> Receipt:
        receipt = super()._receipt(attempt)
        if attempt.result is None:
            return receipt
        outputs = {
            name: structs.replace(kept.output, cid=kept.cid, size=kept.size)
            for name, kept in attempt.result.kept.items()
        }
        return signed(structs.replace(receipt, outputs=outputs), self._signer)


class TalkativeNode(Node):
    automator_class = Talkative


def test_a_receipt_that_names_what_is_held_is_caught() -> None:
    caught(TalkativeNode, Troubles(hospitals=3), Invariant.SECRET)


class Hasty(Automator):
    """Shows the receipt of what is not durable yet."""

    def standing(self, order: Cid) -> Receipt | None:
        attempt = self._book.ledger.attempt(order)
        # Without the result: only that the order was taken is told too early.
        return None if attempt is None else self._receipt(replace(attempt, result=None))


class HastyNode(Node):
    automator_class = Hasty


def test_a_receipt_that_leaves_before_it_is_durable_is_caught() -> None:
    close = replace(STORMY, once=False, kills=0, lost=0.0, doubled=1.0, delay=2, hospitals=3)
    caught(HastyNode, close, Invariant.RECEIPT)


def test_an_error_in_the_core_ends_the_run() -> None:
    """Else a task could die unseen and the run be called good."""

    class Broken(Node):
        async def rebuild(self) -> Ledger:
            raise ComityError("planted")

    with pytest.raises(ComityError, match="planted"):
        World(0, Troubles(), Broken).run()
