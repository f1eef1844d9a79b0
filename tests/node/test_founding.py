"""The steps of a founding, as values: nobody joins as another, and nobody signs another document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from catalog.body import write_body
from catalog.dagcbor import cid_of, decode, encode
from catalog.error import Conflict, VerificationFailed
from catalog.key import PrivateKey
from catalog.member import KeyFields, Member, Role, check_epoch0, epoch_message
from node.founding import Founder, Founding, Invite, Knock, joined, node_of, nodes_of, signed_by

ROOTS = [PrivateKey(bytes([number]) * 32) for number in range(1, 6)]
NODES = [PrivateKey(bytes([number]) * 32) for number in range(11, 16)]


def founder(
    at: int, *, name: str = "", by: PrivateKey | None = None, enrols: PrivateKey | None = None, **other
) -> Founder:
    key = enrols or NODES[at]
    fields = KeyFields(did=key.did, role=other.get("role", Role.NODE), name="node", x25519=bytes(32))
    body = write_body("key", fields, site=other.get("site", ROOTS[at].did), at=1, by=by or ROOTS[at])
    return Founder(
        member=Member(site=name or f"Site {at}", root=ROOTS[at].did),
        enrolment=encode(body),
        control=other.get("control", "/ip4/127.0.0.1/tcp/1"),
        bulk="https://127.0.0.1:2",
    )


def founding(joining: int = 3, expected: int = 3) -> Founding:
    begun = Founding(consortium="Demo", expected=expected, founders=(founder(0),), signatures={})
    for at in range(1, joining):
        begun = joined(begun, founder(at))
    return begun


def test_a_founding_that_all_joined_and_signed_is_a_consortium():
    whole = founding()
    message = epoch_message(whole.epoch())
    for at in range(3):
        assert whole.founded() is None
        whole = signed_by(whole, ROOTS[at].did, ROOTS[at].sign(message))
    check_epoch0(whole.epoch())
    assert whole.founded() == cid_of(whole.epoch())
    assert decode(Founding, encode(whole)) == whole


def test_the_document_does_not_depend_on_who_came_first():
    """Lost: founders who joined in another order sign another document, and none is ever complete."""
    one = founding()
    other = structs.replace(one, founders=tuple(reversed(one.founders)))
    assert one.epoch() == other.epoch()


@pytest.mark.parametrize(
    "change",
    [
        {"by": ROOTS[1]},
        {"by": NODES[0]},
        {"site": ROOTS[1].did},
        {"role": Role.STEWARD},
        {"role": Role.RESEARCHER},
    ],
)
def test_a_node_is_enrolled_by_its_own_root_and_as_a_node(change):
    """Lost: a founder shows another's enrolment, or one that it wrote itself."""
    assert node_of(founder(0)) == NODES[0].did
    with pytest.raises(VerificationFailed):
        node_of(founder(0, **change))


def test_another_founder_s_enrolment_is_not_one_s_own():
    with pytest.raises(VerificationFailed):
        node_of(structs.replace(founder(0), enrolment=founder(1).enrolment))


@given(st.binary(max_size=200))
def test_a_garbage_enrolment_is_refused(data):
    with pytest.raises(VerificationFailed):
        node_of(structs.replace(founder(0), enrolment=data))


def test_no_two_founders_have_one_node_key():
    """Lost: what one member's node says is taken for another's, who enrolled the same key."""
    thief = founder(2, enrols=NODES[1])
    assert node_of(thief) == NODES[1].did
    with pytest.raises(VerificationFailed, match="one node key"):
        nodes_of(joined(founding(2), thief))
    assert nodes_of(founding()) == {ROOTS[at].did: NODES[at].did for at in range(3)}


def test_the_same_founder_again_changes_its_addresses_alone():
    """Lost: a site that moved to another port before the founding was complete can never join it."""
    moved = founder(1, control="/ip4/127.0.0.1/tcp/9")
    again = joined(founding(), moved)
    assert again.epoch() == founding().epoch()
    assert again.founders == (founder(0), moved, founder(2))
    assert joined(again, moved) == again


@pytest.mark.parametrize("change", [{"name": "Another"}, {"enrols": NODES[4]}])
def test_who_has_joined_does_not_become_another(change):
    """Lost: the document changes while the others sign it."""
    with pytest.raises(Conflict, match="joined as"):
        joined(founding(), founder(1, **change))


def test_names_are_given_once_and_places_are_counted():
    with pytest.raises(Conflict, match="another name"):
        joined(founding(2), founder(2, name="Site 0"))
    with pytest.raises(Conflict, match="have joined already"):
        joined(founding(), founder(3))


def test_a_signature_is_of_this_document_by_one_of_its_founders():
    whole, other = founding(), founding(3, expected=3)
    message = epoch_message(whole.epoch())
    assert signed_by(whole, ROOTS[0].did, ROOTS[0].sign(message)).signatures.keys() == {ROOTS[0].did}
    with pytest.raises(VerificationFailed, match="none of the founders"):
        signed_by(whole, ROOTS[4].did, ROOTS[4].sign(message))
    foreign = epoch_message(structs.replace(other, consortium="Other").epoch())
    for signature in (ROOTS[1].sign(message), ROOTS[0].sign(foreign), ROOTS[0].sign(b""), bytes(64), b"", bytes(99)):
        with pytest.raises(VerificationFailed):
            signed_by(whole, ROOTS[0].did, signature)
    with pytest.raises(Conflict, match="not every founder"):
        signed_by(founding(2), ROOTS[0].did, ROOTS[0].sign(message))


@pytest.mark.parametrize("kind", [Invite, Knock, Founding, Founder])
@given(data=st.binary(max_size=300))
def test_garbage_is_refused(kind, data):
    with pytest.raises(VerificationFailed):
        decode(kind, data)


def test_bounds():
    with pytest.raises(VerificationFailed):
        decode(Founder, encode(structs.replace(founder(0), control="/ip4/1\n")))
    with pytest.raises(VerificationFailed):
        decode(Founder, encode(structs.replace(founder(0), enrolment=bytes(4097))))
    with pytest.raises(VerificationFailed):
        decode(Founding, encode(structs.replace(founding(), expected=257)))
