"""What people publish and find through their own node: entries, datasets read from its disk, blocks."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import trio

from catalog.approve import ApproveFields
from catalog.block import BlockFields
from catalog.body import Body
from catalog.cid import Cid
from catalog.claim import ClaimFields
from catalog.dagcbor import Value
from catalog.dataset import DatasetFields, Level
from catalog.entry import KINDS, Entry, read_entry
from catalog.error import BadInput, Conflict, Denied, NotFound
from catalog.grant import GrantFields
from catalog.key import short
from catalog.member import Role
from catalog.mirror import MirrorFields
from catalog.offer import OfferFields
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from catalog.revoke import RevokeFields
from node.api import schema
from node.execute.environment.description import FILE, MOST_BYTES, Description, Reference, read
from node.site.capacity import check_offer
from node.site.granting import check_access
from node.site.locating import owners_of
from node.site.sharing import check_shared, import_shared
from node.site.site import Site
from privacy.label import may_hold
from privacy.policy import Policy
from privacy.purpose import checked, checked_undertaking, checked_use
from privacy.trust import Person, blocks_at, has_left, person_at

MAX_FILE = 16 << 20


def member_of(site: Site, did: str, *roles: Role) -> Person:
    """The person ``did`` of this site, in one of ``roles`` if any are named.

    Raises:
        Denied: not enrolled here, or in another role.
    """
    person = person_at(site.index, did, site.root)
    if roles and person.role not in roles:
        raise Denied(f"{person.name} is enrolled here as {person.role}; this needs the role {' or '.join(roles)}")
    return person


def check_halted(site: Site, project: ProjectRef | None, members: Iterable[str]) -> None:
    """Check that this site is not halted for what one of its own people asks.

    Raises:
        Denied: it is, with the reason.
    """
    if halted := site.book.halts.refusal(project, members):
        raise Denied(f"{halted}; nothing of it is begun or given out before a steward resumes it")


async def check_content(site: Site, body: Body) -> None:
    """Check what a signature cannot say: that policy parses, that purposes are known, that what is named is here.

    Raises:
        BadInput, NotFound, VerificationFailed: it is not acceptable; nothing was written.
    """
    entry = read_entry(site.root, site.catalog.size, body.kind, body)
    key = site.index.site(site.root).key(body.actor)
    if key is not None and key.role not in KINDS[body.kind].signers:
        raise Denied(f"a «{body.kind}» entry is for stewards to sign; {key.name} is a {key.role} here")
    match entry.fields:
        case PolicyFields(text=text):
            await trio.to_thread.run_sync(partial(Policy.parse, text, site=site.config.name, version="new"))
        case ProjectFields(purpose=purpose, undertakings=undertakings):
            checked(purpose, site.diseases)
            for each in undertakings:
                checked_undertaking(each)
        case ApproveFields() as approval:
            _check_approval(site, approval)
        case OfferFields() as offer:
            check_offer(site.steps, offer)
        case GrantFields() | RevokeFields() | ClaimFields() as access:
            check_access(site, access, body.actor)
        case _:
            await _check_stored(site, entry.fields)


async def _check_stored(site: Site, fields: Value) -> None:
    """Check that what an entry names lies here."""
    match fields:
        case DatasetFields() as dataset:
            await _check_dataset(site, dataset)
        case MirrorFields() as mirror:
            await _check_mirror(site, mirror)
        case BlockFields() as block:
            await _check_block(site, block)
        case _:
            pass


async def _check_block(site: Site, block: BlockFields) -> None:
    for root in block.roots:
        if await site.blobs.missing(root) or site.holdings.holds(root):
            raise NotFound(f"the block {block.cid} is not stored here; add it first")
    if block.environment is None:
        return
    named = read(Reference, await site.blobs.read(block.cid, FILE, MOST_BYTES)).cid
    if named != block.environment:
        raise BadInput(f"the block {block.cid} runs in the environment {named}; its entry names another one")
    read(Description, await site.blobs.read(named, FILE, MOST_BYTES))


def _check_approval(site: Site, approval: ApproveFields) -> None:
    project = site.index.site(approval.project.site).typed(ProjectFields, "project", approval.project.name)
    if project is None:
        raise NotFound(f"no project «{approval.project.name}» stands in the catalog of its site")
    stands = approval.terms == project.terms and approval.has_all(project)
    if not stands and not approval.withdrawn:
        raise BadInput(f"the terms of the project «{approval.project.name}» have just changed; read them again")


async def _check_mirror(site: Site, mirror: MirrorFields) -> None:
    if mirror.withdrawn:
        return
    if mirror.owner not in owners_of(site.index, mirror.cid, site.root):
        raise nothing_named(mirror.cid)
    if not await site.brought.had_from(mirror.owner, mirror.cid) or await site.blobs.missing(mirror.cid):
        raise NotFound(f"{mirror.cid} is not here from its owner; «comity dataset mirror» fetches it first")


async def _check_dataset(site: Site, dataset: DatasetFields) -> None:
    for term in dataset.purposes:
        checked_use(term, site.diseases)
    if dataset.custodians and dataset.level is not Level.SHARED:
        raise BadInput("a custodian keeps the key of shared data; these have none")
    if dataset.withdrawn:
        # Its data may be gone: what a restored site had published since its backup has no key here any more.
        if site.index.site(site.root).latest("dataset", str(dataset.cid)) is None:
            raise NotFound(f"this site publishes no dataset {dataset.cid}; there is nothing to withdraw")
        return
    _check_label(site, dataset)
    if not await _is_here(site, dataset):
        raise NotFound(f"no {dataset.level} data of the name {dataset.cid} lie at this site; add them first")


def check_name(site: Site, entry: Entry) -> None:
    """Check that a dataset gets no name that another one of this site has: names are what people say.

    What has a name keeps it, and what takes the place of another under a new key takes its name.

    Raises:
        Conflict: another dataset of this site has it.
    """
    fields = entry.fields
    if not isinstance(fields, DatasetFields) or fields.withdrawn:
        return
    others = _called(site, fields.name)
    if fields.cid not in others:
        _check_free(fields.name, {cid for cid in others if not site.rekeying.replaces(fields.cid, cid)})


def _called(site: Site, name: str) -> set[Cid]:
    """The datasets that this site publishes under a name."""
    published = (entry.fields for entry in site.index.site(site.root).entries("dataset"))
    return {
        each.cid for each in published if isinstance(each, DatasetFields) and each.name == name and not each.withdrawn
    }


def _check_free(name: str, others: set[Cid]) -> None:
    if others:
        raise Conflict(
            f"this site publishes {', '.join(map(str, sorted(others)))} as «{name}», and nothing was published: give"
            f" these data another --name; or, to say otherwise what is published: comity dataset change {name}; or"
            f" first take it back: comity dataset withdraw {name}"
        )


def _check_label(site: Site, dataset: DatasetFields) -> None:
    match dataset.level:
        case Level.RESIDENT:
            owners = dataset.label.owners
            if owners.get(site.root) != (site.root,) or not may_hold(dataset.label, site.root):
                raise BadInput("resident data are read by the site that has them alone; their label must say so")
        case Level.OPEN:
            if dataset.label.owners:
                raise BadInput("open data are read by everyone; their label names no owner")
        case Level.SHARED:
            check_shared(site, dataset)


async def _is_here(site: Site, dataset: DatasetFields) -> bool:
    """Whether what opens the data is at this site, and their bytes."""
    if dataset.level is Level.RESIDENT:
        return await site.residents.find(dataset.cid) is not None
    if dataset.level is Level.SHARED and await site.datakeys.find(dataset.cid, site.root) is None:
        return False
    if dataset.cid.is_keyed or await trio.to_thread.run_sync(site.blobs.size_in_clear, dataset.cid) is None:
        return False  # what is held for a project goes with it
    return not await site.blobs.missing(dataset.cid)


async def import_dataset(site: Site, did: str, request: schema.ImportDataset) -> schema.Imported:
    """Read data on this machine: open data into the store, shared data encrypted, resident data in place.

    Raises:
        Denied: not a steward. BadInput: not readable, or a level that is not supported.
        Conflict: this site publishes other data under that name. Shared data are other ones each time.
    """
    member_of(site, did, Role.STEWARD)
    others = _called(site, request.name)
    if request.level == Level.SHARED:
        _check_free(request.name, others)
    path = Path(request.path)
    if not path.is_absolute():
        raise BadInput(f"{request.path} is not an absolute path on the node's machine")
    size, media_type = await trio.to_thread.run_sync(_look, path)
    if request.level == Level.RESIDENT:
        plain = await site.blobs.hash_path(path)
        cid = (await site.residents.add(plain, site.random.token(32), path)).cid
    elif request.level == Level.OPEN:
        cid = await site.blobs.add_path(path)
    elif request.level == Level.SHARED:
        cid = await import_shared(site, path)
    else:
        raise BadInput(f"there is no level «{request.level}»; choose open, shared or resident")
    if cid not in others:
        _check_free(request.name, others)
    return schema.Imported(cid=cid, size=size, media_type=media_type)


def _look(path: Path) -> tuple[int, str]:
    """The size in bytes and the media type of what lies at ``path``."""
    if path.is_dir():
        walked = ((top, name) for top, _, names in os.walk(path) for name in names)
        return sum(Path(top, name).lstat().st_size for top, name in walked), "inode/directory"
    size = path.stat().st_size if path.exists() else 0
    return size, mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def block_entry(site: Site, cid: Cid) -> Entry:
    """The entry by which a block is shared with this site.

    Raises:
        NotFound: there is none.
    """
    entries = blocks_at(site.index, cid, site.root)
    if not entries:
        raise departed(cid) if published(site, cid) else nothing_named(cid)
    return entries[0]


def published(site: Site, cid: Cid) -> list[Entry]:
    """What stands in the catalogs under ``cid`` for this site to read; that of sites that left behind the others."""
    found = [
        entry
        for index in site.index.sites.values()
        for kind in ("dataset", "block")
        if (entry := index.latest(kind, str(cid))) is not None and _readable(entry.fields, site.root)
    ]
    return sorted(found, key=lambda entry: entry.site != site.root and has_left(site.index, entry.site))


def _readable(fields: Value, site: str) -> bool:
    if isinstance(fields, DatasetFields):
        return not fields.withdrawn and may_hold(fields.label, site)
    return isinstance(fields, BlockFields) and may_hold(fields.label, site)


def name_of(site: Site, root: str) -> str:
    """What the site with the root key ``root`` is called."""
    return site.config.name if root == site.root else site.membership.names.get(root, short(root))


def departed(cid: Cid) -> NotFound:
    """What is said of what a site that left had published."""
    return NotFound(f"{cid} is not offered any more: its site left the consortium")


def nothing_named(cid: Cid) -> NotFound:
    """The one answer for what does not exist and for what is not for this site."""
    return NotFound(f"nothing named {cid} is shared with this site; check the CID, or ask its owner to share it")
