"""A grant as it is written and signed; what a chain of them permits is ``privacy/grant.py``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec

from catalog.body import Millis
from catalog.cid import Cid
from catalog.claim import Claim
from catalog.dagcbor import Value, cid_of
from catalog.dataset import DuoTerm
from catalog.key import Did, Signed
from catalog.label import Reader
from catalog.project import ProjectRef

MAX_DEPTH: Final = 4
"""Grants in a chain, from the owner's own to the one that is cited."""


class Action(StrEnum):
    """What a policy decides about."""

    SEE = "see"
    FETCH = "fetch"
    COMPUTE = "compute"
    RELEASE = "release"


class Grant(Signed, frozen=True, kw_only=True):
    """The key ``subject`` may do these actions with these datasets for these purposes, until ``not_after``.

    A root grant (``parent`` is null) is signed by a steward of the datasets' owner ``site``; one that attenuates
    another is signed by that one's subject, and permits less or the same. ``consortium`` is where it counts.
    ``blocks`` and ``destinations`` narrow it; empty means any that policy allows. ``claims`` are what the owner says
    of the subject with it. ``not_after`` is Unix milliseconds.
    """

    DOMAIN: ClassVar[str] = "grant"

    consortium: Cid
    issuer: Did
    site: Did
    subject: Did
    project: ProjectRef
    claims: Annotated[tuple[Claim, ...], msgspec.Meta(max_length=32)]
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
