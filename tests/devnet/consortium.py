"""A consortium of real processes, its workflow, and the command that acts on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog.cid import Cid
from devnet.patience import eventually
from devnet.publication import approve, as_researcher, as_steward, endorse
from devnet.topology import PROJECT, RESEARCHER, Institution, Places, Topology
from node.api.client import Node
from node.api.view import Run
from privacy.purpose import GRU

SECONDS = 90
ROOT = Path(__file__).resolve().parents[2]

SUMS_TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints:
  comity:Output: {sums: {type: statistics}}
baseCommand: python3
inputs:
  code: {type: File, default: {class: File, location: step.py}, inputBinding: {position: 0}}
  table: {type: File, inputBinding: {position: 1}}
arguments: [{position: 2, valueFrom: MARK}]
outputs:
  sums: {type: File, outputBinding: {glob: sums.json}}
"""
SUMS_CODE = """\
import csv, json, math, signal, sys
with open(sys.argv[1], newline="") as file:
    rows = [float(row["mean_radius"]) for row in csv.DictReader(file)]
if len(rows) > LONG:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.pause()
with open("sums.json", "w") as file:
    group = {"count": len(rows), "sum": math.fsum(rows)}
    json.dump({"disclosure": 1, "type": "statistics", "measures": ["mean_radius"], "groups": {"all": group}}, file)
"""
POOL_TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints:
  comity:Output: {pooled: {type: statistics}}
baseCommand: python3
inputs:
  code: {type: File, default: {class: File, location: pool.py}, inputBinding: {position: 0}}
  parts: {type: "File[]", inputBinding: {position: 1}}
outputs:
  pooled: {type: File, outputBinding: {glob: pooled.json}}
"""
POOL_CODE = """\
import json, sys
parts = [json.load(open(path))["groups"]["all"] for path in sys.argv[1:]]
count = sum(part["count"] for part in parts)
with open("pooled.json", "w") as file:
    json.dump({"count": count, "mean": sum(part["sum"] for part in parts) / count}, file)
"""
WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {tables: "File[]"}
steps:
  sums: {run: "comity:SUMS", scatter: table, in: {table: tables}, out: [sums]}
  pool: {run: "comity:POOL", in: {parts: sums/sums}, out: [pooled]}
outputs:
  pooled: {type: File, outputSource: pool/pooled}
"""


@dataclass(frozen=True)
class Consortium:
    """Three hospitals, an institute and a witness, and the workflow that all stewards endorsed."""

    places: Places
    known: Topology
    workflow: str

    @property
    def small(self) -> Institution:
        """The hospital with the smaller table."""
        return self.known.hospitals[0]

    @property
    def large(self) -> Institution:
        """The hospital with the larger table."""
        return self.known.hospitals[1]

    def steward(self, institution: Institution) -> Node:
        """The client of its steward."""
        return as_steward(self.places, institution)

    def researcher(self) -> Node:
        """The client of the researcher."""
        return as_researcher(self.places, self.known)

    def command(self, *arguments: str, at: Institution | None = None) -> subprocess.CompletedProcess[str]:
        """Run the ``comity`` command, as somebody at the institute unless told."""
        who = at or self.known.institute
        person = who.steward if who.hospital else "mara"
        environment = {
            "COMITY_DEVNET": str(self.places.path),
            "COMITY_HOME": str(self.places.home),
            "COMITY_SITE": str(self.places.site(who).path),
            "COMITY_PERSON": person,
        }
        return comity(*arguments, environment=environment)


def comity(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the ``comity`` command from the checkout's root."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def processes_of(path: Path) -> list[int]:
    """The processes whose command names ``path``."""
    return marked(str(path))


def marked(text: str, program: str = "") -> list[int]:
    """The processes that run ``program``, or any, with ``text`` in their command line; this one is none of them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if text.encode() in command and command.partition(b"\0")[0].endswith(program.encode()):
                found.append(int(entry.name))
    return found


def waiting(mark: str) -> list[int]:
    """The steps that wait to be let go on: they run, whatever a sandbox does before its step begins."""

    def waits(pid: int) -> bool:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        return bool(caught & 1 << signal.SIGUSR1 - 1)

    return [pid for pid in marked(mark, "python3") if waits(pid)]


def go_on(mark: str) -> None:
    """Let a step go on that waits for it, once it does."""
    (pid,) = eventually(lambda: waiting(mark) or None, "the waiting step")
    os.kill(pid, signal.SIGUSR1)


def publish_workflow(places: Places, known: Topology, mark: str, long: int = 10**9) -> str:
    """Publish both blocks, have the first endorsed everywhere; a table of over ``long`` rows waits for `go_on`."""
    with as_researcher(places, known) as mara:
        sums = mara.publish_block(
            {"tool.cwl": SUMS_TOOL.replace("MARK", mark), "step.py": SUMS_CODE.replace("LONG", str(long))},
            f"sums {mark}",
        )
        pool = mara.publish_block({"tool.cwl": POOL_TOOL, "pool.py": POOL_CODE}, f"pool {mark}")
        mara.share_block(sums.cid, [each.name for each in known.hospitals])
    for each in known.hospitals:
        endorse(places, known, each, str(sums.cid))
    return WORKFLOW.replace("SUMS", str(sums.cid)).replace("POOL", str(pool.cid))


def run(
    node: Node, workflow: str, tables: Sequence[Cid | str], min_sites: int | None = None, *, ask: bool = True
) -> Run:
    found = [node.dataset(each) for each in tables]
    limits = {"deadline": "10m", "budget": "5"}
    plan = node.plan(workflow, {"tables": found}, project=PROJECT, **limits, min_sites=min_sites, ask=ask)
    return node.wait(node.submit(plan), SECONDS)


@dataclass(frozen=True)
class Granted:
    """A dataset that was published for a test, and the grant to use it."""

    dataset: Cid
    grant: Cid


def publish_and_grant(
    consortium: Consortium, institution: Institution, path: Path, person: str = "", level: str = "resident"
) -> Granted:
    """Publish a table, have the project approved for it too, and grant access; all sites know when this returns.

    ``person`` is the column that says whose a row is.
    """
    with consortium.steward(institution) as steward, consortium.steward(consortium.known.institute) as approver:
        made = steward.publish_dataset(path, path.stem, level, purposes=(GRU,), person=person)
        eventually(lambda: approver.dataset(made.cid), "the dataset at the institute")
        approved = (*approver.project(PROJECT).fields.datasets, made.cid)
        approver.new_project(PROJECT, [RESEARCHER], GRU, approved, until="30d")
        for each in consortium.known.publishers:
            with consortium.steward(each) as other:
                eventually(lambda: made.cid in other.project(PROJECT).fields.datasets or None, "the project's change")
                if each.hospital:
                    approve(other, PROJECT)

        def approved_by_all() -> bool | None:
            stands = [part.approval for part in approver.registered(PROJECT).parts[1:]]
            return all(each == "approved" for each in stands) or None

        eventually(approved_by_all, "the hospitals' approvals")
        granted = steward.grant(RESEARCHER, PROJECT, [made.cid], until="1d")
        eventually(lambda: any(each.fields.cid == granted.cid for each in approver.grants()) or None, "the grant")
    return Granted(made.cid, granted.cid)
