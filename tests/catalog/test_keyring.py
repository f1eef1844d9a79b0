"""Keys that are taken back: up to a place in the log, also one that lies behind; what is honest stays."""

from catalog.body import Body, read_body, write_body
from catalog.dagcbor import Value, encode
from catalog.epoch import next_epoch, sign_epoch
from catalog.index import SiteIndex
from catalog.key import PrivateKey
from catalog.keyring import Charter
from catalog.member import KeyFields, Role
from catalog.offer import OfferFields
from catalog.origin import LogName
from catalog.policy import PolicyFields
from tests.catalog.test_epoch import founding

ROOT, NODE, FRESH, STEWARD, SECOND, MARA, NEW_ROOT = (PrivateKey(bytes([number]) * 32) for number in range(11, 18))


def key(of: PrivateKey, role: Role, **more: object) -> KeyFields:
    return KeyFields(did=of.did, role=role, name="Somebody", x25519=bytes(32), **more)  # type: ignore[arg-type]


class Log:
    """A log and its index, which is read again whenever that is due, as a node does."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, Body]] = []
        self.index = SiteIndex(ROOT.did)
        self.again = 0
        for fields, by in (
            (key(NODE, Role.NODE), ROOT),
            (key(STEWARD, Role.STEWARD), ROOT),
            (key(SECOND, Role.STEWARD), ROOT),
            (key(MARA, Role.RESEARCHER), STEWARD),
        ):
            assert self.add("key", fields, by)

    def add(self, kind: str, fields: Value, by: PrivateKey) -> bool:
        subject = fields.did if isinstance(fields, KeyFields) else ""
        latest = self.index.latest(kind, subject)
        body = write_body(kind, fields, site=ROOT.did, at=1, by=by, previous=latest.index if latest else None)
        self.bodies.append((kind, read_body(encode(body))))
        counted = self.index.add(self.index.size, *self.bodies[-1]) is not None
        self.settle()
        return counted

    def settle(self) -> None:
        while self.index.due:
            anew = self.index.anew()
            for at, (kind, body) in enumerate(self.bodies):
                anew.add(at, kind, body)
            self.index.become(anew)
            self.again += 1

    def policy(self) -> str:
        fields = self.index.typed(PolicyFields, "policy")
        return fields.text if fields is not None else ""


def test_a_key_that_is_removed_as_stolen_counts_for_nothing_from_the_place_given():
    """Lost: what a thief wrote before it was noticed stays in force."""
    log = Log()
    assert log.add("policy", PolicyFields(text="honest"), STEWARD)
    stolen = log.index.size
    assert log.add("policy", PolicyFields(text="the thief's"), STEWARD)
    assert log.add("offer", OfferFields(runner="sandbox", price=1, step_millis=1), STEWARD)
    assert log.policy() == "the thief's"
    assert log.add("key", key(STEWARD, Role.STEWARD, removed=True, until=stolen), ROOT)
    assert log.policy() == "honest"
    assert log.index.latest("offer", "") is None
    assert set(log.index.faults) == {stolen, stolen + 1}
    assert log.again == 1
    assert log.index.key(MARA.did) is not None


def test_each_theft_is_mended_however_many_there_were():
    """Lost: after a few thefts in all its years, what the next thief of a key at that site wrote counts for good."""
    log = Log()
    for number in range(12):
        thief, stolen = PrivateKey(bytes([100 + number]) * 32), log.index.size + 1
        assert log.add("key", key(thief, Role.STEWARD), ROOT)
        assert log.add("policy", PolicyFields(text=f"thief {number}"), thief)
        assert log.add("key", key(thief, Role.STEWARD, removed=True, until=stolen), ROOT)
        assert log.policy() == ""
        assert log.again == number + 1
    fresh = Log()
    fresh.bodies, fresh.index = log.bodies, SiteIndex(ROOT.did)
    for at, (kind, body) in enumerate(log.bodies):
        fresh.index.add(at, kind, body)
    fresh.settle()
    assert fresh.again == 1
    assert fresh.index.faults == log.index.faults


def test_an_honest_version_after_a_thief_s_still_counts():
    """Lost: what honest people wrote on top of it falls with what a thief wrote."""
    log = Log()
    stolen = log.index.size
    assert log.add("policy", PolicyFields(text="the thief's"), STEWARD)
    assert log.add("policy", PolicyFields(text="mended"), SECOND)
    assert log.add("key", key(STEWARD, Role.STEWARD, removed=True, until=stolen), ROOT)
    assert log.policy() == "mended"
    assert log.add("policy", PolicyFields(text="next"), SECOND)
    assert log.policy() == "next"


def test_what_a_thief_took_back_counts_again_once_the_thief_is_taken_back():
    """Lost: a stolen steward's key erases everybody else's work backwards, for good."""
    log = Log()
    stolen = log.index.size
    assert log.add("key", key(MARA, Role.RESEARCHER, removed=True, until=0), STEWARD)
    assert log.index.key(MARA.did) is None
    assert log.add("key", key(STEWARD, Role.STEWARD, removed=True, until=stolen), ROOT)
    assert log.index.key(MARA.did) is not None
    assert log.add("key", key(MARA, Role.RESEARCHER), SECOND)


def test_a_stolen_key_is_not_enrolled_again_and_one_that_was_laid_down_may_be():
    log = Log()
    assert log.add("key", key(SECOND, Role.STEWARD, removed=True), ROOT)
    assert log.again == 0
    assert log.add("key", key(SECOND, Role.STEWARD), ROOT)
    assert log.add("key", key(STEWARD, Role.STEWARD, removed=True, until=log.index.size), ROOT)
    assert log.again == 0
    assert not log.add("key", key(STEWARD, Role.STEWARD), ROOT)


def test_the_root_takes_back_a_person_when_no_steward_is_left():
    """Lost: a site whose steward's key is lost can neither stop nor replace anybody."""
    log = Log()
    assert log.add("key", key(STEWARD, Role.STEWARD, removed=True), ROOT)
    assert log.add("key", key(SECOND, Role.STEWARD, removed=True), ROOT)
    assert log.add("key", key(MARA, Role.RESEARCHER, removed=True), ROOT)
    assert log.index.key(MARA.did) is None
    assert not log.add("key", key(MARA, Role.RESEARCHER), ROOT)
    assert log.add("key", key(FRESH, Role.STEWARD), ROOT)
    assert log.add("policy", PolicyFields(text="again"), FRESH)


def test_a_node_s_word_counts_up_to_its_place_in_each_log():
    """Lost: a key that was replaced signs receipts for ever; or what it signed before the change is void."""
    log = Log()
    index = log.index
    assert (index.node(), index.nodes()) == (NODE.did, (NODE.did,))
    assert index.signs(NODE.did, LogName.AUDIT, 10**9)
    assert not index.signs(FRESH.did, LogName.AUDIT, 0)
    place = index.size
    assert log.add("key", key(NODE, Role.NODE, removed=True, audit_until=7), ROOT)
    assert log.add("key", key(FRESH, Role.NODE), ROOT)
    assert (index.node(), set(index.nodes())) == (FRESH.did, {NODE.did, FRESH.did})
    assert [index.signs(NODE.did, LogName.AUDIT, at) for at in (0, 6, 7)] == [True, True, False]
    assert [index.signs(NODE.did, LogName.CATALOG, at) for at in (place - 1, place)] == [True, False]
    assert index.signs(FRESH.did, LogName.AUDIT, 3)


def test_what_a_replaced_root_signed_from_there_on_does_not_count_and_the_new_one_s_does():
    """Lost: a thief of the root key makes itself a steward for ever."""
    log = Log()
    stolen = log.index.size
    assert log.add("key", key(FRESH, Role.STEWARD), ROOT)
    assert log.add("policy", PolicyFields(text="the thief's"), FRESH)
    log.index.govern(Charter(((0, ROOT.did), (stolen, NEW_ROOT.did))))
    log.settle()
    assert log.index.key(FRESH.did) is None
    assert log.policy() == ""
    assert log.index.key(STEWARD.did) is not None
    assert not log.add("key", key(FRESH, Role.STEWARD), ROOT)
    assert log.add("key", key(STEWARD, Role.STEWARD, removed=True), NEW_ROOT)
    assert log.index.root == ROOT.did


def test_a_site_that_left_is_frozen_at_its_last_entry():
    """Lost: what a removed member writes later counts."""
    log = Log()
    assert log.add("policy", PolicyFields(text="as a member"), STEWARD)
    log.index.govern(Charter(((0, ROOT.did),), left=log.index.size))
    log.settle()
    assert not log.add("policy", PolicyFields(text="afterwards"), STEWARD)
    log.index.govern(Charter(((0, ROOT.did),), left=4))
    log.settle()
    assert log.policy() == ""


def test_a_witness_publishes_nothing():
    log = Log()
    assert log.add("policy", PolicyFields(text="before"), STEWARD)
    log.index.govern(Charter(((0, ROOT.did),), witness_only=True))
    log.settle()
    assert log.policy() == ""
    assert log.add("key", key(FRESH, Role.STEWARD), ROOT)


def test_a_site_signs_one_document_for_a_number_and_the_second_is_told():
    """Lost: a member votes for two consortia at once."""
    log = Log()
    now = founding()
    one, two = next_epoch(now, now.members), next_epoch(now, now.members, floor="forbid (principal, action, resource);")
    assert log.add("epoch-signature", sign_epoch(one, ROOT), ROOT)
    body = write_body("epoch-signature", sign_epoch(two, ROOT), site=ROOT.did, at=1, by=ROOT, previous=None)
    assert log.index.add(log.index.size, "epoch-signature", read_body(encode(body))) is None
    assert "signed epoch 1 already" in log.index.faults[log.index.size - 1]
    entry = log.index.latest("epoch-signature", "1")
    assert entry is not None
    assert entry.fields == sign_epoch(one, ROOT)
    for by in (STEWARD, NODE):
        assert not Log().add("epoch-signature", sign_epoch(one, by), by)
    hidden = write_body("epoch-signature", sign_epoch(one, ROOT), site=ROOT.did, at=1, by=ROOT, audience=())
    assert Log().index.add(4, "epoch-signature", read_body(encode(hidden))) is None


def test_a_reason_to_stop_stands_until_its_cause_is_gone():
    index = SiteIndex(ROOT.did)
    index.stop("it forked", "fork")
    index.stop("it is suspended", "epoch")
    index.stop("another", "epoch")
    assert index.stale == "it forked"
    index.resume("fork")
    assert index.stale == "it is suspended"
    assert index.anew().stale == "it is suspended"
    index.resume("epoch")
    assert index.stale == ""
