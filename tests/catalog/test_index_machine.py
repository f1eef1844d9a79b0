"""A site's log written by right and wrong hands in any order, read in every way that a node reads it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import cache, lru_cache

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.entry import KINDS, Entry, read_entry
from catalog.error import VerificationFailed
from catalog.grant import Action, Grant, GrantFields
from catalog.index import SiteIndex
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.leaf import encode_leaf, seal
from catalog.member import KeyFields, Role
from catalog.offer import OfferFields
from catalog.policy import PolicyFields
from catalog.project import ProjectRef
from catalog.reading import read_leaf
from catalog.revoke import RevokeFields, subject_of
from catalog.versions import HeldVersions, Versions
from catalog.withdraw import WithdrawFields
from tests.machine import runs

ROOT, NODE, STEWARD, SECOND, RESEARCHER, STRANGER = (PrivateKey(bytes([number]) * 32) for number in range(40, 46))
KEYS = (ROOT, NODE, STEWARD, SECOND, RESEARCHER, STRANGER)
ORIGIN = f"{ROOT.did}/catalog/0"
SALT = b"s" * 32
COMPARED = ("key", "policy", "offer", "grant", "revoke", "withdraw")
ISSUERS = st.sampled_from((STEWARD, SECOND, RESEARCHER))

PERSONS = st.sampled_from((SECOND, RESEARCHER))
HANDS = st.sampled_from((STEWARD, STEWARD, RESEARCHER, RESEARCHER, *KEYS))

read = lru_cache(maxsize=4096)(read_leaf)


@cache
def passed(issuer: PrivateKey, on: bool) -> Grant:
    """A grant of this site's data, or one of others' data that its issuer passes ``on``."""
    grant = Grant(
        consortium=Cid.of(b"ours"),
        issuer=issuer.did,
        site=STRANGER.did if on else ROOT.did,
        subject=STRANGER.did,
        project=ProjectRef(site=ROOT.did, name="trial"),
        claims=(),
        datasets=(Cid.of(b"data"),),
        purposes=("DUO:0000006",),
        actions=(Action.SEE,),
        blocks=(),
        destinations=(),
        not_after=1,
        parent=Cid.of(b"above") if on else None,
        sig=UNSIGNED,
    )
    return signed(grant, issuer)


class LogMachine(RuleBasedStateMachine):
    """``index`` is fed entry by entry; the whole log is kept as the bytes that others would read."""

    def __init__(self) -> None:
        super().__init__()
        self.index = SiteIndex(ROOT.did, self.versions())
        self.log: list[tuple[bytes, bytes]] = []
        self.roles: dict[str, Role] = {}
        self.removed: dict[str, int] = {}
        self.unread: set[int] = set()
        self.counted: dict[int, tuple[str, Value]] = {}
        self.ended: set[Cid] = set()
        self.write("key", _enrolment(STEWARD, Role.STEWARD), ROOT)

    def versions(self) -> Versions:
        """Where the index remembers what it reads."""
        return HeldVersions()

    def write(self, kind: str, fields: Value, by: PrivateKey, previous: int | str | None = "latest") -> None:
        subject = KINDS[kind].subject(fields)
        latest = self.index.latest(kind, subject)
        right = latest.index if latest else None
        place = right if previous == "latest" else previous
        body = write_body(kind, fields, site=ROOT.did, at=1, by=by, previous=place)
        if not self.is_written(read_entry(ROOT.did, len(self.log), kind, body)):
            return
        data = encode(body)
        leaf = encode_leaf(seal(ORIGIN, 1, kind, data, SALT))
        index = len(self.log)
        self.log.append((leaf, data))
        entry = self.index.take(read(ORIGIN, index, leaf, data))
        self.judge(entry, kind, fields, by, place, right)

    def is_written(self, entry: Entry) -> bool:
        """Whether an entry gets into the log at all: anything does, by whoever has the node's key."""
        return True

    def naming(self, person: PrivateKey) -> list[int]:
        """The places of all that somebody signed and of all that is said of them."""
        return [place for place, (_, body) in enumerate(self.log) if person.did.encode() in body]

    def take_back(self, places: Sequence[int], by: PrivateKey = STEWARD) -> None:
        if places:
            self.write("withdraw", WithdrawFields(places=tuple(sorted(places))), by)

    def judge(self, entry, kind, fields, by, place, right) -> None:
        """What must hold whatever the rules in detail are."""
        index = len(self.log) - 1
        assert self.index.size == len(self.log)
        assert (entry is None) == (index in self.index.faults)
        if entry is None:
            return
        newer = right is not None and (place is None or place < right)
        assert not newer, "a version counts that was written before the latest one was"
        assert by is ROOT or by.did not in self.removed, "a key that was removed still writes what counts"
        assert by is not STRANGER, "a key that nobody enrolled writes what counts"
        self.counted[index] = (kind, fields)
        match fields:
            case KeyFields():
                assert by is ROOT or fields.removed or fields.role is Role.RESEARCHER, "a steward enrols stewards"
                self.enrolled(fields, index)
            case GrantFields(grant=grant):
                assert by.did == grant.issuer, "somebody grants in another's name"
                assert grant.parent or self.roles[by.did] is Role.STEWARD, "a researcher gives this site's data away"
            case RevokeFields(issuer=issuer):
                assert issuer == by.did or (issuer is None and self.roles[by.did] is Role.STEWARD), "a stranger revokes"
            case WithdrawFields(places=places):
                assert self.roles[by.did] is Role.STEWARD
                self.taken_back(places)
            case _:
                assert self.roles[by.did] is Role.STEWARD, "a researcher's word counts for the policy or the offer"

    def enrolled(self, fields: KeyFields, index: int) -> None:
        if fields.removed:
            self.removed[fields.did] = index
            self.roles.pop(fields.did, None)
        else:
            self.removed.pop(fields.did, None)
            self.roles[fields.did] = fields.role

    def taken_back(self, places: tuple[int, ...]) -> None:
        self.unread.update(places)
        for place in places:
            _, fields = self.counted.pop(place, ("", None))
            assert not isinstance(fields, WithdrawFields)
            if isinstance(fields, KeyFields):
                assert fields.role is Role.RESEARCHER or fields.role is Role.AUDITOR
                self.roles.pop(fields.did, None)

    @invariant()
    def is_the_same_when_read_again(self) -> None:
        """Lost: two members, or one before and after a restart, would go by different policies."""
        again = SiteIndex(ROOT.did, self.versions())
        self.read(again)
        for other in (again, self.reread()):
            assert other.faults == self.index.faults
            assert other.versions.faulty == len(self.index.faults)
            assert list(other.versions.blamed(2)) == sorted(self.index.faults.items())[:2]
            assert other.stale == self.index.stale
            for kind in COMPARED:
                assert list(other.entries(kind)) == list(self.index.entries(kind))

    @invariant()
    def is_revoked_by_steward_or_issuer_alone(self) -> None:
        """Lost: a grant that was taken back counts again, or a stranger ends one."""
        standing = [fields for _, fields in self.counted.values() if isinstance(fields, RevokeFields)]
        for grant in (passed(issuer, on) for issuer in (STEWARD, SECOND, RESEARCHER) for on in (False, True)):
            cid = cid_of(grant)
            words = [self.index.latest("revoke", subject_of(cid, by)) for by in (None, grant.issuer)]
            right = [each for each in standing if each.grant == cid and each.issuer in (None, grant.issuer)]
            assert any(words) == bool(right)
            if self.index.latest("grant", str(cid)) is None:
                self.ended.discard(cid)
            elif right:
                self.ended.add(cid)
            assert cid not in self.ended or any(words), "a revocation was withdrawn and its grant stands"

    def reread(self) -> SiteIndex:
        fresh = self.index.anew()
        self.read(fresh)
        return fresh

    def read(self, index: SiteIndex, start: int = 0, without: Container[int] = ()) -> None:
        """Feed an index the log from leaf ``start`` on, ``without`` the bodies at some places."""
        for place, (leaf, data) in enumerate(self.log[start:], start):
            body = None if place in without else data
            index.take(read(ORIGIN, place, leaf, body))


class IndexMachine(LogMachine):
    """Whatever whoever has the node's key writes, signed by right and wrong hands."""

    @rule(key=st.sampled_from(KEYS[1:]), role=st.sampled_from(list(Role)), by=HANDS, gone=st.booleans())
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

    @rule(by=HANDS, issuer=ISSUERS, on=st.booleans(), right=st.booleans())
    def grant(self, by, issuer, on, right) -> None:
        self.write("grant", GrantFields(grant=passed(issuer, on)), issuer if right else by)

    @rule(
        by=HANDS,
        grant=st.builds(passed, ISSUERS, st.booleans()),
        issuer=st.none() | st.sampled_from(KEYS),
        right=st.booleans(),
    )
    def revoke(self, by, grant, issuer, right) -> None:
        """By anybody in anybody's name, half of the time in their own or as a steward; also what was never granted."""
        if right:
            issuer = None if issuer is None else by
        fields = RevokeFields(grant=cid_of(grant), reason="", issuer=issuer and issuer.did)
        self.write("revoke", fields, by)

    @rule(data=st.data(), by=HANDS, person=PERSONS)
    def withdraw(self, data, by, person) -> None:
        """Anything, what is to come among it; or what a person signed and what is said of them."""
        some = st.lists(st.integers(0, len(self.log)), min_size=1, max_size=3, unique=True)
        self.take_back(data.draw(some | st.just(self.naming(person))), by)

    @rule(data=st.binary(max_size=200))
    def rubbish(self, data) -> None:
        """A leaf that is none, and a body that is none: named, and nothing stops."""
        index = len(self.log)
        leaf = data if len(data) % 2 else encode_leaf(seal(ORIGIN, 1, "policy", data, SALT))
        self.log.append((leaf, data))
        self.unread.add(index)
        assert self.index.take(read(ORIGIN, index, leaf, data)) is None
        assert self.index.faults[index]


class WrittenMachine(LogMachine):
    """What honest people have a node write, which refuses what :meth:`SiteIndex.authorise` refuses.

    ``hidden`` are the places whose bodies not every member may see.
    """

    def __init__(self) -> None:
        self.hidden: set[int] = set()
        self.beside = SiteIndex(ROOT.did, self.versions())
        super().__init__()
        for person in (SECOND, RESEARCHER):
            self.write("key", _enrolment(person, Role.RESEARCHER), STEWARD)

    def is_written(self, entry: Entry) -> bool:
        try:
            self.index.authorise(entry)
        except VerificationFailed:
            return False
        if entry.body.kind == "grant":
            self.hidden.add(entry.index)
        return True

    def judge(self, entry, *others) -> None:
        assert entry is not None
        super().judge(entry, *others)

    @rule(person=PERSONS, gone=st.sampled_from((False, False, True)))
    def key(self, person, gone) -> None:
        self.write("key", _enrolment(person, Role.RESEARCHER, gone), STEWARD)

    @rule(issuer=ISSUERS)
    def grant(self, issuer) -> None:
        self.write("grant", GrantFields(grant=passed(issuer, issuer is not STEWARD)), issuer)

    @rule(issuer=ISSUERS, by_steward=st.booleans())
    def revoke(self, issuer, by_steward) -> None:
        grant = cid_of(passed(issuer, issuer is not STEWARD))
        fields = RevokeFields(grant=grant, reason="", issuer=None if by_steward else issuer.did)
        self.write("revoke", fields, STEWARD if by_steward else issuer)

    @rule(data=st.data(), person=PERSONS)
    def withdraw_person(self, data, person) -> None:
        """All that a person signed and all that is said of them, or all but one of it."""
        named = [place for place in self.naming(person) if place not in self.unread]
        spared = data.draw(st.none() | st.sampled_from(named)) if named else None
        self.take_back([place for place in named if place != spared])

    @rule(data=st.data())
    def withdraw_access(self, data) -> None:
        """Grants and their revocations, together or not."""
        places = [place for place, (kind, _) in self.counted.items() if kind in ("grant", "revoke")]
        if places:
            self.take_back(data.draw(st.lists(st.sampled_from(places), max_size=2, unique=True)))

    @invariant()
    def is_the_same_for_who_came_later(self) -> None:
        """Lost: members that read the log before and after an erasure go by different things, or call it forged."""
        later = SiteIndex(ROOT.did, self.versions())
        self.read(later, without=self.unread)
        assert not later.faults
        for kind in COMPARED:
            assert list(later.entries(kind)) == list(self.index.entries(kind))

    @invariant()
    def is_no_fault_for_who_may_not_see_all(self) -> None:
        """Lost: a member that is not shown a grant takes its revocation for forged."""
        later = SiteIndex(ROOT.did, self.versions())
        self.read(later, without=self.unread | self.hidden)
        self.read(self.beside, self.beside.size, without=self.hidden)
        for outside in (later, self.beside):
            assert not outside.faults
            for kind in ("key", "offer", "revoke", "withdraw"):
                assert list(outside.entries(kind)) == list(self.index.entries(kind))


def _enrolment(key: PrivateKey, role: Role, removed: bool = False) -> KeyFields:
    return KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32), removed=removed)


IndexMachine.TestCase.settings = runs(25, 40)
TestIndexMachine = IndexMachine.TestCase
WrittenMachine.TestCase.settings = runs(60, 40)
TestWrittenMachine = WrittenMachine.TestCase
