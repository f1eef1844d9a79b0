"""What a site publishes of a dataset: its name by content, its level of sharing, its label and its DUO terms."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from catalog.body import Index, Name
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.key import Did
from catalog.label import Label

Text = Annotated[str, msgspec.Meta(max_length=4096)]
DuoTerm = Annotated[str, msgspec.Meta(pattern=r"^DUO:[0-9]{7}(/[0-9A-Za-z][0-9A-Za-z:._-]{0,63})?\Z")]
"""A term of the Data Use Ontology, as ``DUO:0000006``; what it is about comes after a slash: a disease
(``DUO:0000007/MONDO:0007254``), a country (``DUO:0000022/DE``), a day (``DUO:0000025/2027-01-31``), a type of
research (``DUO:0000012/DUO:0000038``)."""


Population = Annotated[str, msgspec.Meta(max_length=120, pattern=r"^(\w[\w .:/-]*)?\Z")]
"""Whom data are about, in their owner's words: letters, digits, ``_``, blanks and ``.:/-``."""

Column = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Columns = Annotated[
    dict[Column, Annotated[tuple[Column, ...], msgspec.Meta(max_length=256)]], msgspec.Meta(max_length=32)
]
"""By column, all values that it can have."""


class Level(StrEnum):
    """How data are shared (design section 6)."""

    OPEN = "open"
    SHARED = "shared"
    RESIDENT = "resident"


class DatasetFields(Value, frozen=True, kw_only=True):
    """The fields of a ``dataset`` entry.

    ``cid`` is plain for open data and keyed for resident data, and for shared data that of the encrypted folder;
    ``size`` counts bytes of plaintext; ``media_type`` is IANA's. ``custodians`` are sites that keep the data key of
    shared data too, and give its header under the owner's policy while the owner is away. Datasets of one owner with
    the same ``population``, or that had the same name, are about the same people: what leaves of one counts for all.
    ``columns`` are all values that columns can have, as far as the owner says so: sums over all are followed then.
    ``person`` is the column that says whose a row is; nobody counts people by another without a steward's word.
    """

    cid: Cid
    name: Name
    level: Level
    label: Label
    purposes: Annotated[tuple[DuoTerm, ...], msgspec.Meta(max_length=32)]
    description: Text
    media_type: Annotated[str, msgspec.Meta(max_length=120)]
    size: Index
    withdrawn: bool = False
    custodians: Annotated[tuple[Did, ...], msgspec.Meta(max_length=16)] = ()
    population: Population = ""
    columns: Columns = msgspec.field(default_factory=dict)
    person: Annotated[str, msgspec.Meta(max_length=64)] = ""
