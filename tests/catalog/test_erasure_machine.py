"""A log whose owner lies and erases, read before, after and while its bodies vanish: all come to the same.

The owner has every key of the site and writes what it likes, for whom it likes; what a withdrawal names that counts is
gone from then on, for whoever has not read it yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from catalog.block import BlockFields
from catalog.body import read_body, write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.entry import FOR_ALL, KINDS, read_entry
from catalog.grant import GrantFields
from catalog.index import SiteIndex
from catalog.key import PrivateKey
from catalog.label import Label
from catalog.leaf import encode_leaf, seal
from catalog.member import KeyFields, Role
from catalog.policy import PolicyFields
from catalog.project import ProjectFields
from catalog.revoke import RevokeFields
from catalog.versions import HeldVersions, Versions
from catalog.withdraw import WithdrawFields
from tests.catalog.test_index_machine import ORIGIN, RESEARCHER, ROOT, SALT, SECOND, STEWARD, passed, read
from tests.machine import runs

OTHER = PrivateKey(bytes([47]) * 32)
PERSONS = (RESEARCHER, OTHER)
STEWARDS = (STEWARD, SECOND)
COMPARED = ("key", "policy", "block", "project", "grant", "revoke", "withdraw")
GRANTS = (passed(STEWARD, False), passed(STEWARD, True), passed(RESEARCHER, True))
BLOCKS = (Cid.of(b"one"), Cid.of(b"two"))
ENDLESS = 40
FIRST, OTHERS = (PrivateKey(bytes([number]) * 32).did for number in (61, 62))
"""Two members, of which each may see what the other may not."""


@dataclass
class Log:
    """The leaves, and the bodies that are not erased yet."""

    leaves: list[bytes] = field(default_factory=list)
    bodies: list[bytes | None] = field(default_factory=list)
    subjects: list[tuple[str, str]] = field(default_factory=list)
    whole: list[bytes] = field(default_factory=list)


class Reader:
    """A member that reads on whenever it is told to, what ``site`` may see."""

    def __init__(self, log: Log, versions: Callable[[], Versions] = HeldVersions, site: str = ROOT.did) -> None:
        self.log = log
        self.site = site
        self.index = SiteIndex(ROOT.did, versions())

    def read(self) -> None:
        """Read on to the end, and all again for as long as that is due."""
        self._on(self.index)
        for _ in range(ENDLESS):
            if not self.index.due:
                return
            fresh = self.index.anew()
            self._on(fresh)
            self.index.become(fresh)
        raise AssertionError("it is read again without end")

    def _on(self, index: SiteIndex) -> None:
        for place in range(index.size, len(self.log.leaves)):
            body = self.log.bodies[place]
            if body is not None and not read_body(body).visible_to(self.site):
                body = None
            index.take(read(ORIGIN, place, self.log.leaves[place], body))

    def says(self) -> tuple[object, ...]:
        """All that decisions rest on."""
        entries = {kind: [(each.index, each.subject) for each in self.index.entries(kind)] for kind in COMPARED}
        faults = self.index.faults, *(self.index.versions.blamed(3, kind) for kind in COMPARED)
        return entries, faults, self.index.nodes(), self.index.keys.stolen, self.index.stale


class LyingMachine(RuleBasedStateMachine):
    """``early`` reads each entry at once, ``slow`` now and then; who reads at the end comes to the same as both."""

    sites: tuple[str, ...] = (ROOT.did,)

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.prompt = [Reader(self.log, self.versions, site) for site in self.sites]
        self.early = self.prompt[0]
        self.slow = [Reader(self.log, self.versions)]
        for steward in STEWARDS:
            self.write("key", _key(steward), ROOT)
        for person in PERSONS:
            self.write("key", _key(person), STEWARD)

    def versions(self) -> Versions:
        """Where the readers remember what they read."""
        return HeldVersions()

    def audience(self, _kind: str, _subject: str) -> tuple[str, ...] | None:
        """Who may see what is written next."""
        return None

    def write(self, kind: str, fields: Value, by: PrivateKey, previous: int | str | None = "latest") -> None:
        subject = KINDS[kind].subject(fields)
        latest = self.early.index.latest(kind, subject)
        right = latest.index if latest else None
        place = right if previous == "latest" else previous
        audience = self.audience(kind, subject)
        body = write_body(kind, fields, site=ROOT.did, at=1, by=by, previous=place, audience=audience)
        data = encode(body)
        self.log.leaves.append(encode_leaf(seal(ORIGIN, 1, kind, data, SALT)))
        self.log.bodies.append(data)
        self.log.whole.append(data)
        self.log.subjects.append((kind, read_entry(ROOT.did, len(self.log.leaves) - 1, kind, body).subject))
        for reader in self.prompt:
            reader.read()
        self.erase()

    def erase(self) -> None:
        """As every member does that has counted it."""
        for entry in self.early.index.entries("withdraw"):
            assert isinstance(entry.fields, WithdrawFields)
            for place in entry.fields.places:
                self.log.bodies[place] = None

    def previous(self, data) -> int | str | None:
        return data.draw(
            st.sampled_from(("latest", "latest", "latest", None)) | st.integers(0, len(self.log.leaves) - 1)
        )

    @rule(data=st.data(), steward=st.sampled_from(STEWARDS), removed=st.booleans(), role=st.sampled_from(list(Role)))
    def steward_key(self, data, steward, removed, role) -> None:
        until = data.draw(st.none() | st.integers(0, len(self.log.leaves))) if removed else None
        self.write("key", _key(steward, role, removed, until), ROOT, self.previous(data))

    @rule(data=st.data(), person=st.sampled_from(PERSONS), removed=st.booleans(), by=st.sampled_from((*STEWARDS, ROOT)))
    def person_key(self, data, person, removed, by) -> None:
        until = data.draw(st.none() | st.integers(0, len(self.log.leaves))) if removed else None
        self.write("key", _key(person, Role.RESEARCHER, removed, until), by, self.previous(data))
        if until is not None:
            for reader in self.slow:  # who never sees it, and saw what it took back, must read the log again
                reader.read()

    @rule(data=st.data(), by=st.sampled_from((*STEWARDS, RESEARCHER)), text=st.sampled_from("ab"))
    def policy(self, data, by, text) -> None:
        self.write("policy", PolicyFields(text=text), by, self.previous(data))

    @rule(data=st.data(), by=st.sampled_from((*STEWARDS, *PERSONS)), cid=st.sampled_from(BLOCKS))
    def block(self, data, by, cid) -> None:
        fields = BlockFields(cid=cid, name="x", label=Label(owners={}), description="", outputs={})
        self.write("block", fields, by, self.previous(data))

    @rule(data=st.data(), grant=st.sampled_from(GRANTS))
    def grant(self, data, grant) -> None:
        issuer = next(key for key in (*STEWARDS, *PERSONS) if key.did == grant.issuer)
        self.write("grant", GrantFields(grant=grant), issuer, self.previous(data))

    @rule(data=st.data(), grant=st.sampled_from(GRANTS), by=st.sampled_from((None, STEWARD, RESEARCHER)))
    def revoke(self, data, grant, by) -> None:
        fields = RevokeFields(grant=cid_of(grant), reason="", issuer=by and by.did)
        self.write("revoke", fields, by or STEWARD, self.previous(data))

    @rule(data=st.data(), by=st.sampled_from(STEWARDS), ended=st.booleans())
    def project(self, data, by, ended) -> None:
        people = {RESEARCHER.did: bytes(32)}
        fields = ProjectFields(name="p", people=people, purpose="DUO:0000042", datasets=(), not_after=9, ended=ended)
        self.write("project", fields, by, self.previous(data))

    @rule(data=st.data(), by=st.sampled_from((*STEWARDS, RESEARCHER)))
    def withdraw(self, data, by) -> None:
        """Some places; mostly all that is about some subject, or all that names a person, and what was refused."""
        last = len(self.log.leaves) - 1
        places = set(data.draw(st.lists(st.integers(0, last), max_size=2)))
        if data.draw(st.integers(0, 3)):
            for each in data.draw(st.lists(st.sampled_from(sorted(set(self.log.subjects))), max_size=2)):
                places |= {place for place, subject in enumerate(self.log.subjects) if subject == each}
        if data.draw(st.integers(0, 2)) == 0:
            person = data.draw(st.sampled_from(PERSONS)).did.encode()
            places |= {place for place, whole in enumerate(self.log.whole) if person in whole}
        if data.draw(st.booleans()):
            places |= {place for place in self.early.index.faults if self.log.subjects[place][0] == "withdraw"}
        spared = set(data.draw(st.lists(st.sampled_from(sorted(places)), max_size=1))) if places else set()
        if places - spared:
            self.write("withdraw", WithdrawFields(places=tuple(sorted(places - spared))), by)

    @precondition(lambda self: len(self.slow) < 3)
    @rule()
    def another_reads(self) -> None:
        """It begins with what is not erased yet."""
        self.slow.append(Reader(self.log, self.versions))
        self.slow[-1].read()

    @rule(which=st.integers(0, 2))
    def reads_on(self, which) -> None:
        self.slow[which % len(self.slow)].read()

    @invariant()
    def is_the_same_whoever_reads_when(self) -> None:
        """Lost: a grant that was revoked stands again, or a policy, for those members alone who read the log later."""
        for early in self.prompt:
            late = Reader(self.log, self.versions, early.site)
            late.read()
            assert late.says() == early.says()

    def teardown(self) -> None:
        for reader in self.slow:
            reader.read()
            assert reader.says() == self.early.says(), "who read on while bodies vanished comes to something else"


def _key(key: PrivateKey, role: Role | None = None, removed: bool = False, until: int | None = None) -> KeyFields:
    right = role or (Role.STEWARD if key in STEWARDS else Role.RESEARCHER)
    return KeyFields(did=key.did, role=right, name="x", x25519=bytes(32), removed=removed, until=until)


LyingMachine.TestCase.settings = runs(40, 30)
TestLyingMachine = LyingMachine.TestCase


class RestrictedMachine(LyingMachine):
    """Not all may see all. Two who may see the same come to the same, whatever counts for who sees more, and erases."""

    sites = (ROOT.did, FIRST, OTHERS)

    def audience(self, kind: str, subject: str) -> tuple[str, ...] | None:
        if kind in FOR_ALL:  # what all must see, to be shown to some all the same
            return (FIRST,) if len(self.log.leaves) % 6 == 5 else None
        shown = {"": (), str(BLOCKS[0]): (FIRST,), str(cid_of(GRANTS[0])): (FIRST,), str(cid_of(GRANTS[1])): (OTHERS,)}
        return shown.get(subject)


RestrictedMachine.TestCase.settings = runs(40, 30)
TestRestrictedMachine = RestrictedMachine.TestCase
