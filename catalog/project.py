"""A project as it stands in the catalog of the site that runs it; every grant and submission cites one."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.body import Millis, Name
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of
from catalog.dataset import DuoTerm
from catalog.key import Did


class ProjectRef(Value, frozen=True, kw_only=True):
    """A project by the site that runs it and its name there."""

    site: Did
    name: Name

    @property
    def subject(self) -> str:
        """How entries about this project name it as their subject."""
        return f"{self.site}/{self.name}"


class ProjectFields(Value, frozen=True, kw_only=True):
    """The fields of a ``project`` entry: an approved undertaking. ``not_after`` is Unix milliseconds.

    ``members`` are the sites that are asked to approve it; ``undertakings`` the conditions of use (DUO terms) that
    its people take on, such as to publish. Once ``ended`` it is never opened again.
    """

    name: Name
    people: Annotated[tuple[Did, ...], msgspec.Meta(min_length=1, max_length=256)]
    purpose: DuoTerm
    datasets: Annotated[tuple[Cid, ...], msgspec.Meta(max_length=1024)]
    not_after: Millis
    members: Annotated[tuple[Did, ...], msgspec.Meta(max_length=256)] = ()
    undertakings: Annotated[tuple[DuoTerm, ...], msgspec.Meta(max_length=32)] = ()
    ended: bool = False

    @property
    def terms(self) -> Cid:
        """What a member approves: the CID of all fields but ``ended``."""
        return cid_of({name: getattr(self, name) for name in self.__struct_fields__ if name != "ended"})

    def over(self, now: int) -> bool:
        """Whether it was ended, or its time is over at ``now`` (Unix milliseconds)."""
        return self.ended or now > self.not_after
