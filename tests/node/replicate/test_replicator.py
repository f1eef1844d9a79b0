"""Rounds with a member: what is true is taken, from whoever has it; a lie is refused, named, and stops nothing else."""

from dataclasses import replace

import pytest
from msgspec import structs

from catalog import note, reading
from catalog.body import write_body
from catalog.checkpoint import Checkpoint, sign_checkpoint
from catalog.dagcbor import encode
from catalog.error import ComityError, Conflict, Damaged, Denied, NotFound, Unreachable, VerificationFailed
from catalog.key import PrivateKey, verify
from catalog.leaf import encode_leaf, seal
from catalog.member import KeyFields, Role
from catalog.merkle import EMPTY_ROOT, leaf_hash
from catalog.offer import OfferFields
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from node.message import HeadsAnswer, read_reply, reply_bytes
from node.quota import DAY
from node.replicate import quota
from node.replicate.catchup import MAX_BATCH, MAX_BATCH_ANSWER, BodiesAnswer
from node.replicate.replicator import ANEW_AT_ONCE, ANEW_ROUNDS
from tests.node.replicate.peer import (
    CATALOG,
    HOLDER,
    NODE,
    OTHER,
    ROOT,
    STEWARD,
    STRANGER,
    WITNESS_ROOT,
    Following,
    Peer,
    play,
)


def policy_of(site: Following) -> str:
    found = site.index.site(ROOT.did).typed(PolicyFields, "policy")
    return found.text if found else ""


def refused(site: Following, error: type[ComityError] = VerificationFailed) -> str:
    """A round that fails; what it said."""
    with pytest.raises(error) as raised:
        site.round()
    return str(raised.value)


def held(peer: Peer, *holders: object) -> Following:
    """A newcomer, beside members that hold what ``peer`` has and have said so."""
    site = Following(peer)
    for key in holders or (HOLDER,):
        site.holders[key.did].hold(peer)  # type: ignore[attr-defined]
        site.round(key)  # type: ignore[arg-type]
    return site


def test_rounds_bring_what_is_new_and_tell_what_counts():
    peer = Peer()
    site = Following(peer)
    peer.grow(3)
    assert site.round() == (5, 5)
    assert policy_of(site) == "// 2"
    assert site.told.heard == [0, 1, 2, 3, 4]
    peer.grow(300)
    assert site.round() == (300, 300)
    assert site.round() == (0, 0)
    assert site.told.heard == list(range(305))
    assert site.index.site(ROOT.did).faults == {}


def test_a_batch_of_leaves_costs_one_signature_check_however_large_it_is(monkeypatch):
    """Lost: a newcomer that checks a signature for each leaf, or a body that nobody checked."""
    peer = Peer()
    site = Following(peer)
    notes, bodies = [], []

    def counting(checked):
        def verify_counted(did, message, signature):
            checked.append(message)
            verify(did, message, signature)

        return verify_counted

    monkeypatch.setattr(note, "verify", counting(notes))
    monkeypatch.setattr(reading, "verify", counting(bodies))
    for count in (1, 600, 2):
        peer.grow(count)
        notes.clear()
        bodies.clear()
        leaves, _ = site.round()
        catalog = [message for message in notes if message.startswith(peer.logs[LogName.CATALOG].origin.encode())]
        # Once as it comes, and once by the replica, which keeps nothing that it has not checked itself.
        assert len(catalog) == 2
        assert len(set(catalog)) == 1
        assert len(bodies) == len(set(bodies)) == leaves >= count


@pytest.mark.parametrize("what", ["none", "one", "foreign", "foreign too", "twice", "garbage"])
def test_heads_that_are_not_those_of_its_two_logs_are_refused(what):
    """Lost: a site that shows one log to some, and hides its audit log from all."""
    peer = Peer()
    site = Following(peer)
    foreign = sign_checkpoint(Checkpoint(origin_of(STRANGER.did, LogName.CATALOG), 0, EMPTY_ROOT), NODE)
    answers = {
        "none": lambda notes: [],
        "one": lambda notes: notes[:1],
        "foreign": lambda notes: [notes[0], foreign],
        "foreign too": lambda notes: [*notes, foreign],
        "twice": lambda notes: [notes[0], notes[0]],
        "garbage": lambda notes: ["", "x"],
    }
    peer.heads = answers[what]
    refused(site)
    assert site.replica.size == 0


@pytest.mark.parametrize("log", LogName)
def test_a_head_with_a_wrong_signature_is_refused(log):
    peer = Peer()
    site = Following(peer)
    size = len(peer.logs[log].leaves)
    forged = sign_checkpoint(Checkpoint(peer.logs[log].origin, size, peer.logs[log].root_at(size)), STRANGER)
    peer.heads = lambda notes: [forged if note == peer.logs[log].note else note for note in notes]
    refused(site)
    assert site.replica.size == (0 if log is LogName.CATALOG else 2)


@pytest.mark.parametrize(
    "lie", [lambda d: d[:-1] + b"\0", lambda d: d[:-122], lambda d: d + d[:122], lambda d: b"", lambda d: b"\xff" * 99]
)
@pytest.mark.parametrize("count", [2, 600])
def test_tiles_that_do_not_rebuild_the_root_are_refused(lie, count):
    """Lost: leaves that nobody signed for. What came before stays, and an honest retry goes on."""
    peer = Peer()
    site = Following(peer)
    peer.grow(1)
    site.round()
    peer.grow(count)
    peer.bytes = lambda path, data: lie(data) if "/tile/" in path else data
    refused(site)
    assert site.replica.size == 3
    assert site.complaint(ROOT).startswith("Author failed at its own catalog: ")
    peer.bytes = lambda _path, data: data
    assert site.round() == (count, count)
    assert site.index.site(ROOT.did).faults == {}


def test_a_bad_bundle_is_named_and_those_before_it_are_not_fetched_again(monkeypatch: pytest.MonkeyPatch):
    """Lost: one bad tile at the end of a long log costs all of it, again and again."""
    monkeypatch.setattr("node.replicate.catchup.GROUP", 4)
    peer = Peer()
    peer.grow(256 * 10)
    site = Following(peer)
    bad = "tile/entries/006"
    peer.bytes = lambda path, data: data[:-1] + b"\0" if path.endswith(bad) else data
    assert f"{bad}: leaves 1536 to 1791" in refused(site)
    assert (site.replica.size, site.replica.edge.size) == (0, 4 * 256)
    peer.bytes, peer.asked = lambda _path, data: data, []
    assert site.round() == (256 * 10 + 2, 256 * 10 + 2)
    assert not any(path.endswith("tile/entries/000") for path in peer.asked)


def test_a_tile_that_is_not_there_stops_this_round_alone():
    peer = Peer()
    site = Following(peer)

    def gone(path: str, data: bytes) -> bytes:
        raise NotFound("no such tile")

    peer.bytes = gone
    refused(site, NotFound)
    peer.bytes = lambda _path, data: data
    assert site.round() == (2, 2)


def test_the_author_is_away_and_a_newcomer_catches_up_from_another():
    """Lost: nobody can join, or decide, while one hospital's node is down."""
    peer = Peer()
    peer.grow(600)
    site = held(peer)
    peer.away = True
    refused(site, Unreachable)
    assert (site.replica.size, policy_of(site)) == (602, "// 599")
    assert site.complaint(HOLDER) == ""
    peer.away = False
    peer.grow(1, "new")
    assert site.round() == (1, 1)
    assert policy_of(site) == "// new0"


def test_restricted_bodies_come_from_the_author_alone_unless_they_name_us():
    """Lost: a grant, which names a person, leaks through whoever holds a replica."""
    peer = Peer()
    peer.grow(1)
    peer.grow(1, "ours", (WITNESS_ROOT.did, HOLDER.did))
    peer.grow(1, "theirs", (HOLDER.did,))
    site = held(peer)
    peer.away = True
    refused(site, Unreachable)
    assert policy_of(site) == "// ours0"
    assert site.replica.size == 5
    assert 4 not in site.stored[ROOT.did].bodies


def test_what_a_holder_could_not_give_is_asked_of_the_author_when_it_is_back():
    peer = Peer()
    peer.grow(1)
    peer.grow(1, "ours", (WITNESS_ROOT.did,))
    site = held(peer)
    peer.away = True
    refused(site, Unreachable)
    assert policy_of(site) == "// 0"
    peer.away = False
    assert site.round() == (0, 1)
    assert policy_of(site) == "// ours0"
    assert site.told.heard[-5:] == ["anew", 0, 1, 2, 3]


def test_a_liar_s_tile_is_refused_and_named_and_the_next_holder_is_asked():
    """Lost: one lying member keeps a newcomer from everybody else's catalog."""
    peer = Peer()
    peer.grow(600)
    site = held(peer, HOLDER, OTHER)
    site.holders[HOLDER.did].bytes = lambda path, data: data[:-1] + b"\0" if "/tile/" in path else data
    # Asked first, since it says that it has more.
    known = {CATALOG: (700, bytes(32))}
    site.holders[HOLDER.did].claims = lambda _known: known
    site.round(HOLDER)
    peer.away = True
    refused(site, Unreachable)
    assert (site.replica.size, policy_of(site)) == (602, "// 599")
    assert site.complaint(HOLDER).startswith("Holder failed at the catalog of Author: ")
    assert site.complaint(OTHER) == site.complaint(ROOT) == ""
    before = len(site.holders[HOLDER.did].asked)
    refused(site, Unreachable)
    assert len(site.holders[HOLDER.did].asked) == before


def test_a_holder_that_claims_what_it_has_not_is_set_aside():
    peer = Peer()
    site = held(peer)
    site.round()
    site.holders[HOLDER.did].claims = lambda _known: {CATALOG: (1 << 40, bytes(32)), "x": (1, bytes(32))}
    site.round(HOLDER)
    site.round()
    assert "more than its 2 entries" in site.complaint(HOLDER)


def test_the_author_withholds_its_tiles_and_another_gives_them():
    """Lost: a site that shows its checkpoint to all and its entries to some."""
    peer = Peer()
    peer.grow(5)
    site = held(peer)

    def gone(path: str, data: bytes) -> bytes:
        raise NotFound("no such tile")

    peer.bytes = gone
    assert site.round()[0] == 7
    assert policy_of(site) == "// 4"
    assert "Author failed at its own catalog" in site.complaint(ROOT)


def test_an_older_checkpoint_from_another_is_no_log_that_shrank():
    """Lost: a member that is merely behind makes a third one look like a forger."""
    peer = Peer()
    site = held(peer)
    peer.grow(3)
    site.round()
    site.restart()
    site.round(HOLDER)
    peer.away = True
    refused(site, Unreachable)
    assert site.memory.kept == {} or site.replica.size == 5
    assert site.complaint(HOLDER) == ""


@pytest.mark.parametrize("what", ["body", "salt", "other leaf", "garbage", "unasked", "backwards", "uneven"])
def test_a_body_that_does_not_open_its_commitment_is_refused_and_stops_nothing(what):
    """Lost: a site shows one body to some members and another one to others, under one leaf."""
    peer = Peer()
    site = Following(peer)
    peer.grow(1)
    stored = peer.logs[LogName.CATALOG]
    salts, bodies = zip(*(stored.bodies[at] for at in range(3)), strict=True)
    true = BodiesAnswer(stop=3, leaves=(0, 1, 2), salts=salts, bodies=bodies)
    answers = {
        "body": structs.replace(true, bodies=(*bodies[:2], bodies[1])),
        "salt": structs.replace(true, salts=(*salts[:2], bytes(31) + b"\x09")),
        "other leaf": structs.replace(true, salts=(*salts[:2], salts[1]), bodies=(*bodies[:2], bodies[1])),
        "unasked": structs.replace(true, leaves=(0, 1, 3)),
        "backwards": structs.replace(true, leaves=(0, 2, 1)),
        "uneven": structs.replace(true, salts=salts[:2]),
    }
    data = encode(answers[what]) if what in answers else b"\xff"
    peer.bytes = lambda path, true: data if "/bodies/" in path else true
    refused(site)
    assert site.replica.size == 3
    assert 2 not in site.stored[ROOT.did].bodies
    assert policy_of(site) == ""
    if what in ("body", "salt", "other leaf"):
        assert site.index.site(ROOT.did).size == 3
        assert "entries 2 " in site.complaint(ROOT)
    peer.bytes = lambda _path, true: true
    site.round()
    assert policy_of(site) == "// 0"


def test_bodies_that_come_late_again_and_again_make_no_work_each_time():
    """Lost: a member that gives one old body a round has every other one read its whole log each time."""
    peer = Peer()
    site = Following(peer)
    late = range(3, 3 + ANEW_AT_ONCE + 2)
    peer.grow(late.stop + 1)
    peer.hidden = set(late)
    site.round()
    for place in late:
        peer.hidden = peer.hidden - {place}
        site.replicator._asked.clear()
        site.round()
        assert site.told.heard.count("anew") == min(place - late.start + 1, ANEW_AT_ONCE)
    for _ in range(ANEW_ROUNDS):
        site.round()
    assert site.told.heard.count("anew") == ANEW_AT_ONCE + 1


def test_keys_that_are_taken_back_again_and_again_make_no_work_each_time():
    """Lost: the same, by a member that takes a key back as of an earlier place, entry after entry."""
    peer = Peer()
    site = Following(peer)
    site.round()
    for number in range(ANEW_AT_ONCE + 2):
        thief = PrivateKey(bytes([100 + number]) * 32)
        key = KeyFields(did=thief.did, role=Role.STEWARD, name="Thief", x25519=bytes(32))
        place = peer.write("key", key, ROOT, None)
        peer.write("offer", OfferFields(runner="sandbox", price=number, step_millis=1), thief, None)
        peer.write("key", structs.replace(key, removed=True, until=place + 1), ROOT, place)
        site.round()
        assert site.told.heard.count("anew") == min(number + 1, ANEW_AT_ONCE)
    offer = site.index.site(ROOT.did).latest("offer", "")
    assert offer is not None
    for _ in range(ANEW_ROUNDS):
        site.round()
    assert site.told.heard.count("anew") == ANEW_AT_ONCE + 1  # once for both that were left
    assert site.index.site(ROOT.did).latest("offer", "") is None


def test_bodies_that_we_may_not_see_stay_absent_and_the_first_round_of_a_run_asks_again():
    peer = Peer()
    site = Following(peer)
    peer.grow(3)
    peer.hidden = {3}
    assert site.round() == (5, 4)
    assert policy_of(site) == "// 2"
    peer.hidden = set()
    assert site.round() == (0, 0)
    site.restart()
    assert site.round() == (0, 1)
    assert site.index.site(ROOT.did).faults == {}


def test_a_site_that_breaks_off_among_its_bodies_is_indexed_up_to_there_and_goes_on():
    """Lost: entries indexed as if their bodies were never to come."""
    peer = Peer()
    site = Following(peer)
    peer.grow(3)

    def breaks(path: str, data: bytes) -> bytes:
        if "/bodies/" in path:
            raise Unreachable("it broke off")
        return data

    peer.bytes = breaks
    refused(site, Unreachable)
    assert (site.replica.size, site.index.site(ROOT.did).size) == (5, 0)
    peer.bytes = lambda _path, data: data
    assert site.round() == (0, 5)
    assert site.told.heard == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"",
        b"x" * 60_000,
        encode(write_body("x-later", PolicyFields(text=""), site=ROOT.did, at=1, by=STEWARD)),
        encode(structs.replace(write_body("policy", PolicyFields(text=""), site=ROOT.did, at=1, by=STEWARD), at=2)),
    ],
)
def test_a_leaf_whose_body_means_nothing_here_stops_nothing(body):
    """Lost: one odd leaf stops a member's catalog for ever."""
    peer = Peer()
    site = Following(peer)
    at = peer.append("policy", body)
    peer.grow(2)
    site.round()
    assert policy_of(site) == "// 1"
    assert set(site.index.site(ROOT.did).faults) <= {at}
    assert site.index.site(ROOT.did).stale == ""


@pytest.mark.parametrize(("kind", "stale"), [("later", True), ("x-later", False)])
def test_an_unknown_critical_kind_stops_the_site_s_authority_and_not_its_log(kind, stale):
    """Lost: this node decides by a catalog of which it does not understand what changed."""
    peer = Peer()
    site = Following(peer)
    peer.append(kind, b"x")
    peer.grow(1)
    site.round()
    assert policy_of(site) == "// 0"
    assert (f"the kind «{kind}» of its entry 2" in site.index.site(ROOT.did).stale) == stale


def test_a_leaf_that_does_not_decode_is_kept_as_a_fault_and_the_log_goes_on():
    peer = Peer()
    site = Following(peer)
    stored = peer.logs[LogName.CATALOG]
    at = peer.append("policy", b"x")
    stored.leaves[at] = b"not a leaf"
    stored.hashes[:] = [leaf_hash(leaf) for leaf in stored.leaves]
    stored.note = sign_checkpoint(Checkpoint(CATALOG, 3, stored.root_at(3)), NODE)
    del stored.bodies[at]
    peer.grow(2)
    site.round()
    assert policy_of(site) == "// 1"
    assert "a leaf of 10 bytes" in site.index.site(ROOT.did).faults[at]


def test_a_leaf_of_another_log_is_named_and_the_log_goes_on():
    """Lost: one faulty leaf ends the following of a member; or a body counts under a leaf that names another log."""
    peer = Peer()
    site = Following(peer)
    stored = peer.logs[LogName.CATALOG]
    at = peer.append("policy", b"x")
    salt, body = stored.bodies[at]
    stored.leaves[at] = encode_leaf(seal("of another log", 0, "telepathy", body, salt))
    stored.hashes[:] = [leaf_hash(leaf) for leaf in stored.leaves]
    stored.note = sign_checkpoint(Checkpoint(CATALOG, 3, stored.root_at(3)), NODE)
    peer.grow(2)
    site.round()
    assert policy_of(site) == "// 1"
    assert "for another log" in site.index.site(ROOT.did).faults[at]
    assert not site.index.site(ROOT.did).stale


def test_a_member_that_floods_is_taken_no_more_from_until_time_has_passed(monkeypatch):
    """Lost: one member fills every other one's disk."""
    peer = Peer()
    site = Following(peer)
    monkeypatch.setattr("node.replicate.replicator.LEAVES", replace(quota.LEAVES, most=10, a_day=24))
    peer.grow(5)
    assert site.round() == (7, 7)
    peer.grow(5)
    assert "24 entries a day" in refused(site, Denied)
    assert site.replica.size == 7
    site.round(HOLDER)
    site.clock.time -= DAY
    refused(site, Denied)
    site.clock.time += DAY + 2 * 3_600_000
    assert site.round() == (5, 5)


def test_too_many_bytes_of_bodies_pause_and_what_came_stays(monkeypatch):
    peer = Peer()
    site = Following(peer)
    monkeypatch.setattr("node.replicate.replicator.BODY_BYTES", replace(quota.BODY_BYTES, most=100, a_day=24))
    peer.grow(5)
    refused(site, Denied)
    assert (site.replica.size, site.index.site(ROOT.did).size) == (7, 0)


def test_a_site_that_does_not_answer_costs_nothing():
    peer = Peer()
    site = Following(peer)
    peer.away = True
    refused(site, Unreachable)
    peer.away = False
    assert site.round() == (2, 2)


def test_a_second_round_at_once_is_refused():
    """Lost: two rounds that write past each other."""
    peer = Peer()
    site = Following(peer)
    first = site.replicator.round(ROOT.did)
    first.send(None)
    with pytest.raises(Conflict):
        play(site.replicator.round(ROOT.did))
    play(first)
    site.round()


def test_no_more_is_said_to_be_known_than_there_can_be_logs():
    """Lost: an answer of a million claims is kept in memory by everybody."""
    many = HeadsAnswer(notes=(), known={f"{at}": (1, bytes(32)) for at in range(513)})
    with pytest.raises(VerificationFailed):
        read_reply(HeadsAnswer, reply_bytes(many))


def test_what_is_damaged_here_is_told_to_nobody_by_its_path():
    """Lost: a peer is told where a hospital keeps its files; or takes it for a liar."""
    with pytest.raises(ComityError, match="a file of this site is damaged") as refused:
        read_reply(HeadsAnswer, reply_bytes(Damaged("/srv/comity/bodies.db is damaged")))
    assert type(refused.value) is ComityError
    assert "/srv" not in str(refused.value)


def test_a_batch_as_large_as_its_sender_may_make_it_is_accepted():
    assert MAX_BATCH + 128 * (64 << 10) + 4096 * 40 < MAX_BATCH_ANSWER
