"""Where the files of a step's inputs are shown to it, and what the files that it leaves are called outside.

A CWL File or Directory has a ``location``; here those are ``file://`` and a name of a
:class:`node.execute.cwl.tree.Tree`. A literal, whose bytes stand in the object itself, has one that begins with
``_:``, or none.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

from catalog.error import VerificationFailed, shown
from node.execute.cwl.links import INPUTS, WORK, followed, is_within
from node.execute.cwl.message import Object, Ready

SCHEME: Final = "file://"


@dataclass(slots=True)
class Places:
    """The inputs of one step: ``shown`` has for each path inside the name outside."""

    shown: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def staged(self, inputs: Object) -> Object:
        """``inputs`` with each file at a path below ``/inputs``: its own folder, which its secondary files share."""
        return {name: self._value(value) for name, value in inputs.items()}

    def outside(self, path: str) -> str | None:
        """What is shown at ``path`` inside, or lies in it, by its name outside."""
        whole = max((each for each in self.shown if is_within(path, each)), key=len, default=None)
        return None if whole is None else self.shown[whole] + path[len(whole) :]

    def delivered(self, outputs: Object, folder: str, links: Mapping[str, str] | None = None) -> Object:
        """``outputs`` with the names outside: what lies below ``/work`` is below ``folder`` there.

        What is a link is called what it leads to; ``links`` have for each what it says.

        Raises:
            VerificationFailed: a link leads out of the step.
        """
        return {name: self._outward(value, folder, links or {}) for name, value in outputs.items()}

    def updated(self, ready: Ready, folder: str) -> dict[str, str]:
        """What a step ``ready`` to change its inputs in place did: for each name outside the one in its work folder.

        Those are its own writable copies, of inputs that it was given: no value that was delivered is changed.
        """
        if not ready.inplace:
            return {}
        return {
            before: folder + each.target[len(ready.work) :]
            for each in ready.placed
            if each.writable and each.source is not None and is_within(each.target, ready.work)
            if (before := self.outside(each.source)) is not None
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") in ("File", "Directory"):
            return self._file(value, None)
        return {name: self._value(each) for name, each in value.items()}

    def _file(self, value: Mapping[str, Any], folder: str | None) -> Object:
        """A File or Directory, in ``folder`` inside, or in one of its own."""
        made = {name: each for name, each in value.items() if name not in ("path", "dirname")}
        name = name_of(value)
        if name is None:
            inner, target = folder, None
        else:
            if folder is None:
                folder = f"{INPUTS}/{self._count}"
                self._count += 1
            made.setdefault("basename", posixpath.basename(name))
            target = f"{folder}/{made['basename']}"
            self.shown[target] = name
            made["location"] = located(target)
            inner = folder
        if "secondaryFiles" in value:
            made["secondaryFiles"] = [self._file(each, inner) for each in value["secondaryFiles"]]
        if "listing" in value and value["listing"] is not None:
            made["listing"] = [self._listed(each, name, target) for each in value["listing"]]
        return made

    def _listed(self, value: Mapping[str, Any], outer: str | None, target: str | None) -> Object:
        """What a Directory lists: it goes with that, if it lies in it."""
        name = name_of(value)
        if outer is None or target is None or name is None or not is_within(name, outer):
            return self._file(value, None)
        made = {key: each for key, each in value.items() if key not in ("path", "dirname")}
        made["location"] = located(target + name[len(outer) :])
        if made.get("listing") is not None:
            made["listing"] = [self._listed(each, outer, target) for each in made["listing"]]
        return made

    def _outward(self, value: Any, folder: str, links: Mapping[str, str]) -> Any:
        if isinstance(value, list):
            return [self._outward(each, folder, links) for each in value]
        if not isinstance(value, dict):
            return value
        made = {key: self._outward(each, folder, links) for key, each in value.items() if key != "path"}
        name = name_of(value) if value.get("class") in ("File", "Directory") else None
        if name is not None:
            made["location"] = located(self._place(name, folder, links))
        return made

    def _place(self, name: str, folder: str, links: Mapping[str, str]) -> str:
        inner = followed(name, links) if is_within(name, WORK) else name
        if inner is None:
            raise VerificationFailed(f"the output «{shown(name)}» is a link out of the step: write a file in its place")
        return folder + inner[len(WORK) :] if is_within(inner, WORK) else self.outside(inner) or inner


def name_of(value: Mapping[str, Any]) -> str | None:
    """The name of a File or Directory; none of a literal."""
    location = value.get("location")
    if not isinstance(location, str) or not location.startswith((SCHEME, "/")):
        return None
    path = unquote(location.removeprefix(SCHEME)) if location.startswith(SCHEME) else location
    return posixpath.normpath(path)


def located(name: str) -> str:
    """The location of what is called ``name``."""
    return SCHEME + quote(name, safe="/")


def files_in(value: Any) -> Iterator[Object]:
    """Every File and Directory in a value, those that belong to others too."""
    if isinstance(value, dict):
        if value.get("class") in ("File", "Directory"):
            yield value
        for each in value.values():
            yield from files_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from files_in(each)
