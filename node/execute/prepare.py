"""What stands beside a command before it starts (CWL v1.2, InitialWorkDirRequirement): written, or copied.

Each name is one that a stranger's text made. Nothing is written through a link, and nothing outside the step's folders.
"""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from catalog.error import VerificationFailed, shown
from node.execute.cwl.links import is_within
from node.execute.cwl.message import Placed, Ready
from node.execute.view import View

_MOST_DEPTH: Final = 64


def prepare(ready: Ready, view: View, work: Path, beside: Path) -> dict[str, Path]:
    """Put everything in its place: what lies in the working folder in ``work``, the rest ``beside`` it. Blocking.

    Returns what is to be shown to the step beside its inputs, by its name inside.

    Raises:
        VerificationFailed: something is to stand where nothing can, or is a copy of nothing.
    """
    roots = {ready.work: work}
    for number, each in enumerate(ready.placed):
        if posixpath.normpath(each.target) != each.target or not each.target.startswith("/") or "\0" in each.target:
            raise VerificationFailed(f"nothing can stand at «{shown(each.target)}»: a plain absolute path is expected")
        root = next((root for root in roots if is_within(each.target, root)), None)
        if root is None:
            root = each.target
            roots[root] = beside / f"placed-{number}"
        _put(each, view, _spot(roots, root, each.target))
    for stream in (ready.stdout, ready.stderr):
        if stream is not None and "/" in stream:
            _folder(_spot(roots, ready.work, posixpath.normpath(f"{ready.work}/{posixpath.dirname(stream)}")))
    return {target: path for target, path in roots.items() if target != ready.work}


def _spot(roots: Mapping[str, Path], root: str, target: str) -> Path:
    """The path for ``target``, whose parents are made, and of which no part is a link."""
    if not is_within(target, root):
        raise VerificationFailed(f"nothing can stand at «{shown(target)}»: it is out of the step")
    path = roots[root]
    parts = [part for part in target[len(root) :].split("/") if part]
    for part in parts:
        _folder(path)
        path = path / part
    if path.is_symlink():
        raise VerificationFailed(f"nothing can stand at «{shown(target)}»: there is a link already")
    return path


def _folder(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise VerificationFailed(f"«{shown(path.name)}» is to be a file and a folder, or is a link")
    if not path.exists():
        path.mkdir()
        path.chmod(0o777)


def _put(placed: Placed, view: View, path: Path) -> None:
    if placed.text is not None:
        _file(path)
        path.write_text(placed.text)
    elif placed.source is None:
        _folder(path)
    else:
        source = view.path(placed.source)
        if source is None:
            raise VerificationFailed(
                f"«{shown(placed.source)}», to be copied for the step, is nothing that it is shown"
            )
        _copy(source, path)


def _copy(source: Path, path: Path, depth: int = 0) -> None:
    """A copy that the step may change. Links are left out: what they lead to was nothing that was given."""
    if depth > _MOST_DEPTH:
        raise VerificationFailed(f"«{shown(source.name)}» has more than {_MOST_DEPTH} folders within each other")
    if source.is_dir():
        _folder(path)
        for each in sorted(source.iterdir()):
            if not each.is_symlink():
                _copy(each, path / each.name, depth + 1)
    else:
        _file(path)
        shutil.copyfile(source, path, follow_symlinks=False)
        path.chmod(0o777 if source.stat().st_mode & 0o111 else 0o666)


def _file(path: Path) -> None:
    if path.is_symlink() or path.is_dir():
        raise VerificationFailed(f"«{shown(path.name)}» is to be a file and a folder, or is a link")
    path.touch()
    path.chmod(0o666)
