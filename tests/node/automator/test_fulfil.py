"""What a site denies of what its policy allows: a duty that nobody sees to must not be passed over."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec import structs

from catalog.body import write_body
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.policy import PolicyFields
from node.automator.decide import Judge
from node.automator.fulfil import fulfilled
from privacy.decision import Decision
from privacy.duty import Duties, Quota
from privacy.request import SiteAsker
from tests.node.automator.test_lapse import Heard
from tests.privacy.test_policy import COMPUTE, FETCH

ROOT, STEWARD = (PrivateKey(bytes([number]) * 32) for number in (80, 90))
ALLOWED = Decision(allowed=True, action="compute", rules=("r",), reason="allows", facts={}, policy="1")
DAY = 86_400_000


@dataclass
class Clock(Heard):
    """Everybody was heard just now, whenever that is."""

    at: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def now(self) -> int:
        return self.at


def judge(text: str, clock: Clock) -> Judge:
    index = Index([ROOT.did])
    site = index.site(ROOT.did)
    steward = KeyFields(did=STEWARD.did, role=Role.STEWARD, name="A steward", x25519=bytes(32))
    site.add(0, "key", write_body("key", steward, site=ROOT.did, at=1, by=ROOT))
    fields = PolicyFields(text=text)
    assert site.add(1, "policy", write_body("policy", fields, site=ROOT.did, at=1, by=STEWARD)) is not None
    return Judge(site, index, "St. Anna", "", clock)


@pytest.mark.parametrize(
    ("duties", "words"),
    [
        (Duties(approvals=1), "policy asks that a steward approves it, which this version cannot see to"),
        (Duties(approvals=2), "policy asks 2 stewards for it"),
        (Duties(min_cell=10), "that no cell stands for fewer than 10"),
        (Duties(rounded=5), "that counts leave as multiples of 5"),
        (Duties(whole=True), "that nothing leaves of what has a cell that discloses"),
        (Duties(quotas=(Quota(rows=1000, days=30),)), "for at most 1,000 rows in 30 days"),
    ],
)
def test_a_duty_that_nobody_fulfils_denies_and_says_so(duties: Duties, words: str) -> None:
    decision = fulfilled(
        Decision(
            **{name: getattr(ALLOWED, name) for name in ALLOWED.__struct_fields__}
            | {"duties": duties, "action": "fetch"}
        )
    )
    assert not decision.allowed
    assert words in decision.reason
    assert "«r»" in decision.reason
    assert decision.duties == duties, "the record says what was asked"


def test_cells_and_quotas_are_seen_to_where_an_output_leaves() -> None:
    """Lost: a policy that asks for large cells lets nothing out, or lets out whatever comes."""
    duties = Duties(min_cell=20, rounded=5, whole=True, quotas=(Quota(rows=1000, days=30),))
    release = Decision(allowed=True, action="release", rules=("r",), reason="ok", facts={}, policy="1", duties=duties)
    assert fulfilled(release) is release
    assert not fulfilled(structs.replace(release, action="compute")).allowed


def test_endorsements_are_a_fact_and_leave_nothing_to_do() -> None:
    assert fulfilled(ALLOWED) is ALLOWED
    endorsed = Decision(
        allowed=True, action="compute", rules=("r",), reason="ok", facts={}, policy="1", duties=Duties(endorsed=2)
    )
    assert fulfilled(endorsed) is endorsed


def test_stewards_are_asked_about_steps() -> None:
    text = '@id("ask") @approve("2 stewards") permit (principal, action == Action::"compute", resource);'
    asked = judge(text, Clock())._verdict(COMPUTE, "")
    assert (asked.allowed, asked.stewards) == (True, 2)


def test_the_judge_goes_by_the_day_on_which_it_decides() -> None:
    """Lost: a node that runs for months would go on by the day on which it read its policy."""
    clock = Clock(at=0)
    text = '@id("now") @expires("1970-01-31") permit (principal, action == Action::"compute", resource);'
    deciding = judge(text, clock)
    first = deciding.policy()
    assert deciding._verdict(COMPUTE, "").allowed
    assert deciding.policy() is first, "on one day it is one policy, by which searches know what they have decided"
    clock.at = 31 * DAY
    assert "expired after 1970-01-31" in deciding._verdict(COMPUTE, "").decision.reason


def test_a_failing_rule_is_counted_where_decisions_are_made() -> None:
    text = (
        '@id("bad") forbid (principal, action == Action::"compute", resource)'
        " when { context.endorsements * 9223372036854775807 > 5 - 9223372036854775807 - 9 };"
    )
    deciding = judge(text, Clock(at=5))
    assert not deciding._verdict(COMPUTE, "").allowed
    assert (deciding.faults.count, deciding.faults.last and deciding.faults.last.rules) == (1, ("bad",))
    assert deciding.faults.last is not None
    assert deciding.faults.last.at == 5
    assert FETCH.asker == SiteAsker(FETCH.asker.site)
    deciding._verdict(FETCH, "")
    assert deciding.faults.count == 1
