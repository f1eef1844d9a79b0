"""Our top-level names are common words; here it is seen that they are ours alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions

from tests.structure.source import ROOT, modules, rooms

OURS = {"comity", "comity-notebook"}
VAGUE = ("utils", "util", "helpers", "helper", "common", "misc", "manager", "managers")


def top_level(distribution: Distribution) -> Iterator[str]:
    """What can be imported from a distribution: what it declares and what lies at the top of it."""
    yield from (distribution.read_text("top_level.txt") or "").split()
    for file in distribution.files or ():
        head = file.parts[0]
        if file.suffix in {".py", ".so", ".pyi"} and head != "..":
            yield head if len(file.parts) > 1 else head.partition(".")[0]


def test_no_dependency_ships_a_name_of_ours() -> None:
    """A dependency with a package «catalog» or «node» would replace ours, or be replaced by it, silently."""
    foreign = [each for each in distributions() if each.name.lower() not in OURS]
    assert len(foreign) > 20, "the dependencies are not installed, so nothing was looked at"
    taken = {(each.name, name) for each in foreign for name in top_level(each) if name in rooms()}
    assert taken == set()


def test_no_path_has_a_name_that_says_nothing() -> None:
    """A file «utils» collects what nobody finds again."""
    found = [
        each.where
        for each in modules(*rooms(), "tests", "bench")
        if any(word in VAGUE for part in each.path.relative_to(ROOT).with_suffix("").parts for word in part.split("_"))
    ]
    assert found == []


def test_no_class_is_a_manager() -> None:
    """A «manager» does not say what it does."""
    found = [
        f"{each.where}: {node.name}"
        for each in modules(*rooms(), "bench")
        for node in ast.walk(each.tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Manager", "Helper", "Util", "Utils"))
    ]
    assert found == []
