"""`comity audit verify`: an intent that says a grant let its data in is held against the grants that were cited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from msgspec import structs

from catalog.body import write_body
from catalog.cid import DAG_CBOR, Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.dataset import DatasetFields, Level
from catalog.grant import Action, Grant, GrantFields
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Role
from catalog.origin import LogName, origin_of
from catalog.project import ProjectRef
from catalog.revoke import RevokeFields
from cli.grants import CLOCKS
from node.config import Folder
from node.keyfile import read_identity
from node.rootkey import read_root
from node.storage.log import DiskLog
from node.storage.replica import ReplicaLog
from privacy.label import OPEN
from tests.cli.test_offline import OTHER, OTHER_NODE, PASSPHRASE, Fixed, account, asked, intent, make, verify
from workflow.account import AccessFields, AccountFields, Chain, EntryFields, Link
from workflow.order import Instance

DATA, MORE, BLOCK = Cid.of(b"births"), Cid.of(b"deaths"), Cid.of(b"data")
POOLING = ProjectRef(site=OTHER.did, name="pooling")
DAY = 86_400_000
STEWARD = PrivateKey(b"\x11" * 32)
"""Of the other member, which is the home of the person: that key is the site's own root in these tests."""


@dataclass
class Anna:
    """A site with a dataset, and a replica of the other member's catalog; entries are added before it is verified."""

    folder: Folder
    root: str
    steward: PrivateKey
    own: list[tuple[str, bytes]] = field(default_factory=list)
    there: list[tuple[str, bytes]] = field(default_factory=list)
    rows: list[tuple[str, AccountFields]] = field(default_factory=list)

    def entry(self, kind: str, fields: Value, at: int = 1) -> tuple[int, Cid]:
        """An entry of the site's steward; its place and its body's CID."""
        data = encode(write_body(kind, fields, site=self.root, at=at, by=self.steward))
        self.own.append((kind, data))
        return 1 + len(self.own), Cid.of(data, DAG_CBOR)

    def elsewhere(self, kind: str, fields: Value, by: PrivateKey = STEWARD, at: int = 1) -> None:
        """An entry of the other member's catalog."""
        self.there.append((kind, encode(write_body(kind, fields, site=OTHER.did, at=at, by=by))))

    def grant(self, **changes: object) -> GrantFields:
        """The owner's grant, in its catalog."""
        given = GrantFields(grant=signed(structs.replace(self._whole(), **changes), self.steward))
        self.entry("grant", given)
        return given

    def passed_on(self, parent: Cid, **changes: object) -> GrantFields:
        """One that the other member's steward passed on to the person, in that member's catalog."""
        whole = structs.replace(self._whole(), issuer=STEWARD.did, parent=parent, **changes)
        given = GrantFields(grant=signed(whole, STEWARD))
        self.elsewhere("grant", given)
        return given

    def _whole(self) -> Grant:
        return Grant(
            consortium=Cid.of(b"c"),
            issuer=self.steward.did,
            site=self.root,
            subject=OTHER.did,
            project=POOLING,
            claims=(),
            datasets=(DATA,),
            purposes=("DUO:0000006",),
            actions=(Action.COMPUTE,),
            blocks=(),
            destinations=(),
            not_after=DAY * 400,
            parent=None,
            sig=UNSIGNED,
        )

    def opened(self, *cited: Cid, data: Cid = DATA, granted: Sequence[tuple[Cid, Cid]] | None = None) -> None:
        """An intent that says that the last of these grants let the data in, or ``granted`` what, and with which."""
        submission = signed(structs.replace(asked(), grants=cited, sig=UNSIGNED), OTHER)
        facts = {"context.granted": "true", "resource": f"Dataset {data}"}
        plain = intent()
        fields = structs.replace(
            plain,
            order=Cid.of(f"order {len(self.rows)}".encode()),
            instance=Instance(submission=cid_of(submission), step="count", shard=0),
            submission=encode(submission),
            decision=structs.replace(plain.decision, facts=facts),
            granted={str(each): cid for each, cid in (((data, cited[-1]),) if granted is None else granted)},
        )
        self.rows.append(("intent", fields))

    def noted(self, kind: str, entry: tuple[int, Cid], grant: Cid, *data: Cid) -> None:
        """The audit row about an entry."""
        place, body = entry
        chain: Chain = {each: Link(before=None, count=1) for each in (*map(str, data), self.steward.did)}
        self.rows.append(
            (
                kind,
                EntryFields(entry=place, body=body, actor=self.steward.did, chain=chain, grant=grant, project=POOLING),
            )
        )

    def verify(self, capsys: pytest.CaptureFixture[str], at: int = 1) -> tuple[int, str]:
        """The exit code, and what is wrong."""
        trio.run(self._write)
        account(self.folder, _linked(self.rows), at=at)
        code, _, told = verify(self.folder, capsys)
        return code, told

    async def _write(self) -> None:
        node = read_identity(self.folder.node_key).key
        origin = origin_of(self.root, LogName.CATALOG)
        async with await DiskLog.open(self.folder.catalog, origin, 0, node, Fixed()) as log:
            await log.append(self.own)
        origin = origin_of(OTHER.did, LogName.CATALOG)
        async with await DiskLog.create(self.folder.path.parent / "other", origin, 0, OTHER_NODE, Fixed()) as log:
            await log.append(self.there)
            folder = self.folder.replicas / OTHER.did.rpartition(":")[2]
            async with await ReplicaLog.open(folder, origin, OTHER_NODE.did) as replica:
                await replica.extend(log.note, await log.leaves(0, log.size))
                bodies = [await log.body(index) for index in range(log.size)]
                await replica.put_bodies([(index, *each) for index, each in enumerate(bodies) if each is not None])


def _linked(rows: list[tuple[str, AccountFields]]) -> list[tuple[str, AccountFields]]:
    """The rows, each linked to the one before it about the same."""
    last: dict[str, Link] = {}
    linked = []
    for at, (kind, fields) in enumerate(rows):
        chain = {name: Link(before=link.before, count=link.count + 1) for name, link in last.items()}
        links = {name: chain.get(name, Link(before=None, count=1)) for name in fields.chain}
        linked.append((kind, structs.replace(fields, chain=links)))
        last.update({name: Link(before=at, count=link.count) for name, link in links.items()})
    return linked


@pytest.fixture
def anna(tmp_path: Path) -> Anna:
    folder = Folder(tmp_path / "site")
    made = make(folder)
    site = Anna(folder, read_root(folder.root_key, PASSPHRASE.text).did, made.steward.key)
    for key, role in ((OTHER_NODE, Role.NODE), (STEWARD, Role.STEWARD)):
        site.elsewhere("key", KeyFields(did=key.did, role=role, name="somebody", x25519=bytes(32)), by=OTHER)
    site.entry("dataset", dataset())
    return site


def dataset() -> DatasetFields:
    return DatasetFields(
        cid=DATA,
        name="births",
        level=Level.OPEN,
        label=OPEN,
        purposes=("DUO:0000006",),
        description="",
        media_type="text/csv",
        size=1,
    )


def test_a_grant_that_covers_the_data_is_no_fault(anna: Anna, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is a cited one that does not, beside it: people cite all that they have."""
    other, given = anna.grant(datasets=(MORE,)), anna.grant()
    anna.noted("grant", (len(anna.own) + 1, Cid.of(anna.own[-1][1], DAG_CBOR)), given.cid, DATA)
    anna.opened(other.cid, given.cid)
    assert anna.verify(capsys) == (0, "")


UNFIT: dict[str, dict[str, object]] = {
    "does not name the data that it let in": {"datasets": (MORE,)},
    "is another person's": {"subject": STEWARD.did},
    "is for another project": {"project": ProjectRef(site=OTHER.did, name="elsewhere")},
    "is for other actions": {"actions": (Action.SEE,)},
    "does not name the block": {"blocks": (MORE,)},
    "was over": {"not_after": 0},
}


@pytest.mark.parametrize("why", UNFIT)
def test_a_grant_that_did_not_let_the_data_in_is_named(
    anna: Anna, capsys: pytest.CaptureFixture[str], why: str
) -> None:
    """Lost: a site lets anybody in and writes down that a grant did it."""
    given = anna.grant(**UNFIT[why])
    anna.opened(given.cid)
    code, told = anna.verify(capsys)
    assert code == 5
    assert f"logs/audit/bodies.db: leaf 0: the grant …{str(given.cid)[-8:]} {why}" in told


def test_a_decision_that_rests_on_no_cited_grant_is_named(anna: Anna, capsys: pytest.CaptureFixture[str]) -> None:
    given = anna.grant()
    anna.opened(granted=[(DATA, given.cid)])
    code, told = anna.verify(capsys)
    assert (code, "let data in and was not cited" in told) == (5, True)


def test_a_decision_that_names_no_grant_though_the_rules_read_of_one_is_named(
    anna: Anna, capsys: pytest.CaptureFixture[str]
) -> None:
    given = anna.grant(datasets=(MORE,))
    anna.opened(given.cid, granted=[(MORE, given.cid)])
    code, told = anna.verify(capsys)
    assert (code, "the rules read that a grant let its data in, and it names none" in told) == (5, True)


def test_data_of_a_step_before_may_have_come_with_another_block(anna: Anna, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = anna.grant(datasets=(MORE,), blocks=(DATA,)), anna.grant()
    anna.opened(first.cid, second.cid, granted=[(MORE, first.cid), (DATA, second.cid)])
    assert anna.verify(capsys) == (0, "")


def test_another_sites_grant_of_this_sites_data_is_named(anna: Anna, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a member grants what is not its own."""
    whole = structs.replace(anna._whole(), site=OTHER.did, issuer=STEWARD.did)
    given = GrantFields(grant=signed(whole, STEWARD))
    anna.elsewhere("grant", given)
    anna.opened(given.cid)
    code, told = anna.verify(capsys)
    assert (code, "another site's than the data's owner" in told) == (5, True)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"not_after": DAY * 500}, "lasts longer than the one that it hangs on"),
        ({"datasets": (DATA, MORE)}, "names more datasets than the one that it hangs on"),
    ],
)
def test_a_grant_that_was_passed_on_is_held_against_the_one_above(
    anna: Anna, capsys: pytest.CaptureFixture[str], changes: dict[str, object], why: str
) -> None:
    above = anna.grant(subject=STEWARD.did)
    given = anna.passed_on(above.cid, **changes)
    anna.opened(given.cid)
    code, told = anna.verify(capsys)
    assert (code, why in told) == (5 if why else 0, True)


@pytest.mark.parametrize("links", [4, 5])
def test_a_chain_that_is_too_long_is_named(anna: Anna, capsys: pytest.CaptureFixture[str], links: int) -> None:
    given = anna.grant(subject=STEWARD.did)
    for link in range(2, links + 1):
        given = anna.passed_on(given.cid, subject=OTHER.did if link == links else STEWARD.did)
    anna.opened(given.cid)
    code, told = anna.verify(capsys)
    assert (code, "hangs on too many others" in told) == ((5, True) if links > 4 else (0, False))


def test_a_revocation_that_is_not_this_sites_to_make_changes_nothing(
    anna: Anna, capsys: pytest.CaptureFixture[str]
) -> None:
    """The grant is another member's, of its own data, and stands in that member's catalog alone."""
    whole = structs.replace(anna._whole(), site=OTHER.did, issuer=STEWARD.did, datasets=(MORE,))
    given = GrantFields(grant=signed(whole, STEWARD))
    anna.elsewhere("grant", given)
    revoked = anna.entry("revoke", RevokeFields(grant=given.cid, reason=""))
    anna.noted("revoke", revoked, given.cid)
    anna.opened(given.cid, data=MORE)
    assert anna.verify(capsys, at=DAY) == (0, "")


def test_a_signature_in_a_grant_that_is_not_its_issuers_is_named(
    anna: Anna, capsys: pytest.CaptureFixture[str]
) -> None:
    given = GrantFields(grant=signed(anna._whole(), OTHER))
    anna.entry("grant", given)
    anna.opened(given.cid)
    code, told = anna.verify(capsys)
    assert (code, "was not signed by its issuer" in told) == (5, True)


@pytest.mark.parametrize("above", [False, True])
def test_an_intent_behind_the_note_of_a_revocation_is_named(
    anna: Anna, capsys: pytest.CaptureFixture[str], above: bool
) -> None:
    """Lost: a site revokes, says so in its log, and goes on computing. Before the note, nothing is wrong."""
    owner = anna.grant(**({"subject": STEWARD.did} if above else {}))
    given = anna.passed_on(owner.cid) if above else owner
    revoked = anna.entry("revoke", RevokeFields(grant=owner.cid, reason=""))
    anna.opened(given.cid)
    anna.noted("revoke", revoked, owner.cid, DATA)
    anna.opened(given.cid)
    code, told = anna.verify(capsys)
    assert code == 5
    assert "leaf 0" not in told
    assert "leaf 2: " in told
    assert "was revoked before, as leaf 1 says" in told
    assert (f"hangs on …{str(owner.cid)[-8:]}" in told) is above


@pytest.mark.parametrize(("late", "code"), [(CLOCKS, 0), (CLOCKS + 1, 5)])
def test_a_revocation_whose_note_is_gone_is_found_by_its_date(
    anna: Anna, capsys: pytest.CaptureFixture[str], late: int, code: int
) -> None:
    given = anna.grant()
    anna.entry("revoke", RevokeFields(grant=given.cid, reason=""), at=DAY)
    anna.opened(given.cid)
    assert anna.verify(capsys, at=DAY + late)[0] == code


def test_another_members_revocation_is_no_evidence_against_this_site(
    anna: Anna, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a member dates its revocation back, and an honest site's log fails its check."""
    given = anna.passed_on(anna.grant(subject=STEWARD.did).cid)
    anna.elsewhere("revoke", RevokeFields(grant=given.cid, reason=""))
    anna.opened(given.cid)
    assert anna.verify(capsys, at=DAY * 3) == (0, "")


def test_of_a_grant_that_is_not_here_nothing_is_said(anna: Anna, capsys: pytest.CaptureFixture[str]) -> None:
    anna.opened(anna.grant(datasets=(MORE,)).cid, Cid.of(b"a grant in a catalog that is not here"))
    assert anna.verify(capsys) == (0, "")


DENIED: dict[str, Callable[[AccessFields], AccessFields]] = {
    "a denial": lambda each: each,
    "not granted": lambda each: structs.replace(
        each, decision=structs.replace(each.decision, facts={"context.granted": "false", "resource": f"Dataset {DATA}"})
    ),
    "no dataset": lambda each: structs.replace(
        each, decision=structs.replace(each.decision, facts={"context.granted": "true", "resource": "Value x"})
    ),
}


@pytest.mark.parametrize("what", DENIED)
def test_what_rests_on_no_grant_is_not_held_against_any(
    anna: Anna, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """Lost: whoever cites another's grant, and is denied for it, makes the site's log fail its check."""
    anna.opened(anna.grant(subject=STEWARD.did).cid, granted=())
    kind, fields = anna.rows.pop()
    assert isinstance(fields, AccessFields)
    anna.rows.append(("decision" if what == "a denial" else kind, DENIED[what](fields)))
    assert anna.verify(capsys) == (0, "")


@pytest.mark.parametrize("what", ["true", "another grant", "other data", "another revocation"])
def test_a_note_is_about_the_grant_of_its_entry(anna: Anna, capsys: pytest.CaptureFixture[str], what: str) -> None:
    """Lost: a site hides a revocation from whoever asks after the data, by noting it as one of something else."""
    given = anna.grant()
    entry = len(anna.own) + 1, Cid.of(anna.own[-1][1], DAG_CBOR)
    revoked = anna.entry("revoke", RevokeFields(grant=given.cid, reason=""))
    anna.noted("grant", entry, MORE if what == "another grant" else given.cid, MORE if what == "other data" else DATA)
    anna.noted("revoke", revoked, MORE if what == "another revocation" else given.cid, DATA)
    code, told = anna.verify(capsys)
    assert code == (0 if what == "true" else 5)
    assert ("names another grant, or other data, than entry" in told) is (what != "true")
