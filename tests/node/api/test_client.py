"""What the typed client signs, refuses to sign, and verifies before it shows it; against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import BadInput, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.key import check
from node.api.client import Node
from node.api.granting import State
from node.api.quantity import micros, moment, money
from node.api.schema import AskWho, SiteRows
from node.api.view import AuditRow, Run
from node.config import Folder
from node.keyfile import Identity
from node.message import WhoAnswer
from privacy.purpose import HMB
from tests.node.api.double import AWAY
from tests.node.api.serving import Running
from workflow.argument import Data, data_in
from workflow.submission import Submission

WORKFLOW = "cwlVersion: v1.2\nclass: Workflow\ninputs: []\n"


@pytest.fixture
def anna(running: Running, steward: Identity) -> Node:
    return running.node(steward)


@pytest.fixture
def mara(running: Running, researcher: Identity) -> Node:
    return running.node(researcher)


def project(anna: Node) -> Cid:
    """A dataset and a project over it; the dataset's CID."""
    published = anna.publish_dataset("/data/table.csv", "Table")
    anna.new_project("pooling", ["Mara"], HMB, ["Table"], until="30d")
    return published.cid


def test_a_dataset_is_signed_by_the_steward_and_replaces_its_own_version(anna: Node, running: Running) -> None:
    first = anna.publish_dataset("/data/table.csv", "Table", description="first")
    assert first.cid.is_keyed
    index = anna.change_dataset("Table", description="second")
    assert running.site.bodies[index].previous == first.index
    (listing,) = anna.datasets()
    assert (listing.fields.name, listing.fields.purposes, listing.fields.description) == ("Table", (HMB,), "second")
    assert list(listing.fields.label.owners) == [running.site.root.did]
    with pytest.raises(BadInput, match="nothing of «Table» would change"):
        anna.change_dataset("Table", purposes=(HMB,))
    anna.publish_dataset("/data/other.csv", "Other")
    with pytest.raises(Conflict, match="another dataset as «Other»"):
        anna.change_dataset("Table", name="Other")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"purposes": ("DUO:0000042",)}, "purposes: «DUO:0000006», not «DUO:0000042»"),
        ({"name": "Other"}, "name: «Table», not «Other»"),
        ({"description": "others"}, "description: «», not «others»"),
    ],
)
def test_publishing_the_same_data_again_changes_nothing_that_was_said_of_them(
    anna: Node, running: Running, changed: dict[str, str], told: str
) -> None:
    """Lost: who publishes a file anew, and leaves a --purpose out, lets everybody use it for something else."""
    first = anna.publish_dataset("/data/table.csv", "Table")
    before = len(running.site.bodies)
    again = anna.publish_dataset("/data/table.csv", "Table")
    assert again == first
    with pytest.raises(Conflict, match="nothing was changed") as refused:
        anna.publish_dataset("/data/table.csv", **({"name": "Table"} | changed))  # type: ignore[arg-type]
    assert told in str(refused.value)
    assert f"comity dataset change {first.cid}" in str(refused.value)
    assert len(running.site.bodies) == before


def test_open_data_have_an_open_label(anna: Node) -> None:
    anna.publish_dataset("/data/table.csv", "Table", level="open")
    assert anna.dataset("Table").fields.label.owners == {}


def test_a_purpose_that_denies_everything_is_refused_before_anything_is_read(anna: Node, running: Running) -> None:
    with pytest.raises(BadInput, match="not a term of use that is known here"):
        anna.publish_dataset("/data", "Table", purposes=("DUO:0000042", "DUO:0000099"))
    with pytest.raises(BadInput, match="names its disease"):
        anna.publish_dataset("/data", "Table", purposes=("DUO:0000007",))
    with pytest.raises(BadInput, match="time limit"):
        anna.publish_dataset("/data", "Table", purposes=("DUO:0000042", "DUO:0000025/soon"))
    with pytest.raises(BadInput, match="no level «secret»"):
        anna.publish_dataset("/data", "Table", level="secret")
    with pytest.raises(BadInput, match="readers and custodians are for shared data"):
        anna.publish_dataset("/data", "Table", readers=["Away"])
    assert not {"import_dataset", "write_entry"}.intersection(running.site.calls)


def test_custodians_and_readers_of_shared_data_are_changed_and_told_by_name(anna: Node, running: Running) -> None:
    """Lost: a custodian that moves or is not trusted any more keeps the key until the data are published anew."""
    made = anna.publish_dataset("/data", "Genomes", level="shared", readers=["Mara"])
    found = anna.dataset(made.cid)
    changed = anna.changed_dataset(found, readers=["Mara", "Away"], custodians=["Away"])
    assert anna.differences(changed, found.fields) == (
        "readers: «Away, Mara@St. Anna», not «Mara@St. Anna»",
        "custodians: «Away», not «»",
    )
    anna.set_policy("permit(principal, action, resource);")
    anna.change_dataset(made.cid, custodians=["Away"])
    assert anna.dataset(made.cid).fields.custodians == (AWAY.did,)
    policies = [body for body in running.site.bodies if body.kind == "policy"]
    assert policies[-1].audience == (AWAY.did,), "a custodian decides by the policy"
    anna.change_dataset(made.cid, custodians=[])
    assert anna.dataset(made.cid).fields.custodians == ()
    with pytest.raises(BadInput, match="custodians of shared data"):
        anna.change_dataset(anna.publish_dataset("/other", "Table").cid, custodians=["Away"])


def test_a_researcher_cannot_publish_data(mara: Node) -> None:
    with pytest.raises(VerificationFailed):
        mara.publish_dataset("/data/table.csv", "Table")


def test_a_block_is_for_its_own_site_until_it_is_shared_and_readers_add_up(mara: Node, running: Running) -> None:
    block = mara.publish_block({"tool.cwl": "class: CommandLineTool", "step.py": "print(1)"}, name="count")
    assert running.site.bodies[block.index].audience == ()
    shared = mara.share_block("count", ["Away"])
    body = running.site.bodies[shared]
    assert body.audience == (AWAY.did,)
    assert body.previous == block.index
    readers = mara.block_entry(block.cid).fields.label.owners[running.site.root.did]
    assert readers == tuple(sorted((AWAY.did, running.site.root.did)))
    with pytest.raises(NotFound, match="Away"):
        mara.share_block("count", ["Nowhere"])


def test_a_block_that_is_packed_again_stays_shared(mara: Node, running: Running) -> None:
    """Lost: packing a folder again takes the block away from the sites that run it."""
    files = {"tool.cwl": "class: CommandLineTool"}
    mara.publish_block(files, name="count")
    mara.share_block("count", ["Away"])
    again = mara.publish_block(files, name="count")
    assert running.site.bodies[again.index].audience == (AWAY.did,)


def test_what_ended_before_it_begins_is_wrong_use(anna: Node) -> None:
    project(anna)
    with pytest.raises(BadInput, match="over already"):
        anna.grant("Mara", "pooling", ["Table"], until="2020-01-01")


def test_an_endorsement_is_seen_where_the_block_is_and_nowhere_else(anna: Node, mara: Node, running: Running) -> None:
    mara.publish_block({"tool.cwl": "x"}, name="count")
    assert running.site.bodies[anna.endorse("count")].audience == ()
    mara.share_block("count", ["Away"])
    assert running.site.bodies[anna.endorse("count", ["statistics"])].audience == (AWAY.did,)
    with pytest.raises(BadInput, match="no output of type model"):
        anna.endorse("count", ["model"])


def test_a_grant_names_a_person_a_project_and_this_sites_data(anna: Node, running: Running) -> None:
    cid = project(anna)
    granted = anna.grant("Mara", "pooling", ["Table"], until=timedelta(days=7))
    (listing,) = anna.grants()
    grant = listing.fields.grant
    check(grant, anna.person)
    assert granted.cid == cid_of(grant)
    assert grant.datasets == (cid,)
    assert grant.purposes == (HMB,)
    assert running.site.bodies[granted.index].audience == ()
    with pytest.raises(NotFound, match=r"Mara@St\. Anna"):
        anna.grant("Nobody", "pooling", ["Table"], until="7d")
    with pytest.raises(BadInput, match="no action"):
        anna.grant("Mara", "pooling", ["Table"], until="7d", actions=("sell",))


def test_a_grant_that_nobody_can_use_says_why(anna: Node, steward: Identity) -> None:
    project(anna)
    cid = anna.grant("Mara", "pooling", ["Table"], until="7d").cid
    assert anna.standing(cid).state is State.VALID
    anna.new_project("pooling", [steward.name], HMB, ["Table"], until="30d")
    assert (anna.standing(cid).state, anna.standing(cid).reason.partition(";")[0]) == (
        State.IDLE,
        "its person is not in the project «pooling»",
    )
    anna.publish_dataset("/data/other.csv", "Other")
    anna.new_project("pooling", ["Mara"], HMB, ["Other"], until="30d")
    assert "is for other data" in anna.standing(cid).reason
    anna.new_project("pooling", ["Mara"], HMB, ["Table"], until="30d")
    assert anna.standing(cid).state is State.VALID
    anna.end_project("pooling")
    assert (anna.standing(cid).state, anna.standing(cid).reason) == (State.IDLE, "the project «pooling» has ended")
    with pytest.raises(Conflict, match="for good"):
        anna.new_project("pooling", ["Mara"], HMB, ["Table"], until="30d")
    anna.withdraw_dataset("Table")
    assert anna.standing(cid).reason == "its data are published no more"


def test_whoever_gives_a_grant_that_is_of_no_use_learns_it_at_once(anna: Node, steward: Identity) -> None:
    """Lost: a steward lets somebody in, who waits for weeks and is told that nothing is wrong with the grant."""
    project(anna)
    assert anna.doubts(anna.grant("Mara", "pooling", ["Table"], until="7d").cid) == ()
    anna.publish_dataset("/data/other.csv", "Other")
    [other] = anna.doubts(anna.grant("Mara", "pooling", ["Table", "Other"], until="7d").cid)
    assert other.startswith("the project «pooling» does not name «Other»; a steward of the project's site can add")
    [none] = anna.doubts(anna.grant("Mara", "pooling", ["Other"], until="7d").cid)
    assert "is for other data" in none
    [absent] = anna.doubts(anna.grant(steward.name, "pooling", ["Table"], until="7d").cid)
    assert "not in the project «pooling»" in absent
    anna.new_project("anything", ["Mara"], HMB, [], until="30d")
    assert anna.doubts(anna.grant("Mara", "anything", ["Table"], until="7d").cid) == (), "it is for any data"


def test_what_is_revoked_stays_revoked_for_the_reason_that_was_given(anna: Node) -> None:
    project(anna)
    cid = anna.grant("Mara", "pooling", ["Table"], until="7d").cid
    anna.revoke(cid, "the vote was withdrawn")
    with pytest.raises(Conflict, match="revoked before: the vote was withdrawn"):
        anna.revoke(cid)


def test_policy_and_offer_replace_the_ones_before(anna: Node, running: Running) -> None:
    first, second = anna.set_policy("permit(principal, action, resource);"), anna.set_policy("")
    assert running.site.bodies[second].previous == first
    assert running.site.bodies[second].audience == ()
    offer = anna.set_offer("0.10")
    assert running.site.bodies[offer].fields["price"] == 100_000
    assert running.site.bodies[offer].audience is None
    with pytest.raises(BadInput):
        anna.set_offer("0.10", runner="Not A Name")


def test_a_submission_is_signed_by_the_person_and_brings_its_result(anna: Node, mara: Node, running: Running) -> None:
    made = mara.plan(
        WORKFLOW, {"tables": [project(anna)], "n": 3}, project="pooling", deadline="10m", budget="2.50", min_sites=1
    )
    assert made.cost == 100_000
    submission = mara.submit(made)
    check(running.site.submitted[0], mara.person)
    run = mara.wait(submission).check()
    assert run.state == "done"
    assert mara.result(submission) == b"a,b\n1,2\n"
    assert [each.submission for each in mara.runs()] == [submission]
    assert [each.state for each in mara.watch(submission)] == ["done"]
    with pytest.raises(NotFound, match="table"):
        mara.result(submission, "other")


def test_a_submission_is_named_by_the_end_of_its_cid_if_that_names_one(
    anna: Node, mara: Node, running: Running
) -> None:
    """Lost: sixty letters are copied for each look; or a few of them name another submission."""
    asked = {"table": project(anna)}
    first, second = (
        mara.submit(mara.plan(WORKFLOW, asked, project="pooling", deadline="10m", budget=budget)) for budget in (1, 2)
    )
    assert mara.run(f"…{str(first)[-8:]}").submission == first
    assert mara.result(str(second)[-8:]) == b"a,b\n1,2\n"
    assert mara.cancel(str(second)[-12:]).submission == second
    for none in (str(first)[-7:], "aaaaaaaa", "…", ""):
        with pytest.raises(NotFound):
            mara.run(none)


def test_data_are_named_or_described_and_what_that_meant_is_signed(anna: Node, mara: Node, running: Running) -> None:
    """Lost: whoever scatters over all hospitals copies their CIDs, or data are computed on that nobody signed for."""
    project(anna)
    anna.publish_dataset("/data/more.csv", "Tablet")
    by_name = {each.fields.name: each.fields.cid for each in mara.datasets()}
    assert [each.fields.name for each in mara.datasets_like("Tab*")] == sorted(n for n in by_name if n[:3] == "Tab")
    assert [each.fields.cid for each in mara.datasets_like("Tablet@*")] == [by_name["Tablet"]]
    one = {"class": "File", "location": "dataset:Tablet"}
    all_of = {"class": "File", "location": "dataset:Tab*"}
    asked = {"one": one, "all": all_of, "with": [one, all_of], "text": "dataset:Tablet"}
    made = mara.plan(WORKFLOW, asked, project="pooling", deadline="10m", budget="1")
    given = {name: [each.cid for each in data_in({name: value})] for name, value in made.submission.inputs.items()}
    every = [each.fields.cid for each in mara.datasets_like("Tab*")]
    tablet = by_name["Tablet"]
    assert given == {"one": [tablet], "all": every, "with": [tablet, *every], "text": []}
    for none in ("dataset:Tablet@Elsewhere", "dataset:None*", "dataset:None"):
        with pytest.raises(NotFound):
            mara.plan(WORKFLOW, {"t": one | {"location": none}}, project="pooling", deadline="1h", budget="1")


def test_a_submission_is_paused_and_resumed(anna: Node, mara: Node, running: Running) -> None:
    """Lost: whoever waits for a paused one is told that it has ended."""
    submission = mara.submit(mara.plan(WORKFLOW, {"table": project(anna)}, project="pooling", deadline="10m", budget=1))
    paused = mara.pause(str(submission)[-8:])
    assert (paused.submission, paused.state, paused.done) == (submission, "paused", False)
    assert mara.resume(submission).state == "running"


def test_what_was_asked_for_is_asked_for_once_more_and_signed_anew(anna: Node, mara: Node, running: Running) -> None:
    """Lost: a second try is of something else, or lasts as long as the first one's deadline still did."""
    asked = {"tables": [project(anna)], "n": 3}
    first = mara.plan(WORKFLOW, asked, project="pooling", deadline="10m", budget="2.50", min_sites=1)
    before = mara.submit(first)
    again = mara.again(before)
    same = ("person", "site", "project", "workflow", "inputs", "budget", "min_sites", "destinations")
    assert all(getattr(again.submission, name) == getattr(first.submission, name) for name in same)
    assert again.submission.deadline >= first.submission.deadline
    more = mara.again(before, deadline="20m", budget="5")
    assert (more.submission.budget, more.submission.deadline > again.submission.deadline) == (5_000_000, True)
    with pytest.raises(NotFound):
        mara.again(Cid.of(b"none"))


def test_a_submission_is_cancelled_by_the_person_s_signed_word(anna: Node, mara: Node, running: Running) -> None:
    """Lost: a word that another wrote, or that no site takes, ends nothing; or a wait for it never ends."""
    submission = mara.submit(mara.plan(WORKFLOW, {"table": project(anna)}, project="pooling", deadline="10m", budget=1))
    run = mara.cancel(str(submission))
    assert (run.state, run.done, mara.wait(submission)) == ("cancelled", True, run)
    with pytest.raises(Conflict, match="ended cancelled"):
        run.check()


TWISTS: dict[str, Callable[[Submission], Submission]] = {
    "budget": lambda s: msgspec.structs.replace(s, budget=s.budget + 1),
    "deadline": lambda s: msgspec.structs.replace(s, deadline=s.deadline + 1),
    "end": lambda s: msgspec.structs.replace(s, not_after=s.deadline + 60_001),
    "workflow": lambda s: msgspec.structs.replace(s, workflow=Cid.of(b"other")),
    "project": lambda s: msgspec.structs.replace(s, project=msgspec.structs.replace(s.project, name="other")),
    "person": lambda s: msgspec.structs.replace(s, person=AWAY.did),
    "consortium": lambda s: msgspec.structs.replace(s, consortium=Cid.of(b"other")),
    "bus": lambda s: msgspec.structs.replace(s, buses=(*s.buses, AWAY.did)),
    "number of sites": lambda s: msgspec.structs.replace(s, min_sites=2),
    "destinations": lambda s: msgspec.structs.replace(s, destinations=(AWAY.did,)),
    "inputs": lambda s: msgspec.structs.replace(s, inputs=s.inputs | {"more": s.inputs["n"]}),
    "input «n»": lambda s: msgspec.structs.replace(
        s, inputs=s.inputs | {"n": msgspec.structs.replace(s.inputs["n"], json="true")}
    ),
    "input «table»": lambda s: msgspec.structs.replace(
        s, inputs=s.inputs | {"table": msgspec.structs.replace(s.inputs["table"], site=AWAY.did)}
    ),
}


@pytest.mark.parametrize("what", TWISTS)
def test_what_a_node_changed_is_not_signed(anna: Node, mara: Node, running: Running, what: str) -> None:
    """A node that was taken over could otherwise have a person sign for more than the person asked for."""
    cid = project(anna)
    running.site.twist = TWISTS[what]
    made = mara.plan(WORKFLOW, {"table": cid, "n": 1}, project="pooling", deadline="10m", budget="2.50")
    with pytest.raises(VerificationFailed, match=what):
        mara.submit(made)
    assert running.site.submitted == []


def test_of_what_nobody_can_count_all_must_deliver(anna: Node, mara: Node, running: Running) -> None:
    """Lost: a list of a hundred is scattered over, one of it delivers, and that counts as all."""
    cid, running.site.unforeseen = project(anna), ("count",)
    asked = {"table": cid, "n": 1}
    mara.submit(mara.plan(WORKFLOW, asked, project="pooling", deadline="10m", budget="2.50"))
    assert running.site.submitted[0].min_sites == 4096
    running.site.twist = lambda s: msgspec.structs.replace(s, min_sites=1)
    with pytest.raises(VerificationFailed, match="number of sites"):
        mara.submit(mara.plan(WORKFLOW, asked, project="pooling", deadline="10m", budget="2.50"))


def test_a_place_in_a_value_is_not_signed_in_the_place_of_a_dataset(anna: Node, mara: Node, running: Running) -> None:
    """Lost: a node that was taken over has a person ask for another part of what they named."""

    def within(submission: Submission) -> Submission:
        table = submission.inputs["table"]
        assert isinstance(table, Data)
        placed = msgspec.structs.replace(table, at="/0")
        return msgspec.structs.replace(submission, inputs=submission.inputs | {"table": placed})

    cid, running.site.twist = project(anna), within
    with pytest.raises(VerificationFailed, match="input «table»"):
        mara.submit(mara.plan(WORKFLOW, {"table": cid, "n": 1}, project="pooling", deadline="10m", budget="2.50"))


def test_a_failed_submission_raises_as_it_failed(anna: Node, mara: Node, running: Running) -> None:
    submission = mara.submit(mara.plan(WORKFLOW, {"table": project(anna)}, project="pooling", deadline="10m", budget=1))
    running.site.state = "denied"
    with pytest.raises(Denied, match="no-export"):
        mara.wait(submission).check()


def test_a_result_that_is_not_what_its_cid_names_is_refused(anna: Node, mara: Node, running: Running) -> None:
    submission = mara.submit(mara.plan(WORKFLOW, {"table": project(anna)}, project="pooling", deadline="10m", budget=1))
    running.site.added = b" "
    with pytest.raises(VerificationFailed, match="not what its CID"):
        mara.result(submission)


def test_audit_rows_are_verified_and_a_site_that_is_away_is_named(anna: Node, mara: Node) -> None:
    table = mara.audit(project(anna))
    assert [(row.kind, row.index) for row in table.rows] == [("intent", 0), ("result", 2)]
    intent, result = table.rows
    assert (intent.who, intent.home_name, intent.allowed, intent.rules) == ("Mara", "St. Anna", True, ("researchers",))
    assert (result.who, result.project, result.allowed) == ("Mara", "pooling", None)
    assert intent.size == 5
    assert intent.cosigners == (AWAY.did,)
    assert [each.site_name for each in table.absent] == ["Away"]
    assert "Away did not answer" in table._repr_html_()


def altered(answer: WhoAnswer, at: int, **changes: object) -> WhoAnswer:
    rows = list(answer.rows)
    rows[at] = msgspec.structs.replace(rows[at], **changes)
    return msgspec.structs.replace(answer, rows=tuple(rows))


TAMPERED: dict[str, Callable[[WhoAnswer], WhoAnswer]] = {
    "St. Anna: row 2 .*another body": lambda a: altered(a, 1, body=(a.rows[1].body or b"").replace(b"done", b"held")),
    "row 2 .*commits": lambda a: altered(a, 1, salt=bytes(32)),
    "not all in the tree": lambda a: altered(a, 1, leaf=bytes(120)),
    "proof was refused": lambda a: msgspec.structs.replace(a, rows=a.rows[:1]),
    "sends none|proof": lambda a: msgspec.structs.replace(a, rows=(), more=True),
    "signature": lambda a: msgspec.structs.replace(a, note=a.note.replace("\n5\n", "\n6\n")),
    "does not begin|proof": lambda a: msgspec.structs.replace(a, opening=None),
}


@pytest.mark.parametrize("match", TAMPERED)
def test_a_false_audit_row_is_named_and_not_shown(anna: Node, mara: Node, running: Running, match: str) -> None:
    cid = project(anna)
    running.site.tamper = TAMPERED[match]
    shown: list[int] = []
    with pytest.raises(VerificationFailed, match=match):
        shown.extend(told.index for told in mara.audit_who(cid) if isinstance(told, AuditRow))
    assert 2 not in shown


def test_a_site_that_stops_in_the_middle_of_its_answer_is_named(anna: Node, mara: Node, running: Running) -> None:
    cid = project(anna)
    running.site.tamper = lambda a: msgspec.structs.replace(a, more=True)
    table = mara.audit(cid)
    assert [row.index for row in table.rows] == [0, 2]
    assert [(each.site_name, each.reason) for each in table.absent][1] == (
        "St. Anna",
        "its answer broke off behind its row 2",
    )


def test_rows_by_a_key_that_is_not_the_sites_node_are_refused(anna: Node, mara: Node, running: Running) -> None:
    """The key that an answer names is believed only as far as the members' list has it."""
    cid = project(anna)
    true = running.site.answers

    async def other(person: str, request: AskWho) -> AsyncGenerator[SiteRows, None]:
        async with aclosing(true(person, request)) as answers:
            async for rows in answers:
                yield msgspec.structs.replace(rows, node=AWAY.did)

    running.site.answers = other
    with pytest.raises(VerificationFailed, match=r"St\. Anna"):
        list(mara.audit_who(cid))


def test_an_error_after_the_first_site_reaches_the_asker(anna: Node, mara: Node, running: Running) -> None:
    stream = mara.audit_who(project(anna))
    running.site.after_rows = Unreachable("this node is stopping")
    assert isinstance(next(stream), AuditRow)
    with pytest.raises(Unreachable, match="stopping"):
        list(stream)


def test_a_path_with_spaces_and_signs_is_signed_as_it_is_sent(mara: Node, running: Running) -> None:
    cid = Cid.of(b"folder")
    for path in ("a b/ü&c=1?#.csv", "x%2Fy", "~a!$'()*+,;:@"):
        assert mara.fetch(cid, path) == path.encode() * 3


def test_no_node_says_how_to_start_one(running: Running, researcher: Identity) -> None:
    running.stop()
    with pytest.raises(Unreachable, match="comity site run"):
        running.node(researcher).status()
    Folder(running.folder).token.unlink()
    with pytest.raises(Unreachable, match="comity site run"):
        running.node(researcher)


def test_the_token_goes_to_this_machine_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    monkeypatch.setenv("COMITY_TOKEN_FILE", str(Folder(running.folder).token))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Node.at(f"http://127.0.0.1:{running.port}") as node:
        assert node.status().name == "St. Anna"
    for address in ("http://evil.example:80", "https://127.0.0.1:1", "http://127.0.0.1.evil.example"):
        with pytest.raises(BadInput, match=r"127\.0\.0\.1"):
            Node.at(address)
    monkeypatch.delenv("COMITY_TOKEN_FILE")
    with pytest.raises(BadInput, match="COMITY_TOKEN_FILE"):
        Node.at(f"http://127.0.0.1:{running.port}")


def test_without_a_person_it_says_how_to_name_one(running: Running) -> None:
    with pytest.raises(BadInput, match="--as"):
        running.node(None).datasets()


@pytest.mark.parametrize(
    ("text", "expected"), [("2.50", 2_500_000), ("0", 0), (3, 3_000_000), (Decimal("0.000001"), 1), (" 1 ", 1_000_000)]
)
def test_money_is_counted_in_millionths(text: str, expected: int) -> None:
    assert micros(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1,50", "0.0000001", "1e30", "two"])
def test_what_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        micros(text)


def test_money_is_shown_as_it_is_written() -> None:
    assert [money(each) for each in (0, 1, 100_000, 2_500_000)] == ["0.00", "0.000001", "0.10", "2.50"]


def test_times_are_spans_or_dates() -> None:
    assert moment("10m", 5) == 600_005
    assert moment("2h", 0) == 7_200_000
    assert moment("2026-12-01T12:00+00:00", 0) == 1_796_126_400_000
    for text in ("", "soon", "10", "10 minutes", "2026-13-01", "99999999999d"):
        with pytest.raises(BadInput, match="is no time"):
            moment(text, 0)


def test_what_other_sites_say_is_escaped_in_a_notebook(anna: Node, mara: Node) -> None:
    made = mara.plan(WORKFLOW, {"table": project(anna)}, project="pooling", deadline="10m", budget=1)
    assert "&lt;table&gt;.csv" in made._repr_html_()
    assert isinstance(repr(made), str)
    assert "done" in Run(mara.run(mara.submit(made)).view)._repr_html_()


def test_the_client_imports_nothing_of_a_node() -> None:
    """A researcher's laptop has the base alone; and a terminal that imports libp2p answers in seconds."""
    heavy = ("trio", "libp2p", "starlette", "hypercorn", "cedarpy", "cwl_utils", "cwltool", "cryptography")
    code = f"import sys, node.api.client; sys.exit(', '.join(sorted(set({heavy!r}) & set(sys.modules))))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ})
    assert ran.stderr.strip() == ""


def test_a_question_that_can_have_no_answer_is_refused_before_it_is_asked(anna: Node) -> None:
    """Lost: «0 rows, each verified» reads as if nobody had accessed anything."""
    project(anna)
    with pytest.raises(BadInput, match="other way round"):
        list(anna.audit_who("Table", since="1h", until="2h"))
    with pytest.raises(BadInput, match="did:key"):
        list(anna.audit_by("did:key:zfoo"))
    with pytest.raises(NotFound, match="by their key"):
        list(anna.audit_by("Nobody"))
    with pytest.raises(NotFound, match="by its CID"):
        list(anna.audit_who("Nothing"))
