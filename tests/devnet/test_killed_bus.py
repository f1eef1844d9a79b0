"""The requester's node is killed again and again while a submission of many steps is on its way.

``COMITY_KILLS=100`` kills it that often, in submissions of 200 steps, and not the few times of every day.
"""

from __future__ import annotations

import os
import random
import secrets
import time

from devnet import faults
from devnet.topology import PROJECT
from node.api.client import Node
from node.api.view import Run
from tests.devnet.consortium import SECONDS, Consortium

KILLS = int(os.environ.get("COMITY_KILLS", 3))
STEPS = 200 if "COMITY_KILLS" in os.environ else 40
GOES_ON_SECONDS = 30
"""Until something of a submission happens again, on a machine that does much else."""

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: ["true"]
inputs: {table: File, n: int}
outputs: {}
"""
WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {t0: File, t1: File, ns: "int[]"}
steps:
  one: {run: "comity:BLOCK", scatter: n, in: {table: t0, n: ns}, out: []}
  two: {run: "comity:BLOCK", scatter: n, in: {table: t1, n: ns}, out: []}
outputs: {}
"""


def begun(consortium: Consortium, mara: Node, block: str) -> Run:
    """A submission of as many steps, none of which was ever run before."""
    hospitals = consortium.known.hospitals
    data = {f"t{number}": mara.dataset(hospitals[number].dataset) for number in range(2)}
    first = secrets.randbelow(1 << 30)
    job = {**data, "ns": list(range(first, first + STEPS // 2))}
    plan = mara.plan(WORKFLOW.replace("BLOCK", block), job, project=PROJECT, deadline="1h", budget="500")
    return mara.run(mara.submit(plan))


def receipts(run: Run) -> int:
    return sum(each.status == "done" for each in run.view.instances)


def goes_on(mara: Node, run: Run) -> tuple[Run, float]:
    """The submission once another receipt came, or it ended; and after how many seconds."""
    began, before = time.monotonic(), receipts(run)
    while not (run := mara.run(run.submission, 1)).done and receipts(run) == before:
        assert time.monotonic() - began < GOES_ON_SECONDS, "it does not go on"
    return run, time.monotonic() - began


def test_it_ends_well_each_time_and_nothing_counts_twice(consortium: Consortium) -> None:
    """Lost: a laptop that closes loses a night's work; or what was ordered before is ordered, and paid for, again."""
    institute, chance = consortium.known.institute, random.Random(KILLS)
    kills, waits = 0, []
    with consortium.researcher() as mara:
        block = mara.publish_block({"tool.cwl": TOOL}, f"nothing {secrets.token_hex(4)}")
        mara.share_block(block.cid, [each.name for each in consortium.known.hospitals])
    while kills < KILLS:
        with consortium.researcher() as mara:
            run = begun(consortium, mara, str(block.cid))
        while kills < KILLS and not run.done:
            time.sleep(chance.uniform(0, 2))
            faults.strike(consortium.places, "kill", institute.handle)
            kills += 1
            faults.strike(consortium.places, "resume", institute.handle)
            with consortium.researcher() as mara:
                run, seconds = goes_on(mara, mara.run(run.submission))
                waits.append(seconds)
        with consortium.researcher() as mara:
            ended = mara.wait(run.submission, SECONDS).check()
            assert receipts(ended) == STEPS
            costs = {(each.step, each.cost) for each in ended.view.instances}
            assert len(costs) == 2, "all instances of a step cost the same"
            assert ended.view.spent == STEPS // 2 * sum(cost for _, cost in costs), "each is paid for once"
    print(f"killed {kills} times; it went on after at most {max(waits):.1f} s")
