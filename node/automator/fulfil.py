"""What becomes of an allowed decision with duties that somebody has to fulfil: where nobody does, it is denied.

To let it pass would be to lie to whoever wrote the duty into the policy. ``endorsed`` is a fact, and decided on
already; stewards are asked about steps and their outputs (:mod:`node.automator.asking`), and about nothing else.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from privacy.decision import Action, Decision
from privacy.duty import Duties

ASKED_ABOUT: Final[frozenset[Action]] = frozenset({"compute", "release"})
"""What stewards are asked about."""


def fulfilled(decision: Decision) -> Decision:
    """``decision``, if nothing is left to do for it; else the denial that names what this version does not do yet."""
    asked = 0 if decision.action in ASKED_ABOUT else decision.duties.approvals
    left = structs.replace(decision.duties, endorsed=0, approvals=asked)
    if not decision.allowed or left == Duties():
        return decision
    rules = ", ".join(f"«{rule}»" for rule in decision.rules[:5])
    reason = (
        f"policy asks {', and '.join(left.told)}, which this version cannot see to yet: denied by the duty of {rules}"
    )
    return structs.replace(decision, allowed=False, reason=reason)
