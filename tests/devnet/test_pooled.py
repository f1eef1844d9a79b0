"""Two hospitals' rows pooled at a third one, on a devnet: what is made of both leaves when both have released it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet.publication import endorse
from devnet.topology import PROJECT
from node.api.view import Run
from privacy.starters import HOSPITAL
from tests.devnet.consortium import Consortium
from tests.devnet.test_shared import share

TAKES = """
@id("reports-of-the-third")
permit (principal == Site::"{}", action == Action::"report", resource)
when {{ context.endorsed }};
"""
TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints:
  comity:Output: {pooled: {type: statistics}}
baseCommand: python3
inputs:
  code: {type: File, default: {class: File, location: pool.py}, inputBinding: {position: 0}}
  tables: {type: "File[]", inputBinding: {position: 1}}
outputs:
  pooled: {type: File, outputBinding: {glob: pooled.json}}
"""
CODE = """\
import csv, json, math, sys
rows = [float(row["mean_radius"]) for path in sys.argv[1:] for row in csv.DictReader(open(path, newline=""))]
group = {"count": len(rows), "sum": math.fsum(rows)}
with open("pooled.json", "w") as file:
    json.dump({"disclosure": 1, "type": "statistics", "measures": ["mean_radius"], "groups": {"all": group}}, file)
"""
WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
inputs: {tables: "File[]"}
steps:
  pool: {run: "comity:BLOCK", in: {tables: tables}, out: [pooled]}
outputs:
  pooled: {type: File, outputSource: pool/pooled}
"""


@pytest.fixture
def taken(consortium: Consortium) -> Iterator[None]:
    """Both hospitals take the third one's reports, for as long as the test takes."""
    with consortium.steward(consortium.known.hospitals[2]) as third:
        rule = TAKES.format(third.site)
    owners = consortium.known.hospitals[:2]
    for each in owners:
        with consortium.steward(each) as steward:
            steward.set_policy(HOSPITAL + rule)
    try:
        yield
    finally:
        for each in owners:
            with consortium.steward(each) as steward:
                steward.set_policy(HOSPITAL)


@pytest.mark.usefixtures("taken")
def test_a_pooled_table_leaves_a_third_site_when_both_owners_released_it_and_is_held_when_one_refuses(
    consortium: Consortium, tmp_path: Path
) -> None:
    """Lost: two hospitals' rows are never computed on together; or one of them gives away what is the other's."""
    owners, third = consortium.known.hospitals[:2], consortium.known.hospitals[2]
    made, rows = [], 0
    for each in owners:
        table = tmp_path / f"{each.handle}.csv"
        lines = consortium.places.table(each).read_text().splitlines()[:-1]
        table.write_text("\n".join([*lines, ""]))
        rows += len(lines) - 1
        made.append(share(consortium, table, (third.name,), owner=each).cid)
    with consortium.researcher() as mara:
        block = mara.publish_block({"tool.cwl": TOOL, "pool.py": CODE}, f"pool {secrets.token_hex(4)}").cid
        mara.share_block(block, [each.name for each in consortium.known.hospitals])
        for each in owners:
            endorse(consortium.places, consortium.known, each, str(block))

        def pooled() -> Run:
            data = {"tables": [mara.dataset(cid) for cid in made]}
            plan = mara.plan(WORKFLOW.replace("BLOCK", str(block)), data, project=PROJECT, deadline="10m", budget="5")
            assert [each.site_name for each in plan.view.steps] == [third.name]
            return mara.wait(mara.submit(plan), 120)

        done = pooled()
        assert done.state == "done", done.reason
        assert json.loads(mara.result(done.submission))["groups"]["all"]["count"] == rows
        with consortium.steward(owners[1]) as steward:
            steward.set_policy(HOSPITAL)
        refused = pooled()
        assert refused.state != "done"
        assert f"{owners[1].name} did not release it: no report on it is taken from there" in refused.reason
    for owner, cid in zip(owners, made, strict=True):
        told = consortium.command("audit", "who", str(cid), "--strict", "--json", at=owner)
        assert told.returncode == 0, told.stdout + told.stderr
        found = [(row["site_name"], row["kind"]) for row in json.loads(told.stdout)["rows"]]
        assert found.count((owner.name, "release")) == 1, "nobody can compare the second one with the first"
        assert found.count((third.name, "release")) == 2, "each statement came there, and is about both datasets"
