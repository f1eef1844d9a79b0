"""The entities of a metadata file, and what they are told from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.index import Index
from catalog.member import Epoch
from workflow.argument import Data
from workflow.crate.layout import Bundle
from workflow.graph import Workflow
from workflow.order import Order
from workflow.receipt import Output
from workflow.submission import Submission
from workflow.tool import Tool
from workflow.type import Kind, Type

Ref = dict[str, str]
"""A reference to an entity."""

COMPLETED: Final = "http://schema.org/CompletedActionStatus"
FAILED: Final = "http://schema.org/FailedActionStatus"

_TYPES: Final = {
    Kind.STRING: "Text",
    Kind.ENUM: "Text",
    Kind.INT: "Integer",
    Kind.LONG: "Integer",
    Kind.FLOAT: "Float",
    Kind.DOUBLE: "Float",
    Kind.BOOLEAN: "Boolean",
    Kind.FILE: "File",
    Kind.DIRECTORY: "Dataset",
}


@dataclass(frozen=True)
class Told:
    """What a crate's metadata are told from: the parts of the crate, read and indexed."""

    submission: Submission
    workflow: Workflow
    tools: Mapping[Cid, Tool]
    bundle: Bundle
    chain: Sequence[Epoch]
    index: Index

    @property
    def cid(self) -> Cid:
        """The submission's."""
        return cid_of(self.submission)

    @property
    def ended(self) -> int:
        """When the last receipt was given, Unix milliseconds; where there is none, from when the submission counted."""
        return max((each.at for each in self.bundle.receipts.values()), default=self.submission.not_before)

    def name(self, root: str) -> str:
        """A site's name for people."""
        names = {member.root: member.site for epoch in self.chain for member in epoch.members}
        return names.get(root, root)

    def outputs(self) -> Iterator[tuple[Order, Output]]:
        """Every output that a receipt names, by its order."""
        for cid, order in self.bundle.in_order():
            receipt = self.bundle.receipt_of(cid)
            for _, output in sorted(receipt.outputs.items()) if receipt is not None else ():
                yield order, output


@dataclass(slots=True)
class Entities:
    """A graph on its way; every entity is there once. ``elsewhere`` are the ids of data whose bytes are not here."""

    _known: dict[str, dict[str, Any]] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)

    def add(self, id: str, kind: str | list[str], **properties: object) -> Ref:
        """Add an entity, or more of one that is there: what is empty is left out, and lists grow."""
        entity = self._known.setdefault(id, {"@id": id, "@type": kind})
        for name, value in properties.items():
            before = entity.get(name)
            if isinstance(before, list) and isinstance(value, list):
                entity[name] = before + [each for each in value if each not in before]
            elif before is None and value not in ("", None, [], ()):
                entity[name] = value
        return ref(id)

    def folder(self, parameter: str) -> bool:
        """Whether a formal parameter that is there takes folders."""
        return bool(self._known.get(parameter, {}).get("additionalType") == "Dataset")

    def graph(self) -> list[dict[str, Any]]:
        """All of them, by id; a list of one thing is that thing, as RO-Crate has it."""
        return [
            {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in entity.items()}
            for _, entity in sorted(self._known.items())
        ]


def ref(id: str) -> Ref:
    """A reference."""
    return {"@id": id}


def data_id(data: Data) -> str:
    """How a piece of data is named that is elsewhere: by its CID and the site that holds it."""
    return f"urn:comity:data:{data.site}:{data.cid}"


def additional_type(kind: Type | None) -> str:
    """The type of a formal parameter in a Workflow RO-Crate."""
    return _TYPES[kind.kind] if kind is not None else "File"
