"""Rounds with a member: what is true is taken and cosigned; a lie is refused, kept as evidence, and stops nothing."""

import pytest
from msgspec import structs

from catalog.body import write_body
from catalog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from catalog.dagcbor import encode
from catalog.error import ComityError, Conflict, NotFound, Unreachable, VerificationFailed
from catalog.merkle import EMPTY_ROOT, leaf_hash
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from node.ports import Seen
from node.replicate.catchup import MAX_BODY_ANSWER, BodyAnswer
from tests.node.replicate.peer import AUDIT, CATALOG, NODE, ROOT, STEWARD, STRANGER, Following, Peer, play


def policy_of(site: Following) -> str:
    found = site.index.site(ROOT.did).typed(PolicyFields, "policy")
    return found.text if found else ""


def refused(site: Following, error: type[ComityError] = VerificationFailed) -> None:
    """A round that fails, and gives no cosignature."""
    before = site.cosigned()
    with pytest.raises(error):
        site.round()
    assert site.cosigned() == before


def test_rounds_bring_what_is_new_and_cosign_it():
    peer = Peer()
    site = Following(peer)
    peer.grow(3)
    assert site.round() == (5, 5)
    assert policy_of(site) == "// 2"
    assert [note.partition("\n")[0] for note in peer.cosigned] == [CATALOG]  # the audit log is empty
    peer.append("intent", b"x", LogName.AUDIT)
    assert site.round() == (0, 0)
    peer.grow(300)
    assert site.round() == (300, 300)
    assert site.round() == (0, 0)
    assert site.index.site(ROOT.did).faults == {}
    assert set(peer.cosigned) >= {peer.note().partition("\n\n")[0] + "\n"}
    assert site.memory.accused == []
    assert site.cosigned() == 3


def test_what_is_cosigned_was_remembered_before():
    """Lost: a crash between the two, and the site cosigns another history of the same size."""
    peer = Peer()
    site = Following(peer)
    site.round()
    assert site.memory.before == [0]
    assert site.memory.kept[CATALOG] == Seen(2, peer.logs[LogName.CATALOG].root_at(2))
    assert open_checkpoint(site.memory.kept[CATALOG].note, CATALOG, NODE.did).size == 2


def test_a_cosignature_that_was_lost_is_given_again():
    peer = Peer()
    site = Following(peer)
    site.round()
    site.restart()
    site.round()
    assert peer.cosigned[0] == peer.cosigned[1]


@pytest.mark.parametrize("log", LogName)
def test_a_head_with_a_wrong_signature_is_refused(log):
    peer = Peer()
    site = Following(peer)
    size = len(peer.logs[log].leaves)
    forged = sign_checkpoint(Checkpoint(peer.logs[log].origin, size, peer.logs[log].root_at(size)), STRANGER)
    peer.heads = lambda notes: [forged if note == peer.logs[log].note else note for note in notes]
    if log is LogName.CATALOG:
        refused(site)
        assert site.replica.size == 0
    else:
        with pytest.raises(VerificationFailed):
            site.round()
        assert AUDIT not in site.memory.kept
    peer.heads = lambda notes: notes
    site.round()


@pytest.mark.parametrize("what", ["none", "one", "foreign", "foreign too", "twice", "garbage"])
def test_heads_that_are_not_those_of_its_two_logs_are_refused(what):
    """Lost: a site that shows one log to some, and hides its audit log from all."""
    peer = Peer()
    site = Following(peer)
    other = origin_of(STRANGER.did, LogName.CATALOG)
    foreign = sign_checkpoint(Checkpoint(other, 0, EMPTY_ROOT), NODE)
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
    assert site.memory.kept == {}


@pytest.mark.parametrize("log", LogName)
def test_a_log_that_shrank_is_evidence(log):
    """Lost: a site takes entries back, and nobody can show it."""
    peer = Peer()
    site = Following(peer)
    peer.append("intent", b"x", LogName.AUDIT)
    peer.append("intent", b"y", LogName.AUDIT)
    peer.grow(3)
    site.round()
    before = site.memory.kept[peer.logs[log].origin]
    peer.forget(1, log)
    refused(site)
    assert site.memory.accused == [(peer.logs[log].origin, before.note, peer.note(log))]
    assert site.memory.kept[peer.logs[log].origin] == before
    refused(site)


@pytest.mark.parametrize("log", LogName)
def test_two_histories_of_one_size_are_evidence_that_others_can_check(log):
    peer = Peer()
    site = Following(peer)
    peer.append("intent", b"x", LogName.AUDIT)
    peer.grow(2)
    site.round()
    size = len(peer.logs[log].leaves)
    peer.forget(size - 1, log)
    peer.append("policy", b"another", log)
    refused(site)
    [(origin, ours, theirs)] = site.memory.accused
    one, two = (open_checkpoint(note, origin, NODE.did) for note in (ours, theirs))
    assert one.size == two.size
    assert one.root != two.root


@pytest.mark.parametrize("log", LogName)
def test_growth_that_does_not_begin_with_what_was_seen_is_evidence(log):
    """Lost: a log rewritten at its beginning, hidden by new entries at its end."""
    peer = Peer()
    site = Following(peer)
    for at in range(3):
        peer.append("intent", b"%d" % at, LogName.AUDIT)
    peer.grow(2)
    site.round()
    kept = dict(site.memory.kept)
    size = len(peer.logs[log].leaves)
    peer.forget(1, log)
    for at in range(size + 2):
        peer.append("policy", b"another %d" % at, log)
    refused(site)
    assert site.memory.accused == [(peer.logs[log].origin, kept[peer.logs[log].origin].note, peer.note(log))]
    assert site.memory.kept == kept
    assert site.replica.size == 4
    assert policy_of(site) == "// 1"


def test_a_history_shown_to_the_replica_and_another_one_shown_for_cosigning_are_evidence():
    """Lost: entries that count here and are in no cosigned log. The peer fails between the replica and the witness."""
    peer = Peer()
    site = Following(peer)
    peer.grow(1)
    site.round()
    peer.grow(1, "shown")
    peer.bytes = _breaks_at_bodies
    refused(site, Unreachable)
    assert site.replica.size == 4
    shown = peer.note()
    site.restart()
    peer.bytes = lambda _path, data: data
    peer.forget(3)
    peer.grow(1, "cosigned")
    refused(site)
    assert site.memory.accused == [(CATALOG, shown, peer.note())]
    peer.grow(3, "hidden")
    refused(site)
    assert len(site.memory.accused) == 2


def _breaks_at_bodies(path: str, data: bytes) -> bytes:
    if "/body/" in path:
        raise Unreachable("it broke off")
    return data


def test_what_was_fetched_and_not_cosigned_is_cosigned_when_the_peer_is_back():
    peer = Peer()
    site = Following(peer)
    site.round()
    peer.grow(4)
    peer.bytes = _breaks_at_bodies
    refused(site, Unreachable)
    peer.bytes = lambda _path, data: data
    peer.grow(1)
    before = site.cosigned()
    site.round()
    assert site.cosigned() == before + 1
    assert policy_of(site) == "// 0"
    assert site.memory.accused == []


@pytest.mark.parametrize(
    "lie", [lambda d: d[:-1] + b"\0", lambda d: d[:-122], lambda d: d + d[:122], lambda d: b"", lambda d: b"\xff" * 99]
)
def test_tiles_that_do_not_rebuild_the_root_are_refused(lie):
    """Lost: leaves that nobody signed for. What came before stays, and an honest retry goes on."""
    peer = Peer()
    site = Following(peer)
    peer.grow(1)
    site.round()
    peer.grow(2)
    peer.bytes = lambda path, data: lie(data) if "/tile/" in path else data
    refused(site)
    assert site.replica.size == 3
    assert site.memory.accused == []
    peer.bytes = lambda _path, data: data
    assert site.round() == (2, 2)
    assert site.index.site(ROOT.did).faults == {}


def test_a_tile_that_is_not_there_stops_this_round_alone():
    peer = Peer()
    site = Following(peer)

    def gone(path: str, data: bytes) -> bytes:
        raise NotFound("no such tile")

    peer.bytes = gone
    refused(site, NotFound)
    peer.bytes = lambda _path, data: data
    assert site.round() == (2, 2)


@pytest.mark.parametrize("what", ["body", "salt", "other leaf", "garbage", "not canonical"])
def test_a_body_that_does_not_open_its_commitment_is_refused(what):
    """Lost: a site shows one body to some members and another one to others, under one leaf."""
    peer = Peer()
    site = Following(peer)
    peer.grow(1)
    stored = peer.logs[LogName.CATALOG]
    salt, body = stored.bodies[2]
    answer = {
        "body": BodyAnswer(salt=salt, body=stored.bodies[1][1]),
        "salt": BodyAnswer(salt=bytes(31) + b"\x09", body=body),
        "other leaf": BodyAnswer(salt=stored.bodies[1][0], body=stored.bodies[1][1]),
    }
    data = encode(answer[what]) if what in answer else b"\xff" if what == "garbage" else encode({"body": body})
    peer.bytes = lambda path, true: data if path.endswith("/body/2") else true
    refused(site)
    assert policy_of(site) == ""
    peer.bytes = lambda _path, true: true
    site.round()
    assert policy_of(site) == "// 0"


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
def test_a_leaf_whose_body_means_nothing_here_is_kept_as_a_fault_and_the_log_goes_on(body):
    """Lost: one odd leaf stops a member's catalog for ever."""
    peer = Peer()
    site = Following(peer)
    at = peer.append("policy", body)
    peer.grow(2)
    site.round()
    assert policy_of(site) == "// 1"
    assert site.index.site(ROOT.did).faults.keys() == {at}
    assert site.cosigned() == 1


def test_a_leaf_that_does_not_decode_is_kept_as_a_fault_and_the_log_goes_on():
    peer = Peer()
    site = Following(peer)
    stored = peer.logs[LogName.CATALOG]
    at = peer.append("policy", b"x")
    stored.leaves[at] = b"not a leaf"
    rehash(peer)
    del stored.bodies[at]
    peer.grow(2)
    site.round()
    assert policy_of(site) == "// 1"
    assert at in site.index.site(ROOT.did).faults


def rehash(peer: Peer) -> None:
    stored = peer.logs[LogName.CATALOG]
    stored.hashes[:] = [leaf_hash(leaf) for leaf in stored.leaves]
    size = len(stored.leaves)
    stored.note = sign_checkpoint(Checkpoint(CATALOG, size, stored.root_at(size)), NODE)


@pytest.mark.parametrize("log", LogName)
@pytest.mark.parametrize(
    "lie", [lambda h: [], lambda h: h[:-1], lambda h: [*h, bytes(32)], lambda h: [bytes(32)] * len(h)]
)
def test_a_proof_that_proves_nothing_gets_no_cosignature_and_an_honest_one_does(log, lie):
    peer = Peer()
    site = Following(peer)
    for at in range(3):
        peer.append("intent", b"%d" % at, LogName.AUDIT)
    site.round()
    kept = dict(site.memory.kept)
    for at in range(2):
        peer.append("intent", b"more %d" % at, LogName.AUDIT)
    peer.proof = lie
    refused(site)
    assert site.memory.kept == kept
    peer.proof = lambda hashes: hashes
    site.round()
    assert site.memory.kept[AUDIT].size == 5


def test_a_site_that_does_not_answer_costs_nothing():
    peer = Peer()
    site = Following(peer)
    peer.away = True
    refused(site, Unreachable)
    peer.away = False
    site.round()
    assert site.cosigned() == 1


def test_a_second_round_at_once_is_refused():
    """Lost: two rounds that cosign past each other."""
    peer = Peer()
    site = Following(peer)
    first = site.replicator.round(ROOT.did)
    first.send(None)
    with pytest.raises(Conflict):
        play(site.replicator.round(ROOT.did))
    play(first)
    site.round()


def test_no_answer_is_taken_that_is_larger_than_a_body_can_be():
    assert len(encode(BodyAnswer(salt=bytes(32), body=bytes(64 << 10)))) < MAX_BODY_ANSWER
