"""Bodies checked by themselves: as strict as the checks of a body anywhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from catalog.body import is_visible, message_in, read_body, write_body
from catalog.dagcbor import encode
from catalog.key import PrivateKey, message_of, signed
from catalog.leaf import encode_leaf, seal
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from catalog.reading import Proof, Reading, prove, read_leaf

ROOT, STEWARD, OTHER = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))
ORIGIN = origin_of(ROOT.did, LogName.CATALOG)


def body(**changes: object):
    made = write_body("policy", PolicyFields(text="x"), site=ROOT.did, at=1, by=STEWARD)
    return signed(structs.replace(made, **changes), STEWARD)


@given(st.integers(0, (1 << 63) - 1), st.none() | st.integers(0, 1 << 40), st.text(max_size=300))
def test_what_is_cut_out_of_a_body_is_what_was_signed(at, previous, text):
    """Lost: a signature that holds over other bytes than the body's."""
    made = body(at=at, previous=previous, fields={"text": text})
    assert message_in(encode(made)) == message_of(made)
    assert prove(encode(made)) == Proof()


@pytest.mark.parametrize("at", [0, 23, 24, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1])
def test_times_of_every_length(at):
    made = body(at=at)
    assert message_in(encode(made)) == message_of(made)


def test_what_is_no_body_and_what_is_not_signed_are_told_apart():
    """Lost: what nobody signed counts."""
    good = encode(body())
    for data in (b"", b"\xff", good[:-1], good + b"\0", encode({"at": 1})):
        assert prove(data).fault
    for forged in (structs.replace(body(), at=2), structs.replace(body(), actor=OTHER.did)):
        proof = prove(encode(forged))
        assert proof.fault
    leaf = leaf_of(ORIGIN, good)
    assert read_leaf(ORIGIN, 0, leaf, good, Proof()).entry is not None
    assert read_leaf(ORIGIN, 0, leaf, good, Proof(fault="forged")).entry is None
    others = origin_of(OTHER.did, LogName.CATALOG)
    found = read_leaf(others, 0, leaf_of(others, good), good, Proof())
    assert found.fault == "entry 0 was written for another site's log"
    assert "every leaf has 120" in read_leaf(ORIGIN, 0, b"x", good, Proof()).fault
    assert read_leaf(ORIGIN, 0, leaf, None, Proof()) == Reading(0, "policy")


def leaf_of(origin, data, kind="policy"):
    return encode_leaf(seal(origin, 0, kind, data, bytes(32)))


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("kind", ["policy", "telepathy"])
def test_a_leaf_of_another_log_is_named_and_its_body_does_not_count(here, kind):
    """Lost: what was said in one log is said in another one too; or such a leaf ends the site's authority."""
    data = encode(body())
    wrong = (OTHER.did, LogName.CATALOG, 0), (ROOT.did, LogName.AUDIT, 0), (ROOT.did, LogName.CATALOG, 2)
    for origin in ("x", *(origin_of(*each) for each in wrong)):
        given = data if here else None
        found = read_leaf(origin_of(ROOT.did, LogName.CATALOG, 1), 3, leaf_of(origin, data, kind), given, Proof())
        assert found == Reading(3, "", fault="a leaf was refused: it was written for another log")


def test_a_new_epoch_of_a_log_has_the_leaves_of_those_before():
    """Lost: all that a site said before its log was begun anew."""
    data = encode(body())
    for number in (0, 1, 2):
        leaf = leaf_of(origin_of(ROOT.did, LogName.CATALOG, number), data)
        assert read_leaf(origin_of(ROOT.did, LogName.CATALOG, 2), 0, leaf, data, Proof()).entry is not None


@given(st.binary(max_size=80))
def test_bytes_that_are_no_body_are_for_nobody(data):
    assert not is_visible(data, ROOT.did)


def test_who_may_see_a_body_is_read_from_its_bytes_as_from_itself():
    """Lost: a restricted body goes to all, or an open one to none."""
    for audience in (None, (), (OTHER.did,)):
        made = body(audience=audience)
        for site in (ROOT.did, OTHER.did, STEWARD.did):
            assert is_visible(encode(made), site) == read_body(encode(made)).visible_to(site)
