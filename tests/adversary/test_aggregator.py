"""Attacks on the node's own aggregator, whose tables leave without a steward's word: rows that somebody made up for it.

The rows are written by a block of the researcher's at the hospital, which nobody endorsed: each person of the data
becomes ten, all of them in the cells that this one person's value names.
"""

from __future__ import annotations

import json

import pytest

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.policy import PolicyFields
from node.aggregator import aggregate as program
from node.automator.endorsing import Endorsing
from node.message import Proof
from privacy.starters import HOSPITAL
from tests.adversary.carrying import carrying
from tests.adversary.stage import Stage
from tests.simulation import consortium, steps
from workflow.argument import Data
from workflow.order import Wanted
from workflow.receipt import Output

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {{comity: "urn:comity:cwl#"}}
label: {name}
baseCommand: none
hints:
  comity:Output: {{{output}: {{type: {type}}}}}
inputs:
  {input}: {{type: File, inputBinding: {{position: 1}}}}
outputs:
  {output}: {{type: File, outputBinding: {{glob: "{output}.json"}}}}
"""
BLOCKS = {
    "multiply": TOOL.format(name="multiply", input="data", output="rows", type="row-level"),
    "aggregate": TOOL.format(name="aggregate", input="rows", output="table", type="table"),
}
CIDS = {name: Cid.of(text.encode()) for name, text in BLOCKS.items()}
WORKFLOW = f"""\
cwlVersion: v1.2
class: Workflow
inputs: {{data: File}}
steps:
  multiply: {{run: 'comity:{CIDS["multiply"]}', in: {{data: data}}, out: [rows]}}
  aggregate: {{run: 'comity:{CIDS["aggregate"]}', in: {{rows: multiply/rows}}, out: [table]}}
outputs: {{table: {{type: File, outputSource: aggregate/table}}}}
"""
GO_ON = '@id("go-on") permit (principal, action == Action::"compute", resource is Value) when { context.reader };'
TIMES = 10
compute = consortium.compute


def computed(command: str, files: list[bytes]) -> bytes:
    """What the two blocks do; the aggregator is the real program."""
    if command == "multiply":
        values = json.loads(files[0])
        rows = [{"person": f"{value} {of}", "value": f"v{value}"} for value in values[:4] for of in range(TIMES)]
        return "\n".join(map(json.dumps, rows)).encode()
    if command == "aggregate":
        spec = program.read_spec('{"person": "person", "by": ["value"], "form": "json-lines"}')
        return program.table(program.aggregate(files[0].splitlines(keepends=True), spec), spec).encode()
    return compute(command, files)


@pytest.fixture(autouse=True)
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consortium has the two blocks, and what they do."""
    for name, text in BLOCKS.items():
        monkeypatch.setitem(consortium.BLOCKS, name, text)
        monkeypatch.setitem(consortium.CIDS, name, CIDS[name])
    monkeypatch.setattr(steps, "compute", computed)
    monkeypatch.setattr(Endorsing, "_is_said", lambda *_: True)  # by which column, is asked beside it


def table_of_made_up_people() -> tuple[Stage, Output]:
    """Both steps at St. Anna, which has the starter policy and lets readers of a value go on with it; their table."""
    grants: list[Cid] = []

    def prepare(stage: Stage) -> None:
        stage.publish(stage.anna, "policy", "", PolicyFields(text=HOSPITAL + GO_ON))
        grants.append(stage.grant(stage.anna, [stage.data(stage.anna).cid]))

    stage = Stage(prepare, carrying(CIDS["aggregate"]))
    anna, institute = stage.anna, stage.institute.did
    data = stage.data(anna)
    submission = stage.submission(
        workflow=Cid.of(WORKFLOW.encode()),
        inputs={"data": data},
        grants=tuple(grants),
        destinations=(institute, anna.did),
        buses=(anna.node.did,),
    )

    def placed(*proofs: Proof, **changes: object) -> Proof:
        named = tuple(cid_of(each.receipt) for each in proofs)
        order = stage.order(submission, anna.node, proofs=named, **changes)
        receipt = stage.place(stage.message(submission, order, proofs, WORKFLOW), asker=anna)
        return Proof(order=order, receipt=receipt)

    wanted = {"rows": Wanted(type="row-level", readers=(anna.did,))}
    first = placed(step="multiply", block=CIDS["multiply"], inputs={"data": data}, outputs=wanted)
    assert first.receipt.outputs, first.receipt.reason
    rows = first.receipt.outputs["rows"]
    assert rows.cid is not None, rows.reason
    made = Data(site=anna.did, cid=rows.cid, name=rows.name)
    wanted = {"table": Wanted(type="table", readers=(institute,))}
    last = placed(first, step="aggregate", block=CIDS["aggregate"], inputs={"rows": made}, outputs=wanted)
    return stage, last.receipt.outputs["table"]


def test_ten_made_up_people_who_are_one() -> None:
    """Else each cell of a table that passes every rule is one person's value, told by a block that nobody looked at."""
    _, table = table_of_made_up_people()
    assert (table.cid, table.release) == (None, None)
    assert table.reason == "no steward here has endorsed this block for outputs of the type «table»"


def test_where_any_rows_are_vouched_for_they_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the table above is held for another reason."""
    monkeypatch.setattr(Endorsing, "_are_rows", lambda *_: True)
    stage, table = table_of_made_up_people()
    assert table.release is not None
    assert table.release.report.startswith("counted by this node's own aggregator")
    assert table.cid is not None
    left = json.loads(stage.anna.disk.blobs[table.cid])
    values = json.loads(stage.anna.disk.blobs[stage.data(stage.anna).cid])[:4]
    assert {cell["key"][0] for cell in left["cells"]} == {f"v{value}" for value in values}
