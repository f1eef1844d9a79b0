"""A member's approval of another site's project: of exactly the terms that its steward read."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.project import ProjectRef


class ApproveFields(Value, frozen=True, kw_only=True):
    """The fields of an ``approve`` entry. ``terms`` are those approved (:attr:`ProjectFields.terms`).

    An approval of other terms than the project's present ones does not count; nor does one that is ``withdrawn``.
    """

    project: ProjectRef
    terms: Cid
    withdrawn: bool = False

    @property
    def subject(self) -> str:
        """The project, as entries name it."""
        return self.project.subject
