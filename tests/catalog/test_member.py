"""Founding documents: signed by exactly their founders, with numbers that make sense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import decode, encode
from catalog.error import BadInput, VerificationFailed
from catalog.key import PrivateKey
from catalog.member import Epoch, Member, check_epoch0, consortium_cid, epoch_message, quorum_for

ROOTS = [PrivateKey(bytes([number]) * 32) for number in range(1, 8)]
STRANGER = PrivateKey(bytes([9]) * 32)


def document(count: int = 3, **changes: object) -> Epoch:
    members = tuple(Member(site=f"Site {at}", root=root.did) for at, root in enumerate(ROOTS[:count]))
    whole = Epoch(
        consortium="Demo",
        number=0,
        previous=None,
        members=members,
        quorum=quorum_for(count),
        floor="",
        duties={},
        protocol=(1, 1),
        signatures={},
    )
    return sign(structs.replace(whole, **changes), ROOTS[:count])


def sign(epoch: Epoch, roots: list[PrivateKey]) -> Epoch:
    message = epoch_message(epoch)
    return structs.replace(epoch, signatures={root.did: root.sign(message) for root in roots})


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_a_document_of_all_its_founders_counts_and_reads_back(count):
    epoch = document(count)
    check_epoch0(epoch)
    check_epoch0(decode(Epoch, encode(epoch)))
    assert epoch.roots() == {root.did for root in ROOTS[:count]}
    assert epoch.member(STRANGER.did) is None


@pytest.mark.parametrize(
    "change",
    [
        {"number": 1},
        {"previous": Cid.of(b"x")},
        {"protocol": (2, 3)},
        {"protocol": (0, 0)},
        {"quorum": 0},
        {"quorum": 1},
        {"quorum": 3},
        {"quorum": 1 << 40},
        {"members": (Member(site="A", root=ROOTS[0].did),) * 3},
        {"members": tuple(Member(site="A", root=root.did) for root in ROOTS[:3])},
    ],
)
def test_a_document_that_makes_no_sense_is_refused_though_all_signed_it(change):
    """Lost: a quorum that no liar need outvote, or two sites that people cannot tell apart."""
    with pytest.raises(VerificationFailed):
        check_epoch0(document(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"consortium": "Demos"},
        {"floor": "forbid (principal, action, resource);"},
        {"duties": {"a": "b"}},
        {"protocol": (0, 1)},
        {"members": tuple(Member(site=f"Site {at}", root=r.did, witness_only=True) for at, r in enumerate(ROOTS[:3]))},
    ],
)
def test_nothing_of_a_document_changes_under_its_signatures(change):
    with pytest.raises(VerificationFailed):
        check_epoch0(structs.replace(document(), **change))


def test_the_signatures_are_exactly_the_founders():
    """Lost: a consortium whose founders did not all found it."""
    epoch = document()
    message = epoch_message(epoch)
    for signatures in (
        {},
        dict(list(epoch.signatures.items())[:2]),
        epoch.signatures | {STRANGER.did: STRANGER.sign(message)},
        epoch.signatures | {ROOTS[0].did: STRANGER.sign(message)},
        epoch.signatures | {ROOTS[0].did: epoch.signatures[ROOTS[1].did]},
        epoch.signatures | {ROOTS[0].did: ROOTS[0].sign(encode(epoch))},
    ):
        with pytest.raises(VerificationFailed):
            check_epoch0(structs.replace(epoch, signatures=signatures))


def test_the_name_of_a_consortium_is_of_all_it_says():
    epoch = document()
    assert consortium_cid(epoch) == consortium_cid(decode(Epoch, encode(epoch)))
    assert consortium_cid(epoch) != consortium_cid(document(consortium="Demos"))


@given(st.integers(2, 256), st.integers(0, 255))
def test_a_quorum_outvotes_the_liars_or_is_refused(members, liars):
    """Lost: f liars and two honest halves make two cosigned histories (PROTOCOL.md: q > (w + f) / 2)."""
    witnesses = members - 1
    try:
        quorum = quorum_for(members, liars)
    except BadInput:
        assert not witnesses > (witnesses + liars) / 2
        return
    assert quorum <= witnesses
    if members > 2:
        assert quorum > (witnesses + liars) / 2
        assert not quorum - 1 > (witnesses + liars) / 2
    else:
        assert quorum == 1


@given(st.binary(max_size=300))
def test_garbage_is_no_founding_document(data):
    with pytest.raises(VerificationFailed):
        decode(Epoch, data)
