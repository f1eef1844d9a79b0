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

from node.execute.cwl.message import Object

SCHEME: Final = "file://"
INPUTS: Final = "/inputs"
WORK: Final = "/work"


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

    def delivered(self, outputs: Object, folder: str) -> Object:
        """``outputs`` with the names outside: what lies below ``/work`` is below ``folder`` there."""
        return {name: self._outward(value, folder) for name, value in outputs.items()}

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

    def _outward(self, value: Any, folder: str) -> Any:
        if isinstance(value, list):
            return [self._outward(each, folder) for each in value]
        if not isinstance(value, dict):
            return value
        made = {key: self._outward(each, folder) for key, each in value.items() if key != "path"}
        name = name_of(value) if value.get("class") in ("File", "Directory") else None
        if name is not None:
            within = is_within(name, WORK)
            outside = folder + name[len(WORK) :] if within else self.outside(name) or name
            made["location"] = located(outside)
        return made


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


def is_within(name: str, folder: str) -> bool:
    """Whether ``name`` is ``folder``, or lies in it."""
    return name == folder or name.startswith(f"{folder}/")


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
