"""A project as it stands in the catalog of the site that runs it; every grant and submission cites one."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from catalog.body import Millis, Name
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of
from catalog.dataset import DuoTerm
from catalog.key import Did
from catalog.leaf import SALT_BYTES

MAX_PEOPLE: Final = 256

Salt = Annotated[bytes, msgspec.Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]


class ProjectRef(Value, frozen=True, kw_only=True):
    """A project by the site that runs it and its name there."""

    site: Did
    name: Name

    @property
    def subject(self) -> str:
        """How entries about this project name it as their subject."""
        return f"{self.site}/{self.name}"


_APART: Final = frozenset({"people", "ended"})


class ProjectFields(Value, frozen=True, kw_only=True):
    """The fields of a ``project`` entry: an approved undertaking. ``not_after`` is Unix milliseconds.

    ``people`` have each a salt of random bytes, which stays theirs in this project while they are in it. ``members``
    are the sites that are asked to approve it; ``undertakings`` the conditions of use (DUO terms) that its people take
    on, such as to publish. Once ``ended`` it is never opened again.
    """

    name: Name
    people: Annotated[dict[Did, Salt], msgspec.Meta(max_length=MAX_PEOPLE)]
    purpose: DuoTerm
    datasets: Annotated[tuple[Cid, ...], msgspec.Meta(max_length=1024)]
    not_after: Millis
    members: Annotated[tuple[Did, ...], msgspec.Meta(max_length=256)] = ()
    undertakings: Annotated[tuple[DuoTerm, ...], msgspec.Meta(max_length=32)] = ()
    ended: bool = False

    @property
    def terms(self) -> Cid:
        """What a member approves, beside the people: the CID of all fields but ``people`` and ``ended``."""
        return cid_of({name: getattr(self, name) for name in self.__struct_fields__ if name not in _APART})

    @property
    def commitments(self) -> frozenset[bytes]:
        """How an approval names the people: it tells nothing of who was in the project once the salts are erased."""
        return frozenset(hmac.digest(salt, did.encode(), "sha256") for did, salt in self.people.items())

    def covers(self, datasets: Iterable[Cid]) -> bool:
        """Whether it was approved for all these data: for any, if it names none."""
        return not self.datasets or set(datasets) <= set(self.datasets)

    def over(self, now: int) -> bool:
        """Whether it was ended, or its time is over at ``now`` (Unix milliseconds)."""
        return self.ended or now > self.not_after
