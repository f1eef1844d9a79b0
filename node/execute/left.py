"""What a step left in its work folder, by its listing: what it names there, and what of that is taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from catalog.error import BadInput, VerificationFailed
from node.execute.collect import Bounds, Collected, Entry, is_text, open_beneath, take
from node.execute.cwl.links import WORK, followed, is_within
from node.execute.cwl.tree import NOTHING, Seen
from node.step import Limits


class Left:
    """The folder ``work``, in which ``top`` was found once the step had ended; inside it was called ``place``."""

    def __init__(self, top: Entry, work: Path, limits: Limits, place: str = WORK) -> None:
        self.links = dict(_links(top, WORK)) | ({} if place == WORK else {place: WORK})
        self._top = top
        self._work = work
        self._place = place
        self._bounds = Bounds(limits)

    def led(self, name: str) -> str | None:
        """What ``name`` inside leads to, through links of this folder; none if out of the step."""
        return followed(name, self.links) if is_within(name, WORK) or is_within(name, self._place) else name

    def look(self, name: str) -> Seen:
        """What stands at ``name``, which :meth:`led` here."""
        entry = self._entry(name)
        if entry is None:
            return NOTHING
        return Seen("folder") if entry.kind == b"d" else Seen("file", entry.size) if entry.kind == b"f" else NOTHING

    def names(self, name: str) -> list[str]:
        """The names in a folder.

        Raises:
            VerificationFailed: one of them cannot be told.
        """
        entry = self._entry(name)
        names = sorted(entry.below) if entry is not None else []
        for each in names:
            if not is_text(each):
                raise VerificationFailed(f"the output {each!a} has a name that cannot be printed or is not UTF-8")
        return names

    def read(self, name: str, most: int) -> bytes | None:
        """The first ``most`` bytes of a file; none if it is none. Blocking.

        Raises:
            ComityError: it is no plain file.
        """
        if self.look(name).kind != "file":
            return None
        with open(open_beneath(self._work, _below(name)), "rb") as file:
            return file.read(most)

    def taken(self, name: str) -> Collected:
        """What is to be stored of it, counted against what the step may leave.

        Raises:
            ComityError: as :func:`node.execute.collect.take`.
        """
        return take(self._top, _below(name) or ".", self._work, self._bounds)

    def _entry(self, name: str) -> Entry | None:
        entry: Entry | None = self._top
        for part in filter(None, _below(name).split("/")):
            entry = entry.below.get(part) if entry is not None else None
        return entry


def _below(name: str) -> str:
    if not is_within(name, WORK):
        raise BadInput("what a step left lies in its work folder")
    return name[len(WORK) + 1 :]


def _links(folder: Entry, path: str) -> Iterator[tuple[str, str]]:
    """Every link by its name inside, with what it says."""
    waiting = [(folder, path)]
    while waiting:
        entry, at = waiting.pop()
        for name, each in entry.below.items():
            if each.kind == b"l":
                yield f"{at}/{name}", each.says
            elif each.below:
                waiting.append((each, f"{at}/{name}"))
