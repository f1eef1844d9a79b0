"""The files of a block, read on the author's machine: a folder with ``tool.cwl``, or a tool with what it carries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from catalog.error import BadInput, Damaged, NotFound
from node.regular import read_regular

TOOL: Final = "tool.cwl"
MAX_FILES: Final = 1000
MAX_BYTES: Final = 11 << 20
"""Of all files together; as base64 in JSON they stay below what the node takes."""

Source = str | Path | Mapping[str, str | bytes]
"""A folder, a tool's path, or the files themselves by relative path."""


def read_block(source: Source) -> dict[str, bytes]:
    """The files of a block by relative path, ``tool.cwl`` among them.

    Of a folder, every regular file is taken, save hidden ones and ``__pycache__``. Of a single tool, the files that
    its text carries, as relative paths below its own folder, and no others.

    Raises:
        NotFound: there is no such path.
        BadInput: no ``tool.cwl``, a link or a device among the files, unreadable, or too much.
    """
    if isinstance(source, Mapping):
        files = {name: data.encode() if isinstance(data, str) else data for name, data in source.items()}
    else:
        path = Path(source)
        if not path.exists():
            raise NotFound(f"there is no {path}; give a tool's path or a folder that holds {TOOL}")
        files = _folder(path) if path.is_dir() else _tool(path)
    if TOOL not in files:
        raise BadInput(f"a block needs a file «{TOOL}» at its top; there are: {', '.join(sorted(files)[:8]) or 'none'}")
    _bound(files)
    return files


def _folder(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for path in _walk(folder):
        files[path.relative_to(folder).as_posix()] = _regular(path)
        _bound(files)
    return files


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)


def _tool(path: Path) -> dict[str, bytes]:
    # Reading CWL takes libraries that are slow to import and that a folder or a notebook does not need.
    from workflow.parse import parse_tool

    text = _regular(path)
    tool = parse_tool(text, str(path))
    files = {TOOL: text}
    for name in tool.files:
        named = path.parent / name
        inside = _folder(named) if named.is_dir() and not named.is_symlink() else {}
        files |= {f"{name}/{each}": data for each, data in inside.items()} or {name: _regular(named)}
    return files


def _regular(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_BYTES)
    except OSError as error:
        raise BadInput(f"{path} cannot be packed into a block ({error.strerror})") from error
    except Damaged as error:
        raise BadInput(
            f"{path} cannot be packed into a block, which holds files alone, links not followed, of {MAX_BYTES:,} bytes"
            " together"
        ) from error


def _bound(files: Mapping[str, bytes]) -> None:
    if len(files) > MAX_FILES:
        raise BadInput(f"a block of more than {MAX_FILES:,} files was refused; leave out what the tool does not need")
    if sum(map(len, files.values())) > MAX_BYTES:
        raise BadInput(f"a block of more than {MAX_BYTES:,} bytes was refused; publish its data as a dataset")
