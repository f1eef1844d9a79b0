"""A project as it stands in the catalog of the site that runs it; every grant and submission cites one."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.body import Millis, Name
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.dataset import DuoTerm
from catalog.key import Did


class ProjectRef(Value, frozen=True, kw_only=True):
    """A project by the site that runs it and its name there."""

    site: Did
    name: Name


class ProjectFields(Value, frozen=True, kw_only=True):
    """The fields of a ``project`` entry: an approved undertaking. ``not_after`` is Unix milliseconds."""

    name: Name
    people: Annotated[tuple[Did, ...], msgspec.Meta(min_length=1, max_length=256)]
    purpose: DuoTerm
    datasets: Annotated[tuple[Cid, ...], msgspec.Meta(max_length=1024)]
    not_after: Millis
    ended: bool = False
