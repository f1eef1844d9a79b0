"""What is noted of entries in the audit log: in whose chains it stands, and that a crash leaves nothing out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from catalog.approve import ApproveFields
from catalog.body import Body, fields_of, read_body, write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.grant import Action, Grant, GrantFields
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from catalog.revoke import RevokeFields
from node.api.audit import Account, Member, Reading
from node.automator.book import Line
from node.message import Rows
from node.site import noting
from node.site.noting import note_missed
from tests.adversary.hospital import NOW, PURPOSE, Hospital, at_a_hospital, dataset
from tests.node.site.test_auditdesk import who
from workflow.account import NOTED, EntryFields

OURS, ALSO, THEIRS = (Cid.of(each) for each in (b"ours", b"also ours", b"theirs"))


def grant(there: Hospital, by: PrivateKey, parent: Cid | None = None) -> GrantFields:
    """Access to both datasets of the hospital, under a project of Mallory's."""
    whole = Grant(
        consortium=Cid.of(b"c"),
        issuer=by.did,
        site=there.site.root,
        subject=there.mallory.person.did,
        project=trial(there),
        claims=(),
        datasets=(OURS, ALSO),
        purposes=(PURPOSE,),
        actions=(Action.COMPUTE,),
        blocks=(),
        destinations=(),
        not_after=NOW * 2,
        parent=parent,
        sig=UNSIGNED,
    )
    return GrantFields(grant=signed(whole, by))


def trial(there: Hospital) -> ProjectRef:
    return ProjectRef(site=there.mallory.root.did, name="trial")


def project(*datasets: Cid) -> ProjectFields:
    return ProjectFields(name="trial", people=(OTHER,), purpose=PURPOSE, datasets=datasets, not_after=NOW * 2)


OTHER = PrivateKey(b"\x09" * 32).did


async def write(there: Hospital, kind: str, fields: Value, previous: int | None = None) -> int:
    body = write_body(kind, fields, site=there.site.root, at=NOW, by=there.steward, previous=previous)
    return (await there.site.writer.write(body)).index


async def publish(there: Hospital) -> None:
    for cid in (OURS, ALSO):
        await write(there, "dataset", dataset(cid))


async def noted(there: Hospital) -> list[tuple[Body, EntryFields]]:
    log = there.site.audit
    found = [stored for _, stored in await log.read(0, log.size) if stored is not None]
    bodies = [read_body(stored[1]) for stored in found]
    return [(body, fields_of(body, EntryFields)) for body in bodies if body.kind in NOTED]


def test_a_grant_and_its_revocation_stand_in_the_chains_of_its_data(tmp_path: Path) -> None:
    """Lost: whoever asks after a dataset sees who was let in, and never that it was taken back."""

    async def story(there: Hospital) -> None:
        await publish(there)
        given = grant(there, there.steward)
        entries = [await write(there, "grant", given)]
        entries.append(await write(there, "revoke", RevokeFields(grant=given.cid, reason="by mistake")))
        rows = await noted(there)
        assert [(body.kind, fields.entry, fields.actor) for body, fields in rows] == [
            ("grant", entries[0], there.steward.did),
            ("revoke", entries[1], there.steward.did),
        ]
        for _, fields in rows:
            assert (fields.grant, fields.project) == (given.cid, trial(there))
            assert set(fields.chain) == {str(OURS), str(ALSO), there.steward.did}
        assert rows[1][1].chain[str(OURS)].before == 0

    at_a_hospital(tmp_path, story)


def test_a_grant_that_somebody_else_passed_on_is_found_when_it_is_revoked(tmp_path: Path) -> None:
    """Lost: the owner's revocation of what was passed on at another site is in no chain of the owner's data."""

    async def story(there: Hospital) -> None:
        await publish(there)
        passed = grant(there, there.mallory.steward, parent=Cid.of(b"the owner's own"))
        there.mallory.add("grant", passed)
        await write(there, "revoke", RevokeFields(grant=passed.cid, reason=""))
        unknown = Cid.of(b"a grant that this site cannot see")
        await write(there, "revoke", RevokeFields(grant=unknown, reason=""))
        (_, first), (_, second) = await noted(there)
        assert (first.grant, first.project) == (passed.cid, trial(there))
        assert set(first.chain) == {str(OURS), str(ALSO), there.steward.did}
        assert (second.grant, second.project, set(second.chain)) == (unknown, None, {there.steward.did})

    at_a_hospital(tmp_path, story)


@pytest.mark.parametrize(("named", "about"), [((OURS, THEIRS), {OURS}), ((), {OURS, ALSO})])
def test_an_approval_stands_in_the_chains_of_this_sites_data(
    tmp_path: Path, named: tuple[Cid, ...], about: set[Cid]
) -> None:
    """Lost: nobody can ask by whose word a project came to the data. A project that names no data is about all."""

    async def story(there: Hospital) -> None:
        await publish(there)
        there.mallory.add("dataset", dataset(THEIRS))
        there.mallory.add("project", project(*named))
        approval = ApproveFields(project=trial(there), terms=project(*named).terms)
        first = await write(there, "approve", approval)
        withdrawn = ApproveFields(project=trial(there), terms=project(*named).terms, withdrawn=True)
        await write(there, "approve", withdrawn, first)
        rows = await noted(there)
        assert [(body.kind, fields.withdrawn) for body, fields in rows] == [("approve", False), ("approve", True)]
        for _, fields in rows:
            assert (fields.project, fields.grant) == (trial(there), None)
            assert set(fields.chain) == {*map(str, about), there.steward.did}

    at_a_hospital(tmp_path, story)


def test_an_approval_of_more_data_than_a_row_can_name_is_noted_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: the entry is written, its note is refused for its size, and the steward sees an error."""
    monkeypatch.setattr(noting, "MOST", 1)

    async def story(there: Hospital) -> None:
        await publish(there)
        there.mallory.add("project", project(OURS, ALSO))
        approval = ApproveFields(project=trial(there), terms=project(OURS, ALSO).terms)
        place = await write(there, "approve", approval)
        rows = [fields for _, fields in await noted(there)]
        assert {fields.entry for fields in rows} == {place}
        about = [subject for fields in rows for subject in fields.chain if subject != there.steward.did]
        assert sorted(about) == sorted(map(str, (OURS, ALSO)))
        assert len(rows) == 2

    at_a_hospital(tmp_path, story)


def test_whoever_asks_after_a_dataset_sees_all_that_was_said_of_it(tmp_path: Path) -> None:
    """Grant, approval, revocation: verified rows of the answer; a policy is about no dataset, and in the whole log."""

    async def story(there: Hospital) -> None:
        await publish(there)
        given = grant(there, there.steward)
        await write(there, "grant", given)
        there.mallory.add("project", project(OURS))
        await write(there, "approve", ApproveFields(project=trial(there), terms=project(OURS).terms))
        await write(there, "policy", PolicyFields(text=""))
        await write(there, "revoke", RevokeFields(grant=given.cid, reason="by mistake"))
        for changes, kinds in (
            ({"dataset": OURS}, ["grant", "approve", "revoke"]),
            ({"dataset": None}, ["grant", "approve", "policy", "revoke", "heads", "read"]),
        ):
            home = PrivateKeyOf(there.site.root)
            question = who(there.steward, home, at=there.site.clock.now(), **changes)  # type: ignore[arg-type]
            node = Member(there.site.node.did, (there.site.node.did,))
            reading = Reading(question, there.site.root, {there.site.root: node})
            answer = await there.desk.answer(Rows(who=question, after=None), there.site.root)
            rows = list(reading.take(encode(answer)))
            assert all(isinstance(row, Account) for row in rows)
            assert [row.kind for row in rows] == kinds

    at_a_hospital(tmp_path, story)


class PrivateKeyOf:
    """A site of which a question needs the name alone."""

    def __init__(self, did: str) -> None:
        self.did = did


def test_what_a_crash_left_without_its_note_is_noted_once(tmp_path: Path) -> None:
    """Lost: a grant that was given in the moment of a crash stands in no audit log."""

    async def story(there: Hospital) -> None:
        await publish(there)
        site, given = there.site, grant(there, there.steward)
        await write(there, "policy", PolicyFields(text=""))
        own = site.index.site(site.root)
        for kind, fields in (("grant", given), ("revoke", RevokeFields(grant=given.cid, reason=""))):
            body = write_body(kind, fields, site=site.root, at=NOW, by=there.steward)
            place = await site.catalog.append([(kind, encode(body))])
            assert own.add(place, kind, body) is not None
        assert await note_missed(site.book, site.index, site.root, site.catalog) == 2
        assert await note_missed(site.book, site.index, site.root, site.catalog) == 0
        rows = await noted(there)
        assert [body.kind for body, _ in rows] == ["policy", "grant", "revoke"]
        assert [fields.entry for _, fields in rows] == [own.size - 3, own.size - 2, own.size - 1]
        assert str(OURS) in rows[2][1].chain

    at_a_hospital(tmp_path, story)


def test_notes_come_in_the_order_of_their_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a crash between two that were written at once leaves the first without its note for ever."""

    async def story(there: Hospital) -> None:
        await publish(there)
        written, held = there.site.book.write, []

        async def watched(lines: Sequence[Line]) -> int:
            held.append(there.site.writer._writing.locked())
            return await written(lines)

        monkeypatch.setattr(there.site.book, "write", watched)
        await write(there, "grant", grant(there, there.steward))
        assert held == [True], "no other entry is written before this one is noted"

    at_a_hospital(tmp_path, story)
