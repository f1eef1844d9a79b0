"""What a stranger is shown at a running devnet: a revoked grant, a site down, a changed byte, each command once."""

from __future__ import annotations

import csv
import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.error import BadInput, Denied
from catalog.tiles import WIDTH
from devnet import faults
from devnet.patience import eventually
from devnet.topology import PROJECT, Institution
from privacy.purpose import GRU
from tests.devnet.consortium import (
    SECONDS,
    Consortium,
    Granted,
    go_on,
    marked,
    publish_and_grant,
    publish_workflow,
    run,
)


@pytest.fixture
def away(consortium: Consortium) -> Iterator[Institution]:
    """The third hospital, whose node is down for the time of a test."""
    third = consortium.known.hospitals[2]
    faults.strike(consortium.places, "stop", third.handle)
    try:
        yield third
    finally:
        faults.strike(consortium.places, "resume", third.handle)
        with consortium.researcher() as mara:
            eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "the node that came back")


def told(consortium: Consortium, *words: str, code: int = 0) -> str:
    """What a command printed, as the steward of the first hospital; it must end with ``code``."""
    done = consortium.command(*words, at=consortium.small)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_next_use_of_a_revoked_grant_is_denied_within_two_seconds(consortium: Consortium, tmp_path: Path) -> None:
    """Lost: a steward who takes access back has to wait and to hope."""
    small = consortium.small
    path = tmp_path / f"revoked-{secrets.token_hex(4)}.csv"
    # A row fewer than anybody else's, so that what is made of it has not come to the institute before.
    lines = consortium.places.table(small).read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], ""]))
    made = publish_and_grant(consortium, small, path)
    with consortium.researcher() as mara:
        first = run(mara, consortium.workflow, [made.dataset])
        assert first.state == "done"
        mara.result(first.submission)
        tables = [mara.dataset(made.dataset)]
        plan = mara.plan(consortium.workflow, {"tables": tables}, project=PROJECT, deadline="10m", budget="5")
        assert "revoked" in told(consortium, "grant", "revoke", str(made.grant), "--reason", "the vote was withdrawn")
        ended = mara.wait(mara.submit(plan), 2)
        assert (ended.state, ended.results) == ("denied", ())
        assert "grant" in ended.reason
        eventually(lambda: mara.standing(made.grant).state == "revoked" or None, "the revocation at the institute", 2)
    rows = [line for line in told(consortium, "audit", "who", str(made.dataset)).splitlines() if "  decision  " in line]
    assert len(rows) == 1
    assert "denied: " in rows[0]
    check_trail(consortium, made)
    check_explained(consortium, made, str(ended.submission), tmp_path)


def check_explained(consortium: Consortium, made: Granted, submission: str, folder: Path) -> None:
    """The steward is told in full why it was denied and what would help, the asker what the site lets them know."""
    rows = json.loads(told(consortium, "audit", "who", str(made.dataset), "--json"))["rows"]
    leaf = next(row["index"] for row in rows if row["kind"] == "decision")
    shown = told(consortium, "policy", "explain", str(leaf))
    assert "compute denied" in shown
    assert f"Nearest: a grant for compute by {consortium.small.name} would allow it (by granted-compute)." in shown
    [found] = json.loads(told(consortium, "policy", "explain", str(leaf), "--json"))
    assert found["missing"] == {"context.granted": "the request has no grant"}
    assert found["nearest"]["rules"] == ["granted-compute"]
    assert told(consortium, "policy", "explain", found["order"][-8:]) == shown
    assert "no decision about «99999999»" in told(consortium, "policy", "explain", "99999999", code=1)
    asker = consortium.command("policy", "explain", submission)
    assert asker.returncode == 0, asker.stderr
    assert "revoked" in asker.stdout
    refused = consortium.command("policy", "explain", str(leaf))
    assert refused.returncode == 3, "whoever may not read the log is told that, not that there is nothing in it"
    old, new = folder / "old.cedar", folder / "new.cedar"
    old.write_text(told(consortium, "policy", "show"))
    new.write_text(old.read_text().replace('@id("granted-compute")', '@id("granted-compute") @approve("steward")'))
    compared = json.loads(told(consortium, "policy", "diff", str(old), str(new), "--json"))
    offline = ("--folder", str(consortium.places.site(consortium.small).path), "--json")
    assert json.loads(told(consortium, "policy", "diff", str(old), str(new), *offline)) == compared
    assert compared["unread"] == {}
    assert compared["compared"] > len(compared["changed"]) > 0
    assert {each["after"]["duties"]["approvals"] for each in compared["changed"]} == {1}
    assert "0 of " in told(consortium, "policy", "diff", str(old), str(old))


def check_trail(consortium: Consortium, made: Granted) -> None:
    """The whole story of a dataset at all sites: who let whom in, what was taken, by both sides, and for what."""
    found = json.loads(told(consortium, "audit", "who", str(made.dataset), "--json"))
    here, there = consortium.small.name, consortium.known.institute.name
    rows = found["rows"]
    assert found["lone"] == []
    assert {(row["site_name"], row["kind"]) for row in rows} >= {
        *((here, kind) for kind in ("approve", "grant", "intent", "release", "result", "fetch", "decision", "revoke")),
        *((there, kind) for kind in ("release", "fetch", "intent", "result")),
    }
    assert {row["project"] for row in rows if row["kind"] != "read"} == {PROJECT}
    assert [row["kind"] for row in rows if row["grant"] == str(made.grant)] == ["grant", "revoke"]
    (revoked,) = (row for row in rows if row["kind"] == "revoke")
    assert revoked["reason"].startswith(f"grant …{str(made.grant)[-8:]} revoked, entry ")
    given = [row["reason"] for row in rows if row["kind"] in ("fetch", "release") and row["site_name"] == there]
    assert {f"bytes came from {here}", "bytes were given", f"«sums» came from {here}"} <= set(given)


def test_what_a_step_makes_whose_grant_is_revoked_while_it_runs_is_held(consortium: Consortium, tmp_path: Path) -> None:
    """Lost: a steward takes data back, and what a step had begun to make of them leaves a minute later."""
    small, mark = consortium.small, secrets.token_hex(8)
    path = tmp_path / f"begun-{mark}.csv"
    shutil.copy(consortium.places.table(small), path)
    made = publish_and_grant(consortium, small, path)
    workflow = publish_workflow(consortium.places, consortium.known, mark, long=0)
    with consortium.researcher() as mara:
        tables = [mara.dataset(made.dataset)]
        plan = mara.plan(workflow, {"tables": tables}, project=PROJECT, deadline="10m", budget="5")
        submission = mara.submit(plan)
        eventually(lambda: marked(mark, "python3") or None, "the step's process")
        assert "revoked" in told(consortium, "grant", "revoke", str(made.grant), "--reason", "no vote")
        go_on(mark)
        ended = mara.wait(submission, SECONDS)
        assert (ended.state, ended.results) == ("denied", ())
        assert "held" in ended.reason
        assert "the grant was revoked: «no vote»" in ended.reason
    kinds = [line.split("  ") for line in told(consortium, "audit", "who", str(made.dataset)).splitlines()]
    assert not [line for line in kinds if "release" in line]
    assert "held: the grant was revoked: «no vote»" in told(consortium, "audit", "who", str(made.dataset))


def test_a_site_that_is_down_is_named_and_what_the_others_release_goes_on(
    consortium: Consortium, away: Institution
) -> None:
    """Lost: an answer that lacks a site passes for a whole one; or one site that is away holds up all others."""
    dataset = consortium.small.dataset
    answer = told(consortium, "audit", "who", dataset)
    assert "3 of 4 sites answered" in answer
    assert f"{away.name} gave no answer" in answer
    assert f"{away.name} gave no answer" in told(consortium, "audit", "who", dataset, "--strict", code=4)
    with consortium.researcher() as mara:
        both = [consortium.small.dataset, consortium.large.dataset]
        with pytest.raises(BadInput, match="3 shards must deliver, and the data here make 2 shards"):
            run(mara, consortium.workflow, both, min_sites=3)  # else few people's numbers pass for many's
        ended = run(mara, consortium.workflow, both).check()
        assert len(ended.took_part) == 2
    assert away.name in told(consortium, "site", "status")


def flip(path: Path, at: int) -> None:
    """Change one bit of a file's byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def newest(folder: Path) -> Path:
    """The last tile of a folder that holds fewer than a full tile's."""
    return max((each for each in folder.rglob("*.p/*")), key=lambda each: int(each.name))


def within(bundle: bytes, leaf: int) -> int:
    """The last byte of a leaf in an entry bundle."""
    at = 0
    for _ in range(leaf + 1):
        at += 2 + int.from_bytes(bundle[at : at + 2], "big")
    return at - 1


def test_one_changed_byte_in_a_tile_is_named_with_its_leaf_and_its_file(
    consortium: Consortium, away: Institution, tmp_path: Path
) -> None:
    """Lost: an auditor learns that something is wrong, and not where."""
    copy = tmp_path / "copy"
    shutil.copytree(consortium.places.site(away).path, copy, ignore=shutil.ignore_patterns("keys", "*.token"))
    sound = told(consortium, "audit", "verify", str(copy))
    assert sound.endswith("no fault\n")
    assert consortium.small.name in sound
    replica = next(each for each in (copy / "replicas").iterdir() if newest(each).name > "2")
    for log in (copy / "logs" / "audit", copy / "logs" / "catalog", replica):
        for kind, leaf in (("entries", 0), ("entries", 2), ("0", 1)):
            tile = newest(log / "tile" / kind)
            assert leaf < int(tile.name) < WIDTH
            at = within(tile.read_bytes(), leaf) if kind == "entries" else 32 * leaf + 7
            flip(tile, at)
            found = told(consortium, "audit", "verify", str(copy), code=5)
            assert f"{tile.relative_to(copy)}: leaf {leaf}: " in found, found
            flip(tile, at)
    assert told(consortium, "audit", "verify", str(copy)).endswith("no fault\n")


def test_a_question_that_no_site_answers_for_this_person_is_denied(consortium: Consortium) -> None:
    """Lost: a researcher is told to ask again later what nobody lets her ask."""
    asked = consortium.command("audit", "log", "--all")
    assert asked.returncode == 3, asked.stdout + asked.stderr
    assert "error: no site lets you ask that, so nothing is known" in asked.stderr
    (line,) = [line for line in asked.stdout.splitlines() if " refused: " in line]
    assert line.count(",") == 3, "four sites, and the one reason once"


def test_the_audit_log_is_read_and_exported_from_the_terminal(consortium: Consortium, tmp_path: Path) -> None:
    """Lost: rows that only this program can show are of no use to an auditor's other programs."""
    shown = told(consortium, "audit", "log")
    assert "  policy  " in shown
    assert "1 of 1 site answered" in shown
    assert "4 of 4 sites answered" in told(consortium, "audit", "log", "--all")
    table = tmp_path / "log.csv"
    assert str(table) in told(consortium, "audit", "export", "--csv", str(table))
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"policy", "grant"} <= {row["kind"] for row in rows}
    assert {row["site"] for row in rows} == {consortium.small.name}
    events = tmp_path / "events"
    assert str(events) in told(consortium, "audit", "export", "--fhir", str(events))
    kinds = {json.loads(each.read_text())["resourceType"] for each in events.glob("*.json")}
    assert kinds == {"AuditEvent"}
    assert len(list(events.iterdir())) >= len(rows)


def test_the_bytes_of_open_data_that_were_erased_are_gone_from_the_disk(consortium: Consortium, tmp_path: Path) -> None:
    """Lost: what nothing names any more lies in the store until some project happens to end."""
    path = tmp_path / "open.csv"
    path.write_text(f"a,b\n1,{secrets.token_hex(8)}\n")
    blobs = consortium.places.site(consortium.small).blobs
    with consortium.steward(consortium.small) as steward:
        made = steward.publish_dataset(path, "open for a day", level="open", purposes=(GRU,))
        assert [each.read_bytes() for each in blobs.rglob(str(made.cid))] == [path.read_bytes()]
        steward.withdraw_dataset(made.cid, erase=True)
    eventually(lambda: not list(blobs.rglob(str(made.cid))) or None, "the sweep")


def test_the_catalog_and_the_register_are_read_from_the_terminal(consortium: Consortium) -> None:
    """Lost: nobody finds what the others publish, or sees who approved a project."""
    found = told(consortium, "catalog", "search", "tumour", "--kind", "dataset")
    assert all(each.dataset in found for each in consortium.known.hospitals)
    register = told(consortium, "project", "register").splitlines()
    for each in consortium.known.hospitals:
        assert any(line.startswith(f"{PROJECT} ") and each.name in line and "approved" in line for line in register)
    assert told(consortium, "catalog", "forks") == "nobody has forked\n"


def test_a_steward_halts_the_site_from_the_terminal_and_lets_it_go_on(consortium: Consortium) -> None:
    """Lost: the one thing to do at once when something looks wrong."""
    dataset = consortium.small.dataset
    try:
        assert "is halted" in told(consortium, "site", "halt", "a doubt about the tables")
        assert "HALTED" in told(consortium, "site", "status")
        with consortium.researcher() as mara:
            ended = run(mara, consortium.workflow, [dataset], ask=False)
            assert ended.results == ()
            assert "halted" in ended.reason
    finally:
        assert "halted is: nothing" in told(consortium, "site", "resume")
    with consortium.researcher() as mara:
        assert consortium.small.name in run(mara, consortium.workflow, [dataset]).check().took_part


def delivered(consortium: Consortium, hospital: Institution) -> int:
    """How many steps over its dataset a hospital has delivered, by its own audit log."""
    with consortium.steward(hospital) as there:
        rows = there.audit(hospital.dataset).rows
    return sum((row.kind, row.site_name) == ("result", hospital.name) for row in rows)


def test_a_halt_at_the_home_of_who_asks_stops_what_she_asked_for_until_it_is_resumed(consortium: Consortium) -> None:
    """Lost: a site that was halted goes on to order steps at others, to take what they deliver, and to pay."""
    small, mark = consortium.small, secrets.token_hex(8)
    workflow = publish_workflow(consortium.places, consortium.known, mark, long=0)
    before = delivered(consortium, small)
    with consortium.researcher() as mara, consortium.steward(consortium.known.institute) as steward:
        tables = {"tables": [mara.dataset(small.dataset)]}
        plan = mara.plan(workflow, tables, project=PROJECT, deadline="10m", budget="5")
        submission = mara.submit(plan)
        eventually(lambda: marked(mark, "python3") or None, "the step's process")
        steward.halt("a doubt about the project")
        try:
            go_on(mark)
            eventually(lambda: delivered(consortium, small) > before or None, "the hospital's result")
            paused = mara.run(submission, 2)
            assert (paused.state, paused.view.spent, len(paused.view.instances)) == ("running", 0, 2)
            assert paused.reason.startswith("paused, this site is halted for everything: a doubt about the project")
            again = mara.plan(workflow, tables, project=PROJECT, deadline="10m", budget="5")
            with pytest.raises(Denied, match="this site is halted for everything: a doubt about the project"):
                mara.submit(again)
            assert [each.submission for each in mara.runs() if not each.done] == [submission]
        finally:
            steward.halt("it was none", resume=True)
        ended = mara.wait(submission, SECONDS).check()
        assert small.name in ended.took_part
        steward.halt("another doubt")
        try:
            with pytest.raises(Denied, match="another doubt"):
                mara.result(submission)
        finally:
            steward.halt("it was none", resume=True)
        assert b"mean" in mara.result(submission)
