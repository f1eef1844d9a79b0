"""Which entries of one site's catalog count: of each subject the newest, and by place what any of them was about.

What the index of a site needs to remember for each leaf is behind :class:`Versions`, so that a million leaves need
not lie in memory. :class:`HeldVersions` keeps them there, for whoever reads a log once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from heapq import nsmallest
from itertools import islice
from typing import Final, Protocol

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
            VerificationFailed: its body is not what it was when it was read.
        """

    def newest(self, kind: str, subject: bytes) -> int | None:
        """The place of the newest entry of a subject."""

    def places(self, kind: str, subject: bytes, most: int) -> Iterable[int]:
        """The places of the first ``most`` entries of a subject that counted, ascending."""

    def signed(self, signer: bytes, most: int) -> Iterable[int]:
        """The places of ``most`` entries that counted and have this ``signer`` (:class:`Counted`), or of all."""

    def entries(self, kind: str, start: int = 0) -> Iterator[Entry]:
        """The newest entry of each subject, those from the place ``start`` on, in the order of their places.

        Raises:
            VerificationFailed: a body is not what it was when it was read.
        """

    def counted(self, place: int) -> Counted | None:
        """What counted at ``place``, even if something replaced it since."""

    def count(self, entry: Entry, digest: bytes, counted: Counted) -> None:
        """Take the next entry that counts, and what is remembered of it once something replaced it."""

    def hide(self, place: int, lacking: bool) -> None:
        """What stands at ``place`` could not be read here: it may be a version of anything.

        ``lacking`` says that its body is not here, and may still come.
        """

    def is_hidden(self, place: int) -> bool:
        """Whether it is not known what stands at ``place``."""

    def forget(self, places: Iterable[int]) -> None:
        """From now on all is as if what stands at ``places`` had never been read."""

    def blame(self, place: int, reason: str) -> None:
        """What stands at ``place`` does not count, because of ``reason``."""

    @property
    def faults(self) -> Mapping[int, str]:
        """What does not count, and why, by place; all of it is read."""

    @property
    def faulty(self) -> int:
        """How many places do not count; none of them is looked at."""

    def blamed(self, most: int) -> Sequence[tuple[int, str]]:
        """The first ``most`` places that do not count, ascending, each with the reason."""

    def anew(self) -> Versions:
        """Nothing yet, for another reading of the same log."""


class HeldVersions:
    """Versions in memory."""

    name: Final = ""

    def __init__(self) -> None:
        self._places: dict[tuple[str, bytes], list[int]] = {}
        self._entries: dict[int, Entry] = {}
        self._counted: dict[int, Counted] = {}
        self._signed: dict[bytes, set[int]] = {}
        self._hidden: set[int] = set()
        self.faults: dict[int, str] = {}

    def latest(self, kind: str, subject: str) -> Entry | None:
        """See :class:`Versions`."""
        place = self.newest(kind, subject_key(subject))
        return None if place is None else self._entries[place]

    def newest(self, kind: str, subject: bytes) -> int | None:
        """See :class:`Versions`."""
        places = self._places.get((kind, subject))
        return places[-1] if places else None

    def places(self, kind: str, subject: bytes, most: int) -> Iterable[int]:
        """See :class:`Versions`."""
        return self._places.get((kind, subject), [])[:most]

    def signed(self, signer: bytes, most: int) -> Iterable[int]:
        """See :class:`Versions`."""
        return tuple(islice(self._signed.get(signer, ()), most))

    def entries(self, kind: str, start: int = 0) -> Iterator[Entry]:
        """See :class:`Versions`."""
        newest = (places[-1] for (each, _), places in self._places.items() if each == kind)
        return iter([self._entries[place] for place in sorted(place for place in newest if place >= start)])

    def counted(self, place: int) -> Counted | None:
        """See :class:`Versions`."""
        return self._counted.get(place)

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

    def hide(self, place: int, lacking: bool) -> None:  # noqa: ARG002
        """See :class:`Versions`."""
        self._hidden.add(place)

    def is_hidden(self, place: int) -> bool:
        """See :class:`Versions`."""
        return place in self._hidden

    def forget(self, places: Iterable[int]) -> None:
        """See :class:`Versions`."""
        for place in places:
            self._hidden.add(place)
            self.faults.pop(place, None)
            self._entries.pop(place, None)
            counted = self._counted.pop(place, None)
            if counted is not None:
                kept = self._places[counted.kind, counted.subject]
                kept.remove(place)
                if not kept:
                    del self._places[counted.kind, counted.subject]
                if counted.signer is not None:
                    self._signed[counted.signer].remove(place)

    def blame(self, place: int, reason: str) -> None:
        """See :class:`Versions`."""
        self.faults[place] = reason

    @property
    def faulty(self) -> int:
        """See :class:`Versions`."""
        return len(self.faults)

    def blamed(self, most: int) -> Sequence[tuple[int, str]]:
        """See :class:`Versions`."""
        return nsmallest(most, self.faults.items())

    def anew(self) -> HeldVersions:
        """See :class:`Versions`."""
        return HeldVersions()


def held(_site: str) -> Versions:
    """Versions in memory, of any site."""
    return HeldVersions()
