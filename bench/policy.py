"""Decisions of a policy of 50 and of 1,000 rules, warm, with the chain of two grants that they rest on, and their p99.

What a node does for each input of an order: the chain walked with its signatures known to be good, as they are from
the second time on (``bench grant`` has the first), the purpose matched, the question put in Cedar's words, asked of a
policy that was parsed before, and the decision made of the answer with its facts. A quarter of the rules are about the
action that is asked about, one rule in five forbids, and each reads the asker and three facts. A series is the p99 of
each hundred decisions, in processor time of the thread: what else the machine does is no work of ours. Promised are 1
ms with 50 rules and 3 ms with 1,000. The reference is Cedar alone, on the same question and the whole text, with
entities read before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cedarpy import PolicySet, is_authorized

from bench.figure import Figure, Floor, Report, Series
from bench.grant import DATA, HOME, NOW, OWNER, PEOPLE, PURPOSE, TERMS, UNDERTAKEN, covering_chain, logs
from catalog.cid import Cid
from catalog.error import ComityError
from privacy.decision import ACTIONS
from privacy.disease import standard
from privacy.grant import named_by
from privacy.modifier import Use
from privacy.nearest import nearest
from privacy.policy import Policy, decide
from privacy.purpose import mismatch
from privacy.request import Compute, DatasetRef, PersonAsker
from privacy.schema import cedar_entities, cedar_request, in_cedar, schema

ROUNDS: Final = 30
DECISIONS: Final = 100
"""In each round."""

PERSON: Final = PEOPLE[1]


def measure() -> Report:
    """Measure decisions with 50 and with 1,000 rules, and the search for the nearest change."""
    return Report(
        (*_with(50, Floor(1.0)), *_with(1000, Floor(3.0))),
        (f"{ROUNDS} rounds of {DECISIONS} decisions in processor time, the p99 of each round; medians of those",),
    )


def _with(rules: int, promise: Floor) -> list[Figure]:
    index, cited, _ = logs(PEOPLE[:2])
    text = _rules(rules)
    policy = Policy.parse(text, site="bench", version="1").on(NOW)
    bare, asked = _bare(text), _request(granted=True, unfit="")
    helpless = Policy.parse(text.partition("\n")[2], site="bench", version="1").on(NOW)
    denied = in_cedar(replace(_request(granted=False, unfit="too old"), fresh=False))

    def decision() -> None:
        if not decide(policy, asked).allowed:
            raise ComityError("the benchmark's question is denied")

    def whole() -> None:
        chain = covering_chain(index, cited, PERSON.did)
        use = Use(purpose=PURPOSE, undertakings=UNDERTAKEN, named=named_by(chain.grant, HOME.did), now=NOW)
        if mismatch(TERMS, use, standard()):
            raise ComityError("the benchmark's purpose does not fit")
        decision()

    return [
        _figure(f"a chain of 2 grants and a decision, {rules:,} rules, p99", whole, bare, promise),
        _figure("of it, the decision, p99", decision, bare),
        _figure("of it, the decision, median", decision, bare, share=50),
        _figure("the nearest change, and there is none", lambda: nearest(helpless, denied), bare, Floor(50.0), 50, 5),
    ]


def _figure(
    what: str,
    ours: Callable[[], object],
    bare: Callable[[], object],
    floor: Floor | None = None,
    share: int = 99,
    count: int = DECISIONS,
) -> Figure:
    spent: tuple[list[float], list[float]] = [], []
    for _ in range(1 + ROUNDS):
        for seconds, work in zip(spent, (ours, bare), strict=True):
            seconds.append(_of_a_round(work, count, share))
    mine, theirs = (Series.of_seconds(name, each[1:]) for name, each in zip((what, "Cedar alone"), spent, strict=True))
    return Figure(what, mine, theirs, floor)


def _of_a_round(work: Callable[[], object], count: int, share: int) -> float:
    """Of a round's runs the one than which ``share`` per cent are not slower, in seconds."""
    seconds = []
    for _ in range(count):
        began = time.thread_time()
        work()
        seconds.append(time.thread_time() - began)
    return sorted(seconds)[count * share // 100 - 1]


def _bare(text: str) -> Callable[[], object]:
    question = in_cedar(_request(granted=True, unfit=""))
    parsed, request, entities = PolicySet.from_str(text), cedar_request(question), cedar_entities(question)
    return lambda: is_authorized(request, parsed, entities, schema())


def _rules(count: int) -> str:
    """As many rules, a quarter of them about each action; one lets what is asked pass."""
    made = ['@id("ok") permit (principal, action == Action::"compute", resource) when { context.granted };']
    for number in range(count - 1):
        effect = "forbid" if number % 5 == 0 else "permit"
        made.append(
            f'@id("r{number}") {effect} (principal, action == Action::"{ACTIONS[number % 4]}", resource) when {{'
            f' principal.claims.contains("ResearcherStatus {number}") && context.fresh && context.granted'
            f' && principal.site != context.here && principal.roles.contains("researcher") }};'
        )
    return "\n".join(made)


def _request(*, granted: bool, unfit: str) -> Compute:
    return Compute(
        asker=PersonAsker(PERSON.did, HOME.did, frozenset({"researcher"})),
        here=OWNER.did,
        granted=granted,
        fresh=True,
        resource=DatasetRef(str(DATA[-1]), OWNER.did, "resident", TERMS),
        reader=True,
        project="bench",
        purpose=PURPOSE,
        purpose_matches=not unfit,
        mismatch=unfit,
        block=str(Cid.of(b"block")),
        block_signer=HOME.did,
        endorsed=True,
        endorsements=1,
        readers=frozenset({HOME.did}),
        runner="sandbox",
        output_types=frozenset({"statistics"}),
    )
