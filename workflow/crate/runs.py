"""The retrospective half of a crate: what ran where, when, on what, with what outcome, by the signed receipts."""

from __future__ import annotations

from typing import Any, Final

from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.error import BadInput
from workflow.argument import Argument, Data, Literal, Many
from workflow.crate.entities import COMPLETED, FAILED, Entities, Ref, Told, data_id, ref
from workflow.crate.layout import SUBMISSION, WORKFLOW, path_of, result_path
from workflow.crate.rows import began
from workflow.crate.steps import Steps, block_id, step_id
from workflow.crate.when import iso
from workflow.order import Order
from workflow.receipt import Form, Output, Receipt, Status
from workflow.value import pointed, read_value, write_value

RUN: Final = "#run"
BUS: Final = "#bus"
_MILLIS: Final = "https://qudt.org/vocab/unit/MilliSEC"
_USAGE: Final = {
    "wall_millis": ("wall time, rounded up to a power of two", "milliseconds", _MILLIS),
    "cpu_millis": ("processor time, rounded up to a power of two", "milliseconds", _MILLIS),
    "peak_bytes": ("peak memory, rounded up to a power of two", "bytes", "https://qudt.org/vocab/unit/BYTE"),
}
_MICROS: Final = "urn:comity:unit:millionth"
_TERM: Final = "urn:comity:usage:"
_SHORT: Final = 4096
"""Characters of a value that is told as it is, and not as a file alone."""


class Runs:
    """Adds the actions; ``mentions`` are those that the root names."""

    def __init__(self, told: Told, entities: Entities, steps: Steps) -> None:
        self._told = told
        self._entities = entities
        self._steps = steps
        self._began = began(told.bundle)
        self.mentions: list[Ref] = []

    def add(self) -> None:
        """Add the run of the workflow and of each order, and then the steps with the parameters that were used."""
        actions = [(order, self._add_order(cid, order)) for cid, order in self._told.bundle.in_order()]
        controls = self._add_controls(actions)
        self._add_run()
        if controls:
            self._add_organizing(controls)
        self._steps.finish()
        self.mentions += [ref(RUN), *(action for _, action in actions)]

    def _add_order(self, cid: Cid, order: Order) -> Ref:
        receipt = self._told.bundle.receipt_of(cid)
        site = self._told.name(order.site)
        given = [
            each
            for name, argument in sorted(order.inputs.items())
            for each in self._given(argument, self._steps.input_of(order.block, name), f"{order.instance}/{name}")
        ]
        made = [] if receipt is None else self._made(order, receipt)
        status, error = _outcome(receipt)
        return self._entities.add(
            f"#order/{cid}",
            "CreateAction",
            name=f"{order.instance}, attempt {order.attempt}, at {site}",
            description=f"The block of the step «{order.step}» was ordered from {site}: {_told(receipt)}",
            instrument=ref(block_id(order.block)),
            agent=ref(order.site),
            object=given,
            result=made,
            startTime=iso(self._began[cid]) if cid in self._began else None,
            endTime=iso(receipt.at) if receipt is not None else None,
            actionStatus=status,
            error=error,
            resourceUsage=self._usage(cid, receipt),
            subjectOf=[ref(path_of(order)), *([ref(path_of(receipt))] if receipt is not None else [])],
        )

    def _usage(self, cid: Cid, receipt: Receipt | None) -> list[Ref]:
        if receipt is None:
            return []
        unit = "millionths of the consortium's unit"
        found = [self._amount(cid, "cost", receipt.cost, ("what the site charged", unit, _MICROS))]
        if receipt.spent is not None:
            found += [self._amount(cid, term, getattr(receipt.spent, term), told) for term, told in _USAGE.items()]
        return found

    def _amount(self, cid: Cid, term: str, value: int, told: tuple[str, str, str]) -> Ref:
        name, unit, code = told
        return self._entities.add(
            f"#usage/{cid}/{term}",
            "PropertyValue",
            name=name,
            propertyID=f"{_TERM}{term}",
            value=str(value),
            unitText=unit,
            unitCode=code,
        )

    def _add_controls(self, actions: list[tuple[Order, Ref]]) -> list[Ref]:
        """One for each instance, over all attempts at it; it failed if the last of them did."""
        by_instance: dict[tuple[str, int], list[tuple[Order, Ref]]] = {}
        for order, action in actions:
            by_instance.setdefault((order.step, order.shard), []).append((order, action))
        return [
            self._entities.add(
                f"#control/{step}/{shard}",
                "ControlAction",
                name=f"{step}[{shard}]",
                instrument=ref(step_id(step)),
                object=[action for _, action in attempts],
            )
            for (step, shard), attempts in by_instance.items()
        ]

    def _add_run(self) -> None:
        told = self._told
        given = [
            each
            for name, argument in sorted(told.submission.inputs.items())
            for each in self._given(argument, self._steps.input(name), f"workflow/{name}")
        ]
        made = self._workflow_results()
        done = all(name in made for name in (each.name for each in told.workflow.outputs))
        self._entities.add(
            RUN,
            "CreateAction",
            name=f"Run of the submission {told.cid}",
            description=f"Asked for under the project «{told.submission.project.name}»; "
            + ("every output was delivered" if done else "not every output was delivered"),
            instrument=ref(WORKFLOW),
            agent=ref(told.submission.person),
            object=given,
            result=[each for found in made.values() for each in found],
            endTime=iso(told.ended),
            actionStatus=COMPLETED if done else FAILED,
            error=None if done else "an output was not delivered",
            subjectOf=[ref(SUBMISSION)],
        )

    def _add_organizing(self, controls: list[Ref]) -> None:
        self._entities.add(
            BUS,
            "SoftwareApplication",
            name="Comity",
            description="The workflow bus in the home site's node, which sent the orders",
            softwareVersion="protocol 1",
        )
        self._entities.add(
            "#organize",
            "OrganizeAction",
            name="Orders sent and receipts taken by the bus",
            agent=ref(self._told.submission.site),
            instrument=ref(BUS),
            object=controls,
            result=ref(RUN),
        )

    # --- values ------------------------------------------------------------------------------------------------------

    def _given(self, argument: Argument, parameter: str, where: str) -> list[Ref]:
        match argument:
            case Many(items=items):
                return [each for n, item in enumerate(items) for each in self._given(item, parameter, f"{where}/{n}")]
            case Literal(json=text):
                return [self._value(f"#value/{where}", "PropertyValue", parameter, name=where, value=text)]
            case Data(at=None):
                return [self._data(argument, parameter)]
            case Data(at=at):
                return [self._stored(argument, at or "", parameter) or self._data(argument, parameter)]

    def _stored(self, data: Data, at: str, parameter: str) -> Ref | None:
        """What stands in a stored value, if the crate has that and it is short: a number is told as a number."""
        raw = self._told.bundle.results.get(data.cid)
        if raw is None:
            return None
        try:
            text = write_value(pointed(read_value(raw), at)).decode()
        except BadInput:
            return None  # its site said that it is one, and it is not: the file is there to be looked at
        if len(text) > _SHORT:
            return None
        where = ref(result_path(data.cid))
        named = f"#stored/{data.cid}{at}"
        return self._value(named, "PropertyValue", parameter, name=data.name, value=text, subjectOf=[where])

    def _data(self, data: Data, parameter: str, size: int | None = None) -> Ref:
        if data.cid in self._told.bundle.results:
            return self._value(result_path(data.cid), "File", parameter, name=data.name)
        where = "under a keyed name" if data.cid.is_keyed else "by its CID"
        told = f"Held at {self._told.name(data.site)}, named {where}; its bytes are not in this crate"
        published = self._told.index.site(data.site).typed(DatasetFields, "dataset", str(data.cid))
        length = published.size if published is not None else size
        entity = self._elsewhere(data_id(data), data.site, parameter, data.name, told, str(data.cid), length)
        kind = published.media_type if published is not None else "application/octet-stream"
        self._entities.add(entity["@id"], "File", encodingFormat=kind)
        return entity

    def _elsewhere(
        self, named: str, site: str, parameter: str, name: str, told: str, identifier: str, size: int | None
    ) -> Ref:
        """A file or folder whose bytes are not in the crate; what it is the parameter says that it fills."""
        kind = "Dataset" if self._entities.folder(parameter) else "File"
        self._entities.elsewhere.append(named)
        return self._value(
            named,
            [kind, "DigitalDocument"],
            parameter,
            name=name,
            description=told,
            identifier=identifier,
            provider=ref(site),
            contentSize=str(size) if size is not None else "",
        )

    def _made(self, order: Order, receipt: Receipt) -> list[Ref]:
        return [
            self._output(order, output, self._steps.output_of(order.block, name))
            for name, output in sorted(receipt.outputs.items())
        ]

    def _output(self, order: Order, output: Output, parameter: str) -> Ref:
        if output.cid is not None:
            data = Data(site=order.site, cid=output.cid, name=output.name or "output")
            stored = self._stored(data, "", parameter) if output.form is Form.VALUE else None
            return stored or self._data(data, parameter, output.size)
        told = output.reason or "It was not released"
        named = f"urn:comity:{output.handle}"
        return self._elsewhere(named, order.site, parameter, "an output that is held", told, output.handle, None)

    def _workflow_results(self) -> dict[str, list[Ref]]:
        """By the name of each output of the workflow, what was delivered of it."""
        made: dict[tuple[str, str], list[tuple[Order, Output]]] = {}
        for cid, order in self._told.bundle.in_order():
            receipt = self._told.bundle.receipt_of(cid)
            if receipt is not None and receipt.status is Status.DONE:
                for name, output in sorted(receipt.outputs.items()):
                    made.setdefault((order.step, name), []).append((order, output))
        found: dict[str, list[Ref]] = {}
        for each in self._told.workflow.outputs:
            for source in each.sources:
                for order, output in made.get((source.step, source.name), ()):
                    if output.cid is not None:
                        entity = self._output(order, output, self._steps.output(each.name))
                        found.setdefault(each.name, []).append(entity)
        return found

    def _value(self, named: str, kind: str | list[str], parameter: str, **properties: Any) -> Ref:
        entity = self._entities.add(named, kind, exampleOfWork=[ref(parameter)], **properties)
        self._entities.add(parameter, "FormalParameter", workExample=[entity])
        return entity


def _outcome(receipt: Receipt | None) -> tuple[str, str | None]:
    """The status of an action, and the error of one that failed."""
    if receipt is None:
        return FAILED, "no final receipt came"
    if receipt.status in (Status.DONE, Status.HELD):
        return COMPLETED, None
    return FAILED, receipt.reason or str(receipt.status)


def _told(receipt: Receipt | None) -> str:
    if receipt is None:
        return "no final receipt came"
    return f"{receipt.status}, {receipt.reason}" if receipt.reason else str(receipt.status)
