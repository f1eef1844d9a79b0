"""What a consortium of real processes does when it is used, broken, refused and asked for too much."""

from __future__ import annotations

import csv
import json
import math
import secrets
from pathlib import Path

import pytest

from catalog.cid import Cid
from catalog.error import Denied, NotFound, Unreachable
from devnet import faults
from devnet.patience import eventually
from devnet.table import FEATURES
from devnet.topology import PROJECT, Places
from node.api.client import Node
from node.api.offering import Offered
from node.api.view import AuditRow, Run
from privacy.starters import HOSPITAL
from tests.devnet.consortium import (
    SECONDS,
    Consortium,
    comity,
    marked,
    processes_of,
    publish_and_grant,
    publish_workflow,
    run,
    waiting,
)

SECRET_TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: ["true"]
inputs: {}
outputs: {}
"""


def column(path: Path) -> list[float]:
    with path.open(newline="") as file:
        return [float(row["mean_radius"]) for row in csv.DictReader(file)]


def pooled(node: Node, ended: Run) -> dict[str, float]:
    told: dict[str, float] = json.loads(node.result(ended.submission, "pooled"))
    return told


def expected(*paths: Path) -> dict[str, object]:
    values = [value for path in paths for value in column(path)]
    return {"count": len(values), "mean": pytest.approx(math.fsum(values) / len(values), rel=1e-6)}


def audit_size(node: Node) -> int:
    return next(log.size for log in node.status().logs if "/audit" in log.origin)


def rows(node: Node, dataset: str) -> list[AuditRow]:
    return [each for each in node.audit_who(dataset) if isinstance(each, AuditRow)]


def changed_copy(path: Path, to: Path) -> Path:
    """A copy of a table with one value changed."""
    lines = path.read_text().splitlines()
    cells = lines[5].split(",")
    cells[FEATURES.index("mean_radius")] = "99.5"
    to.write_text("\n".join([*lines[:5], ",".join(cells), *lines[6:]]) + "\n")
    return to


def test_status_shows_a_living_process_for_each_site_and_up_twice_says_so(consortium: Consortium) -> None:
    """Else what looks like a consortium could be one process, or none."""
    told = json.loads(consortium.command("devnet", "status", "--json").stdout)["sites"]
    assert all(each["alive"] for each in told)
    assert len({each["pid"] for each in told}) == 5
    assert {each["pid"] for each in told} <= set(processes_of(consortium.places.path))
    again = consortium.command("devnet", "up")
    assert (again.returncode, "is up already" in again.stderr) == (1, True)


def test_the_result_is_that_of_both_tables_together(consortium: Consortium) -> None:
    """Else pooling is not what it says."""
    with consortium.researcher() as mara:
        ended = run(mara, consortium.workflow, [each.dataset for each in consortium.known.hospitals]).check()
        assert pooled(mara, ended) == expected(*(consortium.places.table(each) for each in consortium.known.hospitals))
        assert set(ended.took_part) == {each.name for each in consortium.known.hospitals}


def test_what_each_node_has_is_known_to_all_and_a_step_costs_what_its_offer_says(consortium: Consortium) -> None:
    """Else nobody can choose a site by what it has, or reckon again what it charged."""
    with consortium.researcher() as mara:
        ended = run(mara, consortium.workflow, [consortium.small.dataset]).check()

        def all_said() -> tuple[Offered, ...] | None:
            offers = mara.offers()
            return offers if all(each.capacity is not None for each in offers) else None

        offers = {each.site: each for each in eventually(all_said, "what every node has", SECONDS)}
        assert len(offers) == 4
        for each in offers.values():
            assert each.capacity is not None
            assert (each.capacity.runner, each.capacity.at_once > 0) == (each.offer.runner, True)
        assert [each.cost for each in ended.view.instances if each.cost not in (0, offers[each.site].offer.price)] == []


def test_one_changed_value_changes_the_result_to_that_of_a_recomputation(
    consortium: Consortium, tmp_path: Path
) -> None:
    """Else results are remembered where they must be computed."""
    places, small, large = consortium.places, consortium.small, consortium.large
    path = changed_copy(places.table(large), tmp_path / f"changed-{secrets.token_hex(4)}.csv")
    cid = publish_and_grant(consortium, large, path).dataset
    with consortium.researcher() as mara:
        before = pooled(mara, run(mara, consortium.workflow, [small.dataset, large.dataset]).check())
        after = pooled(mara, run(mara, consortium.workflow, [small.dataset, cid]).check())
    assert before != after
    assert after == expected(places.table(small), path)


def test_a_table_that_changed_since_it_was_published_is_not_computed_on(consortium: Consortium, tmp_path: Path) -> None:
    """Else the audit names data by a CID that is not what was read."""
    path = tmp_path / f"drifting-{secrets.token_hex(4)}.csv"
    path.write_bytes(consortium.places.table(consortium.small).read_bytes())
    cid = publish_and_grant(consortium, consortium.small, path).dataset
    changed_copy(path, path)
    with consortium.researcher() as mara:
        ended = run(mara, consortium.workflow, [cid])
    assert ended.state == "failed"
    assert consortium.small.name in ended.reason
    assert ended.results == ()


def test_a_node_killed_in_the_middle_of_a_run_is_named_and_nothing_is_invented(consortium: Consortium) -> None:
    """Else a result passes for that of sites which never delivered."""
    places, small, large = consortium.places, consortium.small, consortium.large
    mark = secrets.token_hex(8)
    workflow = publish_workflow(places, consortium.known, mark, long=len(column(places.table(small))))
    with consortium.researcher() as mara:
        with consortium.steward(large) as steward:
            size = audit_size(steward)
            tables = [mara.dataset(small.dataset), mara.dataset(large.dataset)]
            plan = mara.plan(workflow, {"tables": tables}, project=PROJECT, deadline="10m", budget="5", min_sites=1)
            submission = mara.submit(plan)
            # The intent is durable and the step runs in its sandbox.
            eventually(lambda: audit_size(steward) > size or None, "the intent at the larger hospital")
            eventually(lambda: waiting(mark) or None, "the step's process, at the larger hospital")
        faults.strike(places, "kill", large.handle)
        try:
            ended = mara.wait(submission, SECONDS).check()
            assert ended.took_part == (small.name,)
            assert [each.site for each in ended.absent] == [large.name]
            assert pooled(mara, ended) == expected(places.table(small))
            eventually(lambda: not marked(mark) or None, "the end of the orphaned step")
            both = run(mara, workflow, [small.dataset, large.dataset])
            assert (both.state, both.results) == ("unreachable", ())
            assert large.name in both.reason
            with pytest.raises(Unreachable, match=large.name):
                both.check()
        finally:
            faults.strike(places, "resume", large.handle)
        eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "the node that came back")
        again = run(mara, consortium.workflow, [small.dataset, large.dataset]).check()
        assert len(again.took_part) == 2


def test_a_site_without_policy_denies_starts_no_sandbox_and_writes_the_denial_down(consortium: Consortium) -> None:
    """Else forgetting to write a policy gives data away."""
    small = consortium.small
    work = consortium.places.site(small).work
    with consortium.steward(small) as steward, consortium.researcher() as mara:
        untouched = work.stat().st_mtime_ns
        run(mara, consortium.workflow, [small.dataset]).check()
        # Each sandbox has its own folder in there while it runs, so this shows when one was started.
        touched = work.stat().st_mtime_ns
        assert touched != untouched
        known = {row.index for row in rows(steward, small.dataset) if row.site == steward.site}
        steward.set_policy("")
        try:
            ended = run(mara, consortium.workflow, [small.dataset], ask=False)
            assert (ended.state, ended.results) == ("denied", ())
            with pytest.raises(Denied, match="has no policy"):
                ended.check()
            assert work.stat().st_mtime_ns == touched
            here = [row for row in rows(steward, small.dataset) if row.site == steward.site]
            new = [row for row in here if row.index not in known and row.kind != "read"]
            assert [(row.kind, row.allowed) for row in new] == [("decision", False)]
            file = Path(consortium.places.path, "denied.cwl")
            file.write_text(consortium.workflow)
            told = consortium.command(
                *("workflow", "submit", str(file), "--data", f"tables={mara.dataset(small.dataset).fields.cid}"),
                *("--data", f"tables={mara.dataset(consortium.large.dataset).fields.cid}", "--wait"),
                *("--no-ask", "--project", PROJECT, "--deadline", "5m", "--budget", "5"),
            )
            assert (told.returncode, "has no policy" in told.stderr) == (3, True), told.stderr
        finally:
            steward.set_policy(HOSPITAL)


def test_a_block_that_is_not_shared_with_a_site_is_there_as_unknown_as_any_other(consortium: Consortium) -> None:
    """Else a site learns which blocks others have by asking for their CIDs."""
    with consortium.researcher() as mara:
        tool = SECRET_TOOL + f"doc: {secrets.token_hex(8)}\n"
        secret = mara.publish_block({"tool.cwl": tool}, "secret").cid
        index = mara.share_block(secret, [consortium.small.name])
        institute = mara.site
    with consortium.steward(consortium.small) as friend:
        eventually(lambda: friend.block(secret), "the block where it is shared")
    with consortium.steward(consortium.large) as stranger:
        # The stranger's replica is as far as the friend's: it knows that there is an entry, and not what of.
        eventually(
            lambda: max(e.entries for e in stranger.members() if e.site == institute) > index or None, "the entry"
        )
        for look in (stranger.block, stranger.fetch):
            answers = []
            for cid in (secret, Cid.of(secrets.token_bytes(16), 0x70)):
                with pytest.raises(NotFound) as caught:
                    look(cid)
                answers.append(str(caught.value).replace(str(cid), "CID"))
            assert answers[0] == answers[1]
    told = [
        consortium.command("block", "show", str(cid), at=consortium.large)
        for cid in (secret, Cid.of(secrets.token_bytes(16), 0x70))
    ]
    assert [each.returncode for each in told] == [1, 1]


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (("--deadline", "5m", "--budget", "0"), "budget"),
        (("--deadline", "2020-01-01T00:00", "--budget", "5"), "deadline"),
    ],
)
def test_a_plan_that_its_limits_do_not_allow_is_refused_naming_the_limit(
    consortium: Consortium, tmp_path: Path, limits: tuple[str, ...], named: str
) -> None:
    """Else money is spent, or time, that nobody agreed to."""
    file = tmp_path / "workflow.cwl"
    file.write_text(consortium.workflow)
    with consortium.researcher() as mara:
        datasets = [each.fields.cid for each in mara.datasets() if each.fields.name.endswith("-tumours")]
        before = len(mara.runs())
        told = consortium.command(
            *("workflow", "submit", str(file), *(word for cid in datasets for word in ("--data", f"tables={cid}"))),
            *("--project", PROJECT, *limits),
        )
        assert (told.returncode, named in told.stderr) == (6, True), told.stderr
        assert len(mara.runs()) == before


def test_env_makes_a_shell_act_at_a_site(consortium: Consortium) -> None:
    """Else nobody can play with what «up» brought up."""
    told = consortium.command("devnet", "env", consortium.small.handle).stdout
    assert f"export COMITY_PERSON={consortium.small.steward}\n" in told
    assert f"export COMITY_SITE={consortium.places.site(consortium.small).path}\n" in told


def test_down_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    """Else nodes pile up on the machine of whoever tries this."""
    path = tmp_path / "net"
    environment = {"COMITY_DEVNET": str(path)}
    up = comity("devnet", "up", "--sites", "2", environment=environment)
    assert up.returncode == 0, up.stderr
    assert len(processes_of(Places(path).path)) == 2
    down = comity("devnet", "down", environment=environment)
    assert (down.returncode, processes_of(path), path.exists()) == (0, [], False)
    again = comity("devnet", "down", environment=environment)
    assert (again.returncode, "no devnet is up" in again.stderr) == (1, True)


def test_down_leaves_a_folder_alone_that_is_no_devnet(tmp_path: Path) -> None:
    """Else a mistyped COMITY_DEVNET removes somebody's files."""
    (tmp_path / "thesis.txt").write_text("years of work")
    for verb in ("down", "up"):
        told = comity("devnet", verb, environment={"COMITY_DEVNET": str(tmp_path)})
        assert told.returncode == 1
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]
