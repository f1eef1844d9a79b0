"""When a site was heard last: by its own beat under a quorum of witnesses, and by no clock that lies."""

import pytest

from catalog.beat import BeatFields
from catalog.body import read_body, write_body
from catalog.checkpoint import Checkpoint, add_line, cosign, sign_checkpoint
from catalog.dagcbor import encode
from catalog.error import VerificationFailed
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.origin import LogName, origin_of
from node.replicate.freshness import AHEAD_MILLIS, Freshness
from node.replicate.quorum import Quorum
from privacy.freshness import DAY, HOUR
from tests.node.replicate.test_cosign import play
from tests.simulation.disk import SimulatedMemory, SimulatedReplica, new_log

HERE, OUR_NODE, OWNER, NODE = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3, 4))
WITNESSES = {f"did:key:w{at}": PrivateKey(bytes([40 + at]) * 32) for at in range(4)}
CATALOG = origin_of(OWNER.did, LogName.CATALOG)
NOW = 1_700_000_000_000
MINUTE = 60_000


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class House:
    """A site that follows ``OWNER``, whose log is cosigned by three of four."""

    def __init__(self, memory: SimulatedMemory | None = None) -> None:
        self.clock = Clock()
        self.memory = memory or SimulatedMemory()
        self.index = Index([HERE.did, OWNER.did])
        self.log = new_log(CATALOG, NODE)
        self.previous: dict[str, int] = {}
        for root, node in ((HERE, OUR_NODE), (OWNER, NODE)):
            fields = KeyFields(did=node.did, role=Role.NODE, name="x", x25519=bytes(32))
            self.say(root, root, "key", fields, None)
        self.restart()

    def restart(self) -> None:
        self.freshness = Freshness(
            HERE.did,
            self.index,
            self.memory,
            self.clock,
            lambda _: Quorum(3, {name: key.did for name, key in WITNESSES.items()}),
            {HERE.did: "here", OWNER.did: "St. Anna"}.__getitem__,
        )
        play(self.freshness.load())

    def say(
        self, root: PrivateKey, by: PrivateKey, kind: str, fields: object, previous: int | None, at: int = 1
    ) -> None:
        index = self.index.site(root.did)
        body = encode(write_body(kind, fields, site=root.did, at=at, by=by, previous=previous))  # type: ignore[arg-type]
        assert index.add(index.size, kind, read_body(body)) is not None, index.faults
        if root is OWNER:
            self.log.put(NODE, 0, [(kind, body, bytes(32))])

    def beat(self, at: int, root: PrivateKey = OWNER) -> None:
        """A beat at ``at``."""
        size = self.index.site(root.did).size
        self.say(root, NODE if root is OWNER else OUR_NODE, "beat", BeatFields(), self.previous.get(root.did), at)
        self.previous[root.did] = size

    def note(self, *times: int) -> str:
        """The newest checkpoint, cosigned by one witness after the other at these milliseconds."""
        made = sign_checkpoint(Checkpoint(CATALOG, len(self.log.leaves), self.log.root_at(len(self.log.leaves))), NODE)
        for (name, key), at in zip(WITNESSES.items(), times, strict=False):
            made = add_line(made, cosign(made, name, key, at // 1000))
        return made

    def hear(self, note: str) -> None:
        play(self.freshness.hear(OWNER.did, note, [NODE.did], SimulatedReplica(self.log)))

    def age(self, action: str = "release") -> str:
        return self.freshness.refusal(action, {OWNER.did, HERE.did})  # type: ignore[arg-type]


def heard(beat: int, *times: int) -> House:
    house = House()
    house.beat(beat)
    house.hear(house.note(*times))
    return house


def test_a_beat_under_a_quorum_is_heard_and_grows_old():
    """Lost: grants of a site that revoked them long ago, out of reach, are used for ever."""
    house = heard(NOW, NOW, NOW, NOW)
    assert house.age() == ""
    for later, action, fresh in (
        (2 * HOUR, "release", True),
        (1, "release", False),
        (0, "compute", True),
        (22 * HOUR, "compute", False),
    ):
        house.clock.time += later
        assert (house.age(action) == "") is fresh, (later, action)
    house.clock.time = NOW + 26 * HOUR
    assert house.age("compute") == (
        "nothing fresh was heard from St. Anna for 26 h; compute needs 24 h: see whether its node runs"
    )
    assert house.age("see") == ""
    house.clock.time = NOW + 7 * DAY + 1
    assert "7 d" in house.age("see")


def test_a_site_that_forked_relies_no_more_on_itself_than_others_do_on_it():
    """Lost: an old copy that lacks a revocation goes on by the grant, at the one place where the data are."""
    house = House()
    assert house.freshness.refusal("compute", {HERE.did}) == ""
    house.index.site(HERE.did).stop("it signed two histories of its catalog log", "fork")
    assert house.freshness.refusal("compute", {HERE.did}) == (
        "the authority of here is stopped: it signed two histories of its catalog log"
    )
    house.index.site(HERE.did).resume("fork")
    assert house.freshness.refusal("release", {HERE.did}) == ""


def test_what_was_never_heard_is_not_relied_on():
    assert "nothing fresh was heard from St. Anna yet" in House().age("see")
    assert House().freshness.refusal("release", {HERE.did}) == ""


def test_too_few_cosignatures_are_no_quorum():
    assert "yet" in heard(NOW, NOW, NOW).age()


def test_the_earlier_of_beat_and_cosigning_counts():
    """Lost: a site that dates its beats ahead, or a witness that cosigns an old log now, makes it fresh."""
    house = heard(NOW - 5 * HOUR, NOW, NOW, NOW)
    assert "5 h" in house.age()
    house = heard(NOW + AHEAD_MILLIS, NOW - 3 * HOUR, NOW - 3 * HOUR, NOW - 3 * HOUR)
    assert "3 h" in house.age()


def test_one_lying_witness_decides_nothing():
    """Lost: a witness ahead of the time makes a stale site fresh; one behind it makes a fresh site stale."""
    past, future = 1000, NOW + 5 * MINUTE
    assert heard(NOW, past, NOW, NOW, NOW).age() == ""
    stale = NOW - 4 * HOUR
    assert "4 h" in heard(NOW, stale, stale, future, stale).age()


def test_times_that_are_still_to_come_were_not_heard():
    """Lost: a witness, or the site, signs for next year once, and is fresh for a year."""
    far = NOW + AHEAD_MILLIS + 1000
    assert "yet" in heard(NOW, NOW, NOW, far).age()
    assert "yet" in heard(far, NOW, NOW, NOW).age()
    assert heard(NOW, NOW, NOW, far, NOW).age() == ""


def test_cosigning_the_same_log_again_renews_nothing():
    """Lost: a site that can say nothing any more, its last checkpoint cosigned again and again, stays fresh."""
    house = heard(NOW, NOW, NOW, NOW)
    house.clock.time += 3 * HOUR
    later = house.clock.time
    house.hear(house.note(later, later, later))
    assert "3 h" in house.age()
    house.beat(later)
    house.hear(house.note(later, later, later))
    assert house.age() == ""


def test_a_clock_set_back_makes_nothing_fresh_again():
    house = heard(NOW, NOW, NOW, NOW)
    house.clock.time += 5 * HOUR
    assert "5 h" in house.age()
    house.clock.time = NOW
    assert "5 h" in house.age()


def test_a_clock_set_back_over_a_restart_is_held_by_the_site_s_own_beat():
    house = heard(NOW, NOW, NOW, NOW)
    house.beat(NOW + 4 * HOUR, HERE)
    house.restart()
    assert "4 h" in house.age()


def test_what_was_heard_is_known_after_a_restart_with_the_site_away():
    house = heard(NOW, NOW, NOW, NOW)
    house.restart()
    assert house.age() == ""


def test_an_older_checkpoint_takes_nothing_back():
    house = House()
    house.beat(NOW - HOUR)
    old = house.note(NOW - HOUR, NOW - HOUR, NOW - HOUR)
    house.beat(NOW)
    house.hear(house.note(NOW, NOW, NOW))
    house.hear(old)
    house.clock.time += 2 * HOUR
    assert house.age() == ""


def test_a_checkpoint_of_another_history_or_by_another_key_is_not_heard():
    """Lost: a thief with a site's old key, or the site with a second log, says that it is well."""
    house = House()
    house.beat(NOW)
    size = len(house.log.leaves)
    other = sign_checkpoint(Checkpoint(CATALOG, size, bytes(32)), NODE)
    stolen = sign_checkpoint(Checkpoint(CATALOG, size, house.log.root_at(size)), PrivateKey(bytes([77]) * 32))
    beyond = sign_checkpoint(Checkpoint(CATALOG, size + 5, bytes(32)), NODE)
    for note in (other, beyond):
        for name, key in WITNESSES.items():
            note = add_line(note, cosign(note, name, key, NOW // 1000))
        house.hear(note)
        assert "yet" in house.age()
    with pytest.raises(VerificationFailed):
        house.hear(stolen)
    forged = house.note(NOW, NOW, NOW)
    with pytest.raises(VerificationFailed):
        house.hear(forged.replace(forged.splitlines()[-1][-20:-10], "AAAAAAAAAA"))


def test_a_site_whose_authority_is_stopped_is_relied_on_for_nothing():
    house = heard(NOW, NOW, NOW, NOW)
    house.index.site(OWNER.did).stop("it signed two histories", "fork")
    assert house.age("see") == "the authority of St. Anna is stopped: it signed two histories"
