"""Attacks on the node's own aggregator by its question: who asks says which column is a person.

The rows are visits, as the hospital published them. Asked by the column of visits, each visit counts as a person, and a
patient who came twelve times is a cell of twelve.
"""

from __future__ import annotations

import json

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.policy import PolicyFields
from node.aggregator import aggregate as program
from node.automator.endorsing import Endorsing
from privacy.starters import HOSPITAL
from tests.adversary.carrying import carrying
from tests.adversary.stage import Stage
from tests.simulation import consortium, steps
from workflow.argument import Literal
from workflow.order import Wanted
from workflow.receipt import Output

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
label: counted
baseCommand: none
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


def counted_by(person: str, said: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Stage, Output]:
    """The table of visits by patient, counted by the column ``person``, of data whose people are ``said`` to be it."""
    spec = json.dumps({**json.loads(SPEC), "person": person})
    monkeypatch.setitem(consortium.BLOCKS, "counted", TOOL)
    monkeypatch.setitem(consortium.CIDS, "counted", BLOCK)

    def computed(command: str, files: list[bytes]) -> bytes:
        """What the real program makes of the question."""
        if command == "counted":
            asked = program.read_spec(spec)
            return program.table(program.aggregate(files[0].splitlines(keepends=True), asked), asked).encode()
        return compute(command, files)

    monkeypatch.setattr(steps, "compute", computed)

    def prepare(stage: Stage) -> None:
        stage.publish(stage.anna, "policy", "", PolicyFields(text=HOSPITAL))
        cid = stage.data(stage.anna).cid
        fields = structs.replace(consortium.dataset_fields(stage.anna, cid), person=said)
        stage.publish(stage.anna, "dataset", str(cid), fields)
        stage.anna.disk.blobs[stage.data(stage.anna).cid] = "\n".join(map(json.dumps, VISITS)).encode()

    stage = Stage(prepare, carrying(BLOCK))
    data = stage.data(stage.anna)
    given = {"data": data, "spec": Literal(json=json.dumps(spec))}
    submission = stage.submission(workflow=Cid.of(WORKFLOW.encode()), inputs=given)
    wanted = {"table": Wanted(type="table", readers=(stage.institute.did,))}
    inputs = {"rows": data, "spec": given["spec"]}
    order = stage.order(submission, block=BLOCK, inputs=inputs, outputs=wanted)
    return stage, stage.place(stage.message(submission, order, workflow=WORKFLOW)).outputs["table"]


@pytest.mark.parametrize("said", ["patient", ""])
def test_visits_that_are_counted_as_people(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever came often is told of by name, and no rule sees a small group."""
    _, table = counted_by("visit", said, monkeypatch)
    assert (table.cid, table.release) == (None, None)


def test_where_any_column_is_people_one_patients_mean_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the table above is held for another reason."""
    monkeypatch.setattr(Endorsing, "_is_said", lambda *_: True)
    stage, table = counted_by("visit", "patient", monkeypatch)
    assert table.cid is not None
    left = json.loads(stage.anna.disk.blobs[table.cid])["cells"]
    assert {cell["key"][0]: cell["count"] for cell in left} == {"erika": 12, "hans": 12}


def test_by_the_column_that_the_owner_names_small_groups_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an owner who says which column it is gets nothing for it."""
    stage, table = counted_by("patient", "patient", monkeypatch)
    assert table.cid is None or json.loads(stage.anna.disk.blobs[table.cid])["cells"] == []
