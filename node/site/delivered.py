"""Which outputs of a submission's workflow were delivered, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from node.bus.journal import Record
from workflow.graph import Source, Workflow
from workflow.receipt import Form, Output, Status


@dataclass(frozen=True, slots=True)
class Result:
    """An output of the workflow that was delivered, and the site that holds it."""

    name: str
    output: Output
    cid: Cid
    form: Form
    holder: str


def results_of(workflow: Workflow, record: Record) -> list[Result]:
    """The workflow's outputs that were delivered; one of a scattered step has the shard behind its name."""
    orders = {cid_of(order): order for order in record.orders}
    made: dict[Source, dict[int, tuple[Output, str]]] = {}
    for receipt in record.receipts:
        order = orders.get(receipt.order)
        if order is None or receipt.status is not Status.DONE:
            continue
        for name, output in receipt.outputs.items():
            made.setdefault(Source(order.step, name), {})[order.shard] = output, order.site
    return [
        Result(each.name if len(shards) == 1 else f"{each.name}.{shard}", output, output.cid, output.form, holder)
        for each in workflow.outputs
        for source in each.sources
        for shards in [made.get(source, {})]
        for shard, (output, holder) in sorted(shards.items())
        if output.cid is not None and output.form is not None
    ]
