"""Who gets the key of a shared dataset: whom label, grant and policy let, as long as they do, and nobody else."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from nacl.public import PrivateKey as EncryptionKey

from catalog.approve import ApproveFields
from catalog.body import Body, fields_of, write_body
from catalog.cid import Cid
from catalog.crypt4gh import read_header
from catalog.dagcbor import cid_of, encode
from catalog.dataset import Level
from catalog.error import Denied, NotFound, VerificationFailed
from catalog.grant import Action, Grant, GrantFields
from catalog.httpsig import SignedRequest, digest_of, kept_request, sign_request
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Role
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from catalog.revoke import RevokeFields
from node.api.committed import check_committed
from node.automator.book import Line
from node.automator.decide import Judge
from node.header import HEADER_PATH, OPEN_PATH, ForCustodian, ForPerson, ForStep, HeaderRequest
from node.site.headers import Headers
from node.site.withholding import BY_SITE, Withheld, Withholding
from node.storage.database import Database
from node.storage.datakeys import DataKeys
from node.storage.shared import SharedData
from node.system import SystemRandom
from privacy.label import person_at, shared
from privacy.starters import HOSPITAL
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, NOW, STEWARDS, House, Recent, dataset, play, write_all
from workflow.account import Chain, HaltFields, KeyReleaseFields, WithheldFields
from workflow.argument import Argument, Data
from workflow.submission import Submission

CONSORTIUM = Cid.of(b"the consortium")
MARA = PrivateKey(b"mara" * 8)
SECRETS = {who.did: EncryptionKey(bytes([number]) * 32) for number, who in enumerate((MARA, *NODES.values()), 50)}
PROJECT = ProjectRef(site=CLARA.did, name="trial")
KEY = b"k" * 32
PURPOSE = "DUO:0000042"
BLOCK = Cid.of(b"block")


class Hospital:
    """Anna's house with a shared dataset, a project of Clara's that she approved, and a grant to Mara at Clara's."""

    def __init__(self, house: House, keys: DataKeys, root: Cid) -> None:
        self.house, self.keys, self.root = house, keys, root
        self.clock = house.clock
        house.members.consortium = CONSORTIUM  # type: ignore[attr-defined]
        members: object = house.members
        self.withholding = Withholding(house.book, house.clock.now)
        self.headers = Headers(
            ANNA.did,
            house.index,
            members,
            keys,
            self.judge_of,
            house.book,
            self.withholding,
            house.clock,
            SystemRandom(),  # type: ignore[arg-type]
        )
        for site in (BRUNO, CLARA):
            self.enrol(site, NODES[site.did], Role.NODE, site)
        self.enrol(CLARA, MARA, Role.RESEARCHER)
        house.entry(ANNA, "policy", PolicyFields(text=HOSPITAL))
        self.fields = structs.replace(
            dataset(root, CLARA.did, BRUNO.did, person_at(MARA.did, CLARA.did)), level=Level.SHARED, purposes=(PURPOSE,)
        )
        house.entry(ANNA, "dataset", self.fields)
        self.project = ProjectFields(
            name="trial", people={MARA.did: b"s" * 32}, purpose=PURPOSE, datasets=(root,), not_after=NOW + 10**9
        )
        house.entry(CLARA, "project", self.project)
        house.entry(ANNA, "approve", ApproveFields.of(PROJECT, self.project))
        self.grant = self.give(Action.FETCH, Action.COMPUTE)
        self.nonce = 0

    async def judge_of(self, owner: str) -> Judge:
        return Judge(self.house.index.site(owner), self.house.index, "St. Anna", "", Recent())

    def enrol(self, site: PrivateKey, key: PrivateKey, role: Role, by: PrivateKey | None = None) -> None:
        x25519 = bytes(SECRETS[key.did].public_key)
        self.house.entry(site, "key", KeyFields(did=key.did, role=role, name="Mara", x25519=x25519), by)

    def give(self, *actions: Action) -> Cid:
        grant = Grant(
            consortium=CONSORTIUM,
            issuer=STEWARDS[ANNA.did].did,
            site=ANNA.did,
            subject=MARA.did,
            project=PROJECT,
            claims=(),
            datasets=(self.root,),
            purposes=(PURPOSE,),
            actions=actions,
            blocks=(),
            destinations=(),
            not_after=NOW + 10**9,
            parent=None,
            sig=UNSIGNED,
        )
        made = signed(grant, STEWARDS[ANNA.did])
        self.house.entry(ANNA, "grant", GrantFields(grant=made))
        return cid_of(made)

    def change(self, kind: str, fields: object) -> None:
        """A new version of an entry of Anna's, whose subject has one."""
        index = self.house.index.site(ANNA.did)
        subject = str(self.root) if kind == "dataset" else ""
        before = index.latest(kind, subject)
        assert before is not None
        body = write_body(
            kind,
            fields,
            site=ANNA.did,
            at=NOW,
            by=STEWARDS[ANNA.did],
            previous=before.index,  # type: ignore[arg-type]
        )
        assert index.add(index.size, kind, body) is not None, index.faults

    def opens(
        self, by: PrivateKey = MARA, at: PrivateKey = CLARA, root: Cid | None = None, path: str = ""
    ) -> SignedRequest:
        """What a person signs to their own node."""
        self.nonce += 1
        target = path or f"{OPEN_PATH}{root or self.root}?project=trial&project_site={CLARA.did}"
        node = NODES[at.did].did
        headers = sign_request(by, "GET", target, peer=node, now=self.clock.time, nonce=self.nonce.to_bytes(16, "big"))
        return kept_request("GET", target, headers.items(), body_digest=None, peer=node)

    def submission(self, **changes: object) -> Submission:
        inputs: dict[str, Argument] = {"table": Data(site=ANNA.did, cid=self.root, name="table")}
        made = Submission(
            consortium=CONSORTIUM,
            epoch=0,
            person=MARA.did,
            site=CLARA.did,
            project=PROJECT,
            workflow=Cid.of(b"workflow"),
            inputs=inputs,
            grants=(self.grant,),
            destinations=(CLARA.did,),
            deadline=NOW + 10**6,
            budget=1,
            min_sites=1,
            not_before=NOW - 1,
            not_after=NOW + 10**6,
            buses=(NODES[CLARA.did].did,),
            nonce=bytes(16),
            sig=UNSIGNED,
        )
        return signed(structs.replace(made, **changes), MARA)

    async def ask(self, asked: object, node: PrivateKey, root: Cid | None = None) -> bytes:
        """What Anna's node answers to the node of a member, or to a stranger's."""
        body = encode(HeaderRequest(owner=ANNA.did, dataset=root or self.root, asked=asked))  # type: ignore[arg-type]
        peer = NODES[ANNA.did].did
        headers = sign_request(node, "POST", HEADER_PATH, peer=peer, now=self.clock.time, nonce=bytes(16), body=body)
        kept = kept_request("POST", HEADER_PATH, headers.items(), body_digest=digest_of(body), peer=peer)
        return await self.headers.answer(node.did, body, kept)

    async def refused(self, asked: object, node: PrivateKey, root: Cid | None = None) -> str:
        """It is refused with the one answer, and no row says that a key left."""
        before = len(await self.house.audited())
        with pytest.raises(NotFound) as refusal:
            await self.ask(asked, node, root)
        assert len(await self.house.audited()) == before
        return str(refusal.value)


def at_anna(path: Path, story: Callable[[Hospital], Awaitable[None]]) -> None:
    async def main(house: House) -> None:
        database = Database.open(path / "state.db")
        keys = DataKeys(database)
        (path / "table.csv").write_bytes(b"rows")
        root = await SharedData(house.blobs, SystemRandom().token).add_path(path / "table.csv", KEY)
        await keys.keep(root, ANNA.did, KEY)
        await story(Hospital(house, keys, root))
        database.close()

    play(path, main)


CLARAS, BRUNOS = NODES[CLARA.did], NODES[BRUNO.did]


def test_the_reader_whom_label_grant_and_policy_let_gets_the_key_and_it_is_written_down(tmp_path: Path) -> None:
    """Lost: shared data that nobody can open, or a key that left without a trace that binds who asked."""

    async def story(at: Hospital) -> None:
        header = await at.ask(ForPerson(request=at.opens()), CLARAS)
        assert read_header(header, bytes(SECRETS[MARA.did])) == (KEY, 124)
        with pytest.raises(Denied):
            read_header(header, bytes(SECRETS[CLARAS.did]))
        body = (await at.house.audited())[-1]
        row = fields_of(body, KeyReleaseFields)
        assert (row.root, row.reader, row.person) == (at.root, person_at(MARA.did, CLARA.did), MARA.did)
        assert {str(at.root), MARA.did} == set(row.chain)
        check_committed(body, row, lambda site: (NODES[site].did,))
        for changed in (
            structs.replace(
                row, person=STEWARDS[ANNA.did].did, chain={STEWARDS[ANNA.did].did: row.chain[MARA.did], **row.chain}
            ),
            structs.replace(row, reader=CLARA.did),
            structs.replace(row, site=BRUNO.did),
            structs.replace(row, request=None),
            structs.replace(row, asked=None),
        ):
            with pytest.raises(VerificationFailed):
                check_committed(body, changed, lambda site: (NODES[site].did,))

    at_anna(tmp_path, story)


def test_a_step_at_a_site_that_the_label_names_gets_the_key_for_its_node(tmp_path: Path) -> None:
    """Lost: nothing computes on shared data but where they are; or the node gets it without a person's word."""

    async def story(at: Hospital) -> None:
        asked = ForStep(submission=encode(at.submission()), block=BLOCK)
        header = await at.ask(asked, CLARAS)
        assert read_header(header, bytes(SECRETS[CLARAS.did])) == (KEY, 124)
        body = (await at.house.audited())[-1]
        row = fields_of(body, KeyReleaseFields)
        assert (row.reader, row.person) == (CLARA.did, MARA.did)
        check_committed(body, row, lambda site: (NODES[site].did,))
        for wrong in (
            at.submission(not_after=NOW - 1),
            at.submission(not_before=NOW + 1),
            at.submission(consortium=Cid.of(b"another")),
            at.submission(grants=()),
            at.submission(inputs={}),
            structs.replace(at.submission(), nonce=b"x" * 16),
        ):
            await at.refused(ForStep(submission=encode(wrong), block=BLOCK), CLARAS)
        await at.refused(ForStep(submission=b"none", block=BLOCK), CLARAS)

    at_anna(tmp_path, story)


def test_a_site_that_holds_the_ciphertext_gets_no_key_by_that(tmp_path: Path) -> None:
    """Lost: ciphertext travels because only readers open it. Bruno may hold it; nobody there was granted anything."""

    async def story(at: Hospital) -> None:
        stranger = PrivateKey(b"stranger" * 4)
        told = {
            await at.refused(ForPerson(request=at.opens()), BRUNOS),  # Mara's request, at another site than she asked
            await at.refused(ForPerson(request=at.opens(at=BRUNO)), BRUNOS),  # she is not of that site
            await at.refused(ForPerson(request=at.opens(by=STEWARDS[BRUNO.did], at=BRUNO)), BRUNOS),
            await at.refused(ForPerson(request=at.opens(by=CLARAS)), CLARAS),  # the node stands for nobody
            await at.refused(ForPerson(request=at.opens()), stranger),
            await at.refused(ForStep(submission=encode(at.submission(grants=())), block=BLOCK), BRUNOS),
            await at.refused(ForCustodian(), BRUNOS),
            await at.refused(ForPerson(request=at.opens(root=Cid.of(b"unknown"))), CLARAS, Cid.of(b"unknown")),
            await at.refused(ForPerson(request=at.opens(root=Cid.of(b"other"))), CLARAS),
            await at.refused(ForPerson(request=at.opens(path=f"/v1/files/{at.root}")), CLARAS),
        }
        assert len(told) == 1, "unknown and forbidden differ"

    at_anna(tmp_path, story)


def test_a_request_opens_once_and_not_later(tmp_path: Path) -> None:
    """Lost: whoever saw a person's request gets the header again, after it was revoked or in another's name."""

    async def story(at: Hospital) -> None:
        request = at.opens()
        await at.ask(ForPerson(request=request), CLARAS)
        await at.refused(ForPerson(request=request), CLARAS)
        old = at.opens()
        at.clock.time += 62_000
        await at.refused(ForPerson(request=old), CLARAS)
        await at.ask(ForPerson(request=at.opens()), CLARAS)

    at_anna(tmp_path, story)


def _revoked(at: Hospital) -> None:
    at.house.entry(ANNA, "revoke", RevokeFields(grant=at.grant, reason="over"))


def _narrowed(at: Hospital) -> None:
    at.change("dataset", structs.replace(at.fields, label=dataset(at.root, BRUNO.did).label))


def _withdrawn(at: Hospital) -> None:
    at.change("dataset", structs.replace(at.fields, withdrawn=True))


def _unapproved(at: Hospital) -> None:
    index = at.house.index.site(ANNA.did)
    before = index.latest("approve", PROJECT.subject)
    assert before is not None
    fields = ApproveFields.of(PROJECT, at.project, withdrawn=True)
    body = write_body("approve", fields, site=ANNA.did, at=NOW, by=STEWARDS[ANNA.did], previous=before.index)
    assert index.add(index.size, "approve", body) is not None


def _forbidden(at: Hospital) -> None:
    at.change("policy", PolicyFields(text='@id("x") forbid (principal, action == Action::"fetch", resource);'))


def _silent(at: Hospital) -> None:
    at.change("policy", PolicyFields(text=""))


def _other_purpose(at: Hospital) -> None:
    at.change("dataset", structs.replace(at.fields, purposes=("DUO:0000011",)))


def _halted(project: ProjectRef | None, member: str | None) -> Callable[[Hospital], None]:
    def undo(at: Hospital) -> None:
        fields = HaltFields(project=project, member=member, reason="stop", statement=None, chain={})
        at.house.book.halts.take(0, write_body("halt", fields, site=ANNA.did, at=NOW, by=NODES[ANNA.did]))

    return undo


HALTS = {"all": (None, None), "the project": (PROJECT, None), "the reader's site": (None, CLARA.did)}


@pytest.mark.parametrize("what", HALTS)
def test_a_halted_site_gives_no_header_of_what_is_halted(tmp_path: Path, what: str) -> None:
    """Lost: a steward halts everything, and keys go on leaving."""

    async def story(at: Hospital) -> None:
        _halted(*HALTS[what])(at)
        await at.refused(ForPerson(request=at.opens()), CLARAS)
        await at.refused(ForStep(submission=encode(at.submission()), block=BLOCK), CLARAS)

    at_anna(tmp_path, story)


@pytest.mark.parametrize(
    "undo",
    [_revoked, _narrowed, _withdrawn, _unapproved, _forbidden, _silent, _other_purpose],
    ids=lambda f: f.__name__,
)
def test_what_is_taken_back_gives_no_further_header(tmp_path: Path, undo: Callable[[Hospital], None]) -> None:
    """Lost: a steward takes access back, and the next header goes out all the same."""

    async def story(at: Hospital) -> None:
        step = ForStep(submission=encode(at.submission()), block=BLOCK)
        await at.ask(ForPerson(request=at.opens()), CLARAS)
        await at.ask(step, CLARAS)
        undo(at)
        await at.refused(ForPerson(request=at.opens()), CLARAS)
        await at.refused(step, CLARAS)

    at_anna(tmp_path, story)


def test_compute_is_not_fetch(tmp_path: Path) -> None:
    """Lost: a grant to compute hands the data out, as no policy and no steward meant."""

    async def story(at: Hospital) -> None:
        _revoked(at)
        at.give(Action.SEE, Action.COMPUTE, Action.RELEASE)
        await at.refused(ForPerson(request=at.opens()), CLARAS)

    at_anna(tmp_path, story)


def test_the_owners_own_people_ask_their_own_node_and_are_held_to_the_same(tmp_path: Path) -> None:
    """Lost: whoever is at home at the owner needs no grant, or leaves no row that binds them."""

    async def story(at: Hospital) -> None:
        own = at.opens(at=ANNA)
        with pytest.raises(Denied, match="not enrolled"):
            await at.headers.open_here(ANNA.did, at.root, MARA.did, own)
        at.enrol(ANNA, MARA, Role.RESEARCHER)
        with pytest.raises(Denied):  # the label names her at Clara's
            await at.headers.open_here(ANNA.did, at.root, MARA.did, at.opens(at=ANNA))
        here = dataset(at.root, person_at(MARA.did, ANNA.did)).label
        at.change("dataset", structs.replace(at.fields, label=here))
        with pytest.raises(VerificationFailed, match="another person"):
            await at.headers.open_here(ANNA.did, at.root, STEWARDS[ANNA.did].did, at.opens(at=ANNA))
        header = await at.headers.open_here(ANNA.did, at.root, MARA.did, at.opens(at=ANNA))
        assert read_header(header, bytes(SECRETS[MARA.did]))[0] == KEY
        body = (await at.house.audited())[-1]
        row = fields_of(body, KeyReleaseFields)
        assert (row.site, row.asked) == (ANNA.did, None)
        check_committed(body, row, lambda site: (NODES[site].did,))
        with pytest.raises(VerificationFailed):
            check_committed(body, structs.replace(row, reader=ANNA.did), lambda site: (NODES[site].did,))

    at_anna(tmp_path, story)


def test_a_custodian_gets_the_key_if_the_entry_names_it_and_gives_it_to_nobody_by_that(tmp_path: Path) -> None:
    """Lost: any member takes keys into keeping; or a key in keeping opens data for the custodian's own people."""

    async def story(at: Hospital) -> None:
        await at.refused(ForCustodian(), BRUNOS)
        at.change("dataset", structs.replace(at.fields, custodians=(BRUNO.did,)))
        header = await at.ask(ForCustodian(), BRUNOS)
        assert read_header(header, bytes(SECRETS[BRUNOS.did]))[0] == KEY
        body = (await at.house.audited())[-1]
        row = fields_of(body, KeyReleaseFields)
        assert (row.reader, row.person, row.decision) == (BRUNO.did, None, None)
        check_committed(body, row, lambda site: (NODES[site].did,))
        await at.refused(ForCustodian(), CLARAS)
        await at.refused(ForStep(submission=encode(at.submission(grants=())), block=BLOCK), BRUNOS)

    at_anna(tmp_path, story)


def test_whose_custodian_this_site_is_not_any_more_gets_nothing_from_it(tmp_path: Path) -> None:
    """Lost: an owner takes a key out of keeping, and it is given on all the same."""

    async def story(at: Hospital) -> None:
        fields = structs.replace(
            at.fields, label=shared(BRUNO.did, [person_at(MARA.did, CLARA.did)]), custodians=(ANNA.did,)
        )
        at.house.entry(BRUNO, "dataset", fields)
        await at.keys.keep(at.root, BRUNO.did, KEY)
        assert await at.headers._kept(BRUNO.did, at.root) == (KEY, fields)
        index = at.house.index.site(BRUNO.did)
        before = index.latest("dataset", str(at.root))
        assert before is not None
        gone = structs.replace(fields, custodians=())
        body = write_body("dataset", gone, site=BRUNO.did, at=NOW, by=STEWARDS[BRUNO.did], previous=before.index)
        assert index.add(index.size, "dataset", body) is not None
        with pytest.raises(NotFound):
            await at.headers._kept(BRUNO.did, at.root)

    at_anna(tmp_path, story)


def test_a_key_that_is_destroyed_is_gone_from_the_file(tmp_path: Path) -> None:
    """Lost: a withdrawn dataset is opened by whoever gets the machine's disk."""

    async def story(at: Hospital) -> None:
        await at.keys.destroy(at.root, ANNA.did)
        await at.refused(ForPerson(request=at.opens()), CLARAS)

    at_anna(tmp_path, story)
    for file in tmp_path.glob("state.db*"):
        assert KEY not in file.read_bytes()
    with sqlite3.connect(tmp_path / "state.db") as sql:
        assert sql.execute("SELECT count(*) FROM datakey").fetchone() == (0,)
    sql.close()
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


async def withheld(at: Hospital) -> list[tuple[Body, WithheldFields]]:
    """What was refused so far, written down; each is what whoever asked signed for."""
    await write_all(at.withholding)
    found = [(body, fields_of(body, WithheldFields)) for body in await at.house.audited() if body.kind == "withheld"]
    for body, row in found:
        check_committed(body, row, lambda site: (NODES[site].did,))
    return found


def test_who_was_refused_a_key_stands_in_the_log_with_the_reason_that_they_were_not_told(tmp_path: Path) -> None:
    """Lost: a revoked reader tries day after day, and no steward ever sees it."""

    async def story(at: Hospital) -> None:
        _revoked(at)
        for _ in range(3):
            await at.refused(ForPerson(request=at.opens()), CLARAS)
        await at.refused(ForStep(submission=encode(at.submission()), block=BLOCK), CLARAS)
        await at.refused(ForCustodian(), BRUNOS)
        rows = [row for _, row in await withheld(at)]
        assert [(row.site, row.person, row.key) for row in rows] == [
            (CLARA.did, MARA.did, True),
            (BRUNO.did, None, True),
        ], "the same is one row an hour, and a custodian that is none another"
        assert "the grant was revoked" in rows[0].reason
        await at.refused(ForStep(submission=b"none", block=BLOCK), CLARAS)
        await at.refused(ForPerson(request=at.opens(root=Cid.of(b"unknown"))), CLARAS, Cid.of(b"unknown"))
        body, row = (await withheld(at))[0]
        assert len(await withheld(at)) == 2, "what is not here, or nobody signed, is not put down to anybody"
        for changed in (
            structs.replace(row, person=None),
            structs.replace(row, site=BRUNO.did),
            structs.replace(row, root=Cid.of(b"other")),
            structs.replace(row, asked=None),
            structs.replace(row, request=None),
            structs.replace(row, key=False),
            structs.replace(row, project=None),
        ):
            with pytest.raises(VerificationFailed):
                check_committed(body, changed, lambda site: (NODES[site].did,))

    at_anna(tmp_path, story)


def test_more_refusals_than_are_written_down_are_one_row_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: whoever is refused fills the log of the hospital that refuses."""
    few = replace(BY_SITE, most=20)
    monkeypatch.setattr("node.site.withholding.BY_SITE", few)

    async def story(at: Hospital) -> None:
        _revoked(at)
        for number in range(few.most + 20):
            given = Withheld(root=at.root, site=BRUNO.did, key=True, reason=f"no {number}", datasets=[at.root])
            await at.withholding.write(given)
        kinds = Counter(body.kind for body in await at.house.audited())
        assert (kinds["withheld"], kinds["unwritten"]) == (few.most, 1)

    at_anna(tmp_path, story)


def test_a_key_is_given_for_the_data_alone_that_its_project_was_approved_for(tmp_path: Path) -> None:
    """Lost: an approval of one dataset opens every other, to whom a grant names for it."""

    async def story(at: Hospital) -> None:
        index = at.house.index.site(CLARA.did)
        before = index.latest("project", "trial")
        assert before is not None
        other = structs.replace(at.project, datasets=(Cid.of(b"other data"),))
        body = write_body("project", other, site=CLARA.did, at=NOW, by=STEWARDS[CLARA.did], previous=before.index)
        assert index.add(index.size, "project", body) is not None
        approval = at.house.index.site(ANNA.did).latest("approve", PROJECT.subject)
        assert approval is not None
        agreed = ApproveFields.of(PROJECT, other)
        body = write_body("approve", agreed, site=ANNA.did, at=NOW, by=STEWARDS[ANNA.did], previous=approval.index)
        assert at.house.index.site(ANNA.did).add(at.house.index.site(ANNA.did).size, "approve", body) is not None
        await at.refused(ForPerson(request=at.opens()), CLARAS)
        assert "approved for other data" in (await withheld(at))[0][1].reason

    at_anna(tmp_path, story)


def test_a_halt_while_it_is_judged_stops_it(tmp_path: Path) -> None:
    """Lost: a key leaves after the halt stands in the log, and the row that says so comes behind it."""

    async def story(at: Hospital) -> None:
        judge_of = at.headers._judge_of

        async def meanwhile(owner: str) -> Judge:
            def fields(chain: Chain, _index: int) -> HaltFields:
                return HaltFields(project=None, member=None, reason="an incident", statement=None, chain=chain)

            await at.house.book.write([Line("halt", (), fields, (ANNA.did,))])
            return await judge_of(owner)

        at.headers._judge_of = meanwhile
        with pytest.raises(NotFound):
            await at.ask(ForPerson(request=at.opens()), CLARAS)
        assert [body.kind for body in await at.house.audited()] == ["halt"]

    at_anna(tmp_path, story)
