"""Which entries of one site's catalog count: of each subject the newest, and by place what any of them was about.

What the index of a site needs to remember for each leaf is behind :class:`Versions`, so that a million leaves need
not lie in memory. :class:`HeldVersions` keeps them there, for whoever reads a log once.
"""

from __future__ import annotations

from bisect import bisect_left
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


class Span(NamedTuple):
    """The places between ``after`` and ``before``, neither of them included, of what is about one subject."""

    kind: str
    subject: bytes
    after: int
    before: int | None


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

    def newest(self, kind: str, subjects: Collection[bytes]) -> Mapping[bytes, int]:
        """The place of the newest entry of each of these subjects that has one."""

    def found(self, places: Collection[int]) -> Mapping[int, Version]:
        """What counted at those of ``places`` where something did, even if it was replaced since."""

    def refused(self, spans: Sequence[Span], most: int) -> Sequence[int]:
        """The first ``most`` places in any of ``spans`` of what was refused for what stands before it."""

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

    def lack(self, place: int) -> None:
        """The body at ``place`` is not here, and may still come."""

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
        self._signed: dict[bytes, set[int]] = {}
        self._lacking: set[int] = set()
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

    def refused(self, spans: Sequence[Span], most: int) -> Sequence[int]:
        """See :class:`Versions`."""
        return sorted(place for place in self._refused if any(self._is_in(place, each) for each in spans))[:most]

    def _is_in(self, place: int, span: Span) -> bool:
        refused = self._refused[place]
        about = (refused.kind, refused.subject) == (span.kind, span.subject)
        return about and span.after < place and (span.before is None or place < span.before)

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

    def lack(self, place: int) -> None:
        """See :class:`Versions`."""
        self._lacking.add(place)

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
            gone: Counted | Refused | None = self._refused.pop(place, None) or self._counted.get(place)
            if gone is not None and gone.signer is not None:
                self._signed[gone.signer].discard(place)
        counted = [each for place in named if (each := self._counted.pop(place, None)) is not None]
        for subject in {(each.kind, each.subject) for each in counted}:
            kept = [place for place in self._places.pop(subject) if place not in named]
            if kept:
                self._places[subject] = kept

    def blame(self, place: int, reason: str, refused: Refused | None = None) -> None:
        """See :class:`Versions`."""
        self.faults[place] = reason
        if refused is not None:
            self._refused[place] = refused
            self._signed.setdefault(refused.signer, set()).add(place)

    @property
    def faulty(self) -> int:
        """See :class:`Versions`."""
        return len(self.faults)

    def blamed(self, most: int, kind: str = "") -> Sequence[tuple[int, str]]:
        """See :class:`Versions`."""
        if not kind:
            return nsmallest(most, self.faults.items())
        places = (place for place, each in self._refused.items() if each.kind == kind and each.subject is not None)
        return [(place, self.faults[place]) for place in nsmallest(most, places)]

    def anew(self) -> HeldVersions:
        """See :class:`Versions`."""
        return HeldVersions()

    def discard(self) -> None:
        """See :class:`Versions`."""


def held(_site: str) -> Versions:
    """Versions in memory, of any site."""
    return HeldVersions()
