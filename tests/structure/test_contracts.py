"""import-linter holds the walls (`make lint`); here it is seen that no module stands outside of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.structure.source import ROOT, Module, modules, pyproject, rooms, within

LINTER = pyproject()["tool"]["importlinter"]
PURE = {
    "catalog",
    "privacy",
    "workflow",
    "node.automator",
    "node.bus",
    "node.admission",
    "node.founding",
    "node.log",
    "node.message",
    "node.ports",
    "node.quota",
    "node.replicate",
    "node.replication",
    "node.step",
}
# What the standard modules' walls do not see: builtins and parts of packages that are pure otherwise.
IMPURE_BUILTINS = {"open", "input", "print", "exec", "eval", "breakpoint"}
IMPURE_PARTS = {"nacl.utils", "nacl.public", "pathlib.Path", "datetime.datetime", "datetime.date", "urllib.request"}


def covered() -> set[str]:
    """Every package or module that a contract finer than the one between rooms names."""
    named: set[str] = set()
    for each in LINTER["contracts"]:
        named |= set(each.get("source_modules", ()))
        for container in each.get("containers", ()):
            layers = (name.strip() for layer in each["layers"] for name in layer.split("|"))
            named |= {f"{container}.{name.strip('() ')}" for name in layers}
    return named


def test_every_room_is_known_to_the_linter() -> None:
    """A room that the linter does not read could import anything."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench", "tests"}
    assert set(LINTER["root_packages"]) == set(rooms()) == packages
    ordered = next(each["layers"] for each in LINTER["contracts"] if each["type"] == "layers")
    assert set(ordered) == packages


def test_every_module_stands_in_a_contract() -> None:
    """A new module without a place in a contract is a module without walls."""
    named = covered()
    lost = [each.where for each in modules(*rooms()) if not within(each.name, named) and each.name not in rooms()]
    assert lost == []


def test_every_module_has_a_package_that_the_linter_sees() -> None:
    """A folder without `__init__.py` is invisible to the linter."""
    lost = [each.where for each in modules(*rooms()) if not (each.path.parent / "__init__.py").exists()]
    assert lost == []


@pytest.mark.parametrize("room", rooms())
def test_the_root_of_a_room_holds_nothing(room: str) -> None:
    """What a room's `__init__.py` imports, everybody who imports anything of it pays for."""
    assert [node for node in Module(ROOT / room / "__init__.py").tree.body[1:] if not isinstance(node, ast.Expr)] == []


def test_the_contract_of_purity_names_the_whole_core() -> None:
    """A core package that is dropped from the contract may open files unseen."""
    pure = next(each for each in LINTER["contracts"] if "catalog" in each.get("source_modules", ()))
    assert set(pure["source_modules"]) == PURE
    assert {"trio", "os", "io", "socket", "ssl", "time", "random", "secrets", "threading", "subprocess"} <= set(
        pure["forbidden_modules"]
    )


def test_the_core_calls_no_builtin_that_reaches_outside() -> None:
    """What the linter cannot see: `open()`, a `Path` that could be opened, a clock or random bytes by the back door."""
    assert [found for each in modules(*rooms()) if within(each.name, PURE) for found in impurities(each)] == []


def impurities(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_BUILTINS:
            yield f"{module.where}:{node.lineno}: {node.func.id}()"
        if isinstance(node, ast.Attribute) and node.attr in {"generate", "urandom"}:
            yield f"{module.where}:{node.lineno}: .{node.attr}"
        if isinstance(node, ast.Import):
            yield from (f"{module.where}: {each.name}" for each in node.names if impure(each.name))
        known = module.name in {"node.ports", "node.step"}  # a path is handed on there, and opened elsewhere
        if isinstance(node, ast.ImportFrom) and not (known and node.module == "pathlib"):
            names = (f"{node.module}.{each.name}" for each in node.names)
            yield from (f"{module.where}: {name}" for name in names if impure(name))


def impure(name: str) -> bool:
    return name in {"pathlib", "datetime"} or within(name, IMPURE_PARTS)
