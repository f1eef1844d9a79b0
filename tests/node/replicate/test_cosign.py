"""A witness: it cosigns what extends what it has verified, once, durably before it says so; a lie becomes proof."""

from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

import pytest

from catalog.body import read_body, write_body
from catalog.checkpoint import Checkpoint, add_line, sign_checkpoint, verify_cosignature
from catalog.dagcbor import encode
from catalog.error import Conflict, Unreachable, VerificationFailed
from catalog.fork import AccuseFields, Fork, check_fork
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.merkle import full_path
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from node.message import AddCheckpoint, Added, Consistency, ProofAnswer, read_question, reply_bytes
from node.replicate.cosign import Witness
from node.replicate.news import news_of
from node.replicate.push import Push
from node.replicate.quorum import Quorum
from node.replication import Seen
from tests.simulation.disk import SimulatedMemory, SimulatedOwnLog, SimulatedReplica, StoredLog, new_log

T = TypeVar("T")
HERE, OUR_NODE, OWNER, NODE, THIRD, THIRD_NODE = (PrivateKey(bytes([number]) * 32) for number in range(1, 7))
CATALOG, AUDIT = (origin_of(OWNER.did, log) for log in (LogName.CATALOG, LogName.AUDIT))
NOW = 1_700_000_000


def play(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end; every turn comes at once."""
    try:
        while True:
            work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result


class Clock:
    def __init__(self) -> None:
        self.seconds = NOW

    def now(self) -> int:
        return 1000 * self.seconds

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class House:
    """The witness at a site, over a memory that survives."""

    def __init__(self, memory: SimulatedMemory | None = None) -> None:
        self.memory = memory or SimulatedMemory()
        self.clock = Clock()
        self.index = Index([HERE.did, OWNER.did, THIRD.did])
        enrol(self.index)
        self.found = 0
        keys = {OWNER.did: frozenset({NODE.did}), THIRD.did: frozenset({THIRD_NODE.did})}
        self.witness = Witness(HERE.did, OUR_NODE, self.memory, self.index, keys.__getitem__, self.clock, self._count)
        play(self.witness.load())

    def _count(self) -> None:
        self.found += 1

    def add(self, log: StoredLog, old: int = 0, size: int | None = None, replica: StoredLog | None = None) -> Added:
        held = SimulatedReplica(replica) if replica is not None else None
        return play(self.witness.add(OWNER.did, question(log, old, size), held))

    def cosigned_at(self, log: StoredLog, added: Added) -> int:
        assert added.line is not None
        return verify_cosignature(add_line(note(log, added.size), added.line), HERE.did, OUR_NODE.did)


def enrol(index: Index) -> None:
    for root, node in ((OWNER, NODE), (THIRD, THIRD_NODE)):
        fields = KeyFields(did=node.did, role=Role.NODE, name="x", x25519=bytes(32))
        body = write_body("key", fields, site=root.did, at=1, by=root)
        assert index.site(root.did).add(0, "key", read_body(encode(body))) is not None


def log_of(size: int, name: str = "a", same: int = 0, origin: str = AUDIT) -> StoredLog:
    """A log of ``size`` leaves, of which the first ``same`` are those of every other log here."""
    log = new_log(origin, NODE)
    for at in range(size):
        log.put(NODE, 0, [("x-any", f"{'' if at < same else name}{at}".encode(), at.to_bytes(32, "big"))])
    return log


def note(log: StoredLog, size: int) -> str:
    return sign_checkpoint(Checkpoint(log.origin, size, log.root_at(size)), NODE)


def path(log: StoredLog, old: int, new: int) -> tuple[bytes, ...]:
    if not 0 < old < new:
        return ()
    return tuple(full_path(old, log.root_at(old), play(SimulatedReplica(log).consistency(old, new))))


def question(log: StoredLog, old: int, size: int | None = None) -> AddCheckpoint:
    size = len(log.leaves) if size is None else size
    return AddCheckpoint(note=note(log, size), old=old, proof=path(log, old, size))


def test_what_extends_is_cosigned_and_remembered_first():
    """Lost: a crash between the two, and the witness cosigns another history of the same size."""
    house, log = House(), log_of(9)
    assert house.cosigned_at(log, house.add(log, 0, 4)) == NOW
    assert house.memory.kept[AUDIT] == Seen(4, log.root_at(4))
    house.clock.seconds += 7
    assert house.cosigned_at(log, house.add(log, 4, 9)) == NOW + 7
    assert house.memory.accused == {}


def test_a_witness_killed_between_writing_and_answering_gives_the_same_line_later():
    """Lost: an owner that never gets its cosignature, or gets two of two times."""
    house, log = House(), log_of(5)
    work = house.witness.add(OWNER.did, question(log, 0), None)
    while AUDIT not in house.memory.kept:
        work.send(None)
    work.close()
    again = House(house.memory)
    again.clock.seconds += 3600
    assert again.cosigned_at(log, again.add(log, 0)) == NOW
    other = log_of(5, "b")
    with pytest.raises(VerificationFailed, match="two histories"):
        again.add(other, 0)


def test_the_same_size_again_renews_nothing():
    """Lost: a site whose log stands still for days looks fresh."""
    house, log = House(), log_of(3)
    first = house.add(log, 0)
    house.clock.seconds += 86_400
    assert house.add(log, 0) == house.add(log, 3) == first


def test_a_clock_that_is_set_back_dates_nothing_before_what_it_cosigned():
    house, log = House(), log_of(4)
    house.add(log, 0, 3)
    house.clock.seconds -= 9999
    assert house.cosigned_at(log, house.add(log, 3)) == NOW


def test_another_size_than_it_has_seen_is_told_and_not_cosigned():
    house, log = House(), log_of(9)
    house.add(log, 0, 4)
    assert house.add(log, 0) == Added(size=4, line=None)
    assert house.add(log, 3) == Added(size=4, line=None)
    assert house.add(log, 0, 2) == Added(size=4, line=None)
    assert house.add(log, 4).line is not None


@pytest.mark.parametrize(
    "lie", [lambda p: (), lambda p: p[:-1], lambda p: (*p, bytes(32)), lambda p: (bytes(32),) * len(p)]
)
def test_a_proof_that_proves_nothing_gets_no_cosignature_and_is_no_proof_of_a_fork(lie):
    house, log = House(), log_of(9)
    house.add(log, 0, 5)
    asked = question(log, 5)
    with pytest.raises(VerificationFailed, match="were not shown to begin"):
        play(house.witness.add(OWNER.did, AddCheckpoint(note=asked.note, old=5, proof=lie(asked.proof)), None))
    assert house.memory.accused == {}
    assert house.memory.kept[AUDIT].size == 5
    assert house.add(log, 5).line is not None


@pytest.mark.parametrize("origin", [CATALOG, AUDIT])
@pytest.mark.parametrize(("size", "grown"), [(5, 5), (4, 9), (5, 9), (8, 9), (1, 9)])
def test_a_second_history_is_proof_for_everybody_and_stops_that_log(origin, size, grown):
    """Lost: a site that takes entries back, and nobody can show it; by its own path even where no leaf is known."""
    house = House()
    ours, theirs = log_of(size, "a", size - 1, origin), log_of(grown, "b", size - 1, origin)
    house.add(ours, 0)
    with pytest.raises(VerificationFailed, match="two histories"):
        house.add(theirs, size)
    check_fork(house.memory.accused[origin], [NODE.did])
    assert "two histories" in house.index.site(OWNER.did).stale
    assert house.found == 1
    ours.put(NODE, 0, [("x-any", b"more", bytes(32))])
    with pytest.raises(VerificationFailed, match="nothing new"):
        house.add(ours, size)
    restarted = House(house.memory)
    assert "two histories" in restarted.index.site(OWNER.did).stale
    with pytest.raises(VerificationFailed, match="nothing new"):
        restarted.add(ours, size)
    other = log_of(2, origin=AUDIT if origin == CATALOG else CATALOG)
    assert restarted.add(other).line is not None


def test_a_history_beside_the_replica_is_proof_whichever_came_first():
    """Lost: leaves that count here and stand in no cosigned log, or a cosigned log whose leaves nobody has."""
    held = log_of(7, "a", 2, CATALOG)
    for size in (7, 4):
        house, other = House(), log_of(size, "b", 2, CATALOG)
        with pytest.raises(VerificationFailed, match="two histories"):
            house.add(other, replica=held)
        check_fork(house.memory.accused[CATALOG], [NODE.did])
    house, other = House(), log_of(4, "b", 2, CATALOG)
    house.add(other)
    with pytest.raises(VerificationFailed, match="two histories"):
        play(house.witness.compare(OWNER.did, SimulatedReplica(held)))
    check_fork(house.memory.accused[CATALOG], [NODE.did])


def test_what_the_replica_holds_needs_no_proof_and_what_goes_beyond_does():
    house, log = House(), log_of(9, origin=CATALOG)
    held = log_of(6, origin=CATALOG)
    assert house.add(log, 0, 2).line is not None
    assert house.add(log, 0, 5, held).line is not None
    assert house.add(log, 5, 9, held) == Added(size=6, line=None)
    assert house.add(log, 6, 9, held).line is not None


def test_nobody_asks_for_another_s_log():
    """Lost: a member puts a log of another before the witnesses, in a history of its own."""
    house, log = House(), log_of(3)
    with pytest.raises(VerificationFailed, match="no log of the site"):
        play(house.witness.add(THIRD.did, question(log, 0), None))
    forged = sign_checkpoint(Checkpoint(AUDIT, 3, log.root_at(3)), THIRD_NODE)
    with pytest.raises(VerificationFailed):
        play(house.witness.add(OWNER.did, AddCheckpoint(note=forged, old=0, proof=()), None))
    with pytest.raises(VerificationFailed, match="empty"):
        house.add(log, 0, 0)
    assert house.memory.kept == {}


def test_a_log_cosigned_by_another_question_meanwhile_is_looked_at_again():
    house, log, other = House(), log_of(5, "a", 4), log_of(5, "b", 4)
    first = house.witness.add(OWNER.did, question(log, 0), None)
    first.send(None)
    first.send(None)
    house.add(other)
    with pytest.raises(VerificationFailed, match="two histories"):
        play(first)

    class Busy(SimulatedMemory):
        async def remember(self, origin: str, seen: Seen, after: Seen | None) -> bool:
            return False

    with pytest.raises(Conflict):
        House(Busy()).add(log)


# --- what replication shows ------------------------------------------------------------------------------------------


def test_a_log_that_shrank_is_refused_and_an_answer_from_before_is_not():
    """Lost: a site brought back from an old copy is followed as if nothing had happened."""
    house, log = House(), log_of(6)
    house.add(log)
    assert play(house.witness.size(AUDIT)) == 6
    with pytest.raises(VerificationFailed, match="shrank from 6 to 4"):
        play(house.witness.see(OWNER.did, note(log, 4), 6, None))
    assert play(house.witness.see(OWNER.did, note(log, 4), 3, None)).size == 4
    assert house.memory.accused == {}


def test_a_smaller_log_of_another_history_is_proof_and_not_only_one_that_shrank():
    """Lost: an old copy that signs less than it had signed stays unproven until it has caught up with what it lost."""
    house, held = House(), log_of(9, "a", 2, CATALOG)
    other = log_of(6, "b", 2, CATALOG)
    with pytest.raises(VerificationFailed, match="two histories of its catalog log, of 6 and of 9 leaves"):
        play(house.witness.see(OWNER.did, other.note, 9, SimulatedReplica(held)))
    check_fork(house.memory.accused[CATALOG], [NODE.did])
    with pytest.raises(VerificationFailed, match="shrank"):
        play(House().witness.see(OWNER.did, note(held, 6), 9, SimulatedReplica(held)))


class Owner:
    """Answers how its log begins."""

    def __init__(self, log: StoredLog) -> None:
        self.log = log

    async def ask(self, site: str, data: bytes, seconds: float = 30.0) -> bytes:
        asked = read_question(data)
        assert isinstance(asked, Consistency)
        return reply_bytes(ProofAnswer(hashes=path(self.log, asked.old, asked.new)))

    async def hint(self, message: bytes) -> None:
        raise NotImplementedError


def test_leaves_that_do_not_fit_are_the_sender_s_fault_unless_the_owner_s_own_path_says_otherwise():
    """Lost: a member that sends bad tiles has another one accused; or a fork is taken for a bad line for ever."""
    held = SimulatedReplica(log_of(4, "a", 2, CATALOG))
    honest, forked = log_of(9, "a", 2, CATALOG), log_of(9, "b", 2, CATALOG)
    house = House()
    play(house.witness.inquire(OWNER.did, honest.note, held, Owner(honest)))
    play(house.witness.inquire(OWNER.did, honest.note, held, Owner(forked)))
    assert house.memory.accused == {}
    with pytest.raises(VerificationFailed, match="two histories"):
        play(house.witness.inquire(OWNER.did, forked.note, held, Owner(forked)))
    check_fork(house.memory.accused[CATALOG], [NODE.did])


# --- forks that others tell of ---------------------------------------------------------------------------------------


def accuse(house: House, fork: Fork) -> None:
    index = house.index.site(THIRD.did)
    body = write_body("accuse", AccuseFields(fork=fork), site=THIRD.did, at=1, by=THIRD_NODE)
    assert index.add(index.size, "accuse", read_body(encode(body))) is not None, index.faults
    play(house.witness.heed(THIRD.did))


def test_a_fork_that_another_proves_stops_the_accused_here_too():
    """Lost: each half of a forked site's victims goes on, until it meets the other half."""
    house = House()
    accuse(house, Fork(first=log_of(3, "a").note, second=log_of(3, "b").note))
    assert "two histories" in house.index.site(OWNER.did).stale
    assert house.found == 1
    assert AUDIT in house.memory.accused
    with pytest.raises(VerificationFailed, match="nothing new"):
        house.add(log_of(3))
    play(house.witness.heed(THIRD.did))
    assert house.found == 1


def test_an_accusation_that_proves_nothing_stops_nobody():
    """Lost: any member silences any other."""
    house, one = House(), log_of(3)
    stranger = PrivateKey(bytes([99]) * 32)
    forged = sign_checkpoint(Checkpoint(AUDIT, 3, bytes(32)), stranger)
    nobody = [
        sign_checkpoint(Checkpoint(origin_of(stranger.did, LogName.AUDIT), 1, bytes([at]) * 32), NODE) for at in b"ab"
    ]
    for fork in (
        Fork(first=one.note, second=forged),
        Fork(first=one.note, second=one.note),
        Fork(first=note(one, 2), second=one.note, consistency=path(one, 2, 3)),
        Fork(first=nobody[0], second=nobody[1]),
    ):
        house = House()
        accuse(house, fork)
        assert house.index.site(OWNER.did).stale == ""
        assert house.memory.accused == {}


# --- the owner's side ------------------------------------------------------------------------------------------------


class Network:
    """Witnesses that answer as they are told."""

    def __init__(self, **witnesses: House) -> None:
        self.houses = {HERE.did: House()}
        self.away: set[str] = set()
        self.asked = 0
        self.rows: list[list[bytes | None]] = []

    async def ask(self, site: str, data: bytes, seconds: float = 30.0) -> bytes:
        asked = read_question(data)
        assert isinstance(asked, AddCheckpoint)
        self.asked += 1
        self.rows.append([row.body for row in asked.rows])
        if site in self.away:
            raise Unreachable("away")
        return reply_bytes(await self.houses[site].witness.add(OWNER.did, asked, None))

    async def hint(self, message: bytes) -> None:
        raise NotImplementedError


def own(stored: StoredLog) -> SimulatedOwnLog:
    return SimulatedOwnLog(stored, NODE, lambda count: bytes(count), lambda *_: None)


class Pushing:
    def __init__(self, stored: StoredLog, network: Network, quorum: Quorum) -> None:
        self.moved: list[int] = []
        self.network = network
        self.push = Push(own(stored), network, lambda: quorum, lambda: self.moved.append(self.push.covered()))
        play(self.push.load())

    def to(self, witness: str) -> bool:
        play(self.push.aim())
        return play(self.push.push(witness))


ONE = Quorum(1, {HERE.did: OUR_NODE.did})


def test_the_newest_checkpoint_is_pushed_with_the_proof_that_the_witness_needs():
    log = log_of(3)
    pushing = Pushing(log, Network(), ONE)
    assert pushing.to(HERE.did)
    assert not pushing.to(HERE.did)
    log.put(NODE, 0, [("x-any", b"more", bytes(32))])
    assert pushing.push.lacking(4) == [HERE.did]
    assert pushing.to(HERE.did)
    assert (pushing.network.asked, pushing.moved, list(pushing.push.lacking(4))) == (2, [3, 4], [])
    restarted = Pushing(log, pushing.network, ONE)
    assert restarted.push.covered() == 4
    log.put(NODE, 0, [("x-any", b"more", bytes(32))])
    assert restarted.to(HERE.did)
    assert restarted.push.covered() == 5


def test_what_is_erased_while_a_checkpoint_stands_before_the_witnesses_goes_to_nobody():
    """Lost: a body is erased on every disk, and goes out from memory to whoever was away."""
    log, network = log_of(3), Network()
    pushing = Pushing(log, network, ONE)
    mine = pushing.push.log
    pushing.push = Push(mine, network, lambda: ONE, lambda: None, partial(news_of, mine))
    assert pushing.to(HERE.did)
    data = encode(write_body("x-any", PolicyFields(text="a"), site=OWNER.did, at=1, by=NODE, audience=(HERE.did,)))
    log.put(NODE, 0, [("x-any", data, bytes(32))])
    play(pushing.push.aim())
    network.away = {HERE.did}
    with pytest.raises(Unreachable):
        play(pushing.push.push(HERE.did))
    del log.bodies[3]
    mine.erasures += 1
    with pytest.raises(Unreachable):
        play(pushing.push.push(HERE.did))
    assert network.rows[-2:] == [[data], [None]]


def test_one_checkpoint_stands_before_all_until_the_quorum_has_it():
    """Lost: under load each witness cosigns another size, no quorum ever cosigns one, and nothing is released."""
    network, log = Network(), log_of(3)
    others = {HERE.did: OUR_NODE.did, THIRD.did: THIRD_NODE.did}
    third = House()
    third.witness = Witness(
        THIRD.did, THIRD_NODE, third.memory, third.index, lambda _: frozenset({NODE.did}), third.clock, lambda: None
    )
    network.houses[THIRD.did] = third
    pushing = Pushing(log, network, Quorum(2, others))
    assert pushing.to(HERE.did)
    log.put(NODE, 0, [("x-any", b"more", bytes(32))])
    assert not pushing.to(HERE.did)
    assert pushing.push.lacking(4) == [HERE.did, THIRD.did]
    assert pushing.push.lacking(3) == [THIRD.did]
    network.away = {THIRD.did}
    with pytest.raises(Unreachable):
        pushing.to(THIRD.did)
    assert pushing.push.covered() == 0
    network.away = set()
    assert pushing.to(THIRD.did)
    assert (pushing.push.covered(), pushing.moved) == (3, [3])
    assert pushing.to(HERE.did)
    assert pushing.to(THIRD.did)
    assert pushing.push.covered() == 4
    assert list(pushing.push.lacking(4)) == []


def test_an_owner_that_has_less_than_it_showed_is_told_so():
    """Lost: a site brought back from an old copy finds out when it forks, instead of before."""
    network = Network()
    Pushing(log_of(9), network, ONE).to(HERE.did)
    with pytest.raises(VerificationFailed, match=r"cosigned 9 leaves .* there are 4 here.*site restore"):
        Pushing(log_of(4), network, ONE).to(HERE.did)


def test_a_cosignature_in_another_s_name_is_not_taken():
    """Lost: one member makes up the quorum alone."""
    network, log = Network(), log_of(3)
    network.houses[THIRD.did] = network.houses[HERE.did]
    pushing = Pushing(log, network, Quorum(2, {HERE.did: OUR_NODE.did, THIRD.did: THIRD_NODE.did}))
    with pytest.raises(VerificationFailed, match="another's name"):
        pushing.to(THIRD.did)
    assert log.cosigned == {}


def test_without_witnesses_all_is_covered():
    assert Pushing(log_of(3), Network(), Quorum(0, {})).push.covered() == 3


def test_the_time_of_a_quorum_is_that_of_the_last_who_was_needed():
    """Lost: one liar's early or late time decides how fresh a site is."""
    quorum = Quorum(2, {"a": "", "b": "", "c": ""})
    assert quorum.since({"a": 5, "b": 9, "c": 1 << 40}) == 9
    assert quorum.since({"a": 0, "b": 9, "c": 8}) == 8
    assert quorum.since({"a": 5, "x": 6}) is None
    assert quorum.reached(["a", "b"])
    assert not quorum.reached(["a", "a", "x"])
