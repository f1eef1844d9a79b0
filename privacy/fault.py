"""Policy faults: questions that were denied because a rule failed while it was evaluated, kept for the steward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from privacy.decision import Action, Decision
from privacy.policy import Policy, answer, decision_on
from privacy.request import Request
from privacy.schema import in_cedar


@dataclass(frozen=True, slots=True)
class PolicyFault:
    """What failed: the rules by name (none if Cedar could not be asked at all), for which action, when, and why."""

    rules: tuple[str, ...]
    action: Action
    at: int
    reason: str


class PolicyFaults:
    """How many decisions a failing rule denied since the node started, and the last of them.

    ``clock`` gives Unix milliseconds. ``tell`` writes into the node's log. It hears of the first fault of a rule,
    then of every second, fourth, eighth …: whoever can make a rule fail could fill the log.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.tell: Callable[[PolicyFault, int], None] | None = None
        self.count = 0
        self.last: PolicyFault | None = None
        self._counts: dict[tuple[str, ...], int] = {}

    def decide(self, policy: Policy, request: Request) -> Decision:
        """As :func:`privacy.policy.decide`, and a failure is kept."""
        question = in_cedar(request)
        given = answer(policy, question)
        decision = decision_on(policy, question, given, request)
        if given.error:
            self._take(PolicyFault(decision.rules, decision.action, self._clock(), decision.reason))
        return decision

    def _take(self, fault: PolicyFault) -> None:
        self.count += 1
        self.last = fault
        times = self._counts[fault.rules] = self._counts.get(fault.rules, 0) + 1
        if self.tell is not None and times & (times - 1) == 0:
            self.tell(fault, times)
