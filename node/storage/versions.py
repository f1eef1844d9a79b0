"""One reading of one site's catalog, as it lies in memory and in the file of :mod:`node.storage.versionstore`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import merge, nsmallest
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import json

from catalog.entry import Entry
from catalog.versions import Counted, Refused, Version, subject_key

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
_SPILL_REFUSED: Final = """
INSERT OR REPLACE INTO refused SELECT ?, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)
"""
_NEWEST: Final = """
SELECT value, (SELECT max(place) FROM counted WHERE reading = ?1 AND kind = ?2
  AND subject = substr(?3, 16 * value + 1, 16)) FROM json_each(?4)
"""
_FOUND: Final = """
SELECT it.place, it.kind, it.subject, it.bound, it.of_grant, it.signer,
  (SELECT max(place) FROM counted WHERE reading = ?1 AND kind = it.kind AND subject = it.subject AND place < it.place),
  (SELECT min(place) FROM counted WHERE reading = ?1 AND kind = it.kind AND subject = it.subject AND place > it.place)
  FROM json_each(?2) CROSS JOIN counted AS it ON it.reading = ?1 AND it.place = value
"""
_ABOUT: Final = """
SELECT kind, subject FROM (
  SELECT it.kind, lower(hex(it.subject)) AS subject FROM json_each(?2) CROSS JOIN counted AS it
    ON it.reading = ?1 AND it.place = value
  UNION SELECT it.kind, it.subject FROM json_each(?2) CROSS JOIN refused AS it
    ON it.reading = ?1 AND it.place = value AND it.subject IS NOT NULL
) AS about WHERE EXISTS (SELECT 1 FROM refused AS it
  WHERE it.reading = ?1 AND it.kind = about.kind AND it.subject = about.subject)
"""
_DISPUTED: Final = """
SELECT place FROM (
  SELECT it.place FROM json_each(?3) CROSS JOIN counted AS it ON it.reading = ?1 AND it.kind = value ->> 0
    AND it.subject = substr(?2, 16 * key + 1, 16)
  UNION ALL SELECT it.place FROM json_each(?3) CROSS JOIN refused AS it ON it.reading = ?1 AND it.kind = value ->> 0
    AND it.subject = value ->> 1
) ORDER BY place LIMIT ?4
"""
_BLAMED: Final = """
SELECT place, reason FROM refused JOIN fault USING (reading, place)
  WHERE reading = ?1 AND kind = ?2 AND subject IS NOT NULL ORDER BY place LIMIT ?3
"""
_SIGNED: Final = """
SELECT place FROM counted WHERE reading = ?1 AND signer IN (SELECT value FROM json_each(?2))
  UNION ALL SELECT place FROM refused WHERE reading = ?1 AND signer IN (SELECT value FROM json_each(?2))
  ORDER BY place LIMIT ?3
"""
_OF_PLACES: Final = ("counted", "refused", "lacking")
"""The tables that say what is forgotten with a place, beside that of faults, which are counted."""


class StoredVersions:
    """The :class:`catalog.versions.Versions` of one reading of one site's catalog.

    What is taken stays in memory until :meth:`spill`, for a statement of SQL for each entry costs more than all that
    is to be found out of it: each gives up the interpreter, and gets it back after whatever else computes.
    """

    def __init__(self, store: VersionStore, site: str, reading: int, name: str, faulty: int = 0) -> None:
        self._store = store
        self.site = site
        self.reading = reading
        self._name = name
        self._taken: dict[int, _Taken] = {}
        self._places: dict[tuple[str, bytes], list[int]] = {}
        self._refused: dict[int, Refused] = {}
        self._lacking: dict[int, bool] = {}
        self._bound: set[int] = set()
        self._faults: dict[int, str] = {}
        self._faulty = faulty
        self._ahead: dict[tuple[str, bytes], int | None] = {}

    @property
    def name(self) -> str:
        """See :class:`catalog.versions.Versions`."""
        return self._name

    @property
    def taken(self) -> int:
        """How many entries are in memory."""
        return len(self._taken) + len(self._lacking) + len(self._faults) + len(self._bound)

    def latest(self, kind: str, subject: str) -> Entry | None:
        """See :class:`catalog.versions.Versions`."""
        found = self._store.recall(self.reading, kind, subject)
        if found is not None:
            return found
        place = self._newest(kind, subject_key(subject))
        if place is None:
            return None
        entry = self._entry(kind, place)
        self._store.remember(self.reading, entry)
        return entry

    def _newest(self, kind: str, subject: bytes) -> int | None:
        taken = self._places.get((kind, subject))
        if taken:
            return taken[-1]
        if (kind, subject) in self._ahead:
            return self._ahead[kind, subject]
        sql = "SELECT max(place) FROM counted WHERE reading = ? AND kind = ? AND subject = ?"
        row = self._store.row(sql, self.reading, kind, subject)
        return None if row is None else row[0]

    def newest(self, kind: str, subjects: Collection[bytes]) -> Mapping[bytes, int]:
        """See :class:`catalog.versions.Versions`."""
        self._settle()
        wanted = list(subjects)
        rows = self._store.rows(_NEWEST, self.reading, kind, b"".join(wanted), _json(range(len(wanted))))
        return {wanted[number]: place for number, place in rows if place is not None}

    def found(self, places: Collection[int]) -> Mapping[int, Version]:
        """See :class:`catalog.versions.Versions`."""
        self._settle()
        return {row[0]: _version(*row[1:]) for row in self._store.rows(_FOUND, self.reading, _json(places))}

    def disputed(self, places: Collection[int], most: int) -> Sequence[int]:
        """See :class:`catalog.versions.Versions`."""
        self._settle()
        if self._store.row("SELECT 1 FROM refused WHERE reading = ? LIMIT 1", self.reading) is None:
            return ()
        about = self._store.rows(_ABOUT, self.reading, _json(places))
        subjects = b"".join(bytes.fromhex(subject) for _, subject in about)
        return self._store.places(_DISPUTED, self.reading, subjects, _json(about), most) if about else ()

    def contested(self, kind: str) -> bool:
        """See :class:`catalog.versions.Versions`."""
        self._settle()
        sql = "SELECT 1 FROM refused WHERE reading = ? AND kind = ? AND subject IS NOT NULL LIMIT 1"
        return self._store.row(sql, self.reading, kind) is not None

    def bind(self, place: int) -> None:
        """See :class:`catalog.versions.Versions`."""
        self._bound.add(place)

    def bound(self, places: Iterable[int]) -> int | None:
        """See :class:`catalog.versions.Versions`."""
        self._settle()
        sql = "SELECT min(place) FROM bound WHERE reading = ? AND place IN (SELECT value FROM json_each(?))"
        row = self._store.row(sql, self.reading, _json(places))
        return None if row is None else row[0]

    def signed(self, signers: Collection[bytes], most: int) -> Sequence[int]:
        """See :class:`catalog.versions.Versions`."""
        self._settle()
        return self._store.places(_SIGNED, self.reading, _json([signer.hex() for signer in signers]), most)

    def _settle(self) -> None:
        """Bring what is in memory to where a statement for many entries finds it."""
        if self.taken:
            self.spill()

    def entries(self, kind: str, start: int = 0) -> Iterator[Entry]:
        """See :class:`catalog.versions.Versions`. May be gone through in another thread."""
        taken = {subject: places[-1] for (each, subject), places in list(self._places.items()) if each == kind}
        newest = "SELECT max(place) FROM counted WHERE reading = ? AND kind = ?"
        stored = self._store.places(f"{newest} GROUP BY subject ORDER BY 1", self.reading, kind)
        replaced = {self._store.row(f"{newest} AND subject = ?", self.reading, kind, subject) for subject in taken}
        replaced -= {(place,) for place in taken.values()}  # a spill under way has it in both already
        last = -1
        for place in merge(stored, sorted(taken.values())):
            if place > last and place >= start and (place,) not in replaced and self._stands(place):
                yield self._entry(kind, place)  # else it was forgotten since this began
            last = place

    def _stands(self, place: int) -> bool:
        sql = "SELECT 1 FROM counted WHERE reading = ? AND place = ?"
        return place in self._taken or self._store.row(sql, self.reading, place) is not None

    def count(self, entry: Entry, digest: bytes, counted: Counted) -> None:
        """See :class:`catalog.versions.Versions`."""
        self._taken[entry.index] = _Taken(counted, digest)
        self._places.setdefault((counted.kind, counted.subject), []).append(entry.index)
        self._store.remember(self.reading, entry)

    def lack(self, place: int, owed: bool) -> None:
        """See :class:`catalog.versions.Versions`."""
        self._lacking[place] = owed

    def owed(self, before: int) -> int | None:
        """See :class:`catalog.versions.Versions`."""
        self._settle()
        sql = "SELECT min(place) FROM lacking WHERE reading = ? AND owed AND place < ?"
        row = self._store.row(sql, self.reading, before)
        return None if row is None else row[0]

    def lacks(self, places: Iterable[int]) -> bool:
        """See :class:`catalog.versions.Versions`."""
        self._settle()
        sql = "SELECT 1 FROM lacking WHERE reading = ? AND place IN (SELECT value FROM json_each(?)) LIMIT 1"
        return self._store.row(sql, self.reading, _json(places)) is not None

    def forget(self, places: Iterable[int]) -> None:
        """See :class:`catalog.versions.Versions`."""
        named = frozenset(places)
        self._settle()
        told = _json(sorted(named))
        here = "WHERE reading = ? AND place IN (SELECT value FROM json_each(?))"
        for table in _OF_PLACES:
            self._store.write(f"DELETE FROM {table} {here}", self.reading, told)  # noqa: S608
        self._faulty -= len(self._store.rows(f"DELETE FROM fault {here} RETURNING place", self.reading, told))  # noqa: S608
        self._ahead = {}
        self._store.forget(self.reading, named)

    def blame(self, place: int, reason: str, refused: Refused | None = None) -> None:
        """See :class:`catalog.versions.Versions`."""
        self._faulty += place not in self._faults
        self._faults[place] = reason
        if refused is not None:
            self._refused[place] = refused

    @property
    def faults(self) -> Mapping[int, str]:
        """See :class:`catalog.versions.Versions`."""
        stored = self._store.rows("SELECT place, reason FROM fault WHERE reading = ? ORDER BY place", self.reading)
        return dict(stored) | self._faults

    @property
    def faulty(self) -> int:
        """See :class:`catalog.versions.Versions`."""
        return self._faulty

    def blamed(self, most: int, kind: str = "") -> Sequence[tuple[int, str]]:
        """See :class:`catalog.versions.Versions`."""
        if kind:
            self._settle()
            return [(row[0], row[1]) for row in self._store.rows(_BLAMED, self.reading, kind, most)]
        sql = "SELECT place, reason FROM fault WHERE reading = ? ORDER BY place LIMIT ?"
        taken = nsmallest(most, self._faults.items())
        return [*((row[0], row[1]) for row in self._store.rows(sql, self.reading, most)), *taken][:most]

    def anew(self) -> StoredVersions:
        """See :class:`catalog.versions.Versions`."""
        return self._store.begin(self.site)

    def discard(self) -> None:
        """See :class:`catalog.versions.Versions`."""
        self._store.discard(self.reading)

    def unread(self) -> Sequence[int]:
        """The places whose bodies were not here when they were taken, ascending. Blocks."""
        sql = "SELECT place FROM lacking WHERE reading = ? ORDER BY place"
        return self._store.places(sql, self.reading)

    def look_ahead(self, entries: Iterable[Entry]) -> None:
        """Look up at once what entries to come would replace. Blocks; to be called before they are taken."""
        subjects = list({(entry.body.kind, subject_key(entry.subject)) for entry in entries})
        kinds = _json([kind for kind, _ in subjects])
        row = self._store.row(_LOOK_AHEAD, self.reading, b"".join(subject for _, subject in subjects), kinds)
        found = json.decode(row[0], type=dict[int, int]) if row is not None else {}
        self._ahead = {subject: found.get(number) for number, subject in enumerate(subjects)}

    def spill(self) -> None:
        """Move what was taken from memory into the file. Blocks; nothing is to be taken meanwhile."""
        taken = self._taken
        rows = _json([(place, *_row(each.counted)) for place, each in taken.items()])
        hashes = b"".join(each.counted.subject + each.digest for each in taken.values())
        self._store.write(_SPILL, self.reading, hashes, rows)
        sql = "INSERT OR REPLACE INTO lacking SELECT ?, value ->> 0, value ->> 1 FROM json_each(?)"
        self._store.write(sql, self.reading, _json(self._lacking.items()))
        sql = "INSERT OR REPLACE INTO bound SELECT ?, value FROM json_each(?)"
        self._store.write(sql, self.reading, _json(self._bound))
        sql = "INSERT OR REPLACE INTO fault SELECT ?, value ->> 0, value ->> 1 FROM json_each(?)"
        self._store.write(sql, self.reading, _json(self._faults.items()))
        refused = [(place, each.kind, _hex(each.subject), each.signer.hex()) for place, each in self._refused.items()]
        self._store.write(_SPILL_REFUSED, self.reading, _json(refused))
        # Not before: whoever asks meanwhile finds it in the one place or in the other.
        self._taken, self._places, self._ahead, self._faults, self._refused = {}, {}, {}, {}, {}
        self._lacking, self._bound = {}, set()

    def _entry(self, kind: str, place: int) -> Entry:
        taken = self._taken.get(place)
        if taken is not None:
            return self._store.entry(self, kind, place, taken.digest)
        row = self._store.row("SELECT digest FROM counted WHERE reading = ? AND place = ?", self.reading, place)
        return self._store.entry(self, kind, place, row[0] if row is not None else b"")


def _row(counted: Counted) -> tuple[str, bool, str | None, str | None]:
    return counted.kind, counted.bound, _hex(counted.grant), _hex(counted.signer)


def _version(
    kind: str, subject: bytes, bound: int, grant: str | None, signer: str | None, before: int | None, after: int | None
) -> Version:
    of_grant, by = (None if each is None else bytes.fromhex(each) for each in (grant, signer))
    return Version(Counted(kind, subject, bool(bound), of_grant, by), before, after)


def _hex(hashed: bytes | None) -> str | None:
    return None if hashed is None else hashed.hex()


def _json(value: Iterable[object]) -> str:
    return json.encode(list(value)).decode()


class _Taken(msgspec.Struct, frozen=True):
    """An entry that was taken and is not in the file yet."""

    counted: Counted
    digest: bytes
