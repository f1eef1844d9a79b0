"""What becomes of an allowed decision with duties that somebody has to fulfil: where nobody does, it is denied.

To let it pass would be to lie to whoever wrote the duty into the policy. ``endorsed`` is a fact, and decided on
already; stewards are asked about steps and their outputs (:mod:`node.automator.asking`), and about nothing else; cells
and quotas are seen to where an output leaves (:mod:`node.automator.disclosing`), and nowhere else.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from privacy.decision import Action, Decision
from privacy.duty import Duties

ASKED_ABOUT: Final[frozenset[Action]] = frozenset({"compute", "release"})
"""What stewards are asked about."""

EXAMINED: Final[Action] = "release"
"""Where it is counted what leaves, and of how many."""


def fulfilled(decision: Decision) -> Decision:
    """``decision``, if somebody sees to all its duties; else the denial that names what nobody does yet."""
    left = unseen(decision.action, decision.duties)
    if not decision.allowed or left == Duties():
        return decision
    rules = ", ".join(f"«{rule}»" for rule in decision.rules[:5])
    reason = (
        f"policy asks {', and '.join(left.told)}, which this version cannot see to yet: denied by the duty of {rules}"
    )
    return structs.replace(decision, allowed=False, reason=reason)


def unseen(action: Action, duties: Duties) -> Duties:
    """Of ``duties`` on an ``action``, those that nobody sees to."""
    return Duties(
        approvals=0 if action in ASKED_ABOUT else duties.approvals,
        min_cell=0 if action == EXAMINED else duties.min_cell,
        rounded=0 if action == EXAMINED else duties.rounded,
        whole=duties.whole and action != EXAMINED,
        quotas=() if action == EXAMINED else duties.quotas,
    )
