"""What people fetch through their own node: a file of open data or of a block, whole or a part of it."""

from __future__ import annotations

import re
from typing import Final

from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.entry import Entry
from catalog.error import BadInput, ComityError, Denied, Infeasible, NotFound, Unreachable, VerificationFailed
from catalog.httpsig import SignedRequest
from node.automator.book import Line
from node.site.locating import mirrors_of
from node.site.publishing import MAX_FILE, check_halted, departed, member_of, nothing_named, published
from node.site.ranging import fetch_span
from node.site.site import Site
from privacy.trust import Person, has_left
from workflow.account import Chain, FetchFields

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


async def fetch_file(site: Site, did: str, signed: SignedRequest, cid: Cid, path: str, span: str) -> bytes:
    """A file of open data or of a block, or the bytes ``span`` of one; written down before it is given.

    What is not here is fetched: whole, if all of it is wanted; else no more than the part takes. A part that begins
    behind the end has no bytes.

    Raises:
        NotFound: nothing of that name, or nothing that this site may see. Denied: this site is halted.
        BadInput: a folder, no such part, or larger than 16 MiB.
    """
    person = member_of(site, did)
    part = parse_bytes(span)
    failure: ComityError = nothing_named(cid)
    for entry in _to_read(site, cid):
        try:
            return await _fetched(site, person, signed, entry, cid, path, part)
        except (Denied, Infeasible, NotFound, Unreachable, VerificationFailed) as error:
            failure = error  # whoever else publishes the same has it, perhaps
    raise failure


async def _fetched(
    site: Site, person: Person, signed: SignedRequest, entry: Entry, cid: Cid, path: str, part: tuple[int, int] | None
) -> bytes:
    """As :func:`fetch_file`, of what one site publishes."""
    check_halted(site, None, (site.root, entry.site))
    if overdue := site.freshness.refusal("fetch", {entry.site}):
        raise Denied(overdue)
    elsewhere = part is not None and await site.blobs.missing(cid)
    if not elsewhere:
        await site.materials.bring(entry.site, cid)
        check_halted(site, None, (site.root, entry.site))  # it may have taken hours
    goes_on = site.reading.goes_on(person.did, cid) and part is not None and part[0] > 0
    if isinstance(entry.fields, DatasetFields) and not goes_on:

        def account(chain: Chain, _index: int) -> FetchFields:
            return FetchFields(root=cid, site=site.root, person=person.did, chain=chain, request=signed)

        await site.book.write([Line("fetch", [cid], account, (person.did,))])
    if part is None:
        return await site.blobs.read(cid, path, MAX_FILE)
    if elsewhere:
        return await _from_elsewhere(site, entry.site, cid, path, part, goes_on=goes_on)
    return await site.blobs.read_part(cid, path, *part)


def _to_read(site: Site, cid: Cid) -> list[Entry]:
    """What publishes ``cid`` to be read; several sites may, and one that cannot give it keeps nobody from the others.

    Raises:
        NotFound: nothing does, or sites alone that left. BadInput: it is encrypted.
    """
    found = [] if cid.is_keyed else published(site, cid)
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


async def _from_elsewhere(
    site: Site, owner: str, cid: Cid, path: str, part: tuple[int, int], *, goes_on: bool
) -> bytes:
    """A part from whoever holds it and answers first; written down here as it is there."""
    failure: ComityError = nothing_named(cid)
    for holder in (owner, *mirrors_of(site.index, owner, cid)):
        if holder == site.root:
            continue
        try:
            data = await fetch_span(site.reach, holder, cid, path, *part)
        except (NotFound, Unreachable) as error:
            failure = error
            continue
        if not goes_on:
            await site.arrived(owner, holder, cid)
        return data
    raise failure
