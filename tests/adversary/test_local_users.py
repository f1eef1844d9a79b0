"""Attacks by a person of the site, or by whoever reached its interface: beyond the role that the steward gave."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.block import BlockFields
from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.dataset import Level
from catalog.error import BadInput, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.grant import Action, Grant, GrantFields
from catalog.httpsig import SignedRequest, kept_request, sign_request
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Role
from catalog.offer import OfferFields
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from node.api import schema
from node.api.blocks import ImportBlock
from node.api.copies import BringCopy
from node.bus.journal import State
from node.header import OPEN_PATH
from node.site import blocks, fetching, mirroring, opening, publishing, results, submitting
from node.site.job import read_job
from node.site.service import SiteService
from privacy.label import OPEN, person_at, resident, shared
from tests.adversary.hospital import NOW, PURPOSE, Hospital, at_a_hospital, dataset
from tests.adversary.stage import TEXT, Stage

ASKED = SignedRequest(base=b"what the local interface has checked", sig=UNSIGNED)
EVERY = '@id("all") permit (principal, action, resource);'


def body(there: Hospital, kind: str, fields: Value, by: PrivateKey) -> schema.WriteEntry:
    """An entry as a client sends it."""
    made = write_body(kind, fields, site=there.site.root, at=NOW, by=by)
    return schema.WriteEntry(body=encode(made))


def entries(there: Hospital) -> dict[str, Value]:
    """What only a steward writes, each with the gain that a researcher would have of it."""
    grant = Grant(
        consortium=Cid.of(b"c"), issuer=there.mara.did, site=there.site.root, subject=there.mara.did,
        project=ProjectRef(site=there.site.root, name="mine"), claims=(), datasets=(Cid.of(b"x"),),
        purposes=(PURPOSE,), actions=(Action.COMPUTE,), blocks=(), destinations=(), not_after=NOW * 2, parent=None,
        sig=UNSIGNED,
    )  # fmt: skip
    return {
        "policy": PolicyFields(text=EVERY),
        "grant": GrantFields(grant=signed(grant, there.mara)),
        "offer": OfferFields(runner="sandbox", price=0, step_millis=1),
        "project": ProjectFields(
            name="mine", people={there.mara.did: bytes(32)}, purpose=PURPOSE, datasets=(), not_after=NOW * 2
        ),
        "key": KeyFields(did=there.mara.did, role=Role.STEWARD, name="Mara", x25519=bytes(32)),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["policy", "grant", "offer", "project", "key", "dataset"])
def test_a_researcher_writes_what_stewards_write(kind: str, tmp_path: Path) -> None:
    """Else whoever has a role has every role. The node's own key, which a thief may have, writes none of it either."""

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara)
        service, size = SiteService(there.site), there.site.catalog.size
        fields = dataset(await there.site.blobs.add(b"x")) if kind == "dataset" else entries(there)[kind]
        for by in (there.mara, there.site.node.key, there.paul, there.mallory.steward):
            with pytest.raises((Denied, VerificationFailed)):
                await service.write_entry(body(there, kind, fields, by))
        assert there.site.catalog.size == size
        if kind not in ("grant", "key"):
            await service.write_entry(body(there, kind, fields, there.steward))
            assert there.site.catalog.size == size + 1

    at_a_hospital(tmp_path, test)


def test_a_node_key_of_a_thiefs_choice(tmp_path: Path) -> None:
    """Else a steward's key is enough to replace the node, and everything signs for the thief."""

    async def test(there: Hospital) -> None:
        fields = KeyFields(did=there.mara.did, role=Role.NODE, name="node", x25519=bytes(32))
        size = there.site.catalog.size
        with pytest.raises(Conflict, match="rotate"):
            await SiteService(there.site).write_entry(body(there, "key", fields, there.steward))
        with pytest.raises(VerificationFailed):  # nor past the check of who may ask for it
            await there.write("key", fields)
        assert there.site.catalog.size == size

    at_a_hospital(tmp_path, test)


def test_an_entry_for_another_site_or_written_again(tmp_path: Path) -> None:
    """Else what a steward signed once counts elsewhere, or again after it was replaced."""

    async def test(there: Hospital) -> None:
        service = SiteService(there.site)
        old = body(there, "policy", PolicyFields(text=""), there.steward)
        await service.write_entry(old)
        with pytest.raises(VerificationFailed, match="latest version"):
            await service.write_entry(old)
        made = write_body("offer", OfferFields(runner="sandbox", price=0, step_millis=1), site=there.mallory.root.did,
                          at=NOW, by=there.steward)  # fmt: skip
        with pytest.raises(VerificationFailed, match="another site"):
            await service.write_entry(schema.WriteEntry(body=encode(made)))

    at_a_hospital(tmp_path, test)


def test_a_researcher_imports_a_file_of_the_nodes_machine(tmp_path: Path) -> None:
    """Else a researcher has the node read, and publish, whatever the node may read."""

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara)
        request = schema.ImportDataset(path=str(there.site.folder.node_key), level="open")
        for person in (there.mara.did, there.paul.did, there.site.node.did, there.site.root):
            with pytest.raises(Denied):
                await publishing.import_dataset(there.site, person, request)

    at_a_hospital(tmp_path, test)


def test_a_researcher_shares_a_held_output_as_a_block(tmp_path: Path) -> None:
    """Else calling a held output a block hands it to any site, and says whether a guess of its bytes is right."""

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara)
        site = there.site
        held, own = await site.blobs.add(b"held"), await site.blobs.add(b"a block of mara's")
        site.holdings.hold(held, resident(site.root), [])
        label = shared(site.root, [there.mallory.root.did])
        told = set()
        for cid in (held, Cid.of(b"not here")):
            fields = BlockFields(cid=cid, name="b", label=label, description="", outputs={})
            with pytest.raises(NotFound) as refused:
                await SiteService(site).write_entry(body(there, "block", fields, there.mara))
            told.add(str(refused.value).replace(str(cid), "CID"))
            await there.write("block", fields, there.mara)  # past the check of what it names
            with pytest.raises(NotFound):
                site.holdings.for_site(held, there.mallory.root.did)
        assert len(told) == 1
        fields = BlockFields(cid=own, name="b", label=label, description="", outputs={})
        await SiteService(site).write_entry(body(there, "block", fields, there.mara))
        (held_for,) = site.holdings.for_site(own, there.mallory.root.did)
        assert held_for.project is None, "it is published, for no project"

    at_a_hospital(tmp_path, test)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "a//x", "", ".", "a/.", "a\nb", "a\x00b", "x" * 2000, "\x1b[2J"]
)
def test_a_blocks_files_beside_its_folder(name: str, tmp_path: Path) -> None:
    """Else packing a block writes anywhere on the node's machine."""

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara)
        tool = b"cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [x]\ninputs: {}\noutputs: {}\n"
        request = ImportBlock(files={"tool.cwl": tool, name: b"x"})
        with pytest.raises(BadInput, match="relative path"):
            await blocks.import_block(there.site, there.mara.did, request)
        assert list(there.site.folder.work.glob("**/*")) == []

    at_a_hospital(tmp_path, test)


def test_another_researchers_submission_and_result(tmp_path: Path) -> None:
    """Else colleagues read one another's work; what is another's is as if it were not there."""
    stage = Stage()

    async def test(there: Hospital) -> None:
        await there.enrol(there.paul)
        await there.enrol(there.mara)
        submission = stage.submission(there.mara, person=there.mara.did, site=there.site.root)
        cid, site = cid_of(submission), there.site
        await site.journal.begin(submission, TEXT, NOW)
        await site.journal.end(cid, State.DONE, "", NOW)
        for person in (there.paul.did, there.site.node.did, there.mallory.person.did):
            for what in (cid, Cid.of(b"no such")):
                with pytest.raises(NotFound):
                    await submitting.find(site, person, what)
                with pytest.raises(NotFound):
                    await submitting.wait(site, person, what, 0)
                with pytest.raises(NotFound):
                    await results.result(site, person, ASKED, what, "pooled")
        assert await SiteService(site).submissions(there.paul.did) == ()
        assert (await submitting.find(site, there.mara.did, cid)).cid == cid

    at_a_hospital(tmp_path, test)


def test_a_submission_of_a_person_who_was_removed(tmp_path: Path) -> None:
    """Else whoever left goes on reading what became of the data."""
    stage = Stage()

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara)
        submission = stage.submission(there.mara, person=there.mara.did, site=there.site.root)
        await there.site.journal.begin(submission, TEXT, NOW)
        service = SiteService(there.site)
        assert (await service.submission(there.mara.did, cid_of(submission), 0)).submission == cid_of(submission)
        await there.remove(there.mara)
        with pytest.raises(Denied):
            await service.submission(there.mara.did, cid_of(submission), 0)

    at_a_hospital(tmp_path, test)


def test_a_submission_in_anothers_name(tmp_path: Path) -> None:
    """Else a token, which every local user of the terminal has, is enough to act as anybody."""
    stage = Stage()

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara)
        await there.enrol(there.paul)
        site = there.site
        site.consorting = NotNone  # type: ignore[assignment]
        whole = stage.submission(there.mara, person=there.mara.did, site=site.root, buses=(site.node.did,))
        by_paul = signed(whole, there.paul)
        elsewhere = stage.submission(there.mara, person=there.mara.did)
        site.membership.consortium = whole.consortium
        for person, sent in (
            (there.paul.did, whole), (there.mara.did, by_paul), (there.paul.did, by_paul),
            (there.mara.did, elsewhere), (site.node.did, whole),
        ):  # fmt: skip
            with pytest.raises((Denied, VerificationFailed)):
                await submitting.submit(site, person, schema.Submit(submission=encode(sent), workflow=TEXT))
        with pytest.raises(NotFound, match="no member has the root key"):  # past every check of who asks
            await submitting.submit(site, there.mara.did, schema.Submit(submission=encode(whole), workflow=TEXT))
        assert await site.journal.records() == []

    at_a_hospital(tmp_path, test)


class NotNone:
    """Stands where a consortium would be: nothing of it may be reached before the submission is checked."""


def test_open_data_that_only_its_publisher_calls_open(tmp_path: Path) -> None:
    """Else a researcher and another member read what lies in the hospital's store: she fetches what that one claims."""

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara)
        held = await there.site.blobs.add(b"held")
        there.site.holdings.hold(held, resident(there.site.root), [])
        there.mallory.dataset(held, OPEN)
        with pytest.raises((NotFound, Unreachable)):
            await fetching.fetch_file(there.site, there.mara.did, ASKED, held, "", "")
        assert there.site.audit.size == 0

    at_a_hospital(tmp_path, test)


@pytest.mark.parametrize("level", [Level.SHARED, Level.OPEN])
def test_data_that_another_member_publishes_too(level: Level, tmp_path: Path) -> None:
    """Else a member keeps everybody from anybody's open data, by an entry of its own about the same CID."""

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara)
        cid = await there.site.blobs.add(b"rows")
        await there.site.brought.keep(there.other.root.did, cid)
        there.mallory.add("dataset", dataset(cid, OPEN, level))
        there.other.dataset(cid)
        assert await fetching.fetch_file(there.site, there.mara.did, ASKED, cid, "", "") == b"rows"
        copied = await mirroring.bring_copy(there.site, there.steward.did, BringCopy(cid=cid))
        assert copied.owner == there.other.root.did

    at_a_hospital(tmp_path, test)


@pytest.mark.parametrize("named", [False, True], ids=["for others", "for the same reader"])
def test_shared_data_that_another_member_publishes_too(named: bool, tmp_path: Path) -> None:
    """Else a member keeps readers from anybody's shared data, by an entry of its own about the same CID."""

    async def test(there: Hospital) -> None:
        site = there.site
        await there.enrol(there.mara)
        (tmp_path / "table.csv").write_bytes(b"rows")
        root = await site.shared.add_path(tmp_path / "table.csv", bytes(32))
        await site.brought.keep(there.other.root.did, root)
        reader = person_at(there.mara.did, site.root)
        bait = shared(there.mallory.root.did, [reader, site.root] if named else [there.other.root.did])
        there.mallory.add("dataset", dataset(root, bait, Level.SHARED))
        there.other.add("dataset", dataset(root, shared(there.other.root.did, [reader, site.root]), Level.SHARED))

        async def header(owner: str, *_: object) -> bytes:
            if owner != there.other.root.did:
                raise Denied("no key is given")
            return b"header"

        site.keyholders.for_person = header  # type: ignore[method-assign, assignment]
        target = f"{OPEN_PATH}{root}?project=trial&project_site={site.root}"
        now, node = site.clock.now(), site.node.did
        headers = sign_request(there.mara, "GET", target, peer=node, now=now, nonce=bytes(16))
        signed_for = kept_request("GET", target, headers.items(), body_digest=None, peer=node)
        view = await opening.open_shared(site, there.mara.did, signed_for, root, "trial", site.root)
        assert view.header == b"header"
        assert await opening.shared_piece(site, there.mara.did, root, "manifest", "0")

    at_a_hospital(tmp_path, test)


@pytest.mark.parametrize(
    "job", [b"1" * 60_000, b"[" * 60_000, b"{", b"[]", b"null", b'{"a": ' + b"9" * 50_000 + b"}", b"\xff"]
)
def test_a_job_that_is_a_bomb(job: bytes, tmp_path: Path) -> None:
    """Else a job makes the node answer with an error that nobody expected."""

    async def test(there: Hospital) -> None:
        with pytest.raises(BadInput):
            read_job(job, there.site.index)

    at_a_hospital(tmp_path, test)
