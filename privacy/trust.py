"""Whose word counts for what (PROTOCOL.md, Keys and authority), read from the members' own logs.

A person's key and role count from the home site's log alone; rights on a dataset from the owner's alone;
membership from the epoch document alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from catalog.error import Denied
from catalog.index import Index
from catalog.member import Role
from catalog.project import ProjectFields, ProjectRef


@dataclass(frozen=True, slots=True)
class Person:
    """A key enrolled at ``site``, with the name and the role that the site gave it."""

    did: str
    site: str
    role: Role
    name: str


def person_at(index: Index, did: str, site: str) -> Person:
    """The person ``did`` as enrolled by the home site.

    Raises:
        NotFound: the site is no member.
        Denied: the site has not enrolled that key, or has removed it.
    """
    key = index.site(site).key(did)
    if key is None or key.role is Role.NODE:
        raise Denied(f"the key …{did[-8:]} is not enrolled as a person at its home site; ask a steward to enrol it")
    return Person(did, site, key.role, key.name)


def project_of(index: Index, ref: ProjectRef, person: Person, now: int) -> ProjectFields:
    """The project that ``person`` may act for at ``now`` (Unix milliseconds).

    Raises:
        NotFound: the site is no member.
        Denied: no such project, it has ended, the person is not in it, or is an auditor: whoever checks what was done
            does none of it.
    """
    if person.role is Role.AUDITOR:
        raise Denied(f"{person.name} is an auditor, who asks what was done and does not act in projects")
    project = index.site(ref.site).typed(ProjectFields, "project", ref.name)
    if project is None:
        raise Denied(f"no project «{ref.name}» stands in the catalog of its site; a steward there makes one")
    if project.ended or now > project.not_after:
        raise Denied(f"the project «{ref.name}» has ended; a steward can open a new one")
    if person.did not in project.people:
        raise Denied(f"{person.name} is not in the project «{ref.name}»; a steward of its site can add them")
    return project
