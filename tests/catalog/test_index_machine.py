"""A site's log written by right and wrong hands in any order, read in every way that a node reads it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from catalog.body import write_body
from catalog.dagcbor import Value, encode
from catalog.entry import KINDS
from catalog.index import SiteIndex
from catalog.key import PrivateKey
from catalog.leaf import encode_leaf, seal
from catalog.member import KeyFields, Role
from catalog.offer import OfferFields
from catalog.policy import PolicyFields
from catalog.reading import prove, read_leaf
from catalog.versions import HeldVersions, Versions
from tests.machine import runs

ROOT, NODE, STEWARD, SECOND, RESEARCHER, STRANGER = (PrivateKey(bytes([number]) * 32) for number in range(40, 46))
KEYS = (ROOT, NODE, STEWARD, SECOND, RESEARCHER, STRANGER)
ORIGIN = f"{ROOT.did}/catalog/0"
SALT = b"s" * 32


class IndexMachine(RuleBasedStateMachine):
    """``index`` is fed entry by entry; the whole log is kept as the bytes that others would read."""

    def __init__(self) -> None:
        super().__init__()
        self.index = SiteIndex(ROOT.did, self.versions())
        self.log: list[tuple[bytes, bytes]] = []
        self.removed: dict[str, int] = {}
        self.unread: set[int] = set()
        self.write("key", _enrolment(STEWARD, Role.STEWARD), ROOT, "latest")

    def versions(self) -> Versions:
        """Where the index remembers what it reads."""
        return HeldVersions()

    def write(self, kind: str, fields: Value, by: PrivateKey, previous: int | str | None) -> None:
        subject = KINDS[kind].subject(fields)
        latest = self.index.latest(kind, subject)
        right = latest.index if latest else None
        place = right if previous == "latest" else previous
        data = encode(write_body(kind, fields, site=ROOT.did, at=1, by=by, previous=place))
        leaf = encode_leaf(seal(ORIGIN, 1, kind, data, SALT))
        index = len(self.log)
        self.log.append((leaf, data))
        entry = self.index.take(read_leaf(ROOT.did, index, leaf, data, prove(data)))
        self.judge(entry, kind, fields, by, place, right)

    def judge(self, entry, kind, fields, by, place, right) -> None:
        """What must hold whatever the rules in detail are."""
        index = len(self.log) - 1
        assert self.index.size == len(self.log)
        assert (entry is None) == (index in self.index.faults)
        if entry is None:
            return
        # What cannot be read here might be a version that is newer than the latest that can.
        beyond = place in self.unread and place > (-1 if right is None else right)
        assert place == right or beyond, "a version counts that does not replace the latest one"
        assert by is ROOT or by.did not in self.removed, "a key that was removed still writes what counts"
        assert by is not STRANGER, "a key that nobody enrolled writes what counts"
        assert by is not RESEARCHER, "a researcher's word counts for the site's policy, offer or keys"
        if kind == "key" and fields.removed:
            self.removed[fields.did] = index
        elif kind == "key":
            assert by is ROOT or fields.role is Role.RESEARCHER, "a steward enrols stewards"
            self.removed.pop(fields.did, None)

    @rule(key=st.sampled_from(KEYS[1:]), role=st.sampled_from(list(Role)), by=st.sampled_from(KEYS), gone=st.booleans())
    def key(self, key, role, by, gone) -> None:
        role = Role.RESEARCHER if key is RESEARCHER else role
        if key is STRANGER or (role is Role.AUDITOR and by is not ROOT):
            return
        self.write("key", _enrolment(key, role, gone), by, "latest")

    @rule(
        by=st.sampled_from(KEYS), previous=st.sampled_from(("latest", "latest", None, 0, 3)), text=st.sampled_from("ab")
    )
    def policy(self, by, previous, text) -> None:
        self.write("policy", PolicyFields(text=text), by, previous)

    @rule(by=st.sampled_from(KEYS), price=st.integers(0, 3))
    def offer(self, by, price) -> None:
        self.write("offer", OfferFields(runner="sandbox", price=price, step_millis=1), by, "latest")

    @rule(data=st.binary(max_size=200))
    def rubbish(self, data) -> None:
        """A leaf that is none, and a body that is none: named, and nothing stops."""
        index = len(self.log)
        leaf = data if len(data) % 2 else encode_leaf(seal(ORIGIN, 1, "policy", data, SALT))
        self.log.append((leaf, data))
        self.unread.add(index)
        assert self.index.take(read_leaf(ROOT.did, index, leaf, data, prove(data))) is None
        assert self.index.faults[index]

    @invariant()
    def is_the_same_when_read_again(self) -> None:
        """Lost: two members, or one before and after a restart, would go by different policies."""
        again = SiteIndex(ROOT.did, self.versions())
        self.read(again)
        for other in (again, self.reread()):
            assert other.faults == self.index.faults
            assert other.stale == self.index.stale
            for kind in ("key", "policy", "offer"):
                assert list(other.entries(kind)) == list(self.index.entries(kind))

    def reread(self) -> SiteIndex:
        fresh = self.index.anew()
        self.read(fresh)
        return fresh

    def read(self, index: SiteIndex, start: int = 0) -> None:
        """Feed an index the log from leaf ``start`` on."""
        for place, (leaf, data) in enumerate(self.log[start:], start):
            index.take(read_leaf(ROOT.did, place, leaf, data, prove(data)))


def _enrolment(key: PrivateKey, role: Role, removed: bool = False) -> KeyFields:
    return KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32), removed=removed)


IndexMachine.TestCase.settings = runs(25, 25)
TestIndexMachine = IndexMachine.TestCase
