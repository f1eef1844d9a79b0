"""What a step is shown, by the names that it has inside: its block, its inputs, and in the end what it left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import trio

from catalog.error import VerificationFailed
from node.execute.cwl.links import WORK, is_within
from node.execute.cwl.tree import NOTHING, Seen
from node.execute.left import Left


class View:
    """A :class:`node.execute.cwl.tree.Tree` of files and folders of this machine, each at its name inside.

    ``left`` is what the step left, once it ended.
    """

    def __init__(self, places: Mapping[str, Path]) -> None:
        self.left: Left | None = None
        self.places = dict(places)

    def path(self, name: str) -> Path | None:
        """Where what is called ``name`` lies; none if that is nothing that is shown, or behind a link. Blocking."""
        whole = max((each for each in self.places if is_within(name, each)), key=len, default=None)
        if whole is None:
            return None
        path = self.places[whole]
        for part in filter(None, name[len(whole) :].split("/")):
            path = path / part
            if part == ".." or path.is_symlink():
                return None
        return path if path.exists() else None

    async def look(self, name: str) -> Seen:
        """What stands there.

        Raises:
            ComityError, OSError: it cannot be found out.
        """
        led = self._led(name)
        if led is None:
            return NOTHING
        if self.left is not None and is_within(led, WORK):
            return self.left.look(led)
        return await trio.to_thread.run_sync(self._look, led)

    async def names(self, name: str) -> list[str]:
        """The names in a folder; none if it is none.

        Raises:
            ComityError, OSError: it cannot be found out.
        """
        led = self._led(name)
        if led is None:
            return []
        if self.left is not None and is_within(led, WORK):
            return self.left.names(led)
        return await trio.to_thread.run_sync(self._names, led)

    async def read(self, name: str, most: int) -> bytes | None:
        """The first ``most`` bytes of a file; none if it is none.

        Raises:
            ComityError, OSError: it cannot be read, or must not be.
        """
        led = self._led(name)
        if led is None:
            return None
        if self.left is not None and is_within(led, WORK):
            return await trio.to_thread.run_sync(self.left.read, led, most)
        return await trio.to_thread.run_sync(self._read, led, most)

    def _led(self, name: str) -> str | None:
        return name if self.left is None else self.left.led(name)

    def _look(self, name: str) -> Seen:
        path = self.path(name)
        if path is None:
            return Seen("folder") if self._tops(name) else NOTHING
        return Seen("folder") if path.is_dir() else Seen("file", path.stat().st_size) if path.is_file() else NOTHING

    def _names(self, name: str) -> list[str]:
        path = self.path(name)
        if path is None:
            return self._tops(name)
        if not path.is_dir():
            return []
        found = sorted(each.name for each in path.iterdir() if not each.is_symlink())
        if not all(each.isprintable() for each in found):
            raise VerificationFailed(f"a file in «{name}» has a name that cannot be printed or is not UTF-8")
        return found

    def _read(self, name: str, most: int) -> bytes | None:
        path = self.path(name)
        if path is None or not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(most)

    def _tops(self, name: str) -> list[str]:
        """What lies in a folder that is there only because something is shown below it."""
        top = name.rstrip("/") + "/"
        return sorted({each[len(top) :].split("/")[0] for each in self.places if each.startswith(top)})
