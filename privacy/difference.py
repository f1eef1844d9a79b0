"""Which recorded decisions another policy would have made otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from privacy.decision import Decision
from privacy.policy import Answer, Policy, answer, decision_on
from privacy.replay import NotReplayable, question_of
from privacy.schema import CedarRequest


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision in the audit log: at which leaf, when (Unix milliseconds), and about which order, if about one.

    ``submission`` is that of the order, where the row of the decision has it.
    """

    place: int
    at: int
    decision: Decision
    order: str = ""
    submission: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """A recorded decision with what one policy says of the question now, and what the other one does."""

    recorded: Recorded
    before: Decision
    after: Decision


@dataclass(frozen=True, slots=True)
class Difference:
    """How many decisions were ``compared``, those that ``changed``, and why others could not be made anew.

    ``unread`` counts them by the reason.
    """

    compared: int
    changed: tuple[Changed, ...]
    unread: dict[str, int]


def difference(old: Policy, new: Policy, recorded: Iterable[Recorded]) -> Difference:
    """What ``new`` says otherwise than ``old`` of the questions that were decided, each on its day.

    Another answer is one that allows what the other denies, or asks for other duties. What was denied beside policy
    (word that was too old, a grant taken back) is compared by what the policies say of it.
    """
    compared, changed, unread = 0, [], dict[str, int]()
    known: dict[tuple[object, ...], tuple[Answer, Answer]] = {}
    for each in recorded:
        try:
            question = question_of(each.decision.action, each.decision.facts)
        except NotReplayable as error:
            unread[str(error)] = unread.get(str(error), 0) + 1
            continue
        compared += 1
        before, after = old.on(each.at), new.on(each.at)
        key = (each.decision.action, *each.decision.facts.items(), before.day)
        if key not in known:
            known[key] = answer(before, question), answer(after, question)
        if _differ(*known[key]):
            changed.append(_changed(each, question, (before, after), known[key]))
    return Difference(compared, tuple(changed), unread)


def _differ(before: Answer, after: Answer) -> bool:
    return before.allowed != after.allowed or (before.allowed and before.duties != after.duties)


def _changed(
    recorded: Recorded, question: CedarRequest, policies: tuple[Policy, Policy], answers: tuple[Answer, Answer]
) -> Changed:
    before, after = (decision_on(policy, question, given) for policy, given in zip(policies, answers, strict=True))
    return Changed(recorded, before, after)
