"""What leaves a running site of small groups: nothing, at once or by the difference of two queries."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from catalog.cid import Cid
from devnet.patience import eventually
from devnet.publication import endorse
from devnet.topology import PROJECT
from node.api.client import Node
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
  years: {type: string, inputBinding: {position: 1}}
  table: {type: File, inputBinding: {position: 2}}
outputs:
  counts: {type: File, outputBinding: {glob: counts.json}}
"""
CODE = """\
import collections, csv, json, sys
years = sys.argv[1].split()
with open(sys.argv[2], newline="") as file:
    rows = list(csv.DictReader(file))
counts = collections.Counter(row["stage"] for row in rows if not years or row["year"] in years)
form = {
    "disclosure": 1, "type": "table", "where": {"year": years} if years else {},
    "dimensions": [{"name": "stage", "categories": sorted(counts)}],
    "cells": [{"key": [stage], "count": count} for stage, count in sorted(counts.items())],
}
with open("counts.json", "w") as file:
    json.dump(form, file)
"""
WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
inputs: {table: File, years: string}
steps:
  counts: {run: "comity:BLOCK", in: {table: table, years: years}, out: [counts]}
outputs:
  counts: {type: File, outputSource: counts/counts}
"""
AGGREGATED = """\
cwlVersion: v1.2
class: Workflow
inputs: {rows: File, spec: string}
steps:
  counts: {run: "comity:BLOCK", in: {rows: rows, spec: spec}, out: [table]}
outputs:
  counts: {type: File, outputSource: counts/table}
"""
STAGES = {"i": 40, "ii": 30, "iii": 50, "iv": 3}


def patients(folder: Path) -> Path:
    """A table of patients: three are of stage iv, and three of stage i came in 2026."""
    path = folder / f"patients-{secrets.token_hex(4)}.csv"
    rows = [f"{stage},{2026 if stage == 'i' and at < 3 else 2025}" for stage, n in STAGES.items() for at in range(n)]
    path.write_text("\n".join(["stage,year", *rows, ""]))
    return path


def count(mara: Node, block: Cid, dataset: Cid, years: str) -> dict[str, int]:
    """The counts that leave."""
    given = {"table": mara.dataset(dataset), "years": years}
    workflow = WORKFLOW.replace("BLOCK", str(block))
    plan = mara.plan(workflow, given, project=PROJECT, deadline="10m", budget="5")
    done = mara.wait(mara.submit(plan), SECONDS).check()
    told = json.loads(mara.result(done.submission))
    return {each["key"][0]: each["count"] for each in told["cells"]}


def test_a_cell_of_three_is_suppressed_and_so_is_what_would_tell_three_by_difference(
    consortium: Consortium, tmp_path: Path
) -> None:
    """Lost: two harmless tables tell of three people; or the steward never learns that somebody tried."""
    small = consortium.small
    made = publish_and_grant(consortium, small, patients(tmp_path))
    with consortium.researcher() as mara:
        block = mara.publish_block({"tool.cwl": TOOL, "counts.py": CODE}, f"counts {secrets.token_hex(4)}").cid
        mara.share_block(block, [each.name for each in consortium.known.hospitals])
        endorse(consortium.places, consortium.known, small, str(block))
        first = count(mara, block, made.dataset, "")
        second = count(mara, block, made.dataset, "2025")
    assert "iv" not in first
    assert first["i"] == STAGES["i"]
    assert "i" not in second, "40 and 37 would tell of three"
    assert set(second.values()) <= set(STAGES.values()), "what is as it was tells nothing"
    shown = consortium.command("disclosure", "ledger", "--population", str(made.dataset), at=small)
    assert shown.returncode == 0, shown.stderr
    rows = [line for line in shown.stdout.splitlines() if " left " in line]
    assert len(rows) == 2
    assert all("mara at Institute" in row and PROJECT in row and "by stage" in row for row in rows)
    assert "2 cells: below threshold" in rows[0]
    assert "difference" in rows[1]
    assert "year 2025" in rows[1]
    population = ("--population", str(made.dataset))
    bare = consortium.command("disclosure", "ledger", *population, "--json", at=small)
    assert [each["found"] for each in json.loads(bare.stdout)] == [[], []]
    told = consortium.command("disclosure", "ledger", *population, "--found", "--json", at=small)
    found = json.loads(told.stdout)
    assert [each["released"] for each in found] == [True, True]
    assert any("would tell of a group of 3" in each["words"] for each in found[1]["found"])
    refused = consortium.command("disclosure", "ledger")
    assert refused.returncode == 3, "small counts are for stewards of the site alone"


def test_a_steward_looks_at_what_would_leave_and_the_look_stands_in_a_log_that_verifies(
    consortium: Consortium, tmp_path: Path
) -> None:
    """Lost: one look at a held value, and nobody can read that hospital's audit log any more."""
    small = consortium.small
    made = publish_and_grant(consortium, small, patients(tmp_path))
    with consortium.researcher() as mara, consortium.steward(small) as steward:
        unread = "open('counts.json', 'w').write('three of them')"
        block = mara.publish_block({"tool.cwl": TOOL, "counts.py": unread}, f"counts {secrets.token_hex(4)}").cid
        mara.share_block(block, [each.name for each in consortium.known.hospitals])
        endorse(consortium.places, consortium.known, small, str(block))
        given = {"table": mara.dataset(made.dataset), "years": ""}
        plan = mara.plan(WORKFLOW.replace("BLOCK", str(block)), given, project=PROJECT, deadline="10m", budget="5")
        submission = mara.submit(plan)
        asked = eventually(
            lambda: next((each for each in steward.inquiries() if each.inquiry.block == block), None), "the question"
        )
        assert steward.preview(asked.cid) == b"three of them"
        rows = [row.kind for row in steward.audit(made.dataset).rows if row.site_name == small.name]
        assert rows[-1] == "fetch"
        steward.answer(asked.cid, granted=True, reason="", until="1d")
        assert mara.wait(submission, SECONDS).check().state == "done"
    explained = consortium.command("policy", "explain", str(submission), at=small)
    assert explained.returncode == 0, explained.stderr


def test_what_the_nodes_own_aggregator_counts_leaves_without_an_endorsement(
    consortium: Consortium, tmp_path: Path
) -> None:
    """Lost: the one way by which a table leaves that no steward looked at code for; or a small cell with it."""
    small = consortium.small
    path = tmp_path / f"people-{secrets.token_hex(4)}.csv"
    people = [f"p{at}-{stage},{stage},{at}" for stage, n in STAGES.items() for at in range(1, n + 1)]
    path.write_text("\n".join(["person,stage,cost", *people, ""]))
    made = publish_and_grant(consortium, small, path, person="person")
    added = consortium.command("block", "add", "--aggregator", "--json")
    assert added.returncode == 0, added.stderr
    block = json.loads(added.stdout)["cid"]
    spec = {"person": "person", "by": ["stage"], "measures": [{"sum": "cost"}]}
    with consortium.researcher() as mara:
        mara.share_block(Cid.parse(block), [each.name for each in consortium.known.hospitals])
        given = {"rows": mara.dataset(made.dataset), "spec": json.dumps(spec)}
        plan = mara.plan(AGGREGATED.replace("BLOCK", block), given, project=PROJECT, deadline="10m", budget="5")
        done = mara.wait(mara.submit(plan), SECONDS).check()
        told = json.loads(mara.result(done.submission))
    cells = {each["key"][0]: each for each in told["cells"]}
    assert "iv" not in cells
    assert cells["iii"]["count"] == STAGES["iii"]
    assert cells["iii"]["values"]["sum cost"] == sum(range(1, STAGES["iii"] + 1))
    assert "largest" not in json.dumps(told)
