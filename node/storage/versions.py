"""One reading of one site's catalog, as it lies in memory and in the file of :mod:`node.storage.versionstore`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import json

from catalog.entry import Entry
from catalog.versions import Counted, subject_key

if TYPE_CHECKING:
    from node.storage.versionstore import VersionStore

# Each is one statement for many entries; hashes are cut out of one string of bytes, for JSON has none.
_LOOK_AHEAD: Final = """
SELECT json_group_object(key, place) FROM (SELECT key, (SELECT max(place) FROM counted WHERE reading = ?1
  AND kind = value AND subject = substr(?2, 16 * key + 1, 16)) AS place FROM json_each(?3)) WHERE place IS NOT NULL
"""
_SPILL: Final = """
INSERT OR REPLACE INTO counted (reading, place, kind, subject, bound, of_grant, signer, digest)
  SELECT ?1, value ->> 0, value ->> 1, substr(?2, 32 * key + 1, 16), value ->> 2, value ->> 3,
  value ->> 4, substr(?2, 32 * key + 17, 16) FROM json_each(?3)
"""


class StoredVersions:
    """The :class:`catalog.versions.Versions` of one reading of one site's catalog.

    What is taken stays in memory until :meth:`spill`, for a statement of SQL for each entry costs more than all that
    is to be found out of it: each gives up the interpreter, and gets it back after whatever else computes.
    """

    def __init__(self, store: VersionStore, site: str, reading: int, name: str) -> None:
        self._store = store
        self.site = site
        self.reading = reading
        self._name = name
        self._taken: dict[int, _Taken] = {}
        self._places: dict[tuple[str, bytes], list[int]] = {}
        self._hidden: dict[int, bool] = {}
        self._faults: dict[int, str] = {}
        self._ahead: dict[tuple[str, bytes], int | None] = {}

    @property
    def name(self) -> str:
        """See :class:`catalog.versions.Versions`."""
        return self._name

    @property
    def taken(self) -> int:
        """How many entries are in memory."""
        return len(self._taken) + len(self._hidden) + len(self._faults)

    def latest(self, kind: str, subject: str) -> Entry | None:
        """See :class:`catalog.versions.Versions`."""
        found = self._store.recall(self.reading, kind, subject)
        if found is not None:
            return found
        place = self.newest(kind, subject_key(subject))
        if place is None:
            return None
        entry = self._entry(kind, place)
        self._store.remember(self.reading, entry)
        return entry

    def newest(self, kind: str, subject: bytes) -> int | None:
        """See :class:`catalog.versions.Versions`."""
        taken = self._places.get((kind, subject))
        if taken:
            return taken[-1]
        if (kind, subject) in self._ahead:
            return self._ahead[kind, subject]
        sql = "SELECT max(place) FROM counted WHERE reading = ? AND kind = ? AND subject = ?"
        row = self._store.row(sql, self.reading, kind, subject)
        return None if row is None else row[0]

    def places(self, kind: str, subject: bytes, most: int) -> Iterable[int]:
        """See :class:`catalog.versions.Versions`."""
        sql = "SELECT place FROM counted WHERE reading = ? AND kind = ? AND subject = ? ORDER BY place LIMIT ?"
        stored = self._store.places(sql, self.reading, kind, subject, most)
        return [*stored, *self._places.get((kind, subject), ())][:most]

    def signed(self, signer: bytes, most: int) -> Iterable[int]:
        """See :class:`catalog.versions.Versions`."""
        sql = "SELECT place FROM counted WHERE reading = ? AND signer = ? LIMIT ?"
        taken = [place for place, each in self._taken.items() if each.counted.signer == signer]
        return [*self._store.places(sql, self.reading, signer.hex(), most), *taken][:most]

    def entries(self, kind: str, start: int = 0) -> Iterator[Entry]:
        """See :class:`catalog.versions.Versions`. May be gone through in another thread."""
        taken = {subject: places[-1] for (each, subject), places in list(self._places.items()) if each == kind}
        newest = "SELECT max(place) FROM counted WHERE reading = ? AND kind = ?"
        stored = self._store.places(f"{newest} GROUP BY subject ORDER BY 1", self.reading, kind)
        replaced = {self._store.row(f"{newest} AND subject = ?", self.reading, kind, subject) for subject in taken}
        replaced -= {(place,) for place in taken.values()}  # a spill under way has it in both already
        last = -1
        for place in merge(stored, sorted(taken.values())):
            if place > last and place >= start and (place,) not in replaced and self.counted(place) is not None:
                yield self._entry(kind, place)  # else it was forgotten since this began
            last = place

    def counted(self, place: int) -> Counted | None:
        """See :class:`catalog.versions.Versions`."""
        taken = self._taken.get(place)
        if taken is not None:
            return taken.counted
        sql = "SELECT kind, subject, bound, of_grant, signer FROM counted WHERE reading = ? AND place = ?"
        row = self._store.row(sql, self.reading, place)
        if row is None:
            return None
        grant, signer = (None if each is None else bytes.fromhex(each) for each in row[3:])
        return Counted(row[0], row[1], bool(row[2]), grant, signer)

    def count(self, entry: Entry, digest: bytes, counted: Counted) -> None:
        """See :class:`catalog.versions.Versions`."""
        self._taken[entry.index] = _Taken(counted, digest)
        self._places.setdefault((counted.kind, counted.subject), []).append(entry.index)
        self._store.remember(self.reading, entry)

    def hide(self, place: int, lacking: bool) -> None:
        """See :class:`catalog.versions.Versions`."""
        self._hidden[place] = lacking

    def is_hidden(self, place: int) -> bool:
        """See :class:`catalog.versions.Versions`."""
        sql = "SELECT 1 FROM hidden WHERE reading = ? AND place = ?"
        return place in self._hidden or self._store.row(sql, self.reading, place) is not None

    def forget(self, places: Iterable[int]) -> None:
        """See :class:`catalog.versions.Versions`."""
        named = frozenset(places)
        self.spill()
        told = json.encode(sorted(named)).decode()
        for table in ("counted", "fault"):
            sql = f"DELETE FROM {table} WHERE reading = ? AND place IN (SELECT value FROM json_each(?))"  # noqa: S608
            self._store.write(sql, self.reading, told)
        sql = "INSERT OR REPLACE INTO hidden SELECT ?, value, 0 FROM json_each(?)"
        self._store.write(sql, self.reading, told)
        self._store.forget(self.reading, named)

    def blame(self, place: int, reason: str) -> None:
        """See :class:`catalog.versions.Versions`."""
        self._faults[place] = reason

    @property
    def faults(self) -> Mapping[int, str]:
        """See :class:`catalog.versions.Versions`."""
        stored = self._store.rows("SELECT place, reason FROM fault WHERE reading = ? ORDER BY place", self.reading)
        return dict(stored) | self._faults

    def anew(self) -> StoredVersions:
        """See :class:`catalog.versions.Versions`."""
        return self._store.begin(self.site)

    def unread(self) -> Sequence[int]:
        """The places of which nothing could be read when they were taken, ascending. Blocks."""
        sql = "SELECT place FROM hidden WHERE reading = ? AND unread ORDER BY place"
        return self._store.places(sql, self.reading)

    def look_ahead(self, entries: Iterable[Entry]) -> None:
        """Look up at once what entries to come would replace. Blocks; to be called before they are taken."""
        subjects = list({(entry.body.kind, subject_key(entry.subject)) for entry in entries})
        kinds = json.encode([kind for kind, _ in subjects]).decode()
        row = self._store.row(_LOOK_AHEAD, self.reading, b"".join(subject for _, subject in subjects), kinds)
        found = json.decode(row[0], type=dict[int, int]) if row is not None else {}
        self._ahead = {subject: found.get(number) for number, subject in enumerate(subjects)}

    def spill(self) -> None:
        """Move what was taken from memory into the file. Blocks; nothing is to be taken meanwhile."""
        taken = self._taken
        rows = json.encode([(place, *_row(each.counted)) for place, each in taken.items()]).decode()
        hashes = b"".join(each.counted.subject + each.digest for each in taken.values())
        self._store.write(_SPILL, self.reading, hashes, rows)
        hidden = json.encode(list(self._hidden.items())).decode()
        sql = "INSERT OR REPLACE INTO hidden SELECT ?, value ->> 0, value ->> 1 FROM json_each(?)"
        self._store.write(sql, self.reading, hidden)
        faults = json.encode(list(self._faults.items())).decode()
        sql = "INSERT OR REPLACE INTO fault SELECT ?, value ->> 0, value ->> 1 FROM json_each(?)"
        self._store.write(sql, self.reading, faults)
        # Not before: whoever asks meanwhile finds it in the one place or in the other.
        self._taken, self._places, self._ahead, self._hidden, self._faults = {}, {}, {}, {}, {}

    def _entry(self, kind: str, place: int) -> Entry:
        taken = self._taken.get(place)
        if taken is not None:
            return self._store.entry(self, kind, place, taken.digest)
        row = self._store.row("SELECT digest FROM counted WHERE reading = ? AND place = ?", self.reading, place)
        return self._store.entry(self, kind, place, row[0] if row is not None else b"")


def _row(counted: Counted) -> tuple[str, bool, str | None, str | None]:
    grant, signer = (None if each is None else each.hex() for each in (counted.grant, counted.signer))
    return counted.kind, counted.bound, grant, signer


class _Taken(msgspec.Struct, frozen=True):
    """An entry that was taken and is not in the file yet."""

    counted: Counted
    digest: bytes
