"""A block as an archive of an image that any registry takes: its environment, and itself at ``/block`` within it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.error import BadInput, ComityError, Denied, NotFound, Unreachable, VerificationFailed
from catalog.member import Role
from node.api.blocks import BlockExported, ExportBlock
from node.execute.discard import discard
from node.execute.environment.description import FILE, MOST_BYTES, Reference, read
from node.execute.image import Image, folder_layer
from node.execute.machine import architecture
from node.execute.root import ITS_OWN
from node.plainfiles import new_place, write_new
from node.site.publishing import block_entry, member_of
from node.site.site import Site
from node.step import Environment
from privacy.label import effective_readers, site_of
from privacy.trust import blocks_at

PLACE: Final = "block"
"""Where the block lies in the image, as in a step."""
_DOMAIN: Final = "comity.local"


async def export_block(site: Site, did: str, request: ExportBlock) -> BlockExported:
    """Write the archive of a block that everybody may have to a new file of this machine; for stewards.

    The archive is an OCI image layout and what ``docker load`` takes, and the same bytes each time and everywhere.

    Raises:
        Denied: no steward, or the block is not open to all: an archive can be given to anybody.
        NotFound: no such block for this site, or who opens it to all does not have it. BadInput: it names no
            environment, or another one than its entry, or the file cannot be made.
        Unreachable, VerificationFailed: block or environment cannot be had. ComityError: the disk refuses.
    """
    member_of(site, did, Role.STEWARD)
    entries = _open_to_all(site, request.cid)
    target = Path(request.path)
    if not target.is_absolute():
        raise BadInput(f"{request.path} is not an absolute path on the node's machine")
    owner, fields, named = await _brought(site, entries)
    async with site.checkouts.using(named.cid, named.bytes) as environment:
        folder = await trio.to_thread.run_sync(site.packing.begin)
        try:
            await site.blobs.checkout(fields.cid, folder / PLACE)
            if owner not in {each for each, _ in _open_to_all(site, fields.cid)}:
                raise Denied(
                    f"who gave «{fields.name}» has just closed it, and another site opens it to all: export it again"
                )
            return await trio.to_thread.run_sync(_write, fields, environment, folder, target)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(discard, folder)


def _open_to_all(site: Site, cid: Cid) -> list[tuple[str, BlockFields]]:
    """Who opens a block to all, each with the fields of its entry.

    Raises:
        NotFound: no such block for this site. Denied: it is for some sites alone.
    """
    widest = block_entry(site, cid).fields
    if not isinstance(widest, BlockFields):
        raise BadInput("that is no block")
    readers = effective_readers(widest.label)
    if readers is not None:
        names = site.membership.names | {site.root: site.config.name}
        whom = ", ".join(sorted(names.get(each, each) for each in {site_of(reader) for reader in readers}))
        raise Denied(
            f"«{widest.name}» is for {whom} alone, and an archive can be given to anybody: its author opens it to all"
            " first, with «comity block share --everyone»"
        )
    return [
        (entry.site, fields)
        for entry in blocks_at(site.index, cid, site.root)
        if isinstance(fields := entry.fields, BlockFields) and effective_readers(fields.label) is None
    ]


async def _brought(site: Site, entries: Sequence[tuple[str, BlockFields]]) -> tuple[str, BlockFields, Reference]:
    """A block and what it runs in, from one of those that open it to all, which comes first.

    Raises:
        BadInput, NotFound, Unreachable, VerificationFailed: none of them gives it; why the last does not.
    """
    failure: ComityError = NotFound("nobody opens that block to all")
    for owner, fields in entries:
        try:
            return owner, fields, await _brought_from(site, owner, fields)
        except (BadInput, NotFound, Unreachable, VerificationFailed) as error:
            failure = error
    raise failure


async def _brought_from(site: Site, owner: str, fields: BlockFields) -> Reference:
    """What the block itself says of its environment; both are here, and ``owner`` has the bytes that it opens to all.

    That they lie here, or are checked out, is not enough: they may be here under another label, and an entry, or a
    block, can name any CID.
    """
    if fields.environment is None:
        raise BadInput(
            f"«{fields.name}» names no environment, so it would run in nothing: give its tool the hint"
            " comity:Environment, and add it again"
        )
    await site.materials.bring(owner, fields.cid)
    named = read(Reference, await site.blobs.read(fields.cid, FILE, MOST_BYTES))
    if named.cid != fields.environment:
        raise BadInput(f"«{fields.name}» runs in the environment {named.cid}; its entry names another one")
    await site.materials.bring(owner, named.cid, named=fields.cid)
    return named


def _write(fields: BlockFields, environment: Environment, folder: Path, target: Path) -> BlockExported:
    """Write the archive; the block lies in ``folder``. Blocking."""
    layers = (folder_layer(environment.folder, environment.links, ITS_OWN), folder_layer(folder, {}))
    image = Image(layers, architecture(), variables=environment.variables)
    plain = re.sub(r"[^a-z0-9]+", "-", fields.name.lower()).strip("-") or "block"
    name = f"{_DOMAIN}/{plain[:64].rstrip('-')}:{str(fields.cid)[-16:]}"
    with new_place(target) as aside:
        size = write_new(aside, image.chunks(name))
    return BlockExported(name=name, digest=image.digest, bytes=size)
