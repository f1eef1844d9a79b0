"""A submission and its rerun, output by output: what is the same, what differs, and why that may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from catalog.cid import Cid
from workflow.argument import Argument, Data, Many
from workflow.crate.layout import Bundle
from workflow.order import Order
from workflow.receipt import Output, Receipt, Status
from workflow.tool import Tool

LACKS = "it was not delivered"


@dataclass(frozen=True, slots=True)
class Compared:
    """One output of one instance: its CID before and now (None where it was not delivered, or is held).

    ``why`` is empty where they are the same. ``remembered``: the site had it still and ran nothing.
    """

    step: str
    shard: int
    output: str
    before: Cid | None
    now: Cid | None
    why: str
    remembered: bool

    @property
    def same(self) -> bool:
        """Whether both are there and alike."""
        return self.before is not None and self.before == self.now


def compare(before: Bundle, now: Bundle, tools: Mapping[Cid, Tool], environments: Mapping[Cid, Cid]) -> list[Compared]:
    """Every output that was delivered before, beside that of the rerun.

    ``environments`` are those of the blocks that name one.
    """
    again = {(order.step, order.shard): (order, receipt) for order, receipt in _delivered(now)}
    return [
        _compared(order, name, output, again.get((order.step, order.shard)), tools, environments)
        for order, receipt in _delivered(before)
        for name, output in sorted(receipt.outputs.items())
    ]


def _compared(
    order: Order,
    name: str,
    output: Output,
    again: tuple[Order, Receipt] | None,
    tools: Mapping[Cid, Tool],
    environments: Mapping[Cid, Cid],
) -> Compared:
    made = again[1].outputs.get(name) if again is not None else None
    now = made.cid if made is not None else None
    why = "" if output.cid is not None and output.cid == now else LACKS
    if why and again is not None and now is not None:
        why = _why(order, again[0], tools.get(order.block), order.block in environments)
    remembered = again is not None and again[1].spent is None
    return Compared(order.step, order.shard, name, output.cid, now, why, remembered)


def _why(before: Order, now: Order, tool: Tool | None, has_environment: bool) -> str:
    if _contents(before) != _contents(now):
        return "it was made of other inputs, which differ themselves"
    if tool is not None and not tool.reuse:
        return "its tool says that it does not make the same of the same (WorkReuse)"
    if not has_environment:
        where = "at another site" if before.site != now.site else "at its site, where they may have changed"
        return f"its block names no environment: it ran with the programs that are installed {where}"
    return "its tool does not make the same of the same; it should say so (WorkReuse)"


def _contents(order: Order) -> dict[str, object]:
    """The inputs by what they are, wherever that lies."""
    return {name: _content(argument) for name, argument in order.inputs.items()}


def _content(argument: Argument) -> object:
    match argument:
        case Many(items=items):
            return tuple(_content(item) for item in items)
        case Data(cid=cid, at=at):
            return cid, at
        case _:
            return argument


def _delivered(bundle: Bundle) -> Iterator[tuple[Order, Receipt]]:
    for cid, order in bundle.in_order():
        receipt = bundle.receipt_of(cid)
        if receipt is not None and receipt.status in (Status.DONE, Status.HELD):
            yield order, receipt


def job_of(bundle: Bundle) -> dict[str, object]:
    """The inputs of the submission as a job in JSON's terms, data by CID.

    Raises:
        BadInput: a literal is not JSON.
    """
    given = bundle.submission.inputs if bundle.submission is not None else {}
    return {name: _plain(argument) for name, argument in given.items()}


def _plain(argument: Argument) -> object:
    match argument:
        case Many(items=items):
            return [_plain(item) for item in items]
        case Data(cid=cid):
            return cid
        case _:
            value = argument.value()
            return list(value) if isinstance(value, tuple) else value
