"""The invariants can fail: faults planted from outside into the core are caught, each by the invariant it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.error import ComityError
from catalog.key import signed
from node.automator.automator import Automator
from node.automator.decide import Case, Judge, Verdict
from node.automator.ledger import Attempt, Ledger
from node.automator.verify import Verified
from node.bus.bus import Bus
from node.bus.dispatch import Reached
from node.message import Proof
from node.ports import Finished, PeerLog, Seen
from node.replicate.cosign import Witness
from node.replicate.replicator import Replicator
from tests.simulation.node import Node
from tests.simulation.watch import Invariant, Violation
from tests.simulation.world import Troubles, World
from workflow.argument import Argument, Many
from workflow.graph import Source, Step
from workflow.receipt import Receipt

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

    async def _open(self, verified: Verified, verdict: Verdict) -> Attempt:
        self._early = await super()._run(verified)
        return await super()._open(verified, verdict)

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


def test_a_ledger_forgotten_at_restart_is_caught() -> None:
    caught(Forgetful, STORMY, Invariant.ONCE)


class Lagging(Replicator):
    """Takes what it has not indexed for indexed, as one that never asks again for what an earlier run missed."""

    async def _bodies(self, site: str, replica: PeerLog) -> int:
        if self._index.site(site).size:
            return 0
        return await super()._bodies(site, replica)


class LaggingNode(Node):
    replicator_class = Lagging


def test_a_replica_that_stays_behind_is_caught() -> None:
    caught(LaggingNode, replace(STORMY, stewards=5, kills=0), Invariant.CONVERGES)


class Trusting(Witness):
    """Cosigns whatever is larger, consistent or not."""

    async def _check_extends(self, site: str, seen: Seen, new: object, note: str) -> None:
        return


class TrustingNode(Node):
    witness_class = Trusting


def test_a_witness_that_checks_nothing_is_caught() -> None:
    caught(TrustingNode, Troubles(hospitals=3, liar=True, wholesome=True, submissions=2), Invariant.WITNESS)


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

    def _take(
        self,
        step: Step,
        delivered: Sequence[Reached],
        values: dict[Source, Argument],
        proofs: dict[Source, list[Proof]],
    ) -> None:
        super()._take(step, delivered, values, proofs)
        for source, value in values.items():
            if source.step and isinstance(value, Many):
                values[source] = Many(items=(*value.items, value.items[0]))


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
