"""What shows to others what became of a submission: its signed parts, and the entries and rows that they rest on.

Signed parts come from the bus's journal. Of the members' catalogs there is what a checker needs and no more: keys of
nodes, of the person and of whoever signed what is carried, the project with its approvals, the grants that were cited,
the policies that released, offers, datasets and blocks. Of this site's own audit log there are the rows by which it
wrote down what was released to it. Each stands under the newest checkpoint that a quorum cosigned, as far as there is
one to be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from catalog.body import Body, fields_of, read_body
from catalog.checkpoint import Checkpoint, open_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import cid_of, encode
from catalog.error import BadInput, ComityError, Conflict, NotFound, Unreachable, VerificationFailed
from catalog.grant import GrantFields
from catalog.index import SiteIndex
from catalog.note import MAX_NOTE, parse_note
from catalog.origin import LogName
from catalog.proof import Proof, write_proof
from node.api.evidence import EvidenceFile, EvidencePage
from node.bus.journal import Record
from node.execute.step import TOOL
from node.log import Log
from node.replicate.catchup import cosigned_path
from node.site.site import Site
from node.site.submitting import consorting, find
from node.storage.stored import StoredLog
from workflow.account import ReleaseFields
from workflow.argument import pieces_in
from workflow.crate.layout import WORKFLOW, Shown, files_of, root_path, tool_path
from workflow.receipt import Receipt

PAGE_BYTES: Final = 512 << 10
MOST_TOOL: Final = 256 << 10
ATTEMPTS: Final = 4
_DIGITS: Final = 9
_ALL: Final = 1 << 20
"""Rows of one person that are looked through."""


@dataclass(slots=True)
class _Given:
    """What is being handed out of one submission: the places in logs that go with it, and their checkpoints."""

    places: list[tuple[str, LogName, int]]
    notes: dict[tuple[str, LogName], str] = field(default_factory=dict)


async def evidence(site: Site, did: str, submission: Cid, after: str) -> EvidencePage:
    """The files of the person's own submission from number ``after`` on, about half a megabyte of them.

    Raises:
        NotFound: none of that CID by this person. Conflict: it has not ended, or the site is no member.
        BadInput: ``after`` is no number.
    """
    if not after.isascii() or not after.isdecimal() or len(after) > _DIGITS:
        raise BadInput("«after» is the number that the page before said, 0 for the first")
    record = await find(site, did, submission)
    if not record.state.ended:
        raise Conflict("the submission is still running; see «comity submission watch»")
    consorting(site)
    signed = files_of([record.submission, *site.membership.chain, *record.orders, *record.receipts])
    fixed = [(WORKFLOW, record.workflow.encode()), *sorted(signed.items())]
    blocks = sorted({order.block for order in record.orders})
    given = _Given(await _places(site, record))
    files: list[EvidenceFile] = []
    number = int(after)
    total = len(fixed) + len(blocks) + len(given.places)
    while number < total and sum(len(each.data) for each in files) < PAGE_BYTES:
        if number < len(fixed):
            files.append(EvidenceFile(path=fixed[number][0], data=fixed[number][1]))
        elif number < len(fixed) + len(blocks):
            files += await _block(site, blocks[number - len(fixed)])
        else:
            files += await _shown(site, given, *given.places[number - len(fixed) - len(blocks)])
        number += 1
    return EvidencePage(files=tuple(files), after=number if number < total else None)


async def _block(site: Site, block: Cid) -> list[EvidenceFile]:
    """The folder's node and the tool's text; neither of a block that is not to be had any more."""
    with suppress(ComityError):
        await site.materials.block(block)
        root, text = await site.blobs.node(block), await site.blobs.read(block, TOOL, MOST_TOOL)
        return [EvidenceFile(path=root_path(block), data=root), EvidenceFile(path=tool_path(block), data=text)]
    return []


# --- which places ----------------------------------------------------------------------------------------------------


async def _places(site: Site, record: Record) -> list[tuple[str, LogName, int]]:
    """The places in catalogs and in this site's own audit log, by site, log and index."""
    places = {(root, place) for root, place in _entries(site, record)}
    for root, place in tuple(places):
        places |= {(root, each) for each in await _authority(site, root, place)}
    rows = await _own_rows(site, record)
    return [
        *((root, LogName.CATALOG, place) for root, place in sorted(places)),
        *((site.root, LogName.AUDIT, place) for place in rows),
    ]


def _entries(site: Site, record: Record) -> Iterator[tuple[str, int]]:
    """The entries that a checker needs, without the keys that signed them."""
    for root, index in site.index.sites.items():
        for node in index.nodes():
            yield from _latest(index, "key", node)
        yield from _latest(index, "approve", record.submission.project.subject)
        for subject in sorted({str(order.block) for order in record.orders}):
            yield from _latest(index, "block", subject)
        for subject in sorted({str(data.cid) for order in record.orders for data in pieces_in(order.inputs)}):
            yield from _latest(index, "dataset", subject)
        for entry in index.entries("grant"):
            if isinstance(entry.fields, GrantFields) and entry.fields.cid in record.submission.grants:
                yield root, entry.index
    asked = record.submission
    yield from _latest(site.index.site(asked.site), "key", asked.person)
    yield from _latest(site.index.site(asked.project.site), "project", asked.project.name)
    for receipt in record.receipts:
        yield from _named(receipt)


def _latest(index: SiteIndex, kind: str, subject: str) -> Iterator[tuple[str, int]]:
    entry = index.latest(kind, subject)
    if entry is not None:
        yield index.root, entry.index


def _named(receipt: Receipt) -> Iterator[tuple[str, int]]:
    """The entries that a receipt names: the offer that it charged by, and the policies that released."""
    if receipt.offer is not None:
        yield receipt.site, receipt.offer
    for output in receipt.outputs.values():
        for release in output.releases:
            yield release.owner, release.policy


async def _authority(site: Site, root: str, place: int) -> set[int]:
    """The entries of keys by which the entry at ``place`` counts: who signed it, and who enrolled them, with all that
    was said of these keys since.
    """
    index, found, waiting = site.index.site(root), set[int](), [place]
    while waiting:
        body = await _body(site, root, waiting.pop())
        if body is None:
            continue
        about = {body.actor, *([str(body.fields["did"])] if body.kind == "key" and "did" in body.fields else [])}
        for did in about:
            entry = index.latest("key", did)
            at = entry.index if entry is not None else None
            while at is not None and at not in found:
                found.add(at)
                waiting.append(at)
                earlier = await _body(site, root, at)
                at = earlier.previous if earlier is not None else None
    return found


async def _own_rows(site: Site, record: Record) -> list[int]:
    """The rows of this site's audit log by which it wrote down what was released for the submission."""
    orders = {cid_of(order) for order in record.orders}
    found = []
    for place in site.ledger.rows(record.submission.person, 0, site.audit.size, _ALL):
        stored = await site.audit.body(place)
        if stored is not None:
            body = read_body(stored[1])
            if body.kind == "release" and fields_of(body, ReleaseFields).order in orders:
                found.append(place)
    return found


async def _body(site: Site, root: str, place: int) -> Body | None:
    log = await _log(site, root, LogName.CATALOG)
    stored = await log.body(place) if place < log.size else None
    return read_body(stored[1]) if stored is not None else None


# --- how they are shown ----------------------------------------------------------------------------------------------


async def _log(site: Site, root: str, name: LogName) -> Log:
    if root == site.root:
        return site.catalog if name is LogName.CATALOG else site.audit
    return await site.replicas.of(root)


async def _shown(site: Site, given: _Given, root: str, name: LogName, place: int) -> list[EvidenceFile]:
    """The leaf at a place with its body and proof; nothing where the body is not here (any more)."""
    log = await _log(site, root, name)
    stored = await log.body(place) if place < log.size else None
    if stored is None:
        return []
    if (root, name) not in given.notes:
        given.notes[root, name] = await _note(site, root, log)
    note = given.notes[root, name]
    size = Checkpoint.parse(parse_note(note).text).size
    if place >= size:
        note, size = log.note, log.size
    proof = Proof(place, tuple(await log.prove(place, size)), note)
    value = Shown(
        log=log.origin,
        index=place,
        leaf=await log.leaf(place),
        salt=stored[0],
        body=stored[1],
        proof=write_proof(proof),
    )
    return [EvidenceFile(path=value.path, data=encode(value))]


async def _note(site: Site, root: str, log: Log) -> str:
    """The newest checkpoint that a quorum cosigned, or the newest there is if none is to be had now."""
    quorum = site.membership.epoch.quorum if site.membership.epoch is not None else 0
    if isinstance(log, StoredLog) and root == site.root:
        return await log.last_cosigned(quorum) or log.note
    for attempt in range(ATTEMPTS):
        with suppress(NotFound, Unreachable, VerificationFailed):
            note = (await site.reach.get(root, cosigned_path(root, quorum), MAX_NOTE)).decode(errors="replace")
            checkpoint = open_checkpoint(note, log.origin, *site.index.site(root).nodes())
            if checkpoint.size <= log.size:
                return note if await log.root_at(checkpoint.size) == checkpoint.root else log.note
        if attempt + 1 < ATTEMPTS:
            await site.clock.sleep(1)  # what was cosigned there comes here in a moment
    return log.note
