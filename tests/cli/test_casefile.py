"""Tables of cases as they are written: a mistake in one must be named with its place, never passed over."""

from __future__ import annotations

import pytest

from catalog.error import BadInput
from cli.casefile import read_cases
from privacy.duty import Duties, Quota
from privacy.schema import Uid

WHOLE = """\
cases:
  - case: a granted table leaves
    asks: release
    principal: {person: mara, site: institute, roles: [researcher], claims: ["ResearcherStatus x"]}
    resource: {Value: "held:1", owners: [here, clinic], outputType: table}
    context: {granted: true, endorsements: 2, readers: [institute], purpose: "DUO:0000006"}
    day: "2030-01-31"
    expect: allow
    rules: [endorsed-release]
    duties: {min_cell: "10", approve: 2 stewards, quota: 5 rows/30d, treat: round 5}
    reason: allows
"""


def test_a_whole_case_is_read() -> None:
    [case] = read_cases(WHOLE, "t")
    assert (case.name, case.place, case.allowed, case.rules, case.reason, case.day) == (
        *("a granted table leaves", "t:2", True, frozenset({"endorsed-release"}), "allows"),
        21_945,
    )
    assert case.duties == Duties(approvals=2, min_cell=10, rounded=5, quotas=(Quota(rows=5, days=30),))
    question = case.question
    assert question.principal == Uid("Person", "mara")
    assert question.about_principal["claims"] == frozenset({"ResearcherStatus x"})
    assert question.about_resource["owners"] == frozenset({Uid("Site", "here"), Uid("Site", "clinic")})
    assert question.context["endorsements"] == 2
    assert question.context["destinations"] == frozenset({Uid("Site", "institute")})
    assert question.context["fresh"] is False


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("granted: true", "granteed: true", r"^t:6:\d+: «granteed» is no field of the context"),
        ("granted: true", '"granted:x": true', r"^t:6:\d+: a field with a colon"),
        ("granted: true", 'granted: "yes"', r"^t:6:\d+: «yes» found, true or false expected"),
        ("endorsements: 2", "endorsements: two", r"^t:6:\d+: .*a whole number expected"),
        ("readers: [institute]", "readers: institute", r"^t:6:\d+: .*a list expected"),
        ("granted: true", "reader: true", r"«reader» is no field of the context"),
        ("outputType: table", "level: open", r"^t:5:\d+: «level» is no field of a Value"),
        ('Value: "held:1"', 'Value: "held:1", Dataset: x', r"^t:5:\d+: one of these fields is needed here"),
        ("person: mara", "node: institute", r"^t:4:\d+: «.*» is no field of a Site"),
        ("asks: release", "asks: erase", r"^t:3:\d+: «erase» found, one of see, fetch, compute, release"),
        ("expect: allow", "expect: maybe", r"^t:8:\d+: .*one of allow, deny expected"),
        ("    expect: allow\n", "", r"^t:2:\d+: the field «expect» is missing here"),
        ("reason: allows", "because: x", r"^t:11:\d+: «because» is no field of a case"),
        ('min_cell: "10"', 'min_cel: "10"', r"^t:10:\d+: «min_cel» is no field of duties"),
        ('min_cell: "10"', "min_cell: ten", r"^t:10:\d+: @min_cell is the least"),
        ('day: "2030-01-31"', "day: soon", r"^t:7:\d+: @expires is the last day"),
        ("reason: allows", "reason: &a allows", r"anchor or alias"),
        ("cases:", "tests:", r"^t:\d+:\d+: «tests» is no field of a table of cases"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, message: str) -> None:
    assert old in WHOLE
    with pytest.raises(BadInput, match=message):
        read_cases(WHOLE.replace(old, new), "t")


@pytest.mark.parametrize("text", ["", "cases: []\n", "- case: x\n", "cases: {a: b}\n"])
def test_a_table_without_a_case_is_a_mistake(text: str) -> None:
    """Lost: a table that lost its cases would pass."""
    with pytest.raises(BadInput, match=r"^t:1:"):
        read_cases(text, "t")


def test_two_cases_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match=r"a second case is called «a granted table leaves»"):
        read_cases(WHOLE + WHOLE.removeprefix("cases:\n"), "t")
