"""The inventory of attacks is whole: each has a test, named once, and one that shows it without its defence."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.adversary.attacks import ATTACKS, Attack

HERE = Path(__file__).parent


@cache
def source(file: str) -> tuple[str, frozenset[str]]:
    """A file's text and the tests in it."""
    text = (HERE / file).read_text()
    return text, frozenset(node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))


def is_there(test: str) -> bool:
    """Whether a test, and the case of it, stands in its file."""
    file, _, rest = test.partition("::")
    name, _, case = rest.rstrip("]").partition("[")
    text, tests = source(file)
    return name in tests and all(part in text for part in case.split("-"))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.tries)
def test_an_attack_has_its_test_and_says_what_becomes_of_it_without_the_defence(attack: Attack) -> None:
    """Lost: an attack that is listed as refused, and that nobody tries."""
    assert is_there(attack.test), attack.test
    assert not attack.weakened or is_there(attack.weakened), attack.weakened
    assert all((attack.side, attack.tries, attack.refused_by)), attack


def test_each_attack_is_listed_once() -> None:
    """Lost: a list that is long because it says the same twice."""
    listed = Counter(attack.test for attack in ATTACKS) + Counter(attack.tries for attack in ATTACKS)
    assert [each for each, times in listed.items() if times > 1] == []


def test_each_attack_has_its_line_in_the_threat_model() -> None:
    """Lost: a reader of the threat model who learns of fewer attacks, or of other defences, than are tried."""
    page = (HERE.parents[1] / "docs" / "threat-model.md").read_text().splitlines()
    assert [attack.tries for attack in ATTACKS if attack.row not in page] == []
