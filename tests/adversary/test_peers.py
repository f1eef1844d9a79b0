"""Attacks by a member's node, and by strangers at the door, on a real site: its logs, its store, its audit desk."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeVar

import pytest
import trio
from msgspec import structs

from catalog.body import fields_of, read_body, write_body
from catalog.checkpoint import Checkpoint, add_line, sign_checkpoint, verify_cosignature
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, decode, encode
from catalog.error import BadInput, ComityError, Denied, Full, NotFound, Unreachable, VerificationFailed
from catalog.index import SiteIndex
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.leaf import encode_leaf, seal
from catalog.member import KeyFields, Member, Role
from catalog.merkle import EMPTY_ROOT, Frontier, leaf_hash
from catalog.origin import LogName, origin_of
from catalog.project import ProjectRef
from node.founding import Founder, Founding, Knock
from node.message import (
    AddCheckpoint,
    Added,
    Consistency,
    HeadsAnswer,
    Outcome,
    Place,
    ProofAnswer,
    Row,
    Rows,
    Who,
    WhoAnswer,
    question_bytes,
    read_reply,
)
from node.network.blob import BulkRequest
from node.site import auditdesk
from node.site.auditdesk import AuditDesk
from node.site.gateway import Wanted
from node.site.job import read_job
from node.site.materials import Materials
from node.site.transfer import Holders
from node.storage.car import header, prefix
from node.storage.disk import DiskBlobs
from privacy.label import OPEN, resident, shared
from privacy.starters import HOSPITAL
from tests.adversary.hospital import Hospital, at_a_hospital, dataset
from tests.adversary.stage import Stage
from tests.node.storage.walk import names
from workflow.account import FetchFields, ReadFields, Side
from workflow.argument import Data
from workflow.receipt import Receipt

KEYED = Cid.of(b"patients").keyed(b"k" * 32)
TRIAL = ProjectRef(site=PrivateKey(b"a site that runs a project......").did, name="trial")
Test = Callable[[Hospital], Awaitable[None]]


def who(there: Hospital, person: PrivateKey, home: str, data: Cid = KEYED, **changes: object) -> Who:
    """A person's question."""
    whole = Who(person=person.did, site=home, dataset=data, at=there.site.clock.now(), nonce=bytes(16), sig=UNSIGNED)
    return signed(structs.replace(whole, **changes), person)


async def ask(there: Hospital, asker: str, question: object, kind: type[Value] = WhoAnswer) -> Value:
    """What the hospital answers to the node of the member ``asker``."""
    return read_reply(kind, await there.questions.answer(asker, question_bytes(question)))  # type: ignore[arg-type]


# --- who accessed which data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["BY_PERSON", "BY_SITE"])
def test_questions_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    """Else a member's steward, who may always ask after their own people, fills another's audit log and its disk."""
    monkeypatch.setattr(auditdesk, bound, replace(getattr(auditdesk, bound), most=3, a_day=48))

    async def test(there: Hospital) -> None:
        await there.policy(HOSPITAL)
        home, numbers = there.other.root.did, iter(range(99))

        def question(by: PrivateKey, site: str) -> Rows:
            return Rows(who=who(there, by, site, nonce=next(numbers).to_bytes(16, "big")), after=None)

        before = there.site.audit.size
        for _ in range(3):
            await ask(there, home, question(there.other.person, home))
        for _ in range(3):
            with pytest.raises(Denied, match=r"more than 48 audit questions a day .*; ask again in (29|30|31) min"):
                await ask(there, home, question(there.other.person, home))
        assert there.site.audit.size == before + 6
        mallory = there.mallory.root.did
        assert await ask(there, mallory, question(there.mallory.person, mallory)), "others are not kept from asking"
        for _ in range(3):
            assert await ask(there, there.site.root, question(there.steward, there.site.root))
        if bound == "BY_SITE":
            assert await ask(there, there.site.root, question(there.steward, there.site.root)), "it is their own log"

    at_a_hospital(tmp_path, test)


def test_a_question_passed_on_by_another_site(tmp_path: Path) -> None:
    """Else whoever is asked «who» can ask all others the same in the person's name, and read what they answer."""

    async def test(there: Hospital) -> None:
        await there.policy(HOSPITAL)
        home = there.other.root.did
        question = Rows(who=who(there, there.other.person, home), after=None)
        assert await ask(there, home, question)
        with pytest.raises(Denied, match="another site"):
            await ask(there, there.mallory.root.did, question)

    at_a_hospital(tmp_path, test)


@pytest.mark.parametrize("moved", [-601_000, 601_000])
def test_a_question_of_another_hour(tmp_path: Path, moved: int) -> None:
    """Else a question that was once seen can be asked for ever."""

    async def test(there: Hospital) -> None:
        await there.policy(HOSPITAL)
        home = there.other.root.did
        old = who(there, there.other.person, home, at=there.site.clock.now() + moved)
        with pytest.raises(VerificationFailed, match="ten minutes"):
            await ask(there, home, Rows(who=old, after=None))

    at_a_hospital(tmp_path, test)


def test_a_question_that_the_person_did_not_sign(tmp_path: Path) -> None:
    """Else a node asks in the name of an auditor."""

    async def test(there: Hospital) -> None:
        await there.policy(HOSPITAL)
        home = there.other.root.did
        theirs = who(there, there.other.person, home)
        for forged in (signed(theirs, there.other.node), structs.replace(theirs, dataset=Cid.of(b"more"))):
            with pytest.raises(VerificationFailed, match="signature"):
                await ask(there, home, Rows(who=forged, after=None))

    at_a_hospital(tmp_path, test)


def test_an_auditor_of_another_member_where_no_rule_lets_him(tmp_path: Path) -> None:
    """Else every member's auditor reads every hospital's accesses, whatever its policy says."""

    async def test(there: Hospital) -> None:
        await there.write("dataset", dataset(KEYED, resident(there.site.root)))
        home = there.mallory.root.did
        with pytest.raises(Denied, match="no rule here"):
            await ask(there, home, Rows(who=who(there, there.mallory.person, home), after=None))
        stored = await there.site.audit.body(0)
        assert stored is not None
        asked = fields_of(read_body(stored[1]), ReadFields)
        assert (there.site.audit.size, asked.person, asked.rows) == (1, there.mallory.person.did, 0)
        assert "no rule here" in asked.reason

    at_a_hospital(tmp_path, test)


def test_an_owner_who_only_says_so(tmp_path: Path) -> None:
    """Else publishing another's dataset under its CID is enough to read who accessed it."""

    async def test(there: Hospital) -> None:
        home = there.mallory.root.did
        there.mallory.dataset(KEYED)
        there.other.dataset(KEYED)
        with pytest.raises(Denied, match="no rule here"):
            await ask(there, home, Rows(who=who(there, there.mallory.person, home), after=None))
        await there.write("dataset", dataset(KEYED, resident(there.site.root)))
        with pytest.raises(Denied, match="no rule here"):
            await ask(there, home, Rows(who=who(there, there.mallory.person, home), after=None))
        sole = Cid.of(b"mallory's own")
        there.mallory.dataset(sole)
        assert await ask(there, home, Rows(who=who(there, there.mallory.person, home, sole), after=None))

    at_a_hospital(tmp_path, test)


def test_pages_beyond_either_end(tmp_path: Path) -> None:
    """Else a number makes the audit desk fail, or answer for ever."""

    async def test(there: Hospital) -> None:
        await there.policy(HOSPITAL)
        home = there.other.root.did
        question = who(there, there.other.person, home)
        for after in (None, 0, 1, 2, 1 << 62, (1 << 63) - 1):
            answer = await ask(there, home, Rows(who=question, after=after))
            assert isinstance(answer, WhoAnswer)
            assert len(answer.rows) <= there.site.audit.size
            assert not answer.more or answer.rows

    at_a_hospital(tmp_path, test)


def test_the_desk_is_what_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the questions above are refused for another reason."""
    monkeypatch.setattr(AuditDesk, "_refusal", lambda *_: "")

    async def test(there: Hospital) -> None:
        home = there.mallory.root.did
        assert await ask(there, home, Rows(who=who(there, there.mallory.person, home), after=None))

    at_a_hospital(tmp_path, test)


# --- logs ------------------------------------------------------------------------------------------------------------


def test_checkpoints_that_are_not_the_askers_own(tmp_path: Path) -> None:
    """Else a member has the hospital give its word for another's log, for a forged one, or for the hospital's own."""

    async def test(there: Hospital) -> None:
        site, mallory, other = there.site, there.mallory, there.other
        origin = origin_of(mallory.root.did, LogName.CATALOG)
        theirs = origin_of(other.root.did, LogName.CATALOG)
        for note in (
            site.catalog.note,
            sign_checkpoint(Checkpoint(site.catalog.origin, 1, bytes(32)), mallory.node),
            sign_checkpoint(Checkpoint(theirs, 1, bytes(32)), other.node),
            sign_checkpoint(Checkpoint(theirs, 1, bytes(32)), mallory.node),
            sign_checkpoint(Checkpoint(origin, 1, bytes(32)), other.node),
            sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), mallory.node),
            sign_checkpoint(Checkpoint(f"{mallory.root.did}/catalog", 1, bytes(32)), mallory.node),
            origin + "\n",
            "\n\n\n",
            "\x00",
            origin + "\n" + "9" * 5000,
        ):
            with pytest.raises((BadInput, NotFound, VerificationFailed)):
                await ask(there, mallory.root.did, AddCheckpoint(note=note, old=0, proof=()), Added)
        assert await site.witness_memory.seen(theirs) is None
        own = sign_checkpoint(Checkpoint(origin, 1, bytes(32)), mallory.node)
        given = await ask(there, mallory.root.did, AddCheckpoint(note=own, old=0, proof=()), Added)
        assert isinstance(given, Added)
        assert given.line is not None
        assert verify_cosignature(add_line(own, given.line), site.root, site.node.did)

    at_a_hospital(tmp_path, test)


def test_rows_that_nobody_signed_beside_a_checkpoint(tmp_path: Path) -> None:
    """Else a member has the hospital count what no key signed for, because it came with a checkpoint."""

    async def test(there: Hospital) -> None:
        site, mallory, other = there.site, there.mallory, there.other
        origin = origin_of(mallory.root.did, LogName.CATALOG)
        # A newcomer, of whose catalog the hospital has nothing yet, but knows its key.
        site.index.replace(SiteIndex(mallory.root.did))
        site.replicas._keys = lambda _root: [mallory.node.did]

        def row(index: int, key: PrivateKey = mallory.node, name: str = origin) -> Row:
            fields = KeyFields(did=key.did, role=Role.NODE, name="Mallory", x25519=bytes(32))
            body = encode(write_body("key", fields, site=mallory.root.did, at=index, by=mallory.root))
            leaf = encode_leaf(seal(name, 0, "key", body, bytes([index]) * 32))
            return Row(index=index, leaf=leaf, salt=bytes([index]) * 32, body=body)

        first, second = row(0), row(1, mallory.steward)
        root = Frontier().extend([leaf_hash(first.leaf), leaf_hash(second.leaf)]).root
        note = sign_checkpoint(Checkpoint(origin, 2, root), mallory.node)
        forged = sign_checkpoint(Checkpoint(origin, 2, root), other.node)
        theirs = sign_checkpoint(Checkpoint(origin_of(other.root.did, LogName.CATALOG), 2, root), mallory.node)
        for shown, rows in (
            (forged, (first, second)),
            (theirs, (first, second)),
            (note, (first, row(1))),
            (note, (structs.replace(second, index=0), structs.replace(first, index=1))),
            (note, (structs.replace(first, leaf=b""), second)),
        ):
            with pytest.raises(VerificationFailed):
                await ask(there, mallory.root.did, AddCheckpoint(note=shown, old=0, proof=(), rows=rows), Added)
        replica = await site.replicas.of(mallory.root.did)
        assert (replica.size, site.index.site(mallory.root.did).size) == (0, 0)
        question = AddCheckpoint(note=note, old=0, proof=(), rows=(first, second))
        given = await ask(there, mallory.root.did, question, Added)
        assert isinstance(given, Added)
        assert given.line is not None
        assert (replica.size, site.index.site(mallory.root.did).size) == (2, 2)

    at_a_hospital(tmp_path, test)


def test_proofs_between_sizes_that_no_log_has(tmp_path: Path) -> None:
    """Else two numbers end an answer with an error that nobody expected, or take all of the memory."""

    async def test(there: Hospital) -> None:
        log = there.site.catalog
        for old, new in ((5, 1), (0, 1 << 62), (1 << 62, 1 << 62), (log.size + 1, log.size), (0, 0), (0, log.size)):
            question = Consistency(origin=log.origin, old=old, new=new)
            try:
                assert await ask(there, there.mallory.root.did, question, ProofAnswer)
            except (BadInput, NotFound):
                continue
        with pytest.raises(NotFound):
            await ask(there, there.mallory.root.did, Consistency(origin="../../etc", old=0, new=0), HeadsAnswer)

    at_a_hospital(tmp_path, test)


# --- orders and receipts of others -----------------------------------------------------------------------------------


def test_another_bus_asks_for_the_receipt_of_an_order(tmp_path: Path) -> None:
    """Else whoever learns of an order, from a proof or an audit row, is told its outputs' CIDs."""
    honest = Stage().honest()

    async def test(there: Hospital) -> None:
        with pytest.raises(VerificationFailed, match="bus node"):
            await ask(there, there.mallory.root.did, honest, Receipt)
        stolen = structs.replace(honest, order=structs.replace(honest.order, bus=there.other.node.did))
        with pytest.raises(VerificationFailed, match="bus node"):
            await ask(there, there.mallory.root.did, stolen, Receipt)
        with pytest.raises(ComityError):
            await ask(there, there.other.root.did, stolen, Receipt)
        for cid in (cid_of(stolen.order), Cid.of(b"unknown")):
            with pytest.raises(Unreachable, match="no such order"):
                await ask(there, there.mallory.root.did, Outcome(order=cid, seconds=0), Receipt)

    at_a_hospital(tmp_path, test)


def test_an_order_for_nobody_is_refused_by_the_orders_themselves(tmp_path: Path) -> None:
    """Else the placing above is refused by chance: what the bus itself placed, it may ask about."""
    honest = Stage().honest()

    async def test(there: Hospital) -> None:
        own = structs.replace(honest, order=structs.replace(honest.order, bus=there.other.node.did))
        with pytest.raises(VerificationFailed, match="another site"):
            await ask(there, there.other.root.did, Place(**structs.asdict(own)), Receipt)
        with pytest.raises(NotFound):
            await ask(there, there.other.root.did, Outcome(order=cid_of(own.order), seconds=0), Receipt)

    at_a_hospital(tmp_path, test)


# --- bytes -----------------------------------------------------------------------------------------------------------


def get(asker: str, path: str, query: str = "") -> BulkRequest:
    """A signed request whose signature was checked."""
    return BulkRequest(asker=asker, method="GET", path=path, query=query, range=None, body=b"")


def query(asker: str, root: Cid, *cids: Cid) -> BulkRequest:
    body = encode(Wanted(cids=cids))
    return BulkRequest(asker=asker, method="QUERY", path=f"/ipfs/{root}", query="", range=None, body=body)


def test_blobs_under_roots_that_are_not_for_the_asker(tmp_path: Path) -> None:
    """Else a CID, which is no secret, is enough to have the bytes."""

    async def test(there: Hospital) -> None:
        site, mallory = there.site, there.mallory
        await there.policy(HOSPITAL)
        held, named, plain = [await site.blobs.add(text) for text in (b"held", b"for other", b"open")]
        site.holdings.hold(held, resident(site.root), [])
        site.holdings.hold(named, shared(site.root, [there.other.root.did]), [])
        site.holdings.hold(plain, OPEN, [])
        node = mallory.node.did
        asked = [
            (held, held), (named, named), (plain, held), (plain, named), (held, plain), (Cid.of(b"x"), Cid.of(b"x")),
            (KEYED, KEYED), (plain, KEYED),
        ]  # fmt: skip
        for root, cid in asked:
            with pytest.raises(NotFound):
                await site.shelf.answer(query(node, root, cid))
        for root in (held, named, Cid.of(b"x"), KEYED):
            with pytest.raises(NotFound):
                await site.shelf.answer(get(node, f"/ipfs/{root}", "format=raw"))
        await site.shelf.answer(query(node, plain, plain))
        await site.shelf.answer(query(there.other.node.did, named, named))
        for stranger in (PrivateKey(b"s" * 32).did, mallory.root.did, mallory.steward.did):
            with pytest.raises(NotFound):
                await site.shelf.answer(query(stranger, plain, plain))

    at_a_hospital(tmp_path, test)


PATHS = [
        "", "/", "//", "/ipfs", "/ipfs/", "/ipfs/x/y", "/ipfs/../site.toml", "/ipfs/%2e%2e/keys", "/join",
        "/log/SITE/audit/bodies/0/1", "/log/SITE/audit/tile/0/000", "/log/SITE/catalog/../audit/bodies/0/1",
        "/log/SITE/catalog/tile/../../keys/node.key", "/log/SITE/catalog/bodies/-1/1", "/log/SITE/catalog/bodies/٣/9",
        "/log/SITE/catalog/bodies/99999999999999999999/1", "/log/SITE/catalog/bodies/999999999999/999999999999",
        "/log/SITE/catalog/checkpoint/\x00", "/log/SITE/catalog/tile/0/x999/999", "/ipfs/" + "b" * 5000 + "/b",
    ]  # fmt: skip


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    """Else a peer's path reaches the file system, the audit log, or an error that nobody expected."""

    async def test(there: Hospital) -> None:
        for path in PATHS:
            request = get(there.mallory.node.did, path.replace("SITE", there.site.root))
            with pytest.raises((BadInput, NotFound)):
                await there.site.shelf.answer(request)
        whole = get(there.mallory.node.did, f"/log/{there.site.root}/catalog/bodies/0/1")
        assert await there.site.shelf.answer(whole)

    at_a_hospital(tmp_path, test)


def test_roots_that_nobody_may_read_fill_no_cache(tmp_path: Path) -> None:
    """Else asking for ever more roots takes ever more memory, or writes ever more audit leaves."""

    async def test(there: Hospital) -> None:
        shelf = there.site.shelf
        for number in range(2000):
            cid = Cid.of(str(number).encode())
            with pytest.raises(NotFound):
                await shelf.answer(query(there.mallory.node.did, cid, cid))
        assert len(shelf._gateway._reachable) == len(shelf._recorded) == there.site.audit.size == 0

    at_a_hospital(tmp_path, test)


T = TypeVar("T")


class Carrier:
    """A network that hands out what a peer has, and notes what was asked for."""

    def __init__(self, has: dict[Cid, bytes]) -> None:
        self.has = has
        self.asked: list[tuple[str, tuple[Cid, ...]]] = []

    async def query(self, site: str, path: str, query: bytes, take: Callable[[IO[bytes]], T], limit: int) -> T:
        wanted = decode(Wanted, query).cids
        self.asked.append((path, wanted))
        found = [(cid, self.has[cid]) for cid in wanted if cid in self.has]
        if not found:
            raise NotFound("there is nothing of that name here that you may see")
        car = header(Cid.parse(path.split("/")[2])) + b"".join(prefix(*each) + each[1] for each in found)
        return await trio.to_thread.run_sync(take, io.BytesIO(car))


def _materials(there: Hospital, bulk: Holders) -> Materials:
    site = there.site
    return Materials(
        site.root,
        site.index,
        site.blobs,
        site.residents,
        site.brought,
        bulk,
        lambda *_: (),
        site.arrived,
        site.shared,
        site.keyholders,
        site.membership.names.__getitem__,
    )


def test_a_value_held_here_that_another_site_says_is_its_own(tmp_path: Path) -> None:
    """Else a CID and an entry in one's own catalog are enough to compute on what a hospital holds unreleased."""

    async def test(there: Hospital) -> None:
        held = await there.site.blobs.add(b"what was not released")
        there.site.holdings.hold(held, resident(there.site.root), [])
        there.mallory.dataset(held, OPEN)
        poor, rich = Carrier({}), Carrier({held: b"what was not released"})
        data = Data(site=there.mallory.root.did, cid=held, name="bait")
        unknown = Data(site=there.mallory.root.did, cid=Cid.of(b"not here"), name="bait")
        for claimed in (data, unknown):
            with pytest.raises(NotFound):
                await _materials(there, poor).stored(claimed, TRIAL)
        assert poor.asked == [(f"/ipfs/{each.cid}", (each.cid,)) for each in (data, unknown)], "it saw which is here"
        assert await _materials(there, rich).stored(data, TRIAL) == held
        assert await _materials(there, poor).stored(data, TRIAL) == held, "what was delivered once is not fetched again"

    at_a_hospital(tmp_path, test)


@pytest.mark.parametrize("swept", [False, True])
def test_what_came_whole_is_not_fetched_again_after_a_crash(
    swept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a transfer of days begins anew when its node is killed in the second in which it is taken into the store."""

    async def test(there: Hospital) -> None:
        (tmp_path / "folder").mkdir()
        for number in range(20):
            (tmp_path / "folder" / str(number)).write_bytes(b"rows %d" % number)
        elsewhere = DiskBlobs(tmp_path / "elsewhere")
        root = await elsewhere.add_path(tmp_path / "folder")
        there.mallory.dataset(root, OPEN)
        carrier = Carrier({cid: await elsewhere.node(cid) for cid in await names(elsewhere, root)})
        data = Data(site=there.mallory.root.did, cid=root, name="rows")
        rename, renamed = os.rename, list[Path]()

        def killed(source: Path, target: Path) -> None:
            if len(renamed) == 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            rename(source, target)
            renamed.append(target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "rename", killed)
            with pytest.raises(ComityError, match="no space"):
                await _materials(there, carrier).stored(data, TRIAL)
        assert there.site.blobs.size(root) is None, "a root is there, and not all below it"
        asked, carrier.asked = carrier.asked, []
        for gone in renamed if swept else ():
            gone.unlink()
        assert await _materials(there, carrier).stored(data, TRIAL) == root
        assert carrier.asked == (asked if swept else [])
        assert await there.site.blobs.missing(root) == []
        assert not list((there.site.folder.blobs / "arriving").iterdir())

    at_a_hospital(tmp_path, test)


def test_what_a_peer_gave_is_written_down_with_what_it_is_for(tmp_path: Path) -> None:
    """Else a peer gives bytes away, writes nothing down, and nobody has a row of it. Published data are for nobody."""

    async def test(there: Hospital) -> None:
        site, trial = there.site, ProjectRef(site=there.other.root.did, name="trial")
        value, published = Cid.of(b"released"), Cid.of(b"open")
        there.mallory.dataset(published, OPEN)
        carrier = Carrier({value: b"released", published: b"open"})
        source = Data(site=there.mallory.root.did, cid=value, name="sums")
        site.holdings.account(value, [published], trial)
        for data in (source, Data(site=there.mallory.root.did, cid=published, name="open")):
            await _materials(there, carrier).stored(data, TRIAL)
        stored = [each for _, each in await site.audit.read(0, site.audit.size) if each is not None]
        rows = [fields_of(read_body(body), FetchFields) for _, body in stored]
        assert {(row.site, row.side) for row in rows} == {(there.mallory.root.did, Side.RECIPIENT)}
        assert [(row.root, row.project) for row in rows] == [(value, trial), (published, None)]
        assert all(set(row.chain) == {str(published)} for row in rows)

    at_a_hospital(tmp_path, test)


def test_a_folder_of_which_the_other_site_has_the_top_alone(tmp_path: Path) -> None:
    """Else the name of a folder's root is enough to have the files below it used."""

    async def test(there: Hospital) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "a").write_bytes(b"a secret")
        root = await there.site.blobs.add_path(folder)
        below = Cid.of(b"a secret")
        top = Carrier({root: await there.site.blobs.node(root)})
        data = Data(site=there.mallory.root.did, cid=root, name="bait")
        with pytest.raises(NotFound):
            await _materials(there, top).stored(data, TRIAL)
        assert top.asked[0] == (f"/ipfs/{root}", (root,)), "it saw what is here by what it was asked for first"
        top.has[below] = b"a secret"
        assert await _materials(there, top).stored(data, TRIAL) == root

    at_a_hospital(tmp_path, test)


def test_other_bytes_than_the_cid_names(tmp_path: Path) -> None:
    """Else a peer chooses what a step computes on."""

    async def test(there: Hospital) -> None:
        liar = Carrier({Cid.of(b"true"): b"false"})
        with pytest.raises(VerificationFailed):
            await _materials(there, liar).stored(
                Data(site=there.mallory.root.did, cid=Cid.of(b"true"), name="x"), TRIAL
            )
        assert await there.site.blobs.missing(Cid.of(b"true"))

    at_a_hospital(tmp_path, test)


def test_a_resident_dataset_that_two_sites_claim(tmp_path: Path) -> None:
    """Else a member puts its own data in the place of a hospital's, by publishing under the hospital's CID."""

    async def test(there: Hospital) -> None:
        job = b'{"data": {"class": "File", "location": "comity:%s"}}' % str(KEYED).encode()
        there.other.dataset(KEYED, resident(there.other.root.did))
        (found,) = read_job(job, there.site.index).values()
        assert isinstance(found, Data)
        assert found.site == there.other.root.did
        there.mallory.dataset(KEYED, OPEN)
        with pytest.raises(BadInput, match="2 sites claim"):
            read_job(job, there.site.index)

    at_a_hospital(tmp_path, test)


# --- the door --------------------------------------------------------------------------------------------------------


def founder(name: str, *, root: PrivateKey | None = None, by: PrivateKey | None = None) -> tuple[Founder, PrivateKey]:
    """Somebody who would like to join, and the key of the node."""
    root = root or PrivateKey(name.encode().ljust(32, b"r")[:32])
    node = PrivateKey(name.encode().ljust(32, b"n")[:32])
    fields = KeyFields(did=node.did, role=Role.NODE, name=name[:100], x25519=bytes(32))
    body = write_body("key", fields, site=root.did, at=0, by=by or root)
    member = Member(site=name, root=root.did)
    return Founder(member=member, enrolment=encode(body), control="/ip4/127.0.0.1/tcp/1", bulk="https://x"), node


def test_strangers_at_the_door(tmp_path: Path) -> None:
    """Else a stranger joins, a member joins as another, or an invitation admits two."""

    async def test(there: Hospital) -> None:
        entrance = there.site.entrance
        await entrance.begin("alliance", 3)
        invite = await entrance.invite()
        anna, annas_node = founder("anna")
        eve, eves_node = founder("eve")
        stolen, _ = founder("anna", by=eves_node)
        false = structs.replace(eve, enrolment=anna.enrolment)

        async def knock(secret: bytes, who: Founder, node: PrivateKey, signature: bytes | None = None) -> Value:
            body = encode(Knock(secret=secret, founder=who, signature=signature))
            answer = await there.site.shelf.answer(
                BulkRequest(asker=node.did, method="POST", path="/join", query="", range=None, body=body)
            )
            return read_reply(Founding, b"".join(answer.read(0, None)))

        for secret, who_, node in (
            (b"0" * 32, eve, eves_node),
            (invite.secret, anna, eves_node),
            (invite.secret, stolen, eves_node),
            (invite.secret, false, eves_node),
        ):
            with pytest.raises((Denied, VerificationFailed)):
                await knock(secret, who_, node)
        assert len(entrance.founding.founders) == 1
        await knock(invite.secret, anna, annas_node)
        with pytest.raises(Denied, match="used by another"):
            await knock(invite.secret, eve, eves_node)
        with pytest.raises(ComityError):
            await knock(invite.secret, anna, annas_node, bytes(64))
        assert len(entrance.founding.founders) == 2

    at_a_hospital(tmp_path, test)


@pytest.mark.parametrize(
    "name", ["x" * 121, "", "a\nb", "\x1b[2J", "a\x9b2J", "Anna\u202egpj", "A\u200bnna", "a\u2028b"]
)
def test_names_that_steer_a_terminal_or_hide(name: str) -> None:
    """Else a site, a person or a dataset looks like another, or its name runs through a terminal."""
    sent, _ = founder(name)
    body = encode(Knock(secret=bytes(32), founder=sent, signature=None))
    with pytest.raises(VerificationFailed):
        decode(Knock, body, 64 << 10)


def test_names_that_people_have_are_taken() -> None:
    """Else the test above passes because no name is taken."""
    for name in ("St. Anna", "Universitätsklinikum Köln", "東京大学病院", "Ν. «Άγιος»"):
        sent, _ = founder(name)
        assert decode(Knock, encode(Knock(secret=bytes(32), founder=sent, signature=None))).founder == sent


def test_a_knock_of_any_shape(tmp_path: Path) -> None:
    """Else a stranger's bytes end the node or make it read without bound."""

    async def test(there: Hospital) -> None:
        for body in (b"", b"\xa0", b"\xff" * 100, b"\0" * (65 << 10), b"\x9f" * 1000):
            request = BulkRequest(
                asker=PrivateKey(b"s" * 32).did, method="POST", path="/join", query="", range=None, body=body
            )
            assert await there.site.shelf.answer(request)
        for path in ("/", "/ipfs/x/y", "/join/", "/log"):
            request = BulkRequest(
                asker=there.mallory.node.did, method="POST", path=path, query="", range=None, body=b""
            )
            with pytest.raises(NotFound):
                await there.site.shelf.answer(request)

    at_a_hospital(tmp_path, test)


def test_two_that_want_the_same_at_once_fetch_it_once(tmp_path: Path) -> None:
    """Else two steps that need one block at the same moment fail one another."""

    async def test(there: Hospital) -> None:
        cid, site = Cid.of(b"wanted by many"), there.mallory.root.did
        carrier = Carrier({cid: b"wanted by many"})
        materials = _materials(there, carrier)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(materials.bring, site, cid)
        assert [wanted for _, wanted in carrier.asked] == [(cid,)]
        assert materials._coming == {}
        with pytest.raises(NotFound):
            await materials.bring(site, Cid.of(b"not there"))
        assert materials._coming == {}

    at_a_hospital(tmp_path, test)


def test_a_fetch_that_there_is_no_room_for_takes_no_room(tmp_path: Path) -> None:
    """Else one dataset that is too large keeps a full site full for a week, whatever its operator withdraws."""

    async def test(there: Hospital) -> None:
        data = bytes(100_000)
        cid = Cid.of(data)
        there.mallory.dataset(cid, OPEN)
        there.site.blobs = DiskBlobs(tmp_path / "small", quota=50_000)
        with pytest.raises(Full, match="most_gib"):
            await _materials(there, Carrier({cid: data})).bring(there.mallory.root.did, cid)
        assert list((tmp_path / "small" / "arriving").iterdir()) == []
        assert await there.site.blobs.used() == 0

    at_a_hospital(tmp_path, test)
