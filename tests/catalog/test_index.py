"""The index: what counts of a site's log, by whose signature, and that nothing else does."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from catalog.block import BlockFields, EndorseFields
from catalog.body import Body, read_body, write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.entry import KINDS
from catalog.error import NotFound, VerificationFailed
from catalog.index import Index, SiteIndex
from catalog.key import PrivateKey
from catalog.label import Label
from catalog.member import KeyFields, Role
from catalog.offer import OfferFields
from catalog.policy import PolicyFields
from catalog.project import ProjectFields

ROOT, NODE, STEWARD, RESEARCHER, COLLEAGUE, AUDITOR, STRANGER, SECOND = (
    PrivateKey(bytes([number]) * 32) for number in range(1, 9)
)
PEOPLE = {
    Role.NODE: NODE,
    Role.STEWARD: STEWARD,
    Role.RESEARCHER: RESEARCHER,
    Role.AUDITOR: AUDITOR,
}
CID = Cid.of(b"a block")


def enrolment(key: PrivateKey, role: Role, removed: bool = False) -> KeyFields:
    return KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32), removed=removed)


def block(readers: tuple[str, ...] = ()) -> BlockFields:
    label = Label(owners={ROOT.did: tuple(sorted({ROOT.did, *readers}))})
    return BlockFields(cid=CID, name="count", label=label, description="", outputs={"n": "statistics"})


FIELDS: dict[str, Value] = {
    "block": block(),
    "endorse": EndorseFields(block=CID, output_types=("statistics",)),
    "project": ProjectFields(
        name="trial", people={RESEARCHER.did: bytes(32)}, purpose="DUO:0000006", datasets=(), not_after=1
    ),
    "policy": PolicyFields(text=""),
    "offer": OfferFields(runner="sandbox", price=1, step_millis=1),
}


class Log:
    """A site's log that grows; ``add`` says whether the entry counts."""

    def __init__(self, root: PrivateKey = ROOT, *, keys: bool = True) -> None:
        self.index = SiteIndex(root.did)
        self.root = root
        if keys:
            for role, key in PEOPLE.items():
                by = root if role in (Role.NODE, Role.STEWARD) else STEWARD
                assert self.add("key", enrolment(key, role), by)
            assert self.add("key", enrolment(COLLEAGUE, Role.RESEARCHER), STEWARD)

    def body(self, kind: str, fields: Value, by: PrivateKey, previous: int | str | None = "latest") -> Body:
        if previous == "latest":
            name = {"key": "did", "block": "cid", "dataset": "cid", "endorse": "block", "project": "name"}.get(kind)
            latest = self.index.latest(kind, str(getattr(fields, name)) if name else "")
            previous = latest.index if latest else None
        return read_body(encode(write_body(kind, fields, site=self.root.did, at=1, by=by, previous=previous)))

    def put(self, kind: str, body: Body | None) -> bool:
        return self.index.add(self.index.size, kind, body) is not None

    def add(self, kind: str, fields: Value, by: PrivateKey, previous: int | str | None = "latest") -> bool:
        return self.put(kind, self.body(kind, fields, by, previous))


ALLOWED = {
    ("block", Role.STEWARD),
    ("block", Role.RESEARCHER),
    ("endorse", Role.STEWARD),
    ("project", Role.STEWARD),
    ("policy", Role.STEWARD),
    ("offer", Role.STEWARD),
}


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("role", PEOPLE)
def test_who_may_write_what(kind, role):
    """Lost: a thief of the node key, who cannot write what a steward must, can (PROTOCOL.md, Keys)."""
    log = Log()
    assert log.add(kind, FIELDS[kind], PEOPLE[role]) is ((kind, role) in ALLOWED)
    assert (log.index.latest(kind, "") is None) or (kind, role) in ALLOWED
    assert bool(log.index.faults) is ((kind, role) not in ALLOWED)


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("key", [ROOT, STRANGER], ids=["root", "stranger"])
def test_neither_a_stranger_nor_the_offline_root_writes_what_a_steward_does(kind, key):
    assert not Log().add(kind, FIELDS[kind], key)


def test_every_kind_that_is_read_has_signers_and_a_node_writes_only_what_it_did_itself():
    """Lost: a thief of the node key says more than that it is there, how busy, what it destroyed, and saw of others."""
    assert {name for name, kind in KINDS.items() if not kind.signers} <= {"epoch-signature"}  # the root's alone
    assert {name for name, kind in KINDS.items() if Role.NODE in kind.signers} <= {
        "beat", "capacity", "certificate", "accuse"
    }  # fmt: skip


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("by", ["root", *PEOPLE])
def test_who_enrols_whom(role, by):
    """Lost: a steward makes stewards, or a node makes itself one."""
    key = ROOT if by == "root" else PEOPLE[by]
    allowed = key is ROOT if role in (Role.NODE, Role.STEWARD) else key is STEWARD
    log = Log()
    assert log.add("key", enrolment(SECOND, role), key) is allowed
    assert (log.index.key(SECOND.did) is not None) is allowed


@pytest.mark.parametrize("victim", [Role.NODE, Role.STEWARD])
@pytest.mark.parametrize("removed", [False, True])
def test_a_steward_changes_no_key_that_the_root_enrolled(victim, removed):
    """Lost: one steward makes another, or the node, a mere researcher, and so takes the site over."""
    log = Log()
    assert log.add("key", enrolment(SECOND, Role.STEWARD), ROOT)
    log_victim = {Role.NODE: NODE, Role.STEWARD: STEWARD}[victim]
    assert not log.add("key", enrolment(log_victim, Role.RESEARCHER, removed), SECOND)
    found = log.index.key(log_victim.did)
    assert found is not None
    assert found.role is victim


def test_a_removed_key_signs_nothing_from_then_on_and_what_it_signed_before_stays():
    log = Log()
    assert log.add("policy", PolicyFields(text="a"), STEWARD)
    assert log.add("key", enrolment(STEWARD, Role.STEWARD, removed=True), ROOT)
    assert not log.add("policy", PolicyFields(text="b"), STEWARD)
    policy = log.index.typed(PolicyFields, "policy")
    assert policy is not None
    assert policy.text == "a"
    assert log.index.key(STEWARD.did) is None
    assert not log.add("key", enrolment(STEWARD, Role.STEWARD), STEWARD)
    assert log.add("key", enrolment(STEWARD, Role.STEWARD), ROOT)
    assert log.add("policy", PolicyFields(text="b"), STEWARD)


def test_a_researcher_extends_no_block_but_her_own():
    """Lost: a researcher shares a colleague's block with a site of her choice."""
    log = Log()
    assert log.add("block", block(), COLLEAGUE)
    assert not log.add("block", block((STRANGER.did,)), RESEARCHER)
    assert log.add("block", block((STRANGER.did,)), COLLEAGUE)
    assert log.add("block", block(), STEWARD)
    assert not log.add("block", block((STRANGER.did,)), COLLEAGUE)


@pytest.mark.parametrize("previous", [None, 0, 4, 5, 7, 1 << 40])
def test_an_entry_replaces_the_latest_version_and_no_other(previous):
    """Lost: two stewards who write at once silently undo each other; an old body written again counts again."""
    log = Log()
    first, second, third = (PolicyFields(text=each) for each in "abc")
    assert log.add("policy", first, STEWARD)
    assert log.add("policy", second, STEWARD)
    latest = log.index.size - 1
    assert previous != latest
    assert not log.add("policy", third, STEWARD, previous)
    assert log.add("policy", third, STEWARD, latest)


def test_a_body_counts_once():
    """Lost: a node puts an old grant or policy back by writing the steward's own body again."""
    log = Log()
    body = log.body("policy", PolicyFields(text="lax"), STEWARD)
    assert log.put("policy", body)
    assert not log.put("policy", body)
    assert log.add("policy", PolicyFields(text="strict"), STEWARD)
    assert not log.put("policy", body)
    policy = log.index.typed(PolicyFields, "policy")
    assert policy is not None
    assert policy.text == "strict"


def test_another_site_s_body_counts_nowhere_else():
    """Lost: a body that its steward signed for one log speaks for another that enrolled the same person."""
    log, other = Log(), Log(SECOND)
    body = other.body("policy", PolicyFields(text=""), STEWARD)
    assert not log.put("policy", body)
    assert "another site" in log.index.faults[log.index.size - 1]


def test_a_body_under_a_leaf_of_another_kind_does_not_count():
    log = Log()
    assert not log.put("offer", log.body("policy", PolicyFields(text=""), STEWARD))


def test_a_forged_or_changed_body_does_not_count():
    log = Log()
    body = log.body("policy", PolicyFields(text="a"), STEWARD)
    assert not log.put("policy", structs.replace(body, fields={"text": "b"}))
    assert not log.put(
        "policy", structs.replace(log.body("policy", PolicyFields(text="a"), STRANGER), actor=STEWARD.did)
    )
    assert not log.put("policy", structs.replace(body, actor="did:key:z6Mk" + "1" * 44))


def test_what_does_not_count_is_kept_as_a_fault_and_the_log_goes_on():
    """Lost: one odd leaf, or one of a later version, stops a member's catalog for ever."""
    log = Log()
    plain = log.body("policy", PolicyFields(text="a"), STEWARD)
    odd = [
        structs.replace(plain, kind="x-new"),
        structs.replace(plain, fields={"text": 5}),
        structs.replace(plain, fields={}),
        log.body("policy", PolicyFields(text="a"), STRANGER),
    ]
    first = log.index.size
    for body in odd:
        assert not log.put(body.kind, body)
    assert sorted(log.index.faults) == list(range(first, first + len(odd)))
    assert all(reason.isprintable() for reason in log.index.faults.values())
    assert log.put("policy", plain)


def test_leaves_are_taken_in_their_order_alone():
    index = SiteIndex(ROOT.did)
    for at in (1, -1, 7):
        with pytest.raises(ValueError, match="was due"):
            index.add(at, "key", None)
    assert index.size == 0


def test_a_body_that_we_may_not_see_breaks_nothing():
    """Lost: a site's entries after one for other eyes no longer count here."""
    log = Log()
    assert log.add("policy", PolicyFields(text="a"), STEWARD)
    first = log.index.size - 1
    assert not log.put("policy", None)
    hidden = log.index.size - 1
    # The next version names the hidden one, which may be of this subject; it must not skip back beyond what we know.
    assert not log.add("policy", PolicyFields(text="c"), STEWARD, first - 1)
    assert not log.add("policy", PolicyFields(text="c"), STEWARD, None)
    assert log.add("policy", PolicyFields(text="c"), STEWARD, hidden)
    assert log.index.faults.keys() == {hidden + 1, hidden + 2}


def test_a_hidden_body_before_what_we_know_is_no_way_back():
    log = Log()
    assert not log.put("policy", None)
    hidden = log.index.size - 1
    assert log.add("policy", PolicyFields(text="a"), STEWARD, hidden)
    assert not log.add("policy", PolicyFields(text="b"), STEWARD, hidden)


def test_authorise_says_before_what_add_does_after():
    """Lost: a node writes an entry into its log that then does not count."""
    log = Log()
    entry = Log().index.latest("key", NODE.did)
    assert entry is not None
    with pytest.raises(VerificationFailed):
        log.index.authorise(entry)


def test_the_node_is_the_one_that_the_root_enrolled_last():
    log = Log()
    assert log.index.node() == NODE.did
    assert log.add("key", enrolment(SECOND, Role.NODE), ROOT)
    assert log.index.node() == SECOND.did
    assert log.add("key", enrolment(SECOND, Role.NODE, removed=True), ROOT)
    assert log.index.node() == NODE.did
    assert SiteIndex(ROOT.did).node() is None


def test_the_members_of_the_index():
    index = Index([ROOT.did])
    assert index.site(ROOT.did).size == 0
    with pytest.raises(NotFound):
        index.site(STRANGER.did)
    assert index.admit(STRANGER.did) is index.site(STRANGER.did)
    log = Log()
    assert log.add("block", block(), STEWARD)
    index.replace(log.index)
    found = index.by_subject("block", str(CID))
    assert found is not None
    assert found.site == ROOT.did
    assert list(index.entries("block")) == [found]
    assert index.by_subject("block", "x") is None


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(["policy", "offer", "block"]), st.sampled_from(range(4)), st.booleans()), max_size=12
    )
)
def test_what_counts_is_the_last_body_that_a_steward_signed_upon_the_one_before(steps):
    """A model: whatever comes between, the latest version is the last one that was signed by whom it needs."""
    log = Log()
    expected: dict[str, int] = {}
    for number, (kind, who, stale) in zip(count(), steps, strict=False):
        key = [STEWARD, NODE, AUDITOR, STRANGER][who]
        previous = expected.get(kind)
        if stale:
            previous = None if previous is not None else number
        if log.add(kind, FIELDS[kind], key, previous):
            expected[kind] = log.index.size - 1
        subject = str(CID) if kind == "block" else ""
        latest = log.index.latest(kind, subject)
        assert (latest.index if latest else None) == expected.get(kind)
        assert latest is None or latest.body.actor == STEWARD.did
    assert log.index.size == 5 + len(steps)
