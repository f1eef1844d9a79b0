"""What of an entry can be found: its words, its values in each facet, and whether it is there to be found at all."""

from __future__ import annotations

from typing import Final

from msgspec import msgpack

from catalog.block import BlockFields
from catalog.dagcbor import Value
from catalog.dataset import DatasetFields
from catalog.entry import Entry
from catalog.label import Label
from catalog.project import ProjectFields
from node.site.sight import Likeness, likeness
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


class Nature(Value, frozen=True, kw_only=True):
    """All by which a thing is chosen, and on which it depends who may see it: what it shares with those like it.

    ``size`` is one of :data:`SIZES`; ``terms`` are DUO terms with what stands behind their slashes.
    """

    kind: str
    site: str
    level: str
    format: str
    size: str
    terms: tuple[str, ...]
    label: Label | None

    @property
    def likeness(self) -> Likeness:
        """What an answer about it can depend on."""
        return Likeness(self.kind, self.site, self.level, self.terms if self.kind == "dataset" else (), self.label)

    @property
    def values(self) -> dict[str, tuple[str, ...]]:
        """What it is found by in each facet; one that it has no value in is left out."""
        plain = {"kind": self.kind, "site": self.site, "level": self.level, "format": self.format, "size": self.size}
        found: dict[str, tuple[str, ...]] = {facet: (value,) for facet, value in plain.items() if value}
        bare = {term: term.partition("/")[0] for term in self.terms}
        found["duo"] = tuple(sorted(set(bare.values())))
        found["purpose"] = tuple(sorted({term for term, code in bare.items() if code in PERMITTING}))
        return found


def nature_of(entry: Entry) -> Nature:
    """The nature of what an entry publishes."""
    fields, like = entry.fields, likeness(entry)
    data = isinstance(fields, DatasetFields)
    return Nature(
        kind=like.kind,
        site=like.owner,
        level=like.level,
        format=fields.media_type if isinstance(fields, DatasetFields) else "",
        size=_range(fields.size) if isinstance(fields, DatasetFields) else "",
        terms=like.purposes if data else (fields.purpose,) if isinstance(fields, ProjectFields) else (),
        label=like.label,
    )


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
    return Page(entry.site, entry.body.kind, entry.subject, entry.index, name, about, msgpack.encode(nature_of(entry)))


def _range(size: int) -> str:
    return next((name for name, bound in SIZES if size < bound), LARGEST)
