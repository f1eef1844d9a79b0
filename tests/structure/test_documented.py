"""What every file of the product owes its reader."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.structure.source import Module, functions, modules, rooms

MOST_LINES = 450
OUTERMOST = {
    # The wall between what a peer can break and the node; see its file.
    ("node/network/bulkhead.py", "contain"),
}
BROAD = {"Exception", "BaseException"}


def test_every_module_says_what_it_is() -> None:
    """A file without a first line is a file that its next reader reads whole."""
    assert [each.where for each in modules(*rooms(), "bench") if not ast.get_docstring(each.tree)] == []


def test_every_public_name_is_documented() -> None:
    """An undocumented name is used by guess."""
    assert [found for each in modules(*rooms(), "bench") for found in undocumented(each)] == []


def test_no_file_is_too_long_to_hold_in_mind() -> None:
    """One file, one concept: what outgrows this is two."""
    long = {
        each.where: lines
        for each in modules(*rooms(), "bench")
        if (lines := len(each.path.read_text().splitlines())) > MOST_LINES
    }
    assert long == {}


def test_errors_are_caught_by_name() -> None:
    """A broad `except` swallows the error that it was not written for; one that raises again only cleans up."""
    assert [found for each in modules(*rooms(), "bench") for found in broad(each)] == []


def test_every_allowed_broad_catch_still_stands() -> None:
    """An exception that nobody needs any more is a hole for the next."""
    standing = {
        (each.where, inside)
        for each in modules(*rooms())
        for inside, node in functions(each.tree)
        if isinstance(node, ast.ExceptHandler) and names(node.type) & BROAD
    }
    assert standing >= OUTERMOST


def undocumented(module: Module) -> Iterator[str]:
    def look(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node) and not derived(node):
                yield f"{module.where}:{node.lineno}: {prefix}{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from look(node.body, f"{node.name}.")

    return look(module.tree.body, "")


def derived(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Overloads, setters and overrides are documented where they are first named."""
    told = {ast.unparse(each).rpartition(".")[2] for each in node.decorator_list}
    return bool(told & {"overload", "override", "setter"})


def broad(module: Module) -> Iterator[str]:
    for inside, node in functions(module.tree):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or names(node.type) & BROAD):
            raises_again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if not raises_again and (module.where, inside) not in OUTERMOST:
                yield f"{module.where}:{node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress") and named(node.args) & BROAD:
            yield f"{module.where}:{node.lineno}: suppress"


def named(nodes: list[ast.expr]) -> set[str]:
    return {name for node in nodes for name in names(node)}


def names(node: ast.expr | None) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} if node is not None else set()
