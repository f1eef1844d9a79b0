"""Names and paths in documents from peers: what may become a folder's name, an argument, or a place in a folder."""

from __future__ import annotations

import re

from workflow.document import Part, shown

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}")


def plain_name(part: Part, name: str, what: str) -> str:
    """``name`` if it can stand for ``what`` (an input, an output, a step) and be a folder's name too.

    Identifiers are read in their short form: what follows the last ``#`` and ``/``.

    Raises:
        BadInput: it holds anything but letters, digits, ``_``, ``.`` and ``-``, or begins with ``.`` or ``-``.
    """
    short = re.split("[#/]", name)[-1]
    if not _NAME.fullmatch(short):
        raise part.error(f"«{shown(name)}» cannot name {what}: expected letters, digits, «_», «.» and «-»")
    return short


def relative_path(part: Part) -> str:
    """The text of ``part`` as the path of a file in the tool's own folder.

    Raises:
        BadInput: an address, an absolute path, one with «..», or one that a URI would read differently.
    """
    path = part.text()
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path) or path.startswith("/"):
        raise part.error(f"«{shown(path)}» found, a relative path inside the tool's folder expected")
    if not path.isprintable() or any(letter in path for letter in "\\%?#"):
        raise part.error(f"«{shown(path)}» found, a path without «\\», «%», «?» and «#» expected")
    if "$(" in path or "${" in path:
        raise part.unsupported(f"the expression «{shown(path)}» in a path")
    if any(name in ("", ".", "..") or len(name.encode()) > 255 for name in path.split("/")):
        raise part.error(f"«{shown(path)}» found, a path without empty, «.», «..» and overlong parts expected")
    return path


def is_file_name(name: str) -> bool:
    """Whether ``name`` names a file in a folder, and nothing beside it."""
    return name not in ("", ".", "..") and "/" not in name and name.isprintable() and len(name.encode()) <= 255


def is_data_name(name: str) -> bool:
    """Whether ``name`` is a file's name that data may travel under: at most 120 characters (``argument.Data``)."""
    return is_file_name(name) and len(name) <= 120


def is_inner_pattern(pattern: str) -> bool:
    """Whether a glob pattern can match nothing outside the folder that it is applied to."""
    return bool(pattern) and "\0" not in pattern and not pattern.startswith("/") and ".." not in pattern.split("/")


def is_plain_text(text: str) -> bool:
    """Whether ``text`` can be an argument of a program: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
