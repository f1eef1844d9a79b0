"""The proof that a site keeps two histories: whoever holds it needs nothing else, and it accuses nobody who has one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from catalog.body import write_body
from catalog.checkpoint import Checkpoint, add_line, cosign, sign_checkpoint
from catalog.dagcbor import decode, encode
from catalog.error import VerificationFailed
from catalog.fork import Fork, ForkFile, bare, check_file, check_fork, said_of
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.merkle import Frontier, full_path, leaf_hash, prove_consistency, roots_of_path

ROOT, NODE, OTHER = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))
ORIGIN = f"{ROOT.did}/audit/0"


class Log:
    def __init__(self, name: str, size: int, same: int = 0) -> None:
        self.leaves = [leaf_hash(f"{'' if at < same else name}{at}".encode()) for at in range(size)]

    def root(self, size: int) -> bytes:
        return Frontier().extend(self.leaves[:size]).root

    def note(self, size: int, by: PrivateKey = NODE) -> str:
        return sign_checkpoint(Checkpoint(ORIGIN, size, self.root(size)), by)

    def path(self, old: int, new: int) -> tuple[bytes, ...]:
        def subtree(height: int, index: int) -> bytes:
            return Frontier().extend(self.leaves[index << height : (index + 1) << height]).root

        return tuple(full_path(old, self.root(old), prove_consistency(old, new, subtree)))


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_full_path_leads_to_both_roots(first, second):
    old, new = sorted((first, second + first))
    log = Log("a", new)
    assert roots_of_path(old, new, log.path(old, new)) == (log.root(old), log.root(new))


def test_two_roots_of_one_size_are_proof():
    fork = Fork(first=Log("a", 5).note(5), second=Log("b", 5).note(5))
    assert [each.size for each in check_fork(fork, [OTHER.did, NODE.did])] == [5, 5]
    assert said_of(fork) == "it signed two histories of its audit log, both of 5 leaves"
    assert fork.origin == ORIGIN


@given(st.integers(1, 20), st.integers(1, 20), st.data())
@settings(max_examples=60)
def test_a_larger_log_that_begins_otherwise_is_proof_and_an_honest_one_never_is(size, more, data):
    """Lost: a site that was brought back from an old copy and has grown past it goes on, or an honest one stops."""
    same = data.draw(st.integers(0, size - 1))
    ours, theirs = Log("a", size, same), Log("b", size + more, same)
    fork = Fork(first=ours.note(size), second=theirs.note(size + more), consistency=theirs.path(size, size + more))
    check_fork(fork, [NODE.did])
    honest = Log("b", size, same)
    for accusation in (
        structs.replace(fork, first=honest.note(size)),
        structs.replace(fork, consistency=None),
        structs.replace(fork, consistency=(*(fork.consistency or ()), bytes(32))),
        structs.replace(fork, consistency=(bytes(32), *(fork.consistency or ())[1:])),
        structs.replace(fork, first=fork.second, second=fork.first),
    ):
        with pytest.raises(VerificationFailed):
            check_fork(accusation, [NODE.did])


def test_what_the_site_did_not_sign_proves_nothing():
    one, two = Log("a", 3), Log("b", 3)
    elsewhere = sign_checkpoint(Checkpoint(ORIGIN.replace("audit", "catalog"), 3, two.root(3)), NODE)
    for second in (two.note(3, OTHER), elsewhere, one.note(3), "", two.note(3).replace("\n3\n", "\n4\n")):
        with pytest.raises(VerificationFailed):
            check_fork(Fork(first=one.note(3), second=second), [NODE.did])
    with pytest.raises(VerificationFailed):
        check_fork(Fork(first=one.note(3), second=two.note(3)), [])


def enrolment(by: PrivateKey = ROOT, did: str = NODE.did, role: Role = Role.NODE, removed: bool = False) -> bytes:
    fields = KeyFields(did=did, role=role, name="St. Anna", x25519=bytes(32), removed=removed)
    return encode(write_body("key", fields, site=ROOT.did, at=1, by=by))


def test_a_file_is_checked_with_nothing_else():
    fork = Fork(first=Log("a", 3).note(3), second=Log("b", 3).note(3))
    data = encode(ForkFile(fork=fork, enrolments=(enrolment(did=OTHER.did), enrolment())))
    site, first, second = check_file(decode(ForkFile, data))
    assert (site, first.size, second.size) == (ROOT.did, 3, 3)


@pytest.mark.parametrize(
    "odd", [enrolment(by=OTHER), enrolment(did=OTHER.did), enrolment(role=Role.STEWARD), enrolment(removed=True), b"x"]
)
def test_a_file_whose_keys_the_root_did_not_enrol_accuses_nobody(odd):
    """Lost: anybody makes up a node key for a site and «proves» with it that the site forked."""
    fork = Fork(first=Log("a", 3).note(3), second=Log("b", 3).note(3))
    with pytest.raises(VerificationFailed):
        check_file(ForkFile(fork=fork, enrolments=(odd,)))


def test_a_proof_carries_the_lines_of_the_accused_alone():
    note = Log("a", 3).note(3)
    assert bare(add_line(note, cosign(note, OTHER.did, OTHER, 5))) == note
