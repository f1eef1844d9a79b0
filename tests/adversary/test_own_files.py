"""Attacks on what was endorsed: another file in the place of the code that a block carries.

A block's code is an input with a default, as the researcher's guide writes it. The institute publishes a file of its
own, which all may read, grants its use, and orders the block that St. Anna's steward endorsed, with that file for its
code.
"""

from __future__ import annotations

import json

import pytest
from msgspec import structs

from catalog.block import EndorseFields
from catalog.cid import Cid
from catalog.error import VerificationFailed
from tests.adversary.stage import Stage
from tests.simulation import consortium, steps
from workflow import subset
from workflow.argument import Data
from workflow.receipt import Receipt, Status

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
label: python3
baseCommand: python3
hints:
  comity:Output: {result: {type: statistics}}
inputs:
  code: {type: File, default: {class: File, location: count.py}, inputBinding: {position: 0}}
  data: {type: File, inputBinding: {position: 1}}
outputs:
  result: {type: File, outputBinding: {glob: result.json}}
"""
BLOCK = Cid.of(TOOL.encode())
WORKFLOW = f"""\
cwlVersion: v1.2
class: Workflow
inputs: {{code: File, data: File}}
steps:
  count: {{run: 'comity:{BLOCK}', in: {{code: code, data: data}}, out: [result]}}
outputs: {{result: {{type: File, outputSource: count/result}}}}
"""
CODE = b"the first value, a hundred times"
compute = consortium.compute


def computed(command: str, files: list[bytes]) -> bytes:
    """What the file that is given for code makes of the data."""
    if command == "python3":
        assert files[0] == CODE
        return consortium.statistics(100, json.loads(files[1])[0])
    return compute(command, files)


@pytest.fixture(autouse=True)
def block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consortium has the block."""
    monkeypatch.setitem(consortium.BLOCKS, "carrying", TOOL)
    monkeypatch.setitem(consortium.CIDS, "carrying", BLOCK)
    monkeypatch.setattr(steps, "compute", computed)


def placed() -> tuple[Stage, Receipt]:
    """The endorsed block with the institute's file for its code."""
    code = Data(site="", cid=Cid.of(CODE), name="count.py")
    grants: list[Cid] = []

    def prepare(stage: Stage) -> None:
        stage.publish(stage.anna, "endorse", str(BLOCK), EndorseFields(block=BLOCK, output_types=("statistics",)))
        stage.dataset(stage.institute, code.cid)
        stage.institute.disk.blobs[code.cid] = CODE
        grants.append(stage.grant(stage.institute, [code.cid]))

    stage = Stage(prepare)
    data = stage.data(stage.anna)
    inputs = {"code": structs.replace(code, site=stage.institute.did), "data": data}
    cited = (*stage.consortium.grants, *grants)
    submission = stage.submission(workflow=Cid.of(WORKFLOW.encode()), inputs=inputs, grants=cited)
    order = stage.order(submission, block=BLOCK, inputs=inputs)
    return stage, stage.place(stage.message(submission, order, workflow=WORKFLOW))


def test_another_file_in_the_place_of_the_blocks_code() -> None:
    """Else an endorsement of one block's code is one of whatever code anybody writes."""
    with pytest.raises(VerificationFailed, match="in the place of the block's own «code»"):
        placed()


def test_and_where_nobody_looks_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subset, "_check_carried", lambda *_: None)
    stage, receipt = placed()
    assert receipt.status is Status.DONE, receipt
    value = receipt.outputs["result"].cid
    assert value is not None
    told = json.loads(stage.anna.disk.blobs[value])["groups"]["all"]
    assert told["sum"] == json.loads(stage.anna.disk.blobs[stage.data(stage.anna).cid])[0], "one person's value"
