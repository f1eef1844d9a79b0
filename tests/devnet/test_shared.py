"""Shared data between real nodes: published, granted to one, opened with the reference program, and taken back."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.cid import Cid
from devnet import faults
from devnet.patience import eventually
from devnet.publication import approve, endorse
from devnet.topology import PROJECT, RESEARCHER, Institution
from privacy.purpose import GRU
from tests.devnet.consortium import Consortium, run

NAME = "patients-by-name"


@dataclass(frozen=True)
class Shared:
    """A shared dataset with the grant of the researcher, and the files that it was made of."""

    name: str
    cid: Cid
    grant: Cid
    source: Path


def share(
    consortium: Consortium,
    source: Path,
    readers: tuple[str, ...],
    custodians: tuple[str, ...] = (),
    owner: Institution | None = None,
) -> Shared:
    """Publish ``source`` as shared at ``owner``, the first hospital, and let the researcher fetch and compute on it."""
    owner, name = owner or consortium.small, f"genomes-{secrets.token_hex(4)}"
    words = [each for reader in readers for each in ("--reader", reader)]
    words += [each for keeper in custodians for each in ("--custodian", keeper)]
    done = consortium.command(
        "dataset", "add", str(source), "--level", "shared", "--name", name, "--purpose", GRU, *words, "--json", at=owner
    )
    assert done.returncode == 0, done.stderr
    cid = Cid.parse(json.loads(done.stdout)["cid"])
    return Shared(name, cid, allow(consortium, cid, owner), source)


def allow(consortium: Consortium, cid: Cid, owner: Institution | None = None) -> Cid:
    """Take a dataset of ``owner``, the first hospital, into the project, and grant it to the researcher."""
    owner = owner or consortium.small
    with consortium.steward(owner) as steward, consortium.steward(consortium.known.institute) as approver:
        eventually(lambda: approver.dataset(cid), "the dataset at the institute")
        offered = {each.fields.cid for each in approver.datasets()}
        approved = sorted(offered & {*approver.project(PROJECT).fields.datasets, cid})
        approver.new_project(PROJECT, [RESEARCHER], GRU, approved, until="30d")
        for each in consortium.known.hospitals:
            with consortium.steward(each) as other:
                eventually(lambda: cid in other.project(PROJECT).fields.datasets or None, "the project's change")
                approve(other, PROJECT)

        def approved_by_all() -> bool | None:
            stands = [part.approval for part in approver.registered(PROJECT).parts[1:]]
            return all(each == "approved" for each in stands) or None

        eventually(approved_by_all, "the hospitals' approvals")
        actions = ("see", "fetch", "compute", "release")
        granted = steward.grant(RESEARCHER, PROJECT, [cid], until="1d", actions=actions)
        eventually(lambda: any(each.fields.cid == granted.cid for each in approver.grants()) or None, "the grant")
    return granted.cid


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with names that tell much, an empty file, and one of more than one leaf."""
    folder = tmp_path / "source"
    (folder / f"ward-{NAME}").mkdir(parents=True)
    (folder / f"ward-{NAME}" / f"{NAME}.csv").write_bytes(b"name,diagnosis\nSomebody Rarelynamed,C50\n")
    (folder / "scan.bin").write_bytes(os.urandom(700_001))
    (folder / "empty").touch()
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def fetch(
    consortium: Consortium, name: str, out: Path, *words: str, code: int = 0, at: Institution | None = None
) -> str:
    done = consortium.command("dataset", "fetch", name, "--out", str(out), *words, at=at)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def kinds(consortium: Consortium, dataset: Cid) -> list[tuple[str, str, str]]:
    """Where something of what kind is told of a dataset, and how, as the owner's steward is told."""
    done = consortium.command("audit", "who", str(dataset), "--strict", "--json", at=consortium.small)
    assert done.returncode == 0, done.stdout + done.stderr
    return [(row["site_name"], row["kind"], row["reason"]) for row in json.loads(done.stdout)["rows"]]


def test_one_researcher_opens_what_is_shared_with_the_reference_program_until_the_grant_is_revoked(
    consortium: Consortium, source: Path, tmp_path: Path
) -> None:
    """Lost: shared data that nobody else's program opens, that a revoked reader gets on, or that leave no trace."""
    made = share(consortium, source, (RESEARCHER, consortium.large.name))
    fetch(consortium, made.name, tmp_path / "plain")
    assert files_in(tmp_path / "plain") == files_in(source)

    fetch(consortium, made.name, tmp_path / "sealed", "--crypt4gh")
    key = tmp_path / "mara.c4gh"
    exported = consortium.command("person", "export-key", RESEARCHER, "--out", str(key), "--yes")
    assert exported.returncode == 0, exported.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    program = Path(sys.executable).parent / "crypt4gh"
    for name, data in files_in(source).items():
        with (tmp_path / "sealed" / f"{name}.c4gh").open("rb") as sealed:
            opened = subprocess.run(
                [program, "decrypt", "--sk", key], stdin=sealed, capture_output=True, check=True, timeout=60
            )
        assert opened.stdout == data, name

    # A site that the label lets hold the ciphertext, and whose people have no grant; and one that it does not name.
    for other in (consortium.large, consortium.known.hospitals[2]):
        told = fetch(consortium, made.name, tmp_path / "no", "--project", PROJECT, code=3, at=other)
        assert "not shared with you" in told
    assert not (tmp_path / "no").exists()

    for folder in consortium.places.path.glob("sites/*"):
        clear = [path for path, data in files_in(folder).items() if NAME.encode() in data or b"Rarelynamed" in data]
        assert clear == [], "names and data lie in clear at a site"

    revoked = consortium.command("grant", "revoke", str(made.grant), "--reason", "over", at=consortium.small)
    assert revoked.returncode == 0, revoked.stderr
    told = fetch(consortium, made.name, tmp_path / "late", "--project", PROJECT, code=3)
    assert "gives no key" in told
    assert "as far as this site knows: the grant was revoked: «over»" in told

    rows = kinds(consortium, made.cid)
    here, there = consortium.small.name, consortium.known.institute.name
    for site in (here, there):
        assert [(site, "key-release")] * 2 == [row[:2] for row in rows if row[:2] == (site, "key-release")]
        assert (site, "fetch") in {row[:2] for row in rows}
    refused = [row[2] for row in rows if row[:2] == (here, "withheld")]
    assert any("the grant was revoked" in each for each in refused), "who tried is not told"
    assert {row[2].partition(";")[0] for row in rows if row[:2] == (here, "key-release")} == {
        f"the key was given, sealed for {RESEARCHER} at {there}"
    }


def test_a_step_computes_on_shared_data_at_a_site_that_the_label_names(consortium: Consortium, tmp_path: Path) -> None:
    """Lost: shared data can only be copied out, never computed on; or a step reads ciphertext."""
    table = tmp_path / "tumours.csv"
    lines = consortium.places.table(consortium.small).read_text().splitlines()
    table.write_text("\n".join([*lines[:-2], ""]))
    made = share(consortium, table, (RESEARCHER, consortium.known.institute.name))
    with consortium.researcher() as mara:
        done = run(mara, consortium.workflow, [made.cid])
        assert done.state == "done", done.reason
        assert json.loads(mara.result(done.submission))["count"] == len(lines) - 3
    readers = {consortium.small.name, consortium.known.institute.name}
    assert {row[0] for row in kinds(consortium, made.cid) if row[1] == "intent"} & readers, "where it was planned"


BOTH_TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints:
  comity:Output: {rows: {type: statistics}}
baseCommand: python3
inputs:
  code: {type: File, default: {class: File, location: rows.py}, inputBinding: {position: 0}}
  here: {type: File, inputBinding: {position: 1}}
  there: {type: File, inputBinding: {position: 2}}
outputs:
  rows: {type: File, outputBinding: {glob: rows.json}}
"""
BOTH_CODE = """\
import json, sys
heads = [open(path).readline() for path in sys.argv[1:]]
assert heads[0] == heads[1], "one of them is no table"
with open("rows.json", "w") as file:
    counts = {name: {"count": sum(1 for _ in open(path))} for name, path in zip(("here", "there"), sys.argv[1:])}
    json.dump({"disclosure": 1, "type": "statistics", "by": ["place"], "groups": counts}, file)
"""
BOTH = """\
cwlVersion: v1.2
class: Workflow
inputs: {here: File, there: File}
steps:
  rows: {run: "comity:BLOCK", in: {here: here, there: there}, out: [rows]}
outputs:
  rows: {type: File, outputSource: rows/rows}
"""


def test_a_step_elsewhere_gets_the_key_for_its_node_and_nothing_of_it_stays_there(
    consortium: Consortium, tmp_path: Path
) -> None:
    """Lost: two hospitals' data are never computed on together; or what one shared lies in clear at the other."""
    table, word = tmp_path / "tumours.csv", secrets.token_hex(16)
    table.write_text(f"{consortium.places.table(consortium.small).read_text()}{word}\n")
    made = share(consortium, table, (consortium.large.name,))
    with consortium.researcher() as mara:
        block = mara.publish_block({"tool.cwl": BOTH_TOOL, "rows.py": BOTH_CODE}, f"rows {made.name}").cid
        mara.share_block(block, [each.name for each in consortium.known.hospitals])
        for each in consortium.known.hospitals[:2]:
            endorse(consortium.places, consortium.known, each, str(block))
        data = {"here": mara.dataset(consortium.large.dataset), "there": mara.dataset(made.cid)}
        plan = mara.plan(BOTH.replace("BLOCK", str(block)), data, project=PROJECT, deadline="10m", budget="5")
        assert [each.site_name for each in plan.view.steps] == [consortium.large.name]
        done = mara.wait(mara.submit(plan), 90)
    here, there = consortium.small.name, consortium.large.name
    rows = kinds(consortium, made.cid)
    assert {row[2].partition(";")[0] for row in rows if row[1] == "key-release"} == {
        f"the key was given, sealed for the node of {there}",
        f"the key came from {here}, sealed for the node of {there}",
    }, (done.reason, rows)
    ended = [row[2] for row in rows if row[:2] == (there, "result")]
    # Each owner has a word in what was made of both: it is held, and it was made.
    assert len(ended) == 2, rows  # it waits for the other owner, who then lets it not go
    assert all("failed" not in each for each in ended), rows
    site = consortium.places.site(consortium.large).path
    assert [path for path, data in files_in(site).items() if word.encode() in data] == []


def test_a_new_key_ends_the_old_version_for_future_readers(
    consortium: Consortium, source: Path, tmp_path: Path
) -> None:
    """Lost: whoever got the key once reads all that is published later; or a withdrawn version's key lives on."""
    made = share(consortium, source, (RESEARCHER,))
    again = ("dataset", "rekey", str(made.cid), "--yes")
    with ThreadPoolExecutor(2) as two:  # two stewards, or one who is impatient
        tried = list(two.map(lambda _: consortium.command(*again, at=consortium.small), range(2)))
    changed, refused = sorted(tried, key=lambda done: done.returncode)
    assert (changed.returncode, refused.returncode) == (0, 1), (changed.stderr, refused.stderr)
    assert "whoever opened it has what was in it" in changed.stdout
    with consortium.steward(consortium.small) as steward:
        assert sum(each.fields.name == made.name for each in steward.datasets()) == 1
    with consortium.researcher() as mara:
        new = eventually(
            lambda: next(e for e in mara.datasets() if e.fields.name == made.name and e.fields.cid != made.cid), "it"
        )
        eventually(lambda: mara.dataset_ever(made.cid).fields.withdrawn or None, "the old version's end")
    told = fetch(consortium, made.name, tmp_path / "out", "--project", PROJECT, code=3)
    assert "gives no key" in told, "the grant names the old version"
    assert "as far as this site knows: the project was approved for other data" in told
    allow(consortium, new.fields.cid)
    fetch(consortium, made.name, tmp_path / "out")
    assert files_in(tmp_path / "out") == files_in(source)


@pytest.fixture
def owner_away(consortium: Consortium) -> Iterator[list[bool]]:
    """Stops the first hospital's node when the test says so, and brings it back after it."""
    stopped: list[bool] = []
    try:
        yield stopped
    finally:
        if stopped:
            faults.strike(consortium.places, "resume", consortium.small.handle)
            with consortium.researcher() as mara:
                eventually(
                    lambda: all(m.here or m.connected for m in mara.members()) or None, "the node that came back"
                )


def test_nobody_opens_shared_data_while_the_key_holder_is_away(
    consortium: Consortium, source: Path, tmp_path: Path, owner_away: list[bool]
) -> None:
    """Lost: «not now» looks like «never», or like a fault of the reader's."""
    made = share(consortium, source, (RESEARCHER,))
    faults.strike(consortium.places, "stop", consortium.small.handle)
    owner_away.append(True)
    told = fetch(consortium, made.name, tmp_path / "out", code=4)
    assert "key holder away" in told
    assert not (tmp_path / "out").exists()


def test_a_custodian_gives_the_key_under_the_owners_policy_while_the_owner_is_away(
    consortium: Consortium, source: Path, tmp_path: Path, owner_away: list[bool]
) -> None:
    """Lost: who wants data to stay open to readers has to give the key to somebody who decides alone."""
    keeper = consortium.large
    made = share(consortium, source, (RESEARCHER,), (keeper.name,))
    fetch(consortium, made.name, tmp_path / "before")

    def kept() -> bool | None:
        return (keeper.name, "key-release") in {row[:2] for row in kinds(consortium, made.cid)} or None

    eventually(kept, "the key at its custodian")
    with consortium.steward(keeper) as steward:
        eventually(lambda: steward.standing(made.grant), "the grant at the custodian")
    faults.strike(consortium.places, "stop", consortium.small.handle)
    owner_away.append(True)
    fetch(consortium, made.name, tmp_path / "during")
    assert files_in(tmp_path / "during") == files_in(source)
    done = consortium.command("audit", "who", str(made.cid), "--json", at=keeper)
    rows = [(row["site_name"], row["kind"], row["reason"]) for row in json.loads(done.stdout)["rows"]]
    given = [row[2] for row in rows if row[:2] == (keeper.name, "key-release")]
    assert len(given) == 2, rows
    assert given[0].startswith("the key came from"), given
    assert f"{consortium.small.name}'s policy" in given[1], "not decided by the owner's policy"


def test_a_custodian_that_holds_the_ciphertext_too_stands_in_for_an_owner_who_is_away(
    consortium: Consortium, source: Path, tmp_path: Path, owner_away: list[bool]
) -> None:
    """Lost: an owner who wants shared data to stay readable without it has no way, though keys and bytes can travel."""
    keeper = consortium.large
    made = share(consortium, source, (RESEARCHER, keeper.name), (keeper.name,))
    with consortium.steward(keeper) as steward:
        eventually(lambda: steward.standing(made.grant), "the grant at the custodian")
    held = consortium.command("dataset", "mirror", str(made.cid), at=keeper)
    assert held.returncode == 0, held.stdout + held.stderr

    def kept() -> bool | None:
        return (keeper.name, "key-release") in {row[:2] for row in kinds(consortium, made.cid)} or None

    eventually(kept, "the key at its custodian")
    with consortium.researcher() as mara:
        eventually(
            lambda: next((len(e.holders) == 2 for e in mara.holders() if e.cid == made.cid), None) or None, "the mirror"
        )
    faults.strike(consortium.places, "stop", consortium.small.handle)
    owner_away.append(True)
    fetch(consortium, made.name, tmp_path / "never-had-before")
    assert files_in(tmp_path / "never-had-before") == files_in(source)
