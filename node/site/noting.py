"""Grants, revocations, policies and approvals noted in the audit log as they are written into the catalog.

The entry comes first, for it is what counts; what a crash left without its note is noted at the next start. A note
stands in the chains of the data that it is about, so that whoever asks after these finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from catalog.approve import ApproveFields
from catalog.body import read_body
from catalog.cid import DAG_CBOR, Cid
from catalog.dagcbor import convert, encode
from catalog.dataset import DatasetFields
from catalog.entry import KINDS, Entry
from catalog.error import VerificationFailed
from catalog.grant import GrantFields
from catalog.index import Index
from catalog.leaf import decode_leaf
from catalog.project import ProjectFields, ProjectRef
from catalog.revoke import RevokeFields
from node.automator.book import AuditBook, Line
from node.storage.stored import StoredLog
from workflow.account import NOTED, Chain, EntryFields

BATCH: Final = 1024
MOST: Final = 256
"""Datasets of a note; the chains of a row are bounded, and an approval may be about more."""


@dataclass(frozen=True, slots=True)
class _About:
    """What an entry is about: the datasets, the grant, the project, and whether it takes back what was said."""

    datasets: Sequence[Cid] = ()
    grant: Cid | None = None
    project: ProjectRef | None = None
    withdrawn: bool = False


async def note_entry(book: AuditBook, index: Index, entry: Entry) -> None:
    """Note an entry of this site's catalog, if it is of a kind that is noted; ``index`` is of all members' catalogs."""
    if entry.body.kind in NOTED:
        about = _about(index, entry.site, entry.fields)
        await book.write(_lines(entry.body.kind, entry.index, entry.body.actor, encode(entry.body), about))


async def note_missed(book: AuditBook, index: Index, site: str, catalog: StoredLog, first: int | None = None) -> int:
    """Note what the last run wrote into the ``catalog`` of ``site`` and did not note, or all from ``first`` on.

    How many entries were noted.
    """
    missed = 0
    for start in range(book.ledger.noted + 1 if first is None else first, catalog.size, BATCH):
        stop = min(start + BATCH, catalog.size)
        for place, (leaf, stored) in enumerate(await catalog.read(start, stop), start):
            kind = decode_leaf(leaf).kind_name
            if kind in NOTED and stored is not None:
                body = read_body(stored[1])
                try:
                    fields = convert(KINDS[kind].fields, body.fields)
                except VerificationFailed:
                    continue  # it does not count in the catalog either
                await book.write(_lines(kind, place, body.actor, stored[1], _about(index, site, fields)))
                missed += 1
    return missed


def _about(index: Index, site: str, fields: object) -> _About:
    match fields:
        case GrantFields(grant=grant):
            return _About(grant.datasets, fields.cid, grant.project)
        case RevokeFields(grant=cid):
            entry = index.by_subject("grant", str(cid))
            if entry is None or not isinstance(entry.fields, GrantFields):
                return _About(grant=cid)
            return _About(entry.fields.grant.datasets, cid, entry.fields.grant.project)
        case ApproveFields(project=ref, withdrawn=withdrawn):
            return _About(_lent(index, site, ref), project=ref, withdrawn=withdrawn)
        case _:
            return _About()


def _lent(index: Index, site: str, ref: ProjectRef) -> list[Cid]:
    """The datasets of ``site`` that its approval of a project is about: all of them, if the project names none."""
    runs = index.sites.get(ref.site)
    project = runs.typed(ProjectFields, "project", ref.name) if runs is not None else None
    if project is None:
        return []
    named = set(project.datasets)
    own = (each.fields for each in index.site(site).entries("dataset"))
    return [each.cid for each in own if isinstance(each, DatasetFields) and (not named or each.cid in named)]


def _lines(kind: str, entry: int, actor: str, body: bytes, about: _About) -> list[Line]:
    """One line, or as many as it takes to name all datasets."""

    def fields(chain: Chain, _index: int) -> EntryFields:
        return EntryFields(
            entry=entry,
            body=Cid.of(body, DAG_CBOR),
            actor=actor,
            chain=chain,
            grant=about.grant,
            project=about.project,
            withdrawn=about.withdrawn,
        )

    parts = [about.datasets[at : at + MOST] for at in range(0, len(about.datasets), MOST)] or [()]
    return [Line(kind, part, fields, (actor,)) for part in parts]
