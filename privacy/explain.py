"""A decision explained: the facts used, the facts missing, the nearest change that would allow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from privacy.decision import Decision
from privacy.missing import asked_for, false_facts
from privacy.nearest import Nearest, nearest
from privacy.policy import Policy, answer
from privacy.replay import question_of


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a decision is as it is.

    ``used`` are the facts that rules about the action read, and ``missing`` those of them that are false, with words
    for people. ``nearest`` is the smallest change that would allow it; none if it is allowed, or no one or two
    changes would. ``beside``: the rules would allow it, and it was denied for what the decision rests on
    (``decision.reason``).
    """

    decision: Decision
    used: Mapping[str, str]
    missing: Mapping[str, str]
    nearest: Nearest | None
    beside: bool


def explain(policy: Policy, decision: Decision, names: Callable[[str], str] = str) -> Explanation:
    """Explain a recorded decision by ``policy``, on the day that it is; ``names`` says what a site's key is called.

    Raises:
        NotReplayable: its facts do not tell what was asked.
    """
    question = question_of(decision.action, decision.facts)
    reads = policy.reads(decision.action)
    allowed = answer(policy, question).allowed
    return Explanation(
        decision=decision,
        used={name: text for name, text in decision.facts.items() if name in reads or "." not in name},
        missing=asked_for(false_facts(question), reads),
        nearest=None if decision.allowed or allowed else nearest(policy, question, names),
        beside=allowed and not decision.allowed,
    )
