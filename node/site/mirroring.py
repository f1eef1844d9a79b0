"""What stewards ask so that this site mirrors another one's data or block, and who else does."""

from __future__ import annotations

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.error import BadInput, ComityError, Denied, Infeasible, NotFound, Unreachable, VerificationFailed
from catalog.member import Role
from node.api.copies import BringCopy, Copied, HoldersView, LackingView, StorageView
from node.site.locating import mirrors_of, owners_of, title_of, whole_of
from node.site.publishing import check_halted, member_of, nothing_named
from node.site.site import Site
from privacy.trust import has_left


async def bring_copy(site: Site, did: str, request: BringCopy) -> Copied:
    """Have a dataset or block of another member here whole, so that this site can mirror it; for its stewards.

    Raises:
        Denied: not a steward, or halted. NotFound: nothing of that name that this site may hold.
        BadInput: resident data, which never leave their site. Unreachable, VerificationFailed: it cannot be had now.
    """
    member_of(site, did, Role.STEWARD)
    if request.cid.is_keyed:
        raise BadInput("resident data never leave their site: there is nothing to mirror")
    failure: ComityError = nothing_named(request.cid)
    for owner in owners_of(site.index, request.cid, site.root):
        try:
            await _bring(site, owner, request.cid)
        except (Denied, Infeasible, NotFound, Unreachable, VerificationFailed) as error:
            failure = error  # whoever else publishes the same has it, perhaps
        else:
            return Copied(owner=owner)
    raise failure


async def _bring(site: Site, owner: str, cid: Cid) -> None:
    check_halted(site, None, (site.root, owner))
    if overdue := site.freshness.refusal("fetch", {owner}):
        raise Denied(overdue)
    for root in whole_of(site.index, owner, cid):
        await site.materials.bring(owner, root, named=cid)


def holders(site: Site) -> tuple[HoldersView, ...]:
    """Who holds each dataset and block that stands in the catalogs for this site, and how many of them answer now.

    What this site lacks a part of it does not hold.
    """
    names = site.membership.names | {site.root: site.config.name}
    connected = site.network.connected()
    lacking = site.consorting.repair.lacking if site.consorting is not None else {}
    answering = {root for root, node in site.membership.nodes.items() if node in connected} | {site.root}
    views = []
    for kind in ("dataset", "block"):
        for entry in site.index.entries(kind):
            fields = entry.fields
            if isinstance(fields, DatasetFields | BlockFields) and not has_left(site.index, entry.site):
                named = [entry.site, *mirrors_of(site.index, entry.site, fields.cid)]
                roots = [root for root in named if root != site.root or fields.cid not in lacking]
                views.append(
                    HoldersView(
                        cid=fields.cid,
                        site=entry.site,
                        holders=tuple(names.get(root, root) for root in roots),
                        answering=sum(root in answering for root in roots),
                        away=tuple(names.get(root, root) for root in roots if root not in answering),
                    )
                )
    return tuple(views)


async def storage(site: Site) -> StorageView:
    """How much is stored here, and what of it lacks."""
    lacking = []
    if site.consorting is not None:
        names = site.membership.names | {site.root: site.config.name}
        repair = site.consorting.repair
        for owner, root, _ in repair.roots():
            if why := repair.lacking.get(root):
                name = title_of(site.index, owner, root)
                lacking.append(LackingView(cid=root, name=name, owner=names.get(owner, owner), why=why))
    used, kubo = await site.blobs.used(), site.config.store or ""
    return StorageView(bytes=used, most=site.blobs.quota, kubo=kubo, lacking=tuple(lacking))
