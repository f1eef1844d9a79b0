"""Opening shared datasets for the people of this site, and putting them under a new key for its stewards.

A person gets the header and ciphertext; what is decrypted is so where the person's key is.
"""

from __future__ import annotations

from collections.abc import Sequence

from catalog.cid import Cid
from catalog.crypt4gh import KEY_BYTES
from catalog.dataset import DatasetFields, Level
from catalog.error import BadInput, ComityError, Denied, Infeasible, NotFound, Unreachable, VerificationFailed, shown
from catalog.grant import Action, GrantFields
from catalog.httpsig import SignedRequest
from catalog.manifest import MANIFEST
from catalog.member import Role
from catalog.project import ProjectFields, ProjectRef
from node.api import schema
from node.automator.book import Line
from node.header import opened_by
from node.site.publishing import check_halted, member_of, nothing_named
from node.site.site import Site
from privacy.grant import Wanted, covering, named_by
from privacy.label import effective_readers, person_at
from privacy.modifier import Use
from privacy.purpose import mismatch
from privacy.trust import OTHER_DATA, approved, has_left
from workflow.account import Chain, FetchFields

PIECE = 8 << 20
"""Bytes of a body that are given at once."""


async def rekey(site: Site, did: str, cid: Cid) -> schema.Imported:
    """Encrypt a shared dataset of this site anew, under a new key; nothing is published by that.

    Raises:
        Denied: not a steward. NotFound: no such dataset here, or its key is gone.
        Conflict: somebody else does it at this moment, or did; nothing was made.
    """
    member_of(site, did, Role.STEWARD)
    site.rekeying.begin(cid)
    made = None
    try:
        found = site.index.site(site.root).typed(DatasetFields, "dataset", str(cid))
        old = await site.datakeys.find(cid, site.root)
        if found is None or found.level is not Level.SHARED or old is None:
            raise NotFound(f"this site has no shared dataset {cid}, or not its key")
        new = site.random.token(KEY_BYTES)
        root = await site.shared.reseal(cid, old, new)
        await site.datakeys.keep(root, site.root, new)
        made = root
    finally:
        site.rekeying.end(cid, made)
    return schema.Imported(cid=made, size=found.size, media_type=found.media_type)


async def open_shared(
    site: Site, did: str, signed: SignedRequest, cid: Cid, project: str, project_site: str
) -> schema.SharedView:
    """The header of a shared dataset, sealed for the person; all of its ciphertext lies here then.

    Raises:
        NotFound: nothing of that name is shared with this site. Denied: it is not for this person, or not any more.
        Unreachable: the site has no holder of the key, or of the bytes, that answers now.
    """
    person = member_of(site, did)
    entries = _entries(site, did, cid)
    asked, ref = opened_by(signed, cid)
    if ref != ProjectRef(site=project_site, name=project) or asked.did != did:
        raise BadInput("the project that is asked for is not the one that was signed for")
    header = await _header(site, entries, person.did, ref, signed)

    def account(chain: Chain, _index: int) -> FetchFields:
        return FetchFields(root=cid, site=site.root, person=person.did, chain=chain, request=signed, project=ref)

    await site.book.write([Line("fetch", [cid], account, (person.did,))])
    return schema.SharedView(header=header, manifest=await site.shared.size(cid, MANIFEST))


async def shared_piece(site: Site, did: str, cid: Cid, name: str, start: str) -> bytes:
    """Ciphertext of a shared dataset: at most 8 MiB from the byte ``start`` of the body ``name`` on.

    A body is named by its number, and what comes goes on with those behind it; that of the manifest is alone.

    Raises:
        NotFound: nothing of that name for this person, or it was not opened here. BadInput: ``start`` is no number.
    """
    member_of(site, did)
    owner, _ = _entries(site, did, cid)[0]
    check_halted(site, None, (site.root, owner))
    if not start.isascii() or not start.isdecimal() or len(start) > 15:
        raise BadInput("«start» is a number of bytes")
    if name == MANIFEST:
        return await site.shared.piece(cid, name, int(start), PIECE)
    if not name.isascii() or not name.isdecimal() or len(name) > 9:
        raise NotFound(f"there is nothing called «{shown(name, 40)}» in {cid}")
    return await site.shared.bodies(cid, int(name), int(start), PIECE)


async def _header(
    site: Site, entries: Sequence[tuple[str, DatasetFields]], person: str, ref: ProjectRef, signed: SignedRequest
) -> bytes:
    """The header from the first of those who publish it that gives one and its bytes, which lie here whole then."""
    failure: ComityError = NotFound("nobody publishes it")
    for owner, fields in entries:
        try:
            check_halted(site, ref, (site.root, owner))
            header = await site.keyholders.for_person(owner, fields, person, signed)
            await site.materials.bring(owner, fields.cid)
            check_halted(site, ref, (site.root, owner))  # it may have taken hours
        except Denied as error:
            known = _lacks(site, owner, fields, person, ref)
            failure = Denied(f"{error}; as far as this site knows: {known}") if known else error
        except (Infeasible, NotFound, Unreachable, VerificationFailed) as error:
            failure = error
        else:
            return header
    raise failure


def _lacks(site: Site, owner: str, fields: DatasetFields, did: str, ref: ProjectRef) -> str:
    """What lacks for the person to open it, by the catalogs that are here; empty if nothing is known to.

    The owner's node says no more than no: this is what the person's own site sees anyway.
    """
    runs = site.index.sites.get(ref.site)
    project = runs.typed(ProjectFields, "project", ref.name) if runs is not None else None
    if project is None:
        return f"there is no project «{ref.name}»"
    if did not in project.people:
        return f"you are not in the project «{ref.name}»"
    if not project.covers([fields.cid]):
        return OTHER_DATA
    if unapproved := approved(site.index, ref, owner):
        return unapproved
    cited = [
        each.fields.cid
        for each in site.index.entries("grant")
        if isinstance(each.fields, GrantFields)
        and (each.fields.grant.subject, each.fields.grant.project) == (did, ref)
        and fields.cid in each.fields.grant.datasets
    ]
    wanted = Wanted(
        owner=owner,
        subject=did,
        project=ref,
        dataset=fields.cid,
        purpose=project.purpose,
        action=Action.FETCH,
        block=None,
        destinations=frozenset({person_at(did, site.root)}),
    )
    consortium = site.membership.consortium
    if not cited or consortium is None:
        return f"nobody granted it to you in the project «{ref.name}»"
    now = site.clock.now()
    chain, why = covering(
        site.index, cited, wanted, consortium=consortium, home=site.root, diseases=site.diseases, now=now
    )
    if chain is None:
        return why
    named = named_by(chain.grant, site.root)
    use = Use(purpose=project.purpose, undertakings=project.undertakings, named=named, now=now)
    return mismatch(fields.purposes, use, site.diseases)


def _entries(site: Site, did: str, cid: Cid) -> list[tuple[str, DatasetFields]]:
    """Who shares a dataset with a person of this site, and as what: several sites may publish the same.

    Raises:
        NotFound: nobody shares it. Denied: somebody does, and not with this person.
    """
    found = [
        (owner, fields)
        for owner, index in site.index.sites.items()
        if (fields := index.typed(DatasetFields, "dataset", str(cid))) is not None
        and not fields.withdrawn
        and fields.level is Level.SHARED
        and (owner == site.root or not has_left(site.index, owner))
    ]
    reader = person_at(did, site.root)
    named = [each for each in found if reader in (effective_readers(each[1].label) or ())]
    if found and not named:
        name = found[0][1].name
        raise Denied(f"«{name}» is not shared with you; ask a steward of its site to name you as a reader")
    if not named:
        raise nothing_named(cid)
    return sorted(named, key=lambda each: each[0] != site.root)
