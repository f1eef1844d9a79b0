"""Taking bodies back: what a ``withdraw`` entry may name, and that a log read without them says the same."""

from time import process_time

import pytest
from msgspec import structs

from catalog.block import BlockFields, EndorseFields
from catalog.body import write_body
from catalog.certificate import CertificateFields
from catalog.cid import Cid
from catalog.dagcbor import cid_of, encode
from catalog.entry import KINDS, read_entry
from catalog.error import VerificationFailed
from catalog.grant import Action, Grant, GrantFields
from catalog.index import SiteIndex
from catalog.key import UNSIGNED, PrivateKey
from catalog.label import Label
from catalog.leaf import LEAF_BYTES, encode_leaf, seal
from catalog.member import KeyFields, Role
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from catalog.revoke import RevokeFields, subject_of
from catalog.withdraw import WithdrawFields

ROOT, NODE, STEWARD, RESEARCHER, OTHER = (PrivateKey(bytes([number]) * 32) for number in range(1, 6))
CID = Cid.of(b"a block")
PASSED_ON = Grant(
    consortium=CID,
    issuer=RESEARCHER.did,
    site=OTHER.did,
    subject=OTHER.did,
    project=ProjectRef(site=ROOT.did, name="trial"),
    claims=(),
    datasets=(CID,),
    purposes=("DUO:0000006",),
    actions=(Action.SEE,),
    blocks=(),
    destinations=(),
    not_after=9,
    parent=CID,
    sig=UNSIGNED,
)
PROJECT = ProjectFields(
    name="trial", people={RESEARCHER.did: bytes(32)}, purpose="DUO:0000006", datasets=(), not_after=9
)


def key(who, role, **more):
    return KeyFields(did=who.did, role=role, name="Somebody", x25519=bytes(32), **more)


def block(name="count"):
    label = Label(owners={ROOT.did: (ROOT.did,)})
    return BlockFields(cid=CID, name=name, label=label, description="", outputs={})


class Log:
    """A site's log; ``add`` gives the place of an entry, and says whether it counts."""

    def __init__(self):
        self.index = SiteIndex(ROOT.did)
        self.bodies = []
        for who, role, by in (
            (NODE, Role.NODE, ROOT),
            (STEWARD, Role.STEWARD, ROOT),
            (RESEARCHER, "researcher", STEWARD),
        ):
            assert self.add("key", key(who, Role(role)), by)[1]

    def body(self, kind, fields, by=STEWARD, site=ROOT, **more):
        latest = self.index.latest(kind, KINDS[kind].subject(fields))
        told = {"previous": latest.index if latest else None} | more
        return write_body(kind, fields, site=site.did, at=1, by=by, **told)

    def add(self, kind, fields, by=STEWARD, site=ROOT, **more):
        body = self.body(kind, fields, by, site, **more)
        self.bodies.append((kind, body))
        return len(self.bodies) - 1, self.index.add(len(self.bodies) - 1, kind, body) is not None

    def refusal(self, kind, fields):
        """Why a node refuses to write it; empty if it does not."""
        try:
            self.index.authorise(read_entry(ROOT.did, len(self.bodies), kind, self.body(kind, fields)))
        except VerificationFailed as error:
            return str(error)
        return ""

    def keeps(self, *places):
        """Why a node does not take these back."""
        return self.refusal("withdraw", WithdrawFields(places=places))

    def withdraw(self, *places, **more):
        return self.add("withdraw", WithdrawFields(places=places), **more)[1]

    def read_again(self, erased=()):
        """The index of somebody who reads the log after the bodies at ``erased`` are gone."""
        index = SiteIndex(ROOT.did)
        for place, (kind, body) in enumerate(self.bodies):
            index.add(place, kind, None if place in erased else body)
        return index


def counting(index):
    kinds = ("key", "block", "project", "policy", "endorse", "grant", "revoke", "withdraw", "certificate")
    return {(kind, entry.subject): entry.index for kind in kinds for entry in index.entries(kind)}


def test_what_is_withdrawn_counts_no_more_and_whoever_reads_the_log_without_it_comes_to_the_same():
    """Lost: members that came before and after an erasure decide differently."""
    log = Log()
    first, _ = log.add("block", block(), RESEARCHER)
    second, _ = log.add("block", block("count better"), RESEARCHER)
    log.add("project", PROJECT)
    assert log.withdraw(2, first, second)
    assert log.index.key(RESEARCHER.did) is None
    assert log.index.latest("block", str(CID)) is None
    assert not log.add("policy", PolicyFields(text=""), RESEARCHER)[1]
    assert log.add("block", block("again"))[1]
    assert log.add("key", key(RESEARCHER, Role.RESEARCHER))[1]
    assert counting(log.index) == counting(log.read_again(erased=(2, first, second)))


def test_a_withdrawal_names_only_places_before_its_own_each_once_and_in_order():
    """Lost: what is still to be written is erased the moment it comes."""
    for places in ((3,), (9,), (2, 2), (2, 1, 0)):
        log = Log()
        assert not log.withdraw(*places)
        assert log.index.key(RESEARCHER.did) is not None


def test_a_withdrawal_for_another_site_or_by_who_may_not_counts_for_nothing():
    """Lost: a member, a node's thief or a researcher erases what a steward wrote."""
    log = Log()
    assert not log.withdraw(2, site=OTHER)
    for by in (ROOT, NODE, RESEARCHER, OTHER):
        assert not log.withdraw(2, by=by)
    assert log.index.key(RESEARCHER.did) is not None


def test_nothing_that_was_replaced_counts_again_because_its_successor_is_withdrawn():
    """Lost: a steward brings back a loose policy, or a removed key, by forgetting what came after it."""
    log = Log()
    loose, _ = log.add("policy", PolicyFields(text="permit (principal, action, resource);"))
    strict, _ = log.add("policy", PolicyFields(text=""))
    removal, _ = log.add("key", key(RESEARCHER, Role.RESEARCHER, removed=True))
    assert log.keeps(strict)
    assert log.keeps(removal)
    assert log.index.latest("policy", "").index == strict
    assert log.withdraw(2, removal)
    assert log.index.key(RESEARCHER.did) is None
    assert log.withdraw(loose)
    assert log.withdraw(strict)
    assert log.index.latest("policy", "") is None


@pytest.mark.parametrize("place", [0, 1])
def test_what_the_root_signed_is_not_a_stewards_to_withdraw(place):
    """Lost: a steward undoes what the root key did about nodes and stewards."""
    log = Log()
    assert not log.withdraw(place)
    assert "not to be withdrawn" in log.index.faults[3]


def test_neither_a_withdrawal_nor_a_certificate_is_withdrawn():
    """Lost: what was erased stands again at who reads the log later, and a certificate can be taken back."""
    log = Log()
    ref = ProjectRef(site=ROOT.did, name="trial")
    fields = CertificateFields(project=ref, terms=PROJECT.terms, values=0, nodes=0, bytes=0, not_covered=(), audit=0)
    place, counts = log.add("certificate", fields, NODE)
    assert counts
    assert log.withdraw(2)
    assert not log.withdraw(place)
    assert not log.withdraw(place + 1)


def test_a_project_that_stands_stays_and_its_earlier_versions_go():
    """Lost: a site makes others forget that a project ended before they destroyed what they hold."""
    log = Log()
    first, _ = log.add("project", PROJECT)
    last, _ = log.add("project", structs.replace(PROJECT, people={OTHER.did: bytes(32)}, ended=True))
    assert log.keeps(first, last)
    assert log.keeps(last)
    assert log.withdraw(first)
    assert counting(log.index) == counting(log.read_again(erased=(first,)))


def test_an_ended_project_is_never_opened_again():
    """Lost: approvals given for a project serve another that takes its name after it ended."""
    log = Log()
    log.add("project", PROJECT)
    assert log.add("project", structs.replace(PROJECT, ended=True))[1]
    assert not log.add("project", PROJECT)[1]
    assert log.index.typed(ProjectFields, "project", "trial").ended


def test_the_terms_of_a_project_are_all_of_it_but_its_people_and_whether_it_has_ended():
    """Lost: a project changes after its approval, or approvals lapse for certificates when it ends."""
    for same in ({"ended": True}, {"people": {OTHER.did: bytes(32)}}, {"people": {}}):
        assert structs.replace(PROJECT, **same).terms == PROJECT.terms
    changes = {
        "name": "other",
        "purpose": "DUO:0000042",
        "datasets": (CID,),
        "not_after": 10,
        "members": (OTHER.did,),
        "undertakings": ("DUO:0000019",),
    }
    assert set(changes) == set(ProjectFields.__struct_fields__) - {"people", "ended"}
    assert len({structs.replace(PROJECT, **{name: value}).terms for name, value in changes.items()}) == len(changes)
    assert all(structs.replace(PROJECT, **{name: value}).terms != PROJECT.terms for name, value in changes.items())


def test_a_revocation_goes_only_with_its_grant_and_a_stewards_never_without() -> None:
    """Lost: a grant that was taken back counts again, here or where else it stands, because that was forgotten."""
    log = Log()
    grant, _ = log.add("grant", GrantFields(grant=PASSED_ON), RESEARCHER)
    own, counts = log.add("revoke", RevokeFields(grant=cid_of(PASSED_ON), reason="", issuer=RESEARCHER.did), RESEARCHER)
    stewards, stands = log.add("revoke", RevokeFields(grant=cid_of(PASSED_ON), reason=""))
    assert counts
    assert stands
    for places in ((own,), (stewards,), (own, stewards)):
        assert "only together with its grant" in log.keeps(*places)
    assert not log.keeps(grant, own, stewards)
    assert log.withdraw(grant)
    assert counting(log.index) == counting(log.read_again(erased=(grant,)))
    assert not {own, stewards} & set(log.read_again(erased=(grant,)).faults)
    assert log.index.latest("revoke", subject_of(cid_of(PASSED_ON), RESEARCHER.did))
    assert "only together with its grant" in log.keeps(stewards)
    assert log.withdraw(own)


def test_a_key_goes_only_with_all_that_it_signed_and_all_that_was_said_of_it() -> None:
    """Lost: who reads the log later cannot verify what counts for others, and calls it forged."""
    log = Log()
    grant, _ = log.add("grant", GrantFields(grant=PASSED_ON), RESEARCHER)
    assert f"entry {grant} is not named" in log.keeps(2)
    removal, _ = log.add("key", key(RESEARCHER, Role.RESEARCHER, removed=True))
    assert f"entry {removal} is not named" in log.keeps(2, grant)
    assert f"entry {grant} is not named" in log.keeps(2, removal)
    assert log.withdraw(2, grant, removal)
    assert counting(log.index) == counting(log.read_again(erased=(2, grant, removal)))


def test_whoever_was_taken_back_as_stolen_and_erased_is_known_to_nobody() -> None:
    """Lost: who read the log before the erasure remembers a key, and refuses what who comes later takes."""
    log = Log()
    removal, _ = log.add("key", key(RESEARCHER, Role.RESEARCHER, removed=True, until=2))
    assert log.refusal("key", key(RESEARCHER, Role.RESEARCHER))
    assert log.withdraw(2, removal)
    assert not log.index.keys.stolen
    assert not log.index.due
    assert log.add("key", key(RESEARCHER, Role.RESEARCHER))[1]
    assert counting(log.index) == counting(log.read_again(erased=(2, removal)))


def test_a_withdrawal_names_neither_person_nor_dataset():
    """Lost: the erasure itself keeps what it was to erase."""
    body = write_body("withdraw", WithdrawFields(places=(2, 7)), site=ROOT.did, at=1, by=STEWARD)
    assert RESEARCHER.did.encode() not in encode(body)
    assert len(encode_leaf(seal("log", 0, "withdraw", encode(body), bytes(32)))) == LEAF_BYTES


def test_endorsements_and_keys_may_be_withdrawn_while_others_stand():
    """Lost: an erasure takes more with it than it names."""
    log = Log()
    log.add("block", block())
    place, _ = log.add("endorse", EndorseFields(block=CID, output_types=("statistics",)))
    before = counting(log.index)
    assert log.withdraw(place)
    after = counting(log.index)
    assert {name for name in before if name not in after} == {("endorse", str(CID))}


def test_malformed_withdrawals_are_named_and_stop_nothing():
    """Lost: one bad entry ends the reading of a site's catalog."""
    log = Log()
    assert not log.add("withdraw", WithdrawFields(places=()))[1]
    assert "withdraw" in log.index.faults[3] or log.index.faults[3]
    with pytest.raises(VerificationFailed):
        raise VerificationFailed(log.index.faults[3])
    assert log.withdraw(2)


@pytest.mark.parametrize("by", [STEWARD, RESEARCHER])
def test_no_withdrawal_is_withdrawn_whether_it_counts_is_refused_or_is_not_here(by):
    """Lost: one counts for who sees less, and erasing it makes two members differ that may see the same."""
    log = Log()
    first, _ = log.add("block", block())
    log.add("block", block("count better"))
    place, counts = log.add("withdraw", WithdrawFields(places=(first, 2)), by)
    assert not counts
    assert "not to be withdrawn" in log.keeps(place)
    assert log.add("withdraw", WithdrawFields(places=(place,)))[1] is False
    assert "not to be withdrawn" in log.read_again(erased=(place,)).faults[place + 1]


def test_a_withdrawal_that_what_stands_before_it_refuses_is_the_last():
    """Lost: it counts for who reads the log after others erased what refused it, and takes more with it."""
    log = Log()
    loose, _ = log.add("policy", PolicyFields(text="permit (principal, action, resource);"))
    strict, _ = log.add("policy", PolicyFields(text=""))
    assert not log.withdraw(2, 99)
    assert not log.withdraw(2, strict, by=RESEARCHER)
    assert not log.keeps(loose), "what is wrong by itself, or signed by nobody who may, is so for all, and ends nothing"
    assert not log.withdraw(2, strict)
    assert "nothing more is erased" in log.keeps(loose, strict)
    assert not log.withdraw(loose, strict)
    assert log.index.latest("policy", "").index == strict


def test_of_what_is_disputed_all_is_forgotten_or_nothing():
    """Lost: an entry that does not count for us does for who sees less, and is its newest version there."""
    log = Log()
    first, _ = log.add("block", block())
    second, counts = log.add("block", block("count better"), previous=None)
    assert not counts
    assert f"entry {first}, of it too, is not named" in log.keeps(second)
    assert f"entry {second}, of it too, is not named" in log.keeps(first)
    assert not log.keeps(first, second)


@pytest.mark.parametrize("who", [(), (OTHER.did,)])
def test_what_says_who_may_do_what_counts_only_if_all_may_see_it(who):
    """Lost: one member takes a person for removed and another does not, and nobody knows that something lacks there."""
    log = Log()
    removal = key(RESEARCHER, Role.RESEARCHER, removed=True)
    assert not log.add("key", removal, audience=who)[1]
    assert "for all members to see" in log.index.faults[3]
    assert log.add("policy", PolicyFields(text=""), audience=who)[1]
    assert log.index.key(RESEARCHER.did) is not None


def test_whoever_lacks_what_all_may_see_knows_it_until_a_withdrawal_names_it():
    """Lost: an erasure is carried out that an entry which is held back forbids, or waits for what is gone for good."""
    log = Log()
    log.add("policy", PolicyFields(text=""))
    removal, _ = log.add("key", key(RESEARCHER, Role.RESEARCHER, removed=True))
    assert log.read_again(erased=(3,)).awaited(9) is None, "not all may see a policy"
    held_back = log.read_again(erased=(2,))
    assert held_back.awaited(removal) == 2
    assert held_back.awaited(2) is None
    assert log.withdraw(2, removal)
    assert log.read_again(erased=(2, removal)).awaited(removal + 1) is None


def test_many_refused_entries_cost_each_withdrawal_no_more():
    """Lost: whoever verifies a log that its owner filled with them does nothing else for hours."""

    def seconds(refused):
        index, places = SiteIndex(ROOT.did), tuple(range(1, 1026))
        index.add(0, "key", write_body("key", key(STEWARD, Role.STEWARD), site=ROOT.did, at=1, by=ROOT))
        for place in range(1, 1026):
            latest, fields = place - 1 or None, PolicyFields(text="")
            body = write_body("policy", fields, site=ROOT.did, at=1, by=STEWARD, previous=latest)
            assert index.add(place, "policy", body), index.faults
        left = write_body("policy", PolicyFields(text="not named"), site=ROOT.did, at=1, by=STEWARD)
        assert index.add(index.size, "policy", left) is None
        body = write_body("withdraw", WithdrawFields(places=places), site=ROOT.did, at=1, by=STEWARD)
        start = process_time()
        for _ in range(refused):
            assert index.add(index.size, "withdraw", body) is None
        return process_time() - start

    # The least of some: what else runs on the machine makes single ones several times as long.
    assert min(seconds(800) for _ in range(3)) < 8 * min(seconds(200) for _ in range(3))
