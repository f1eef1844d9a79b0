"""Why something is no CWL, in one line: where, and what was expected there."""

from __future__ import annotations

from typing import Final

from schema_salad.exceptions import SchemaSaladException

MOST_CHARACTERS: Final = 500


def reason_of(error: BaseException) -> str:
    """The innermost reason, behind ``file:line:column`` if it is one of a document, without the values that follow."""
    if isinstance(error, (RecursionError, MemoryError)):
        return "it is nested too deep, contains itself, or expands to more than there is room for"
    leaves = error.leaves() if isinstance(error, SchemaSaladException) else []
    return _of_a_document(leaves[0]) if leaves else _last(str(error)) or type(error).__name__


def _of_a_document(leaf: SchemaSaladException) -> str:
    told = _last(leaf.message)
    if leaf.file is None or leaf.start is None:
        return told
    line, column = leaf.start
    place = f"/{leaf.file.removeprefix('file://').lstrip('/')}:{line}:{column}: "
    return place + told.removeprefix(f"{leaf.file}:{line}:{column}:").strip()


def _last(text: str) -> str:
    """The last line before a value is printed, which ends with a brace."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip():
            lines.append(line.strip())
        if line.rstrip().endswith("{"):
            break
    return lines[-1].removesuffix("{").rstrip(" :")[:MOST_CHARACTERS] if lines else ""
