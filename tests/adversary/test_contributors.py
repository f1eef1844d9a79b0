"""Attacks on the node's own aggregator by its question: who asks says which column is a person.

The rows are visits, as the hospital published them. Asked by the column of visits, each visit counts as a person, and a
patient who came twelve times is a cell of twelve.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from catalog.cid import Cid
from catalog.policy import PolicyFields
from node.aggregator import aggregate as program
from node.automator.decide import Judge
from privacy.starters import HOSPITAL
from tests.adversary.stage import Stage
from tests.simulation import consortium, steps
from tests.simulation.node import Node
from workflow.argument import Literal
from workflow.order import Wanted

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
baseCommand: [counted]
hints:
  comity:Output: {table: {type: table}}
inputs:
  rows: {type: File, inputBinding: {position: 1}}
  spec: {type: string, inputBinding: {position: 2}}
outputs:
  table: {type: File, outputBinding: {glob: table.json}}
"""
BLOCK = Cid.of(TOOL.encode())
WORKFLOW = f"""\
cwlVersion: v1.2
class: Workflow
inputs: {{data: File, spec: string}}
steps:
  count: {{run: 'comity:{BLOCK}', in: {{rows: data, spec: spec}}, out: [table]}}
outputs: {{table: {{type: File, outputSource: count/table}}}}
"""
SPEC = json.dumps({"person": "visit", "by": ["patient"], "measures": [{"mean": "virus"}], "form": "json-lines"})
VISITS = [
    {"visit": f"{patient}-{number}", "patient": patient, "virus": load + number}
    for patient, load in (("erika", 100), ("hans", 900))
    for number in range(12)
]
compute = consortium.compute


def computed(command: str, files: list[bytes]) -> bytes:
    """What the real program makes of the question."""
    if command == "counted":
        spec = program.read_spec(SPEC)
        return program.table(program.aggregate(files[0].splitlines(keepends=True), spec), spec).encode()
    return compute(command, files)


class Aware(Judge):
    """The judge of a node that carries that aggregator."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **(named | {"aggregator": BLOCK}))


class Carrying(Node):
    """A node that carries it."""

    judge_class = Aware


@pytest.mark.xfail(strict=True, reason="no owner can say yet which column of a dataset is its people")
def test_a_patient_whose_visits_are_counted_as_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever came often is told of by name, and no rule sees a small group."""
    monkeypatch.setitem(consortium.BLOCKS, "counted", TOOL)
    monkeypatch.setitem(consortium.CIDS, "counted", BLOCK)
    monkeypatch.setattr(steps, "compute", computed)

    def prepare(stage: Stage) -> None:
        stage.publish(stage.anna, "policy", "", PolicyFields(text=HOSPITAL))
        stage.anna.disk.blobs[stage.data(stage.anna).cid] = "\n".join(map(json.dumps, VISITS)).encode()

    stage = Stage(prepare, Carrying)
    data = stage.data(stage.anna)
    given = {"data": data, "spec": Literal(json=json.dumps(SPEC))}
    submission = stage.submission(workflow=Cid.of(WORKFLOW.encode()), inputs=given)
    wanted = {"table": Wanted(type="table", readers=(stage.institute.did,))}
    inputs = {"rows": data, "spec": given["spec"]}
    order = stage.order(submission, block=BLOCK, inputs=inputs, outputs=wanted)
    left = stage.place(stage.message(submission, order, workflow=WORKFLOW)).outputs["table"]
    assert left.cid is None, json.loads(stage.anna.disk.blobs[left.cid])["cells"]
