"""Whose word counts for what (PROTOCOL.md, Keys and authority), read from the members' own logs.

A person's key and role count from the home site's log alone; rights on a dataset from the owner's alone;
membership from the epoch document alone.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from catalog.approve import ApproveFields
from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.entry import Entry
from catalog.error import Denied
from catalog.index import Index
from catalog.key import short
from catalog.label import Label
from catalog.member import Role
from catalog.project import ProjectFields, ProjectRef
from privacy.label import effective_readers, may_hold

OTHER_DATA: Final = "the project was approved for other data; its steward can add these to it"
"""Why a project lets nobody use data that it does not name."""


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
        elsewhere = (found.name for each in index.sites.values() if (found := each.key(did)) is not None)
        who = next(elsewhere, f"the key {short(did)}")
        raise Denied(f"{who} is not enrolled as a person at that site; ask a steward there to enrol them")
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
    if project.over(now):
        raise Denied(f"the project «{ref.name}» has ended; a steward can open a new one")
    if person.did not in project.people:
        raise Denied(f"{person.name} is not in the project «{ref.name}»; a steward of its site can add them")
    return project


def approved(index: Index, ref: ProjectRef, owner: str) -> str:
    """Empty if the site ``owner`` lets its data be used in the project as it stands now, else why not, and what to do.

    Each member approves exactly the terms that its steward read: when they change, it is asked again, and when
    somebody joins, but not when somebody leaves. The site that runs a project approves it by writing it.
    """
    runs = index.sites.get(ref.site)
    project = runs.typed(ProjectFields, "project", ref.name) if runs is not None else None
    if project is None:
        return f"no project «{ref.name}» stands in the catalog of its site; a steward there makes one"
    if owner == ref.site:
        return ""
    here = index.sites.get(owner)
    return unapproved(project, here.typed(ApproveFields, "approve", ref.subject) if here is not None else None)


def unapproved(project: ProjectFields, approval: ApproveFields | None) -> str:
    """Empty if a site's ``approval`` is of a project as it stands, else why not, and what to do."""
    how = f"a steward there runs «comity project approve {shlex.quote(project.name)}»"
    if approval is None:
        return f"the project «{project.name}» was not approved by the site of the data; {how}"
    if approval.withdrawn:
        return f"the site of the data withdrew its approval of the project «{project.name}»"
    if approval.terms != project.terms:
        return f"the terms of the project «{project.name}» changed since the site of the data approved it; {how} again"
    if not approval.has_all(project):
        return f"somebody joined the project «{project.name}» since the site of the data approved it; {how} again"
    return ""


def has_left(index: Index, site: str) -> bool:
    """Whether ``site``, which was a member, left: what it published stays readable and is offered to nobody."""
    found = index.sites.get(site)
    return found is not None and found.keys.charter.left is not None


def blocks_at(index: Index, cid: Cid, site: str) -> list[Entry]:
    """Every entry by which a member shares the block ``cid`` with ``site``, the one with the most readers first.

    A site that left has its own blocks still. Several sites may share one block: each of them has its bytes and may
    give them on, so the widest label counts, and nobody takes a block from others by sharing it more narrowly.
    """
    return [
        entry
        for entry, label in _shared(index, cid)
        if may_hold(label, site) and (entry.site == site or not has_left(index, entry.site))
    ]


def block_label(index: Index, cid: Cid) -> Label | None:
    """The widest label under which a member shares the block ``cid``; none if nobody does."""
    return next((label for _, label in _shared(index, cid)), None)


def _shared(index: Index, cid: Cid) -> list[tuple[Entry, Label]]:
    found = [
        (entry, entry.fields.label)
        for site in index.sites.values()
        if (entry := site.latest("block", str(cid))) is not None and isinstance(entry.fields, BlockFields)
    ]
    return sorted(found, key=lambda each: (-_width(each[1]), each[0].site))


def _width(label: Label) -> float:
    readers = effective_readers(label)
    return float("inf") if readers is None else len(readers)
