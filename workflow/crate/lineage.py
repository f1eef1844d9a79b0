"""A result of a submission as data: what it was made of, and the label under which it may be published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.error import BadInput, Denied, NotFound
from catalog.index import Index
from catalog.label import Label
from privacy.label import effective_readers, join, may_hold, resident
from workflow.argument import Data
from workflow.crate.entities import Told
from workflow.crate.layout import proofs_of
from workflow.evidence import Evidence
from workflow.order import Order
from workflow.receipt import Output, Status


@dataclass(frozen=True, slots=True)
class Made:
    """A result: its ``output`` as the receipt names it, its recomputed label, and the datasets that it was made from.

    ``purposes`` are those of every one of the datasets; none if they have different ones.
    """

    submission: Cid
    name: str
    output: Output
    label: Label
    datasets: tuple[Cid, ...]
    purposes: tuple[str, ...]

    @property
    def lineage(self) -> str:
        """Where it comes from, in one sentence for its description."""
        of = ", ".join(map(str, self.datasets)) or "no dataset"
        return f"The output «{self.name}» of the submission {self.submission}, made from {of}."


def made(told: Told, name: str) -> Made:
    """The result ``name`` of a submission, the output of a scattered step with its shard behind it (``counts.0``).

    Raises:
        NotFound: no such output was delivered, or not released. VerificationFailed: a receipt does not hold.
        Denied: a dataset that it was made from is not in a catalog any more, so that nobody knows its label.
    """
    found = _results(told)
    if name not in found:
        raise NotFound(f"the submission has no result «{name}»; it has: {', '.join(sorted(found)) or 'none'}")
    order, output = found[name]
    if output.cid is None:
        raise NotFound(f"the result «{name}» was not released")
    evidence = Evidence(told.index, told.cid, proofs_of(told.bundle))
    data = Data(site=order.site, cid=output.cid, name=output.name)
    datasets = tuple(sorted(evidence.datasets(data), key=str))
    return Made(told.cid, name, output, evidence.label(data), datasets, _purposes(told.index, datasets))


def label_as(label: Label, level: Level, site: str, names: Mapping[str, str]) -> Label:
    """The label of a result that ``site`` publishes at a level: with all owners that it had.

    Raises:
        Denied: its label forbids that; who would have to release it is named. BadInput: that level is for data of
            one's own.
    """
    owners = ", ".join(sorted(names.get(each, each) for each in label.owners))
    if level is Level.OPEN:
        if effective_readers(label) is not None:
            raise Denied(f"the result is not for everyone: it would have to be released by {owners}")
        return Label(owners={})
    if level is not Level.RESIDENT:
        raise BadInput("a result is published resident, or open if its label lets everyone read it")
    if not may_hold(label, site):
        raise Denied(f"this site is no reader of the result: it would have to be released by {owners}")
    return join(label, resident(site))


def _purposes(index: Index, datasets: tuple[Cid, ...]) -> tuple[str, ...]:
    entries = (index.by_subject("dataset", str(each)) for each in datasets)
    terms = {entry.fields.purposes for entry in entries if entry and isinstance(entry.fields, DatasetFields)}
    return terms.pop() if len(terms) == 1 else ()


def _results(told: Told) -> dict[str, tuple[Order, Output]]:
    """The outputs of the workflow that were delivered, by name, as a node names them."""
    made_by: dict[tuple[str, str], dict[int, tuple[Order, Output]]] = {}
    for cid, order in told.bundle.in_order():
        receipt = told.bundle.receipt_of(cid)
        if receipt is not None and receipt.status is Status.DONE:
            for name, output in receipt.outputs.items():
                made_by.setdefault((order.step, name), {})[order.shard] = order, output
    return {
        each.name if len(shards) == 1 else f"{each.name}.{shard}": found
        for each in told.workflow.outputs
        for source in each.sources
        for shards in [made_by.get((source.step, source.name), {})]
        for shard, found in shards.items()
    }
