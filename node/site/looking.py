"""A steward's look at what steps left here, outputs and what commands that failed said: written down, then given."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.error import NotFound
from catalog.httpsig import SignedRequest
from catalog.member import Role
from catalog.project import ProjectRef
from node.api.inquiries import MAX_PREVIEW
from node.automator.book import Line
from node.automator.hold import NOTHING
from node.automator.release import may_look
from node.site.publishing import check_halted, member_of
from node.site.site import Site
from privacy.trust import Person
from workflow.account import Chain, FetchFields


async def look(site: Site, did: str, signed: SignedRequest, cid: Cid) -> bytes:
    """The first bytes of the value ``cid`` that is held here for a project, and that this site's people may read.

    Raises:
        Denied: not a steward of this site, or this site is halted. BadInput: it is a folder.
        NotFound: nothing of that name is held here, or it has other owners too; the two are never told apart.
    """
    person = member_of(site, did, Role.STEWARD)
    held = site.holdings.for_site(cid, site.root)
    project = next((each.project for each in held if each.project and may_look(site.root, did, each.label)), None)
    if project is None:
        raise NotFound(NOTHING)
    check_halted(site, project, (site.root, project.site))
    return await shown(site, person, signed, cid, site.holdings.accounted(cid), project)


async def shown(
    site: Site, person: Person, signed: SignedRequest, value: Cid, datasets: list[Cid], project: ProjectRef
) -> bytes:
    """The first bytes of ``value``, given to ``person`` once that stands in the audit log.

    Raises:
        BadInput: it is a folder. ComityError: it is lost, or the log cannot be written.
    """

    def account(chain: Chain, _index: int) -> FetchFields:
        return FetchFields(root=value, site=site.root, person=person.did, chain=chain, request=signed, project=project)

    await site.book.write([Line("fetch", datasets, account, (person.did,))])
    return await site.blobs.read_part(value, "", 0, MAX_PREVIEW - 1)
