"""A step that fails at a running site: whoever ordered it hears that it did, and a steward there can see of what."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from catalog.error import Denied, NotFound
from devnet.topology import PROJECT, RESEARCHER
from tests.devnet.consortium import SECONDS, Consortium, publish_and_grant

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
        (refused,) = mara.logs(ended.submission)
        assert (refused.kind, refused.data) == ("Denied", b"")
        assert "a steward there may look at it" in refused.reason
        (here,) = steward.logs(ended.submission, "counts[0]")
        assert (here.data, here.kind) == (f"{secret}\n".encode(), "")
        with pytest.raises(NotFound):
            steward.logs(ended.submission, "counts[1]")
    with consortium.steward(large) as other:
        with pytest.raises(NotFound):
            other.look(held)
        with pytest.raises(NotFound):
            other.logs(ended.submission)
    asked = consortium.command("submission", "logs", str(ended.submission))
    assert (asked.returncode, secret in asked.stdout + asked.stderr) == (3, False)
    shown = consortium.command("audit", "look", held, at=small)
    assert shown.returncode == 0, shown.stderr
    assert secret in shown.stdout
    with consortium.steward(small) as steward:
        rows = [row for row in steward.audit(small.dataset).rows if (row.site, row.index) not in told]
    assert [row.who for row in rows if row.kind == "fetch"] == [small.steward] * 3


def test_what_a_step_said_of_data_that_its_person_may_read_comes_to_them_and_both_sites_say_so(
    consortium: Consortium, tmp_path: Path
) -> None:
    """Lost: a researcher mends a block blindly on open data; or bytes come of which only one of two logs knows."""
    small, mark = consortium.small, f"open {secrets.token_hex(4)}"
    table = tmp_path / f"{mark}.csv"
    table.write_text(f"mark\n{mark}\n")
    made = publish_and_grant(consortium, small, table, level="open")
    with consortium.researcher() as mara:
        code = f"raise SystemExit('no column age in {mark}')"
        block = mara.publish_block({"tool.cwl": TOOL, "counts.py": code}, mark)
        mara.share_block(block.cid, [each.name for each in consortium.known.hospitals])
        text = WORKFLOW.replace("BLOCK", str(block.cid)).replace("{run", f'{{comity:site: "{small.name}", run')
        text = text.replace("class: Workflow", 'class: Workflow\n$namespaces: {comity: "urn:comity:cwl#"}')
        plan = mara.plan(text, {"table": mara.dataset(made.dataset)}, project=PROJECT, deadline="10m", budget="5")
        ended = mara.wait(mara.submit(plan), SECONDS)
        assert ended.state == "failed"
        (told,) = mara.logs(ended.submission)
        assert (told.data, told.site_name, told.kind) == (f"no column age in {mark}\n".encode(), small.name, "")
        shown = consortium.command("submission", "logs", str(ended.submission), "counts")
        assert shown.returncode == 0, shown.stderr
        assert f"no column age in {mark}" in shown.stdout
    with consortium.steward(small) as steward:
        answered = steward.audit(made.dataset)
    assert not answered.lone
    rows = [row for row in answered.rows if row.kind == "fetch"]
    assert {row.site_name for row in rows} == {small.name, consortium.known.institute.name}
    assert RESEARCHER in {row.who for row in rows}
