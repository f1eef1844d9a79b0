"""Projects as stewards lead them: begun and ended at the site that runs them, approved by those whose data they use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec import structs

from catalog.approve import ApproveFields
from catalog.certificate import CertificateFields
from catalog.error import Conflict, Denied, NotFound
from catalog.project import ProjectFields, ProjectRef
from node.api.publish import Publisher, now
from node.api.view import Listing


@dataclass(frozen=True, slots=True)
class Part:
    """What a site has to do with a project: how its approval stands, and its certificate once it destroyed all."""

    site: str
    site_name: str
    approval: str
    certificate: CertificateFields | None
    certified: int | None


@dataclass(frozen=True, slots=True)
class Registered:
    """A project in the register: ``state`` is ``open``, or ``ended`` by word or by time."""

    project: Listing[ProjectFields]
    state: str
    parts: tuple[Part, ...]


LEFT: Final = "left the consortium"
"""Said for the approval of a former member, which is asked for nothing any more."""

RUNS: Final = "runs it"
NOT_ASKED: Final = "not asked"
APPROVED: Final = "approved"


class Approver(Publisher):
    """Approves and ends projects as one person, who signs each entry here."""

    def approve_project(self, name: str) -> int:
        """Approve another site's project for this site's data: its present terms and people; for stewards.

        Raises:
            NotFound: no such project. Denied: it has ended. Conflict: it is this site's own.
        """
        found = self.registered(name)
        if found.state != "open":
            raise Denied(f"the project «{found.project.fields.name}» has ended; there is nothing to approve")
        return self._approve(found.project, withdrawn=False)

    def disapprove_project(self, name: str) -> int:
        """Take this site's approval back: its data are used in the project no more; for stewards.

        Raises:
            NotFound: no such project, or this site did not approve it. Conflict: it is this site's own.
        """
        found = self.registered(name)
        if not any(part.site == self.site and part.approval.startswith("approved") for part in found.parts):
            raise NotFound(f"this site has not approved the project «{found.project.fields.name}»")
        return self._approve(found.project, withdrawn=True)

    def end_project(self, name: str) -> int:
        """End a project of this site everywhere, for good: access stops, and what is held of it is destroyed.

        Raises:
            NotFound: no such project. Denied: it is another site's. Conflict: it was ended before.
        """
        found = self.registered(name).project
        if found.site != self.site:
            raise Denied(
                f"{found.site_name} runs «{found.fields.name}» and alone can end it; take your approval back with "
                f"«comity project approve --withdraw»"
            )
        if found.fields.ended:
            raise Conflict(f"the project «{found.fields.name}» was ended before; see «comity project show»")
        return self._write("project", structs.replace(found.fields, ended=True))

    def register(self) -> tuple[Registered, ...]:
        """Every project of every member, the ended ones too: who approved it, and who certified its destruction."""
        status = self.status()
        left = {each.site: each.name for each in status.former}
        names = left | {each.site: each.name for each in status.members} | {self.site: status.name}
        approvals = self.listed("approve", ApproveFields)
        certificates = self.listed("certificate", CertificateFields)
        time = now()
        return tuple(
            _registered(each, names, set(left), approvals, certificates, time)
            for each in self.listed("project", ProjectFields)
        )

    def registered(self, name: str) -> Registered:
        """A project of the register by name, or ``NAME@SITE``.

        Raises:
            NotFound: none of that name. BadInput: several sites have one.
        """
        named = _ref(self.project(name, ended=True))
        return next(each for each in self.register() if _ref(each.project) == named)

    def _approve(self, project: Listing[ProjectFields], *, withdrawn: bool) -> int:
        if project.site == self.site:
            raise Conflict(f"«{project.fields.name}» is this site's own project: writing it is approving it")
        return self._write("approve", ApproveFields.of(_ref(project), project.fields, withdrawn=withdrawn))


def _ref(project: Listing[ProjectFields]) -> ProjectRef:
    return ProjectRef(site=project.site, name=project.fields.name)


def _registered(
    project: Listing[ProjectFields],
    names: dict[str, str],
    left: set[str],
    approvals: tuple[Listing[ApproveFields], ...],
    certificates: tuple[Listing[CertificateFields], ...],
    time: int,
) -> Registered:
    ref, fields = _ref(project), project.fields
    approved = {each.site: each.fields for each in approvals if each.fields.project == ref}
    certified = {each.site: each for each in certificates if each.fields.project == ref}
    sites = [project.site, *sorted({*fields.members, *approved, *certified} - {project.site})]
    over = fields.over(time)
    parts = tuple(
        Part(
            site=site,
            site_name=names.get(site, ""),
            approval=LEFT
            if site in left
            else RUNS
            if site == project.site
            else _approval(approved.get(site), fields, site in fields.members),
            certificate=certified[site].fields if over and site in certified else None,
            certified=certified[site].at if over and site in certified else None,
        )
        for site in sites
    )
    return Registered(project, "ended" if over else "open", parts)


def _approval(approval: ApproveFields | None, project: ProjectFields, asked: bool) -> str:
    if approval is None:
        return "not yet" if asked else NOT_ASKED
    if approval.withdrawn:
        return "withdrawn"
    if approval.terms != project.terms:
        return "approved other terms"
    return APPROVED if approval.has_all(project) else "approved fewer people"
