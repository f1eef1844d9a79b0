"""What people fetch through their own node: open data or a block, whole, or a part of a file."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.entry import Entry
from catalog.error import BadInput, ComityError, Denied, Infeasible, NotFound, Unreachable, VerificationFailed
from catalog.httpsig import SignedRequest
from node.automator.book import Line
from node.site.listing import not_there, not_there_at
from node.site.locating import mirrors_of
from node.site.publishing import (
    MAX_FILE,
    check_halted,
    departed,
    member_of,
    name_of,
    nothing_named,
    published,
)
from node.site.ranging import fetch_span
from node.site.site import Site
from privacy.trust import has_left
from workflow.account import Chain, FetchFields

A = TypeVar("A")

_SPAN: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


def parse_bytes(text: str) -> tuple[int, int] | None:
    """``FIRST-LAST``, both included; none for an empty text.

    Raises:
        BadInput: anything else, or more than 16 MiB.
    """
    if not text:
        return None
    found = _SPAN.fullmatch(text)
    if found is None or not int(found[1]) <= int(found[2]) < int(found[1]) + MAX_FILE:
        raise BadInput(f"a part of a file is FIRST-LAST, two numbers, of at most {MAX_FILE >> 20} MiB")
    return int(found[1]), int(found[2])


async def from_any(site: Site, did: str, cid: Cid, give: Callable[[Entry], Awaitable[A]]) -> A:
    """What ``give`` has of ``cid`` for a person of this site, of the first site that publishes it and can give it.

    Raises:
        NotFound: nothing of that name, or nothing that this site may see. Denied: this site is halted, or has not
            heard of its owner for too long. BadInput: it is resident, or shared. What ``give`` raised last.
    """
    member_of(site, did)
    failure: ComityError = nothing_named(cid)
    for entry in _to_read(site, cid):
        try:
            _check_open(site, entry.site)
            return await give(entry)
        except (Denied, Infeasible, NotFound, Unreachable, VerificationFailed) as error:
            failure = error  # whoever else publishes the same has it, perhaps
    raise failure


def _check_open(site: Site, owner: str) -> None:
    check_halted(site, None, (site.root, owner))
    if overdue := site.freshness.refusal("fetch", {owner}):
        raise Denied(overdue)


async def have_whole(site: Site, entry: Entry, cid: Cid) -> None:
    """Have all of ``cid`` here.

    Raises:
        Denied: this site was halted meanwhile. As :meth:`node.site.materials.Materials.bring`.
    """
    await site.materials.bring(entry.site, cid)
    check_halted(site, None, (site.root, entry.site))  # it may have taken hours


async def fetch_file(site: Site, did: str, signed: SignedRequest, cid: Cid, path: str, span: str) -> bytes:
    """A file of open data or of a block, or the bytes ``span`` of one; written down before it is given.

    What is not here is fetched: whole, if all of it is wanted; else no more than the part takes. A part that begins
    behind the end has no bytes.

    Raises:
        NotFound: nothing of that name, or nothing that this site may see. Denied: this site is halted.
        BadInput: a folder, no such part, or larger than 16 MiB.
    """
    part = parse_bytes(span)

    async def give(entry: Entry) -> bytes:
        if part is not None:
            return await _part(site, did, signed, entry, cid, path, part)
        await have_whole(site, entry, cid)
        await write_down(site, did, signed, entry, cid)
        return await _from_here(site, entry.site, cid, path, None)

    return await from_any(site, did, cid, give)


async def write_down(site: Site, did: str, signed: SignedRequest, entry: Entry, cid: Cid) -> None:
    """Write down that a person of this site has data; a block is nobody's data."""
    if not isinstance(entry.fields, DatasetFields):
        return

    def account(chain: Chain, _index: int) -> FetchFields:
        return FetchFields(root=cid, site=site.root, person=did, chain=chain, request=signed)

    await site.book.write([Line("fetch", [cid], account, (did,))])


async def _part(
    site: Site, did: str, signed: SignedRequest, entry: Entry, cid: Cid, path: str, part: tuple[int, int]
) -> bytes:
    if site.reading.has_whole(did, cid):
        site.reading.goes_on(did, cid)
        site.blobs.touch(cid)
        with suppress(NotFound):  # no such path, or cleared away after all: what follows says which
            return await site.blobs.read_part(cid, path, *part)
    elsewhere = bool(await site.blobs.missing(cid))
    if not elsewhere:
        await have_whole(site, entry, cid)
    if not (site.reading.goes_on(did, cid) and part[0] > 0):
        await write_down(site, did, signed, entry, cid)
    if elsewhere:
        return await _from_elsewhere(site, entry.site, cid, path, part)
    return await _from_here(site, entry.site, cid, path, part)


def _to_read(site: Site, cid: Cid) -> list[Entry]:
    """What publishes ``cid`` to be read; several sites may, and one that cannot give it keeps nobody from the others.

    Raises:
        NotFound: nothing does, or sites alone that left. BadInput: it is resident, or encrypted.
    """
    if cid.is_keyed:
        raise _resident(site, cid)
    found = published(site, cid)
    standing = [each for each in found if each.site == site.root or not has_left(site.index, each.site)]
    if not standing:
        raise departed(cid) if found else nothing_named(cid)
    readable = [each for each in standing if not _encrypted(each)]
    if not readable:
        name = standing[0].fields.name if isinstance(standing[0].fields, DatasetFields) else cid
        raise BadInput(f"«{name}» is encrypted; open it into a folder: comity dataset fetch {cid} --out DIR")
    return sorted(readable, key=lambda each: each.site != site.root)


def _encrypted(entry: Entry) -> bool:
    return isinstance(entry.fields, DatasetFields) and entry.fields.level is Level.SHARED


def _resident(site: Site, cid: Cid) -> ComityError:
    """What is said of resident data, whose entry all members have."""
    for root, index in site.index.sites.items():
        fields = index.typed(DatasetFields, "dataset", str(cid))
        if fields is not None and not fields.withdrawn:
            where = name_of(site, root)
            return BadInput(
                f"«{fields.name}» is resident: its bytes never leave {where}; have a workflow compute on it there"
                " («comity workflow submit», with a grant) and fetch the result"
            )
    return nothing_named(cid)


async def _from_here(site: Site, owner: str, cid: Cid, path: str, part: tuple[int, int] | None) -> bytes:
    try:
        if part is None:
            return await site.blobs.read(cid, path, MAX_FILE)
        return await site.blobs.read_part(cid, path, *part)
    except NotFound as error:
        raise await not_there(site, owner, cid, path) from error


async def _from_elsewhere(site: Site, owner: str, cid: Cid, path: str, part: tuple[int, int]) -> bytes:
    """A part from whoever holds it and answers first; written down here as it is there."""
    failure: ComityError = nothing_named(cid)
    for holder in (owner, *mirrors_of(site.index, owner, cid)):
        if holder == site.root:
            continue
        try:
            data = await fetch_span(site.reach, holder, cid, path, *part)
        except NotFound:
            failure = await not_there_at(site, holder, owner, cid, path)
            continue
        except Unreachable as error:
            failure = error
            continue
        await site.arrived(owner, holder, cid)
        return data
    raise failure
