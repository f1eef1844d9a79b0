"""Which entries of one site's catalog count: of each subject the newest, and by place what any of them was about.

What the index of a site needs to remember for each leaf is behind :class:`Versions`, so that a million leaves need
not lie in memory. :class:`HeldVersions` keeps them there, for whoever reads a log once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from heapq import nsmallest
from itertools import chain
from typing import Final, NamedTuple, Protocol

import msgspec

from catalog.entry import Entry

SUBJECT_BYTES: Final = 16


def subject_key(subject: str) -> bytes:
    """A subject as it is kept, 16 bytes: as short for a CID as for a name, and no name of a person."""
    return sha256(subject.encode()).digest()[:SUBJECT_BYTES]


class Counted(msgspec.Struct, frozen=True, gc=False):
    """What an entry that counted at its place was about. One that is ``bound`` is never withdrawn.

    ``grant`` is the subject of the grant that a revocation ends; ``signer`` is who signed it, as the subject of an
    enrolment, where that may be somebody who can be forgotten. Both are ``None`` of other entries.
    """

    kind: str
    subject: bytes
    bound: bool = False
    grant: bytes | None = None
    signer: bytes | None = None


class Refused(msgspec.Struct, frozen=True):
    """What an entry that does not count would have been about, and who signed it, as in :class:`Counted`.

    ``subject`` is there if it was refused for what stands before it of that subject, and not for who signed it.
    """

    kind: str
    subject: bytes | None
    signer: bytes


class Version(NamedTuple):
    """An entry that counted, and the places of those of its subject that counted next to it."""

    counted: Counted
    before: int | None
    after: int | None


class Versions(Protocol):
    """What was read of one site's log, from its first leaf on.

    ``digest`` is what :func:`catalog.reading.digest_of` says of an entry's body.
    """

    @property
    def name(self) -> str:
        """The name of this reading of the log, which no other has; empty if it is not kept beyond this run."""

    def latest(self, kind: str, subject: str) -> Entry | None:
        """The newest entry of a subject.

        Raises:
            Damaged: its body is not what it was when it was read.
        """

    def newest(self, kind: str, subjects: Collection[bytes]) -> Mapping[bytes, int]:
        """The place of the newest entry of each of these subjects that has one."""

    def found(self, places: Collection[int]) -> Mapping[int, Version]:
        """What counted at those of ``places`` where something did, even if it was replaced since."""

    def disputed(self, places: Collection[int], most: int) -> Sequence[int]:
        """The first ``most`` places of all that is about the same subject as any of ``places``, if that is disputed.

        It is if something about it was refused for what stands before it.
        """

    def contested(self, kind: str) -> bool:
        """Whether any entry of ``kind`` was refused for what stands before it."""

    def bind(self, place: int) -> None:
        """The leaf at ``place`` is of a kind that is never withdrawn, whatever becomes of its body."""

    def bound(self, places: Iterable[int]) -> int | None:
        """The first of ``places`` that was bound."""

    def signed(self, signers: Collection[bytes], most: int) -> Sequence[int]:
        """The first ``most`` places of what was signed by any of ``signers``, whether it counted or not.

        Of what counted, that by people who can be forgotten is known alone (:class:`Counted`).
        """

    def entries(self, kind: str, start: int = 0) -> Iterator[Entry]:
        """The newest entry of each subject, those from the place ``start`` on, in the order of their places.

        Raises:
            VerificationFailed: a body is not what it was when it was read.
        """

    def count(self, entry: Entry, digest: bytes, counted: Counted) -> None:
        """Take the next entry that counts, and what is remembered of it once something replaced it."""

    def lack(self, place: int, owed: bool) -> None:
        """The body at ``place`` is not here, and may still come; it is ``owed`` if every member may see it."""

    def owed(self, before: int) -> int | None:
        """The first place below ``before`` whose body is owed, is not here, and was not forgotten."""

    def lacks(self, places: Iterable[int]) -> bool:
        """Whether the body at one of ``places`` is not here, and nothing says that it is gone for good."""

    def forget(self, places: Iterable[int]) -> None:
        """From now on all is as if what stands at ``places`` had never been read."""

    def blame(self, place: int, reason: str, refused: Refused | None = None) -> None:
        """What stands at ``place`` does not count, because of ``reason``; ``refused`` if it is an entry at all."""

    @property
    def faults(self) -> Mapping[int, str]:
        """What does not count, and why, by place; all of it is read."""

    @property
    def faulty(self) -> int:
        """How many places do not count; none of them is looked at."""

    def blamed(self, most: int, kind: str = "") -> Sequence[tuple[int, str]]:
        """The first ``most`` places that do not count, ascending, each with the reason.

        With ``kind`` those of such entries that were refused for what stands before them, and not for who signed them.
        """

    def anew(self) -> Versions:
        """Nothing yet, for another reading of the same log."""

    def discard(self) -> None:
        """This reading was given up, or another has taken its place: nothing of it is asked for any more."""


class HeldVersions:
    """Versions in memory."""

    name: Final = ""

    def __init__(self) -> None:
        self._places: dict[tuple[str, bytes], list[int]] = {}
        self._entries: dict[int, Entry] = {}
        self._counted: dict[int, Counted] = {}
        self._refused: dict[int, Refused] = {}
        self._disputed: dict[str, dict[bytes, list[int]]] = {}
        self._signed: dict[bytes, set[int]] = {}
        self._lacking: set[int] = set()
        self._owed: list[int] = []
        self._bound: set[int] = set()
        self.faults: dict[int, str] = {}

    def latest(self, kind: str, subject: str) -> Entry | None:
        """See :class:`Versions`."""
        places = self._places.get((kind, subject_key(subject)))
        return self._entries[places[-1]] if places else None

    def newest(self, kind: str, subjects: Collection[bytes]) -> Mapping[bytes, int]:
        """See :class:`Versions`."""
        return {subject: found[-1] for subject in subjects if (found := self._places.get((kind, subject)))}

    def found(self, places: Collection[int]) -> Mapping[int, Version]:
        """See :class:`Versions`."""
        return {place: self._version(place, counted) for place in places if (counted := self._counted.get(place))}

    def _version(self, place: int, counted: Counted) -> Version:
        places = self._places[counted.kind, counted.subject]
        at = bisect_left(places, place)
        return Version(counted, places[at - 1] if at else None, places[at + 1] if at + 1 < len(places) else None)

    def disputed(self, places: Collection[int], most: int) -> Sequence[int]:
        """See :class:`Versions`."""
        about = {(each.kind, each.subject) for place in places if (each := self._at(place)) and each.subject}
        found = ((each, self._disputed.get(each[0], {}).get(each[1])) for each in about)
        return nsmallest(
            most, (place for each, refused in found if refused for place in (*refused, *self._places.get(each, ())))
        )

    def _at(self, place: int) -> Counted | Refused | None:
        return self._counted.get(place) or self._refused.get(place)

    def contested(self, kind: str) -> bool:
        """See :class:`Versions`."""
        return bool(self._disputed.get(kind))

    def bind(self, place: int) -> None:
        """See :class:`Versions`."""
        self._bound.add(place)

    def bound(self, places: Iterable[int]) -> int | None:
        """See :class:`Versions`."""
        return min(self._bound.intersection(places), default=None)

    def signed(self, signers: Collection[bytes], most: int) -> Sequence[int]:
        """See :class:`Versions`."""
        return sorted(chain.from_iterable(self._signed.get(signer, ()) for signer in signers))[:most]

    def entries(self, kind: str, start: int = 0) -> Iterator[Entry]:
        """See :class:`Versions`."""
        newest = (places[-1] for (each, _), places in self._places.items() if each == kind)
        return iter([self._entries[place] for place in sorted(place for place in newest if place >= start)])

    def count(self, entry: Entry, digest: bytes, counted: Counted) -> None:  # noqa: ARG002
        """See :class:`Versions`."""
        places = self._places.setdefault((counted.kind, counted.subject), [])
        if places:
            del self._entries[places[-1]]
        places.append(entry.index)
        self._entries[entry.index] = entry
        self._counted[entry.index] = counted
        if counted.signer is not None:
            self._signed.setdefault(counted.signer, set()).add(entry.index)

    def lack(self, place: int, owed: bool) -> None:
        """See :class:`Versions`."""
        self._lacking.add(place)
        if owed:
            insort(self._owed, place)

    def owed(self, before: int) -> int | None:
        """See :class:`Versions`."""
        return self._owed[0] if self._owed and self._owed[0] < before else None

    def lacks(self, places: Iterable[int]) -> bool:
        """See :class:`Versions`."""
        return not self._lacking.isdisjoint(places)

    def forget(self, places: Iterable[int]) -> None:
        """See :class:`Versions`."""
        named = frozenset(places)
        self._lacking -= named
        for place in named:
            self.faults.pop(place, None)
            self._entries.pop(place, None)
            _drop(self._owed, place)
            gone = self._at(place)
            if gone is not None and gone.signer is not None:
                self._signed[gone.signer].discard(place)
            self._uncount(place)
            self._undispute(place)

    def _uncount(self, place: int) -> None:
        counted = self._counted.pop(place, None)
        if counted is not None:
            about = counted.kind, counted.subject
            _drop(self._places[about], place)
            if not self._places[about]:
                del self._places[about]

    def _undispute(self, place: int) -> None:
        refused = self._refused.pop(place, None)
        if refused is not None and refused.subject is not None:
            subjects = self._disputed[refused.kind]
            _drop(subjects[refused.subject], place)
            if not subjects[refused.subject]:
                del subjects[refused.subject]

    def blame(self, place: int, reason: str, refused: Refused | None = None) -> None:
        """See :class:`Versions`."""
        self.faults[place] = reason
        if refused is not None:
            self._refused[place] = refused
            self._signed.setdefault(refused.signer, set()).add(place)
            if refused.subject is not None:
                insort(self._disputed.setdefault(refused.kind, {}).setdefault(refused.subject, []), place)

    @property
    def faulty(self) -> int:
        """See :class:`Versions`."""
        return len(self.faults)

    def blamed(self, most: int, kind: str = "") -> Sequence[tuple[int, str]]:
        """See :class:`Versions`."""
        if not kind:
            return nsmallest(most, self.faults.items())
        places = chain.from_iterable(self._disputed.get(kind, {}).values())
        return [(place, self.faults[place]) for place in nsmallest(most, places)]

    def anew(self) -> HeldVersions:
        """See :class:`Versions`."""
        return HeldVersions()

    def discard(self) -> None:
        """See :class:`Versions`."""


def _drop(ascending: list[int], place: int) -> None:
    at = bisect_left(ascending, place)
    if at < len(ascending) and ascending[at] == place:
        del ascending[at]


def held(_site: str) -> Versions:
    """Versions in memory, of any site."""
    return HeldVersions()
