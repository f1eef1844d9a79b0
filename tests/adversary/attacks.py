"""The inventory: every attack that must fail, who tries it, what refuses it, and the test that shows both.

``test`` is the attack against the product as it is; ``without`` is the same attack with that one defence taken away,
where it must succeed, so that no attack fails here for want of an attack. Where the defence cannot be taken away,
``without`` says why, in words. At its end ``pytest tests/adversary`` prints a line for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. ``test`` and ``without`` are «file::function» or «file::function[case]» below tests/adversary."""

    side: str
    tries: str
    refused_by: str
    test: str
    without: str = ""

    @property
    def both(self) -> bool:
        """Whether the test itself takes the defence away and sees the attack succeed."""
        return not self.without

    @property
    def weakened(self) -> str:
        """The test with the defence taken away; empty where there is none."""
        return self.test if self.both else self.without if "::" in self.without else ""


def _all(side: str, rows: Iterable[Sequence[str]]) -> tuple[Attack, ...]:
    return tuple(Attack(side, *row) for row in rows)


_ORDER = "test_orders.py::test_refused[{}]"
_ORDER_WITHOUT = "test_orders.py::test_and_without_the_defence_it_succeeds[{}]"


def _order(tries: str, refused_by: str, case: str) -> tuple[str, str, str, str]:
    return tries, refused_by, _ORDER.format(case), _ORDER_WITHOUT.format(case)


FROM_THE_REQUESTER = _all(
    "requester",
    [
        _order("alter an order after it was signed", "the bus's signature", "order_altered_after_signing"),
        _order("alter a submission after it was signed", "the person's signature", "submission_altered_after_signing"),
        _order(
            "replay an order as another member", "the bus that the person named", "order_replayed_by_another_member"
        ),
        _order("replay a submission after its expiry", "its own time", "replayed_after_expiry"),
        _order("send an order of yesterday", "the order's time", "order_of_yesterday"),
        _order("have an order outlive its submission", "order ⊆ submission", "order_outlives_its_submission"),
        _order("name data that was not submitted", "order ⊆ submission", "data_that_was_not_submitted"),
        _order("swap the inputs of two shards", "order ⊆ submission", "inputs_swapped_between_shards"),
        _order("run another block than the step's", "order ⊆ submission", "block_that_the_step_does_not_run"),
        _order("run another workflow than the signed one", "its CID", "another_workflow_than_signed"),
        _order("add a reader to an output", "order ⊆ submission", "reader_beyond_the_destinations"),
        _order("spend beyond the budget", "order ⊆ submission", "max_cost_beyond_the_budget"),
        _order("use another person's project", "the project's people", "another_persons_project"),
        _order("change a project after its approval", "the approved terms", "project_changed_after_its_approval"),
        _order("use data for another purpose than granted", "the grant's purposes", "grant_for_another_purpose"),
        _order("run a block that the grant does not name", "the grant's blocks", "grant_for_another_block"),
        _order("send results where the grant does not", "the grant's destinations", "grant_for_another_destination"),
        _order("use a grant that was revoked", "the issuer's log", "grant_that_was_revoked"),
        _order(
            "widen a grant while passing it on", "each link ⊆ the one above", "grant_that_permits_more_than_its_parent"
        ),
        (
            "have one instance delivered or charged twice",
            "one delivery for each instance, from the log",
            "test_orders.py::test_a_second_delivery_of_an_instance",
        ),
        (
            "have a grant's revocation not reach a running step",
            "what let the data in is asked for again before release",
            "test_releases.py::test_a_grant_that_is_revoked_while_the_step_runs",
        ),
        (
            "go on with a copy when the grant is gone",
            "going on needs the grant too",
            "test_releases.py::test_going_on_at_home_with_what_a_revoked_grant_let_in[True]",
            "test_releases.py::test_going_on_at_home_with_what_a_revoked_grant_let_in[False]",
        ),
        (
            "run without the steward whom policy asks for",
            "signed answers in the audit log",
            "test_asking.py::test_silence_is_a_no",
            "test_asking.py::test_without_the_count_of_stewards_it_runs_unasked",
        ),
    ],
)


def _forged(tries: str, refused_by: str, case: str) -> tuple[str, str, str, str]:
    at = f"test_proofs.py::{{}}[{case}]"
    return tries, refused_by, at.format("test_refused"), at.format("test_and_without_the_defence_it_succeeds")


FROM_A_PEER = _all(
    "peer",
    [
        _forged("alter a receipt", "the node's signature", "receipt_altered"),
        _forged("sign another site's receipt", "the order's site", "receipt_signed_by_another_site"),
        _forged("pass off a receipt of another submission", "the order it names", "receipt_of_another_submission"),
        _forged("narrow the label of a value in a receipt", "labels are recomputed", "value_that_was_never_released"),
        _forged("release what is another's to release", "owners release", "release_by_a_non_owner"),
        _forged("use a release of another value", "the release names its value", "release_of_another_value"),
        _forged("use a release to somebody else", "the release names its readers", "release_to_somebody_else"),
        *(
            (
                tries,
                "the bus recomputes what a receipt says",
                f"test_receipts.py::test_a_lie_costs_its_liar_alone[{lie}]",
                f"test_receipts.py::test_the_check_is_what_leaves_it_out[{lie}]",
            )
            for lie, tries in {
                "false_signature": "answer an order with a false signature",
                "done_and_not_released": "call an output delivered that nobody released",
                "charges_for_a_failure": "charge for a step that failed",
            }.items()
        ),
        (
            "send questions without end",
            "quotas for each person and each member",
            "test_peers.py::test_questions_without_end",
        ),
    ],
)

ATTACKS = (*FROM_THE_REQUESTER, *FROM_A_PEER)
