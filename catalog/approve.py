"""A member's approval of another site's project: of exactly the terms and the people that its steward read."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.leaf import Hash
from catalog.project import MAX_PEOPLE, ProjectFields, ProjectRef


class ApproveFields(Value, frozen=True, kw_only=True):
    """The fields of an ``approve`` entry: ``terms`` and ``people`` (their commitments, sorted) are those approved.

    An approval of other terms than the project's present ones does not count, nor does one that is ``withdrawn``, or
    that lacks somebody who is in the project now. It stands while people leave: their names may be erased everywhere.
    """

    project: ProjectRef
    terms: Cid
    people: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=MAX_PEOPLE)]
    withdrawn: bool = False

    @classmethod
    def of(cls, ref: ProjectRef, project: ProjectFields, *, withdrawn: bool = False) -> ApproveFields:
        """The approval of ``project`` as it stands now, or the taking back of one."""
        people = tuple(sorted(project.commitments))
        return cls(project=ref, terms=project.terms, people=people, withdrawn=withdrawn)

    @property
    def subject(self) -> str:
        """The project, as entries name it."""
        return self.project.subject

    def has_all(self, project: ProjectFields) -> bool:
        """Whether everybody who is in the project now was in it when it was approved."""
        return project.commitments <= set(self.people)
