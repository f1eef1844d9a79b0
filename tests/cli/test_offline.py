"""`comity audit verify` on copies of real logs: it counts what it checked, and says where a byte was changed."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
import trio
from msgspec import structs

from catalog.body import Body, write_body
from catalog.checkpoint import Checkpoint, add_line, cosign
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.grant import Action, Grant, GrantFields
from catalog.headmap import Head, HeadMap, subject_hash
from catalog.index import SiteIndex
from catalog.key import UNSIGNED, PrivateKey, Signer, signed
from catalog.leaf import seal
from catalog.member import KeyFields, Role
from catalog.merkle import root_of
from catalog.note import parse_note
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from catalog.project import ProjectRef
from catalog.reopening import Reopening, Reopenings
from catalog.revoke import RevokeFields
from catalog.tiles import subtree_of
from cli.main import run
from node.config import Address, Folder
from node.keyfile import Identity, read_identity, write_secret
from node.rootkey import new_passphrase, read_root
from node.rotating import rotate_node
from node.setup import SiteMade, init_site
from node.storage import log as log_module
from node.storage.log import DiskLog
from node.storage.logfolder import CHECKPOINT, read_note
from node.storage.reopened import FILE as REOPENINGS
from node.storage.reopened import reopen
from node.storage.replica import ReplicaLog
from node.storage.tilefolder import TileFolder
from privacy.decision import Decision
from workflow.account import (
    AccessFields,
    AccountFields,
    Chain,
    EntryFields,
    FetchFields,
    HaltFields,
    HeadsFields,
    Link,
    RefusalFields,
    ResultFields,
    Side,
)
from workflow.order import Instance
from workflow.receipt import Status
from workflow.submission import Submission

DATA = Cid.of(b"data")
OTHER = PrivateKey(b"\x05" * 32)
OTHER_NODE = PrivateKey(b"\x06" * 32)

PASSPHRASE = new_passphrase()
STEWARDS: dict[str, Signer] = {}
ROOTS: dict[str, Signer] = {}


class Fixed:
    def token(self, count: int) -> bytes:
        return bytes(range(count))


def asked(by: PrivateKey = OTHER, *grants: Cid) -> Submission:
    """What the person signed."""
    whole = Submission(
        consortium=DATA,
        epoch=0,
        person=OTHER.did,
        site=OTHER.did,
        project=ProjectRef(site=OTHER.did, name="pooling"),
        workflow=DATA,
        inputs={},
        grants=grants,
        destinations=(),
        deadline=1,
        budget=1,
        min_sites=1,
        not_before=0,
        not_after=1,
        buses=(OTHER_NODE.did,),
        nonce=bytes(16),
        sig=UNSIGNED,
    )
    return signed(whole, by)


def link(before: int | None, count: int | None = None) -> Chain:
    """The links about the data and the person: in these logs nothing else is written."""
    each = Link(before=before, count=count or (1 if before is None else before + 2))
    return {str(DATA): each, OTHER.did: each}


def intent(
    at: int | None = None,
    order: bytes = b"order",
    by: PrivateKey = OTHER,
    *,
    cited: Sequence[Cid] = (),
    granted: Mapping[str, Cid] | None = None,
) -> AccessFields:
    submission = asked(by, *cited)
    decision = Decision(allowed=True, action="compute", rules=("r",), reason="ok", facts={}, policy="1")
    return AccessFields(
        order=Cid.of(order),
        instance=Instance(submission=cid_of(submission), step="count", shard=0),
        attempt=1,
        person=OTHER.did,
        home=OTHER.did,
        project=ProjectRef(site=OTHER.did, name="pooling"),
        purpose="DUO:0000006",
        block=DATA,
        decision=decision,
        shown=decision,
        max_cost=1,
        submission=encode(submission),
        chain=link(at),
        granted=dict(granted or {}),
    )


def refused(**changes: object) -> RefusalFields:
    """An order of the other member's person that its own node brought."""
    whole = RefusalFields(
        order=Cid.of(b"order"),
        site=OTHER.did,
        bus=OTHER_NODE.did,
        person=OTHER.did,
        home=OTHER.did,
        project=ProjectRef(site=OTHER.did, name="pooling"),
        purpose=None,
        instance=None,
        block=None,
        reason="its time is over",
        submission=encode(asked()),
        chain={OTHER.did: Link(before=None, count=1)},
    )
    return structs.replace(whole, **changes)


def result(at: int | None, of: int, order: bytes = b"order") -> ResultFields:
    return ResultFields(
        order=Cid.of(order),
        instance=Instance(submission=DATA, step="count", shard=0),
        intent=of,
        status=Status.DONE,
        kept={},
        spent=None,
        cost=1,
        reason="",
        detail="",
        chain=link(at),
    )


def heads(upto: int, *rows: tuple[str, int, int]) -> HeadsFields:
    """The heads of these chains: subject, last row, number of rows."""
    made = HeadMap.of(Head(subject=subject_hash(name), index=index, count=count) for name, index, count in rows)
    return HeadsFields(root=made.root, count=len(made.heads), upto=upto, chain={})


@pytest.fixture
def site(tmp_path: Path) -> Folder:
    """A site with two catalog entries, and a replica of another member's log of one."""
    folder = Folder(tmp_path / "site")
    make(folder)
    trio.run(replicate, folder)
    return folder


def make(folder: Folder, steward: str = "Agnes") -> SiteMade:
    here = [Address("127.0.0.1", port) for port in (4101, 4102, 4103)]
    made = init_site(folder, "St. Anna", steward, *here, PASSPHRASE)
    STEWARDS[made.root], ROOTS[made.root] = made.steward.key, read_root(folder.root_key, PASSPHRASE.text).key
    return made


def enrolment(key: PrivateKey, role: Role) -> Body:
    """A key that the other member's root enrols."""
    fields = KeyFields(did=key.did, role=role, name="somebody", x25519=bytes(32))
    return write_body("key", fields, site=OTHER.did, at=1, by=OTHER)


async def replicate(folder: Folder, *more: Body, by: PrivateKey = OTHER_NODE) -> None:
    """The other member's catalog here, signed ``by`` its node: that node's key, and ``more``."""
    origin = origin_of(OTHER.did, LogName.CATALOG)
    bodies = [enrolment(OTHER_NODE, Role.NODE), *more]
    source = folder.path.parent / "other"
    async with await DiskLog.create(source, origin, 0, by, Fixed()) as log:
        await log.append([(body.kind, encode(body)) for body in bodies])
        replica = await ReplicaLog.open(folder.replicas / OTHER.did.rpartition(":")[2], origin, by.did)
        async with replica:
            await replica.extend(log.note, await log.leaves(0, len(bodies)))
            stored = [(index, await log.body(index)) for index in range(len(bodies))]
            assert await replica.put_bodies([(at, *each) for at, each in stored if each is not None]) == []


def account(
    folder: Folder, lines: Sequence[tuple[str, AccountFields]], by: PrivateKey | None = None, at: int = 1
) -> None:
    """Write audit lines as the node does, cosigned by the other member."""
    node = read_identity(folder.node_key).key
    site = read_root(folder.root_key, PASSPHRASE.text).did

    async def write() -> None:
        origin = origin_of(site, LogName.AUDIT)
        async with await DiskLog.open(folder.audit, origin, 0, node, Fixed()) as log:
            bodies = [
                (kind, encode(write_body(kind, fields, site=site, at=at, by=by or node, audience=())))
                for kind, fields in lines
            ]
            await log.append(bodies)
            note = add_line(log.note, cosign(log.note, OTHER.did, OTHER_NODE, 7))
            await log.add_cosignatures(note, {OTHER.did: OTHER_NODE.did})

    trio.run(write)


def verify(folder: Folder, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, object], str]:
    capsys.readouterr()
    code = run(["audit", "verify", str(folder.path), "--json", *more])
    told = capsys.readouterr()
    return code, json.loads(told.out or "{}"), told.err


def test_it_counts_what_it_checked(site: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    account(site, [("intent", intent()), ("result", result(0, 0))])
    code, found, error = verify(site, capsys)
    assert (code, error) == (0, "")
    assert [(log["path"].split("/")[0], log["leaves"], log["signatures"]) for log in found["logs"]] == [  # type: ignore[attr-defined]
        ("logs", 2, 2),
        ("logs", 2, 2),
        ("replicas", 1, 1),
    ]
    assert [log["cosignatures"] for log in found["logs"]] == [0, 1, 0]  # type: ignore[attr-defined]
    assert run(["audit", "verify", str(site.path)]) == 0
    assert "cosignatures  1" in capsys.readouterr().out


@pytest.mark.parametrize(("since", "counted"), [(None, (1, 0)), (1, (0, 1))])
def test_cosignatures_by_keys_of_before_count_unless_they_were_stolen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], since: int | None, counted: tuple[int, int]
) -> None:
    """Lost: once a member has a new node key, all that it cosigned before looks as if nobody had."""
    folder, newer = Folder(tmp_path / "site"), PrivateKey(b"\x09" * 32)
    make(folder)
    gone = KeyFields(
        did=OTHER_NODE.did, role=Role.NODE, name="somebody", x25519=bytes(32), removed=True, until=since, audit_until=0
    )
    removal = write_body("key", gone, site=OTHER.did, at=1, by=OTHER, previous=0)
    trio.run(partial(replicate, by=newer), folder, removal, enrolment(newer, Role.NODE))
    account(folder, [("intent", intent())])
    code, found, error = verify(folder, capsys)
    assert (code, error) == (0, "")
    audit = found["logs"][1]  # type: ignore[index]
    assert (audit["cosignatures"], audit["unchecked"]) == counted


def test_what_the_site_signed_with_a_key_of_before_is_no_fault(
    site: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: after a planned change of its node's key a site's folder looks forged."""
    account(site, [("intent", intent())])
    rotate_node(site, read_root(site.root_key, PASSPHRASE.text).key)
    code, found, error = verify(site, capsys)
    assert (code, error) == (0, "")
    assert found["logs"][1]["cosignatures"] == 1  # type: ignore[index]


@pytest.mark.parametrize("log", ["logs/catalog", "logs/audit"])
def test_one_changed_byte_of_a_leaf_is_found_and_named(
    site: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str], log: str
) -> None:
    account(site, [("intent", intent()), ("result", result(0, 0))])
    copy = Folder(tmp_path / "copy")
    shutil.copytree(site.path, copy.path)
    (bundle,) = (path for path in (copy.path / log / "tile" / "entries").rglob("*") if path.is_file())
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1
    bundle.write_bytes(bytes(data))
    code, found, error = verify(copy, capsys)
    assert code == 5
    assert f"{log}/tile/entries" in error
    assert "leaf 1" in error
    assert len(found["faults"]) == 1  # type: ignore[arg-type]
    assert verify(site, capsys)[0] == 0


def test_one_changed_byte_of_a_body_is_found_and_named(site: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    account(site, [("intent", intent()), ("result", result(0, 0)), ("intent", intent(1, b"two"))])
    with sqlite3.connect(site.audit / "bodies.db") as database:
        (body,) = database.execute("SELECT body FROM bodies WHERE leaf = 1").fetchone()
        database.execute("UPDATE bodies SET body = ? WHERE leaf = 1", (body.replace(b"done", b"held"),))
    database.close()
    code, found, error = verify(site, capsys)
    assert code == 5
    assert "logs/audit/bodies.db: leaf 1" in error
    assert len(found["faults"]) == 1  # type: ignore[arg-type]


WRONG: dict[str, Callable[[], list[tuple[str, AccountFields]]]] = {
    "leaf 1: .*no intent": lambda: [("intent", intent()), ("result", result(0, 0, b"another"))],
    "leaf 0: .*no intent": lambda: [("result", result(None, 1)), ("intent", intent(0))],
    "leaf 0: it is the result": lambda: [("result", result(None, 0))],
    "leaf 1: .*the last about": lambda: [("intent", intent()), ("result", result(None, 0))],
    "leaf 0: .*the last about": lambda: [("intent", intent(4))],
    "leaf 2: its heads": lambda: [
        ("intent", intent()),
        ("result", result(0, 0)),
        ("heads", heads(2, (str(DATA), 0, 1), (OTHER.did, 1, 2))),
    ],
    "leaf 1: its heads": lambda: [("intent", intent()), ("heads", heads(1, (str(DATA), 0, 1)))],
    "leaf 0: a signature": lambda: [("intent", intent(by=OTHER_NODE))],
    "leaf 0: it is accounted to data that": lambda: [("refusal", refused(chain=link(None)))],
    "leaf 0: it says that a node brought": lambda: [("refusal", refused(bus=PrivateKey(b"\x07" * 32).did))],
    "leaf 1: .*kind": lambda: [("intent", intent()), ("x-odd", intent(0))],
}


@pytest.mark.parametrize("match", WRONG)
def test_a_log_that_its_own_node_wrote_wrongly_is_named(
    site: Folder, capsys: pytest.CaptureFixture[str], match: str
) -> None:
    """The Merkle tree is whole in each of these: only the order of what it says is not."""
    account(site, WRONG[match]())
    code, _, error = verify(site, capsys)
    assert code == 5
    assert re.search(f"logs/audit/bodies.db: {match}", error), error


def test_a_refusal_is_in_order_as_its_node_wrote_it(site: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    account(site, [("refusal", refused())])
    assert verify(site, capsys)[0] == 0


def test_a_time_that_falls_is_named(site: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a row of a false time, which cuts off what stands before it where a range is asked for."""
    account(site, [("intent", intent())], at=9)
    account(site, [("result", result(0, 0))], at=9)
    assert verify(site, capsys)[0] == 0
    account(site, [("intent", intent(1, b"two"))], at=8)
    code, found, error = verify(site, capsys)
    assert code == 5
    assert "logs/audit/bodies.db: leaf 2: it is dated before leaf 1, which stands before it" in error
    assert len(found["faults"]) == 1  # type: ignore[arg-type]


STEWARD = PrivateKey(b"\x08" * 32)


def given(**changes: object) -> Grant:
    """A grant of the other member's, for its own person on its own data, signed by its steward."""
    whole = Grant(
        consortium=DATA,
        issuer=STEWARD.did,
        site=OTHER.did,
        subject=OTHER.did,
        project=ProjectRef(site=OTHER.did, name="pooling"),
        claims=(),
        datasets=(DATA,),
        purposes=("DUO:0000006",),
        actions=(Action.COMPUTE,),
        blocks=(),
        destinations=(),
        not_after=1,
        parent=None,
        sig=UNSIGNED,
    )
    return signed(structs.replace(whole, **changes), STEWARD)


@pytest.mark.parametrize(
    ("grant", "cited", "match"),
    [
        (given(), True, ""),
        (given(), False, "let data in and was not cited"),
        (given(not_after=0), True, "was over"),
        (given(subject=OTHER_NODE.did), True, "is another person's"),
        (given(datasets=(Cid.of(b"others"),)), True, "does not name the data that it let in"),
    ],
)
def test_a_grant_that_let_data_in_must_be_one_that_could(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], grant: Grant, cited: bool, match: str
) -> None:
    """Lost: a site opens data by a grant that says nothing of them, and its own log is found in order."""
    folder = Folder(tmp_path / "site")
    make(folder)
    fields = GrantFields(grant=grant)
    body = write_body("grant", fields, site=OTHER.did, at=1, by=STEWARD)
    trio.run(replicate, folder, enrolment(STEWARD, Role.STEWARD), body)
    granted = {str(DATA): fields.cid}
    account(folder, [("intent", intent(cited=[fields.cid] if cited else [], granted=granted))])
    code, _, error = verify(folder, capsys)
    assert code == (5 if match else 0), error
    assert match in error


def test_a_denial_by_a_grant_that_is_over_is_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an auditor is told that a log is wrong because it says, rightly, that something was refused."""
    folder = Folder(tmp_path / "site")
    make(folder)
    fields = GrantFields(grant=given(not_after=0))
    body = write_body("grant", fields, site=OTHER.did, at=1, by=STEWARD)
    trio.run(replicate, folder, enrolment(STEWARD, Role.STEWARD), body)
    denied = Decision(allowed=False, action="compute", rules=(), reason="expired", facts={}, policy="1")
    refused = structs.replace(intent(cited=[fields.cid]), decision=denied, shown=denied)
    account(folder, [("decision", refused)])
    assert verify(folder, capsys)[0] == 0


def noted(at: int, body: bytes, before: int | None) -> tuple[str, EntryFields]:
    """A note in the audit log that a steward wrote a policy at ``at`` of the catalog."""
    chain = {STEWARD.did: Link(before=before, count=1 if before is None else before + 2)}
    return "policy", EntryFields(entry=at, body=Cid.of(body), actor=STEWARD.did, chain=chain)


def anew(site: Folder, log: LogName, number: int = 1, by: PrivateKey | None = None) -> Reopening:
    """The next epoch of a log of the site, with what lies there."""
    path = site.catalog if log is LogName.CATALOG else site.audit
    did = read_root(site.root_key, PASSPHRASE.text).did
    size = Checkpoint.parse(parse_note(read_note(path / CHECKPOINT)).text).size
    whole = Reopening(
        site=did,
        log=log,
        number=number,
        size=size,
        root=root_of(size, subtree_of(size, TileFolder(path).require)),
        node=read_identity(site.node_key).did,
        lost=0,
        reason="it forked",
        sig=UNSIGNED,
    )
    return signed(whole, by or read_root(site.root_key, PASSPHRASE.text).key)


def halted(by: Reopening) -> tuple[str, HaltFields]:
    fields = HaltFields(project=None, member=None, reason="r", statement=None, chain={}, reopening=encode(by))
    return "halt", fields


@pytest.mark.parametrize("log", [None, LogName.AUDIT, LogName.CATALOG])
def test_what_was_noted_of_a_history_that_was_left_is_no_fault(
    site: Folder, capsys: pytest.CaptureFixture[str], log: LogName | None
) -> None:
    """Lost: a site that was restored by the book is told for ever that its log is wrong; or one that lies is not."""
    assert trio.run(write_policy, site) == 2
    lines: list[tuple[str, AccountFields]] = [noted(2, b"another policy than stands there", None)]
    if log is not None:
        lines.append(halted(anew(site, log)))
    account(site, lines)
    code, _, error = verify(site, capsys)
    assert code == (0 if log is LogName.CATALOG else 5), error
    assert ("leaf 0: it notes another entry than stands at 2" in error) is (log is not LogName.CATALOG)


async def write_policy(site: Folder) -> int:
    """The site's steward writes a policy; its place in the catalog."""
    did = read_root(site.root_key, PASSPHRASE.text).did
    steward = STEWARDS[did]
    body = write_body("policy", PolicyFields(text=""), site=did, at=1, by=steward)
    node = read_identity(site.node_key).key
    async with await DiskLog.open(site.catalog, origin_of(did, LogName.CATALOG), 0, node, Fixed()) as log:
        return await log.append([(body.kind, encode(body))])


def test_an_epoch_of_a_log_that_its_root_did_not_open_is_named(
    site: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: who has a node's key is rid of what its log says, and the folder is found in order."""
    node = read_identity(site.node_key).key
    root = read_root(site.root_key, PASSPHRASE.text).did
    opened = anew(site, LogName.CATALOG)
    reopen(site.catalog, opened, node, (), [root])
    assert verify(site, capsys)[0] == 0
    file = site.catalog / REOPENINGS
    forged = anew(site, LogName.CATALOG, by=node)
    for data, reason in (
        (encode(Reopenings(chain=(forged,))), "is not opened by the root key"),
        (encode(Reopenings(chain=(signed(structs.replace(opened, root=bytes(32)), ROOTS[root]),))), "does not begin"),
        (None, "nothing here shows that the root key opened epoch 1"),
    ):
        file.write_bytes(data) if data is not None else file.unlink()
        code, _, error = verify(site, capsys)
        assert code == 5
        assert f"logs/catalog/{CHECKPOINT}: " in error
        assert reason in error


def test_true_heads_are_no_fault(site: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(str(DATA), 1, 2), (OTHER.did, 1, 2)]
    account(site, [("intent", intent()), ("result", result(0, 0)), ("heads", heads(2, *rows))])
    assert verify(site, capsys)[0] == 0


def test_pruned_rows_are_blanks_and_the_log_verifies(site: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: retention makes a log that nobody can verify, or leaves what it should erase."""
    came = FetchFields(root=DATA, site=OTHER.did, person=None, chain=link(None), side=Side.RECIPIENT)
    account(site, [("fetch", came), ("intent", intent(0)), ("result", result(1, 1))])
    assert b"recipient" in (site.audit / "bodies.db").read_bytes()
    assert run(["audit", "prune", str(site.path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 row erased; the log still verifies",
        "2 rows as old kept: halts, and what projects that are not over left here",
    ]
    assert b"recipient" not in (site.audit / "bodies.db").read_bytes()
    code, found, _ = verify(site, capsys)
    assert code == 0
    assert [log["erased"] for log in found["logs"]][1] == 1  # type: ignore[attr-defined]
    text = site.config.read_text()
    assert "keep_days = 730" in text
    site.config.write_text(text.replace("keep_days = 730", "keep_days = 364"))
    assert run(["audit", "prune", str(site.path)]) == 2


def test_a_body_by_another_key_than_the_nodes_is_named(site: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    account(site, [("intent", intent())], by=OTHER)
    code, _, error = verify(site, capsys)
    assert code == 5
    assert "leaf 0" in error


def test_a_replica_in_the_folder_of_another_site_is_named(site: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    (replica,) = site.replicas.iterdir()
    replica.rename(site.replicas / PrivateKey(b"\x07" * 32).did.rpartition(":")[2])
    code, _, error = verify(site, capsys)
    assert code == 5
    assert "replicas/" in error


def of(did: str, role: Role, until: int | None = None) -> KeyFields:
    """A key that is enrolled, or taken back as of the leaf ``until``."""
    return KeyFields(did=did, role=role, name="somebody", x25519=bytes(32), removed=until is not None, until=until)


def test_keys_that_were_taken_back_by_stolen_ones_are_judged_as_nodes_judge_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: what a person signed counts at every node, and an auditor is told that it is a fault."""
    thief, person = PrivateKey(b"\x21" * 32), PrivateKey(b"\x22" * 32)
    lines: list[tuple[PrivateKey, str, Value, int | None]] = [
        (OTHER, "key", of(STEWARD.did, Role.STEWARD), None),
        (STEWARD, "key", of(person.did, Role.RESEARCHER), None),
        (STEWARD, "policy", PolicyFields(text=""), None),
        (OTHER, "key", of(thief.did, Role.STEWARD), None),
        (thief, "key", of(person.did, Role.RESEARCHER, until=3), 2),
        (OTHER, "key", of(thief.did, Role.STEWARD, until=5), 4),
        (person, "revoke", RevokeFields(grant=DATA, reason="", issuer=person.did), None),
    ]
    bodies = [
        write_body(kind, fields, site=OTHER.did, at=1, by=by, previous=before) for by, kind, fields, before in lines
    ]
    folder = Folder(tmp_path / "site")
    make(folder)
    trio.run(replicate, folder, *bodies)
    index, readings = SiteIndex(OTHER.did), 0
    while not readings or index.due:
        index, readings = index.anew() if readings else index, readings + 1
        for at, body in enumerate([enrolment(OTHER_NODE, Role.NODE), *bodies]):
            index.add(at, body.kind, body)
    assert (readings, list(index.faults)) == (3, [5])
    code, found, _ = verify(folder, capsys)
    assert code == 5
    replica = f"replicas/{OTHER.did.rpartition(':')[2]}/bodies.db"
    assert found["faults"] == [f"{replica}: leaf {at}: {reason}" for at, reason in index.faults.items()]


def test_a_leaf_of_another_log_counts_no_more_than_at_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a steward whom no node knows is one to an auditor, and vouches for what the folder holds."""
    folder = Folder(tmp_path / "site")
    make(folder)
    monkeypatch.setattr(log_module, "seal", lambda _origin, *rest: seal(origin_of(OTHER.did, LogName.AUDIT), *rest))
    source, origin = folder.path.parent / "other", origin_of(OTHER.did, LogName.CATALOG)

    async def write() -> None:
        bodies = [enrolment(OTHER_NODE, Role.NODE), enrolment(STEWARD, Role.STEWARD)]
        async with await DiskLog.create(source, origin, 0, OTHER_NODE, Fixed()) as log:
            await log.append([(body.kind, encode(body)) for body in bodies])

    trio.run(write)
    monkeypatch.undo()
    shutil.copytree(source, folder.replicas / OTHER.did.rpartition(":")[2])
    code, _, error = verify(folder, capsys)
    assert code == 5
    assert "bodies.db: leaf 0: the leaf was written for another log; so the node key" in error


def test_another_root_key_is_not_believed(site: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = verify(site, capsys, "--root", OTHER.did)
    assert code == 5
    assert "root key" in error
    assert verify(site, capsys, "--root", "did:key:x")[0] == 2
    assert verify(Folder(site.path / "keys"), capsys)[0] == 1


def test_a_site_is_made_with_its_stewards_key_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("COMITY_HOME", str(home))
    made = tmp_path / "st-anna"
    write_secret(tmp_path / "words", PASSPHRASE.text)
    passphrase = ["--passphrase-file", str(tmp_path / "words")]
    options = ["--name", "St. Anna", "--steward", "Agnes", *passphrase]
    assert run(["site", "init", str(made), *options]) == 0
    steward = read_identity(home / "persons" / "agnes.key")
    assert isinstance(steward, Identity)
    assert run(["site", "init", str(made), "--name", "St. Anna", "--steward", "Berta", *passphrase]) == 1
    assert not (home / "persons" / "berta.key").exists()
    assert run(["site", "init", str(tmp_path / "two"), *options]) == 1
    assert not (tmp_path / "two").exists()
    (home / "persons").rename(home / "elsewhere")
    (home / "persons").write_text("in the way")
    assert run(["site", "init", str(tmp_path / "three"), *options]) == 1
    assert not (tmp_path / "three").exists()
    secret = (home / "elsewhere" / "agnes.key").read_text().split('ed25519 = "')[1].partition('"')[0]
    told = capsys.readouterr()
    assert secret not in told.out + told.err
    assert told.err.count("error: ") == 3


def test_a_folder_that_is_no_site_s_is_told_to_whoever_checks_and_not_to_whoever_runs_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: an auditor is told to make a site."""
    code, _, error = verify(Folder(tmp_path), capsys)
    assert (code, "give the folder of a site, or a copy of one" in error) == (1, True)
