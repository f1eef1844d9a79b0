import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.dagcbor import encode
from catalog.entry import KINDS
from catalog.error import BadInput, VerificationFailed
from catalog.leaf import (
    LEAF_BYTES,
    MAX_BODY,
    decode_leaf,
    encode_leaf,
    is_critical,
    log_id,
    opens,
    seal,
)
from workflow.account import ACCOUNTS

WRITTEN = [*KINDS, *ACCOUNTS, "x-any"]


def test_a_leaf_has_the_bytes_of_the_protocol():
    """Lost: every log already written, and every other implementation (built here without the code under test)."""
    salt, body = bytes(range(32)), b"a body"
    expected = (
        b"\xa5\x61v\x01"
        + b"\x63log\x58\x20" + hashlib.sha256(b"comity.example/site/catalog").digest()
        + b"\x64kind\x50" + b"epoch-signature\0"
        + b"\x65epoch\x44" + b"\0\0\1\2"
        + b"\x6acommitment\x58\x20" + hmac.new(salt, body, hashlib.sha256).digest()
    )  # fmt: skip
    leaf = seal("comity.example/site/catalog", 258, "epoch-signature", body, salt)
    assert encode_leaf(leaf) == expected
    assert len(expected) == LEAF_BYTES == 120
    assert decode_leaf(expected) == leaf
    assert (leaf.kind_name, leaf.epoch) == ("epoch-signature", (258).to_bytes(4, "big"))


@given(
    st.sampled_from(WRITTEN), st.integers(0, 2**32 - 1), st.binary(max_size=100), st.binary(min_size=32, max_size=32)
)
def test_all_leaves_have_one_size_and_open_with_their_body_alone(kind, epoch, body, salt):
    """Lost: a leaf's length, or an empty body, would tell what it is about."""
    leaf = seal("origin", epoch, kind, body, salt)
    assert len(encode_leaf(leaf)) == LEAF_BYTES
    assert decode_leaf(encode_leaf(leaf)) == leaf
    assert (leaf.kind_name, leaf.epoch) == (kind, epoch.to_bytes(4, "big"))
    assert opens(leaf, body, salt)
    assert not opens(leaf, body + b"\0", salt)
    assert not opens(leaf, body, bytes([salt[0] ^ 1]) + salt[1:])
    # HMAC pads a short key with zeros: a salt of another length must not open the leaf.
    assert not opens(leaf, body, salt + b"\0")


def test_a_leaf_names_its_log():
    """Lost: a leaf of the audit log could be shown as one of the catalog."""
    leaf = seal("one", 0, "beat", b"", bytes(32))
    assert leaf.belongs_to("one")
    assert not leaf.belongs_to("other")
    assert log_id("one") == hashlib.sha256(b"one").digest()


def test_a_kind_is_critical_unless_it_says_that_it_is_not():
    """Lost: a node goes on trusting a site whose newer statements it cannot read."""
    assert not is_critical("x-note")
    assert is_critical("unheard-of")
    assert is_critical("xray")


@pytest.mark.parametrize("kind", ["", "Dataset", "a" * 17, "a b", "a\0b", "-a", "é", "a1"])
def test_a_kind_that_does_not_fit_is_refused(kind):
    """Lost: two kinds could share sixteen bytes."""
    with pytest.raises(BadInput):
        seal("o", 0, kind, b"", bytes(32))


def test_what_does_not_fit_a_leaf_is_refused():
    """Lost: bodies that no reader takes, or salt that can be guessed."""
    assert seal("o", 0, "beat", bytes(MAX_BODY), bytes(32))
    for epoch, body, salt in (
        (0, bytes(MAX_BODY + 1), bytes(32)),
        (0, b"", bytes(31)),
        (-1, b"", bytes(32)),
        (1 << 32, b"", bytes(32)),
    ):
        with pytest.raises(BadInput):
            seal("o", epoch, "beat", body, salt)


def test_bytes_that_are_no_leaf_are_refused():
    """Lost: a log's garbage would be taken for an entry."""
    leaf = seal("o", 0, "beat", b"", bytes(32))
    good = encode_leaf(leaf)
    hidden = good.replace(b"beat\0\0", b"beat\0x")
    later = good.replace(b"\x61v\x01", b"\x61v\x02")
    other = encode({"v": 1, "other": bytes(104)})
    bare = good.replace(b"beat" + bytes(12), bytes(16))
    for data in (b"", good[:-1], good + b"\0", bytes(LEAF_BYTES), hidden, later, other.ljust(LEAF_BYTES, b"\0"), bare):
        assert data != good
        with pytest.raises(VerificationFailed):
            decode_leaf(data)
