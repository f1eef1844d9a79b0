"""The record of one examination: what of an output may leave, what it tells, and what was found, as it is stored.

It stays with the owner, beside its audit log, whose row names it. The salt keeps whoever reads a row from guessing
the counts by its CID.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from catalog.dagcbor import Value, decode, encode
from catalog.error import BadInput, VerificationFailed
from catalog.key import Did
from catalog.project import ProjectRef
from privacy.disclosure.examine import Row
from privacy.disclosure.release import Release
from privacy.disclosure.table import Key

MAX_RECORD: Final = 32 << 20
"""Bytes of a record: of 100,000 cells with four long keys."""

MAX_ROWS: Final = 1000
"""Findings that are kept of one examination."""

MAX_WORDS: Final = 1000

Text = Annotated[str, msgspec.Meta(max_length=MAX_WORDS)]
Names = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=64)], ...], msgspec.Meta(max_length=4)]


class Count(Value, frozen=True, kw_only=True):
    """So many people in the cell ``key``."""

    key: Names
    people: Annotated[int, msgspec.Meta(ge=1, lt=10**15)]


class Told(Value, frozen=True, kw_only=True):
    """What a value tells to whoever gets it: :class:`privacy.disclosure.release.Release` as it is stored."""

    where: dict[str, tuple[str, ...]] | None
    by: Names
    counts: tuple[Count, ...]
    withheld: tuple[Names, ...]


class Found(Value, frozen=True, kw_only=True):
    """One finding: the cell or group, the reason, words."""

    cell: Text
    reason: Text
    words: Text


class Record(Value, frozen=True, kw_only=True):
    """The examination ``id`` of an output that was made of ``datasets`` (texts of CIDs) of this site.

    ``line`` says what may leave and by which rules, or why nothing may; ``found`` is what was found, at most 1,000.
    ``told`` is what the value tells that is to leave; none if nobody can read that in it. ``project`` asked for it.
    ``holder`` is the site that made the value and reports of it, if it is another one: then nobody has looked at it
    here, and ``line`` is what that one says.
    """

    id: Annotated[str, msgspec.Meta(max_length=256)]
    datasets: tuple[Annotated[str, msgspec.Meta(max_length=128)], ...]
    project: ProjectRef
    line: Text
    found: Annotated[tuple[Found, ...], msgspec.Meta(max_length=MAX_ROWS)]
    told: Told | None
    holder: Did | None
    salt: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]

    @property
    def release(self) -> Release | None:
        """What it tells, for the ledger."""
        if self.told is None:
            return None
        where = self.told.where
        return Release(
            id=self.id,
            datasets=frozenset(self.datasets),
            where=None if where is None else {column: frozenset(values) for column, values in where.items()},
            by=self.told.by,
            counts={each.key: each.people for each in self.told.counts},
            withheld=frozenset(self.told.withheld),
        )

    @property
    def people(self) -> int | None:
        """How many people its value counts, one in two cells twice; none if nobody knows."""
        return None if self.told is None else sum(each.people for each in self.told.counts)


def record_of(
    id: str,
    datasets: Iterable[str],
    project: ProjectRef,
    line: str,
    rows: Iterable[Row],
    release: Release | None,
    salt: bytes,
    holder: str | None = None,
) -> Record:
    """The record of an examination."""
    found = [Found(cell=_short(cell), reason=_short(reason), words=_short(words)) for cell, reason, words in rows]
    return Record(
        id=id,
        datasets=tuple(sorted(datasets)),
        project=project,
        line=_short(line),
        found=tuple(found[:MAX_ROWS]),
        told=_told(release) if release is not None else None,
        holder=holder,
        salt=salt,
    )


def write_record(record: Record) -> bytes:
    """The bytes of a record.

    Raises:
        BadInput: they are more than 32 MiB.
    """
    data = encode(record)
    if len(data) > MAX_RECORD:
        raise BadInput("the output tells of more than the ledger keeps of one release")
    return data


def read_record(data: bytes) -> Record:
    """Read a record.

    Raises:
        VerificationFailed: it is none.
    """
    record = decode(Record, data, MAX_RECORD)
    told = record.told
    keys: list[Key] = [] if told is None else [*(each.key for each in told.counts), *told.withheld]
    if told is not None and (any(len(key) != len(told.by) for key in keys) or len(set(keys)) != len(keys)):
        raise VerificationFailed("the record of a release was refused: its cells are not by its columns")
    return record


def _told(release: Release) -> Told:
    where = release.where
    return Told(
        where=None if where is None else {column: tuple(sorted(values)) for column, values in where.items()},
        by=release.by,
        counts=tuple(Count(key=key, people=many) for key, many in sorted(release.counts.items())),
        withheld=tuple(sorted(release.withheld)),
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 1] + "…"
