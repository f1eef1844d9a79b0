"""Grants, revocations and policies noted in the audit log as they are written into the catalog.

The entry comes first, for it is what counts; what a crash left without its note is noted at the next start.
"""

from __future__ import annotations

from catalog.body import read_body
from catalog.cid import DAG_CBOR, Cid
from catalog.dagcbor import convert, encode
from catalog.entry import KINDS, Entry
from catalog.error import VerificationFailed
from catalog.grant import GrantFields
from catalog.leaf import decode_leaf
from node.automator.book import AuditBook, Line
from node.storage.stored import StoredLog
from workflow.account import NOTED, Chain, EntryFields

BATCH = 1024


async def note_entry(book: AuditBook, entry: Entry) -> None:
    """Note an entry of this site's catalog, if it is of a kind that is noted."""
    if entry.body.kind in NOTED:
        await book.write([_line(entry.body.kind, entry.index, entry.body.actor, encode(entry.body), entry.fields)])


async def note_missed(book: AuditBook, catalog: StoredLog, first: int | None = None) -> int:
    """Note what the last run wrote into the catalog and did not note, or all from ``first`` on; how many."""
    missed = 0
    for start in range(book.ledger.noted + 1 if first is None else first, catalog.size, BATCH):
        stop = min(start + BATCH, catalog.size)
        for index, (leaf, stored) in enumerate(await catalog.read(start, stop), start):
            kind = decode_leaf(leaf).kind_name
            if kind in NOTED and stored is not None:
                body = read_body(stored[1])
                try:
                    fields = convert(KINDS[kind].fields, body.fields)
                except VerificationFailed:
                    continue  # it does not count in the catalog either
                await book.write([_line(kind, index, body.actor, stored[1], fields)])
                missed += 1
    return missed


def _line(kind: str, index: int, actor: str, body: bytes, entry: object) -> Line:
    datasets = entry.grant.datasets if isinstance(entry, GrantFields) else ()

    def fields(chain: Chain, _index: int) -> EntryFields:
        return EntryFields(entry=index, body=Cid.of(body, DAG_CBOR), actor=actor, chain=chain)

    return Line(kind, datasets, fields, (actor,))
