"""What of an entry can be found: its words, its values in each facet, and whether it is there to be found at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from catalog.block import BlockFields
from catalog.dataset import DatasetFields
from catalog.entry import Entry
from catalog.project import ProjectFields
from node.storage.search import Page

KINDS: Final = ("dataset", "block", "project")
FACETS: Final = ("kind", "site", "purpose", "level", "format", "duo", "size")
"""What can be chosen beside words. ``site`` is a root key, ``duo`` every DUO term, ``purpose`` those that permit."""

SIZES: Final = (("under 1 MB", 10**6), ("1 to 100 MB", 10**8), ("100 MB to 10 GB", 10**10), ("10 GB to 1 TB", 10**12))
LARGEST: Final = "over 1 TB"

PERMITTING: Final = frozenset({"DUO:0000004", "DUO:0000006", "DUO:0000007", "DUO:0000011", "DUO:0000042"})
"""No restriction, health, a disease, origins or ancestry, general research: the others are conditions."""


def is_offered(entry: Entry, now: int = 0) -> bool:
    """Whether a thing is there to be found: not withdrawn, not ended, not over at ``now``."""
    fields = entry.fields
    if isinstance(fields, ProjectFields):
        return not fields.over(now)
    return isinstance(fields, BlockFields) or (isinstance(fields, DatasetFields) and not fields.withdrawn)


def page_of(entry: Entry) -> Page:
    """What is to be found of an entry by words."""
    fields, name, about = entry.fields, "", ""
    if isinstance(fields, DatasetFields):
        name, about = fields.name, f"{fields.description} {fields.media_type}"
    elif isinstance(fields, BlockFields):
        outputs = " ".join(f"{output} {kind}" for output, kind in fields.outputs.items())
        name, about = fields.name, f"{fields.description} {outputs}"
    elif isinstance(fields, ProjectFields):
        name = fields.name
    return Page(entry.site, entry.body.kind, entry.subject, entry.index, name, about)


def values_of(entry: Entry) -> dict[str, tuple[str, ...]]:
    """What an entry is found by in each facet; one that it has no value in is left out."""
    fields = entry.fields
    values: dict[str, tuple[str, ...]] = {"kind": (entry.body.kind,), "site": (entry.site,)}
    terms: Iterable[str] = ()
    if isinstance(fields, DatasetFields):
        terms = fields.purposes
        values |= {"level": (str(fields.level),), "format": (fields.media_type,), "size": (_range(fields.size),)}
    elif isinstance(fields, ProjectFields):
        terms = (fields.purpose,)
    bare = {term: term.partition("/")[0] for term in terms}
    values["duo"] = tuple(sorted(set(bare.values())))
    values["purpose"] = tuple(sorted({term for term, code in bare.items() if code in PERMITTING}))
    return values


def _range(size: int) -> str:
    return next((name for name, bound in SIZES if size < bound), LARGEST)
