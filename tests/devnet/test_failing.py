"""A step that fails at a running site: whoever ordered it hears that it did, and a steward there can see of what."""

from __future__ import annotations

import secrets

import pytest

from catalog.error import Denied, NotFound
from devnet.topology import PROJECT
from tests.devnet.consortium import SECONDS, Consortium

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints:
  comity:Output: {counts: {type: table}}
baseCommand: python3
inputs:
  code: {type: File, default: {class: File, location: counts.py}, inputBinding: {position: 0}}
  table: {type: File, inputBinding: {position: 1}}
outputs:
  counts: {type: File, outputBinding: {glob: counts.json}}
"""
WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
inputs: {table: File}
steps:
  counts: {run: "comity:BLOCK", in: {table: table}, out: [counts]}
outputs:
  counts: {type: File, outputSource: counts/counts}
"""


def test_what_a_step_said_that_failed_is_for_the_steward_of_the_data_alone_and_the_look_is_logged(
    consortium: Consortium,
) -> None:
    """Lost: a line of a traceback carries a patient out; or nobody can ever tell why a block fails on their data."""
    small, large = consortium.small, consortium.large
    secret = f"patient {secrets.token_hex(6)}"
    with consortium.researcher() as mara, consortium.steward(small) as steward:
        told = {(row.site, row.index) for row in steward.audit(small.dataset).rows}
        block = mara.publish_block({"tool.cwl": TOOL, "counts.py": f"raise SystemExit('{secret}')"}, secret).cid
        mara.share_block(block, [each.name for each in consortium.known.hospitals])
        given = {"table": mara.dataset(small.dataset)}
        plan = mara.plan(WORKFLOW.replace("BLOCK", str(block)), given, project=PROJECT, deadline="10m", budget="5")
        ended = mara.wait(mara.submit(plan), SECONDS)
        assert ended.state == "failed"
        assert secret not in repr(ended.view), "a receipt says that it failed, and not of what"
        rows = [
            row
            for row in steward.audit(small.dataset).rows
            if row.site_name == small.name and (row.site, row.index) not in told
        ]
        said = next(row.reason for row in rows if row.kind == "result")
        before, _, held = said.partition(" is held as ")
        assert before == "failed: its command ended with code 1; what it wrote to standard error"
        assert steward.look(held) == f"{secret}\n".encode()
        with pytest.raises(Denied):
            mara.look(held)
    with consortium.steward(large) as other, pytest.raises(NotFound):
        other.look(held)
    shown = consortium.command("audit", "look", held, at=small)
    assert shown.returncode == 0, shown.stderr
    assert secret in shown.stdout
    with consortium.steward(small) as steward:
        rows = [row for row in steward.audit(small.dataset).rows if (row.site, row.index) not in told]
    assert [row.who for row in rows if row.kind == "fetch"] == [small.steward, small.steward]
