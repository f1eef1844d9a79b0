"""What people call what is meant by keys and CIDs: persons, blocks and datasets, by the catalogs as they are now."""

from __future__ import annotations

from collections.abc import Iterable

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields
from node.site.site import Site


def person_name(site: Site, home: str, did: str) -> str:
    """The name of a person of ``home``; their key if they are not enrolled any more."""
    known = site.index.sites.get(home)
    enrolled = known.key(did) if known is not None else None
    return enrolled.name if enrolled is not None else did


def block_name(site: Site, block: Cid) -> str:
    """The name of a block; empty if nobody publishes it."""
    entry = site.index.by_subject("block", str(block))
    return entry.fields.name if entry is not None and isinstance(entry.fields, BlockFields) else ""


def dataset_names(site: Site, cids: Iterable[Cid]) -> dict[str, str]:
    """The names of datasets by CID; empty ones for what nobody publishes."""
    names = {}
    for cid in cids:
        entry = site.index.by_subject("dataset", str(cid))
        names[str(cid)] = entry.fields.name if entry is not None and isinstance(entry.fields, DatasetFields) else ""
    return names
