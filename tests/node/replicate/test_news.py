"""What goes with a checkpoint: what is new, no more than its reader may see; and what of it is taken, and when not."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from msgspec import structs

from catalog.checkpoint import Checkpoint, sign_checkpoint
from catalog.error import Damaged, Unreachable, VerificationFailed
from catalog.index import SiteIndex
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.offer import OfferFields
from catalog.origin import LogName
from catalog.policy import PolicyFields
from node.message import MAX_ROWS, Row
from node.replicate import quota
from node.replicate.indexing import Feeding, Nowhere
from node.replicate.news import MOST_BYTES, going_on, news_of, no_news, shown_to
from tests.node.replicate.peer import HOLDER, NODE, ROOT, STRANGER, WITNESS_ROOT, Following, Peer, play
from tests.simulation.disk import SimulatedOwnLog

Lie = Callable[[list[Row]], Sequence[Row]]


def own(peer: Peer) -> SimulatedOwnLog:
    return SimulatedOwnLog(peer.logs[LogName.CATALOG], NODE, bytes, lambda *_: None)


def rows(peer: Peer, old: int, reader: str = WITNESS_ROOT.did) -> tuple[Row, ...]:
    """What goes with the peer's newest checkpoint to ``reader``, who has seen ``old`` entries."""
    log = own(peer)
    return shown_to(reader, play(news_of(log, old, log.size)))


def show(site: Following, peer: Peer, old: int, lie: Lie = lambda rows: rows) -> None:
    """The peer's newest checkpoint comes with what is new since ``old``."""
    play(site.replicator.offered(ROOT.did, peer.note(), lie(list(rows(peer, old)))))


def met(count: int = 1) -> tuple[Peer, Following]:
    """A site that has followed ``peer`` so far."""
    peer = Peer()
    peer.grow(count)
    site = Following(peer)
    site.round()
    peer.asked.clear()
    return peer, site


def policy_of(site: Following) -> str:
    found = site.index.site(ROOT.did).typed(PolicyFields, "policy")
    return found.text if found else ""


def test_a_restricted_body_goes_to_those_it_names_alone():
    """Lost: a grant, which names a person, goes out to everybody with the checkpoint that holds it."""
    peer = Peer()
    peer.grow(1)
    peer.grow(1, "theirs", (HOLDER.did,))
    seen = rows(peer, 2)
    assert [(row.index, row.body is None, row.salt is None) for row in seen] == [(2, False, False), (3, True, True)]
    assert all(row.body for row in rows(peer, 2, HOLDER.did))
    assert all(row.body for row in rows(peer, 2, ROOT.did))


def test_no_more_goes_along_than_a_message_should_hold():
    """Lost: a busy site's checkpoints are refused as too large, and nothing of it is cosigned any more."""
    peer = Peer()
    peer.grow(MAX_ROWS)
    assert len(rows(peer, 2)) == MAX_ROWS
    assert rows(peer, 1) == ()
    assert rows(peer, 2 + MAX_ROWS) == ()
    peer.grow(3, "x" * (MOST_BYTES // 3))
    assert rows(peer, 2 + MAX_ROWS) == ()
    assert len(rows(peer, 4 + MAX_ROWS)) == 1
    assert play(no_news(0, 1)) == ()


def test_only_rows_without_a_gap_go_on():
    def held(*indexes: int) -> list[Row]:
        return [Row(index=index, leaf=b"", salt=None, body=None) for index in indexes]

    assert [row.index for row in going_on(held(3, 4, 5), 4, 6)] == [4, 5]
    for places in ((), (5,), (3, 4), (3, 5), (4, 3, 5), (4, 4, 5), (3, 4, 5, 6)):
        assert not going_on(held(*places), 4, 6), places
    assert not going_on(held(3, 4, 5), 6, 6)
    assert not going_on(held(3, 4, 5), 9, 6)


def test_what_is_shown_counts_and_nothing_is_fetched():
    peer, site = met()
    for count, before in ((1, 3), (40, 4)):
        peer.grow(count)
        show(site, peer, before)
    assert (site.replica.size, policy_of(site)) == (44, "// 39")
    assert site.told.heard == list(range(44))
    assert site.index.site(ROOT.did).faults == {}
    assert peer.asked == []
    assert site.round() == (0, 0)
    assert peer.asked == []


def test_a_newcomer_takes_a_short_log_as_it_is_shown():
    peer = Peer()
    site = Following(peer)
    show(site, peer, 0)
    assert (site.replica.size, site.told.heard, peer.asked) == (2, [0, 1], [])


def test_what_came_meanwhile_is_not_taken_twice():
    peer, site = met()
    peer.grow(1)
    shown = rows(peer, 3), peer.note()
    peer.grow(1)
    show(site, peer, 3)
    play(site.replicator.offered(ROOT.did, shown[1], shown[0]))
    show(site, peer, 3)
    assert site.told.heard == [0, 1, 2, 3, 4]
    show(site, peer, 5)
    peer.grow(1)
    show(site, peer, 3)
    assert site.told.heard == [0, 1, 2, 3, 4, 5]


def test_what_does_not_go_on_from_here_is_left_to_a_round():
    peer, site = met()
    peer.grow(2)
    show(site, peer, 4)
    assert site.replica.size == 3
    assert site.round() == (2, 2)


def test_a_body_that_is_not_for_us_stays_away_and_those_after_it_count():
    peer, site = met()
    peer.grow(1, "theirs", (HOLDER.did,))
    peer.grow(1, "ours", (WITNESS_ROOT.did,))
    show(site, peer, 3)
    assert site.replica.size == 5
    assert 3 not in site.stored[ROOT.did].bodies
    assert 4 in site.stored[ROOT.did].bodies


def test_nothing_is_taken_while_a_round_is_not_done_with_what_is_here():
    """Lost: entries count in another order than they stand, or some never."""
    peer = Peer()
    peer.grow(1)
    peer.hidden = {2}
    site = Following(peer)
    site.round()
    site.restart()  # the index is read again; what was asked for is not known any more
    peer.grow(1)
    show(site, peer, 3)
    assert site.replica.size == 3
    peer.hidden = set()
    assert site.round() == (1, 2)
    peer.grow(1)
    show(site, peer, 4)
    assert (site.replica.size, policy_of(site)) == (5, "// 0")
    assert site.told.heard == [0, 1, 2, 3, 4]


LEAVES: dict[str, Lie] = {
    "another leaf": lambda rows: [structs.replace(rows[0], leaf=rows[0].leaf[:-1] + b"\0"), rows[1]],
    "no leaf": lambda rows: [structs.replace(rows[0], leaf=b""), rows[1]],
    "turned round": lambda rows: [
        structs.replace(rows[1], index=rows[0].index),
        structs.replace(rows[0], index=rows[1].index),
    ],
}


@pytest.mark.parametrize("lie", LEAVES.values(), ids=LEAVES.keys())
def test_leaves_that_were_not_signed_are_refused_and_their_owner_is_named(lie):
    """Lost: leaves that nobody signed for, taken because they came with a checkpoint."""
    peer, site = met()
    peer.grow(2)
    with pytest.raises(VerificationFailed):
        show(site, peer, 3, lie)
    assert (site.replica.size, site.told.heard) == (3, [0, 1, 2])
    assert site.complaint(ROOT).startswith("Author failed at its own catalog: ")
    assert site.round() == (2, 2)


BODIES: dict[str, Lie] = {
    "another body": lambda rows: [structs.replace(rows[0], body=rows[1].body), rows[1]],
    "another salt": lambda rows: [structs.replace(rows[0], salt=bytes(32)), rows[1]],
    "no body of ours": lambda rows: [structs.replace(rows[0], body=b"\xff"), rows[1]],
}


@pytest.mark.parametrize("lie", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_not_what_was_signed_is_refused_and_fetched_later(lie):
    peer, site = met()
    peer.grow(2)
    with pytest.raises(VerificationFailed, match="for the entries 3 are not what was signed"):
        show(site, peer, 3, lie)
    assert site.replica.size == 5
    assert site.round() == (0, 1)
    assert policy_of(site) == "// 1"
    assert site.told.heard[-5:] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("log", LogName)
def test_rows_with_a_checkpoint_that_is_not_the_catalog_s_change_nothing(log):
    peer, site = met()
    peer.grow(1)
    stored = peer.logs[log]
    size = len(stored.leaves)
    forged = sign_checkpoint(Checkpoint(stored.origin, size, stored.root_at(size)), STRANGER)
    with pytest.raises(VerificationFailed):
        play(site.replicator.offered(ROOT.did, forged, rows(peer, 3)))
    if log is LogName.AUDIT:
        play(site.replicator.offered(ROOT.did, peer.note(log), rows(peer, 3)))
    assert site.replica.size == 3


def test_another_history_that_is_shown_is_a_fork():
    """Lost: a site that rewrites its catalog, and is believed because it pushes instead of being asked."""
    peer, site = met(3)
    peer.forget(4)
    peer.grow(1, "another")
    with pytest.raises(VerificationFailed, match="two histories"):
        show(site, peer, 4)
    assert site.witness.forks
    assert policy_of(site) == "// 2"


def test_a_flood_that_is_pushed_is_left_to_a_round_which_refuses_it(monkeypatch):
    """Lost: the bound of what a member may send, since it pushes instead of being asked."""
    monkeypatch.setattr("node.replicate.replicator.LEAVES", replace(quota.LEAVES, most=10, a_day=1))
    peer, site = met()
    peer.grow(5)
    show(site, peer, 3)
    assert site.replica.size == 8
    peer.grow(5)
    show(site, peer, 8)
    assert site.replica.size == 8


def test_own_damage_is_no_fault_of_who_sent_what_is_true():
    """Lost: this site's own disk fails, and every honest member is named a liar and set aside."""

    class Broken(Nowhere):
        async def spill(self, index: SiteIndex) -> None:
            raise Damaged("versions.db is damaged")

    for ask in (lambda site, _: site.round(), lambda site, peer: show(site, peer, 3)):
        peer, site = met()
        peer.grow(1)
        site.replicator._feeding = Feeding(told=site.told, keeps=Broken())
        with pytest.raises(Damaged):
            ask(site, peer)
        assert site.complaint(ROOT) == ""


@pytest.mark.parametrize("away", [False, True])
def test_a_whole_reading_is_left_to_the_next_round_which_does_it_though_the_site_is_away(away):
    """Lost: a node that is stopped waits until all of a catalog is read; or what a stolen key signed counts on."""
    peer, site = met()
    thief = PrivateKey(b"\x41" * 32)
    key = KeyFields(did=thief.did, role=Role.STEWARD, name="Thief", x25519=bytes(32))
    place = peer.write("key", key, ROOT, None)
    peer.write("offer", OfferFields(runner="sandbox", price=1, step_millis=1), thief, None)
    site.round()
    peer.write("key", structs.replace(key, removed=True, until=place + 1), ROOT, place)
    show(site, peer, place + 2)
    assert site.replica.size == place + 3
    assert "anew" not in site.told.heard
    assert site.replicator.due(ROOT.did)
    assert site.index.site(ROOT.did).key(thief.did) is None
    peer.away = away
    if away:
        with pytest.raises(Unreachable):
            site.round()
    else:
        site.round()
    assert site.told.heard.count("anew") >= 1
    assert site.index.site(ROOT.did).latest("offer", "") is None
    assert not site.replicator.due(ROOT.did)
