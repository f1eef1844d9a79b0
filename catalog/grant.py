"""A grant as it is written and signed; what it permits is ``privacy/grant.py``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from catalog.body import Millis
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of
from catalog.dataset import DuoTerm
from catalog.key import Did, Signed
from catalog.label import Reader
from catalog.project import ProjectRef


class Action(StrEnum):
    """What a policy decides about."""

    SEE = "see"
    FETCH = "fetch"
    COMPUTE = "compute"
    RELEASE = "release"


class Grant(Signed, frozen=True, kw_only=True):
    """The key ``subject`` holds these claims for these datasets, purposes and actions, until ``not_after``.

    Signed by a steward of the datasets' owner (``issuer``). ``blocks`` and ``destinations`` narrow it; empty means
    any that policy allows. ``parent`` is the grant that this one attenuates. ``not_after`` is Unix milliseconds.
    """

    DOMAIN: ClassVar[str] = "grant"

    issuer: Did
    site: Did
    subject: Did
    project: ProjectRef
    claims: dict[str, str]
    datasets: Annotated[tuple[Cid, ...], msgspec.Meta(min_length=1, max_length=256)]
    purposes: Annotated[tuple[DuoTerm, ...], msgspec.Meta(min_length=1, max_length=32)]
    actions: Annotated[tuple[Action, ...], msgspec.Meta(min_length=1, max_length=4)]
    blocks: Annotated[tuple[Cid, ...], msgspec.Meta(max_length=256)]
    destinations: Annotated[tuple[Reader, ...], msgspec.Meta(max_length=256)]
    not_after: Millis
    parent: Cid | None


class GrantFields(Value, frozen=True, kw_only=True):
    """The fields of a ``grant`` entry."""

    grant: Grant

    @property
    def cid(self) -> Cid:
        """The grant's own name, which submissions cite."""
        return cid_of(self.grant)
