"""The starter policies are what their tables say, and the tables say something of every rule in them."""

from __future__ import annotations

import re

import pytest

from catalog.error import BadInput
from cli.casefile import read_cases
from privacy.cases import failures
from privacy.policy import Policy
from privacy.rule import read_rules
from privacy.starters import CASES, NAMES, STARTERS

RULE = re.compile(r'^@id\("(?P<id>[^"]+)"\)\n(?:[^;]|\n)*?;\n', re.MULTILINE)


def parsed(text: str) -> Policy:
    return Policy.parse(text, site="St. Anna", version="1")


@pytest.mark.parametrize("name", NAMES)
def test_each_meets_its_table(name: str) -> None:
    cases = read_cases(CASES[name], f"{name}.cases.yaml")
    assert failures(parsed(STARTERS[name]), cases) == []


@pytest.mark.parametrize("name", NAMES)
def test_without_any_one_rule_a_case_fails(name: str) -> None:
    """Lost: whoever changes a starter could take a rule out and hear nothing of it."""
    text, cases = STARTERS[name], read_cases(CASES[name], f"{name}.cases.yaml")
    found = list(RULE.finditer(text))
    assert [each["id"] for each in found] == [rule.id for rule in read_rules(text, name)]
    for each in found:
        without = text[: each.start()] + text[each.end() :]
        assert failures(parsed(without), cases), f"{name}: no case needs the rule «{each['id']}»"


@pytest.mark.parametrize("name", NAMES)
def test_without_any_one_duty_a_case_fails(name: str) -> None:
    text, cases = STARTERS[name], read_cases(CASES[name], f"{name}.cases.yaml")
    for duty in re.finditer(r"^@(?!id)\w+\(.*\)\n", text, re.MULTILINE):
        without = text[: duty.start()] + text[duty.end() :]
        assert failures(parsed(without), cases), f"{name}: no case needs {duty[0]}"


@pytest.mark.parametrize("name", NAMES)
def test_a_typo_in_an_attribute_is_refused_with_its_line_and_column(name: str) -> None:
    text = STARTERS[name]
    attribute = re.search(r"(?:context|resource)\.(\w+)", text)
    assert attribute is not None
    at = attribute.start(1)
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    with pytest.raises(BadInput, match=rf"^{name}\.cedar:{line}:{column}: "):
        read_rules(text[:at] + "x" + text[at:], f"{name}.cedar")
