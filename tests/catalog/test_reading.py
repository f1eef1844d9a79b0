"""Bodies checked by themselves: as strict as the checks of a body anywhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from catalog.body import _FOR_ALL, is_visible, message_in, read_body, write_body
from catalog.dagcbor import encode
from catalog.key import PrivateKey, message_of, signed
from catalog.leaf import encode_leaf, seal
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from catalog.reading import Reading, pack, read_leaf, unpack

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
    reading = read_leaf(ORIGIN, 0, leaf_of(ORIGIN, encode(made)), encode(made))
    assert (reading.fault, reading.entry and reading.entry.body) == ("", made)
    assert unpack(ROOT.did, 0, pack([reading])) == [reading]


@pytest.mark.parametrize("at", [0, 23, 24, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1])
def test_times_of_every_length(at):
    made = body(at=at)
    assert message_in(encode(made)) == message_of(made)


def test_what_is_no_body_and_what_is_not_signed_are_told_apart():
    """Lost: what nobody signed counts."""
    good = encode(body())
    for data in (b"", b"\xff", good[:-1], good + b"\0", encode({"at": 1})):
        reading = read_leaf(ORIGIN, 0, leaf_of(ORIGIN, data), data)
        assert (reading.entry, bool(reading.fault)) == (None, True)
    for forged in map(encode, (structs.replace(body(), at=2), structs.replace(body(), actor=OTHER.did))):
        reading = read_leaf(ORIGIN, 0, leaf_of(ORIGIN, forged), forged)
        assert (reading.entry, bool(reading.fault)) == (None, True)
    leaf = leaf_of(ORIGIN, good)
    assert read_leaf(ORIGIN, 0, leaf, good).entry is not None
    others = origin_of(OTHER.did, LogName.CATALOG)
    found = read_leaf(others, 0, leaf_of(others, good), good)
    assert found.fault == "entry 0 was written for another site's log"
    assert "every leaf has 120" in read_leaf(ORIGIN, 0, b"x", good).fault
    assert read_leaf(ORIGIN, 0, leaf, None) == Reading(0, "policy")


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
        found = read_leaf(origin_of(ROOT.did, LogName.CATALOG, 1), 3, leaf_of(origin, data, kind), given)
        assert found == Reading(3, "", fault="a leaf was refused: it was written for another log")


def test_a_new_epoch_of_a_log_has_the_leaves_of_those_before():
    """Lost: all that a site said before its log was begun anew."""
    data = encode(body())
    for number in (0, 1, 2):
        leaf = leaf_of(origin_of(ROOT.did, LogName.CATALOG, number), data)
        assert read_leaf(origin_of(ROOT.did, LogName.CATALOG, 2), 0, leaf, data).entry is not None


@given(st.binary(max_size=80))
def test_bytes_that_are_no_body_are_for_nobody(data):
    assert not is_visible(data, ROOT.did)


@pytest.mark.parametrize("previous", [None, 0, 23, 24, 0xF6, 0x100, 0x10000, 0x1_0000_0000, 0x6870726576696F75])
@pytest.mark.parametrize("audience", [None, (), (OTHER.did,), (STEWARD.did, OTHER.did)])
def test_who_may_see_a_body_is_read_from_its_bytes_as_from_itself(audience, previous):
    """Lost: a restricted body goes to all, or an open one to none."""
    for text in ("a", "haudience\u00f6hprevious", "haudience"):
        fields = PolicyFields(text=text)
        made = write_body("policy", fields, site=ROOT.did, at=1, by=STEWARD, previous=previous, audience=audience)
        for site in (ROOT.did, OTHER.did, STEWARD.did):
            assert is_visible(encode(made), site) == read_body(encode(made)).visible_to(site)
        assert bool(_FOR_ALL.search(encode(made))) is (audience is None)
