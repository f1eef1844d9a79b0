"""Byte strings that look like a CID: the reason for the encoder that is used (docs/decisions/0003)."""

from hypothesis import given
from hypothesis import strategies as st

from catalog.cid import Cid
from catalog.dagcbor import decode_plain, encode
from catalog.leaf import LEAF_BYTES, Leaf, decode_leaf, encode_leaf, seal

LOOKS_LIKE_A_CID = bytes.fromhex("0155001c") + bytes(28)
"""Version 1, raw, the identity hash, 28 bytes: libipld 3.5 writes these 32 bytes as a link, four bytes longer."""


def leaf_with(commitment: bytes) -> Leaf:
    sealed = seal("did:key:example/catalog/0", 0, "dataset", b"", bytes(32))
    return Leaf(log=sealed.log, epoch=sealed.epoch, kind=sealed.kind, commitment=commitment)


def test_a_commitment_that_looks_like_a_cid_stays_bytes_in_a_leaf_of_the_usual_size():
    """Lost: one leaf in some two thousand, which no second implementation would hash alike."""
    data = encode_leaf(leaf_with(LOOKS_LIKE_A_CID))
    assert len(data) == LEAF_BYTES
    assert data.endswith(b"\x58\x20" + LOOKS_LIKE_A_CID)
    assert decode_leaf(data).commitment == LOOKS_LIKE_A_CID


@given(st.binary(min_size=28, max_size=28), st.integers(0, 127), st.integers(0, 127))
def test_no_commitment_of_that_shape_changes_the_size_of_a_leaf(rest, codec, code):
    commitment = bytes([1, codec, code, 28]) + rest
    assert decode_leaf(encode_leaf(leaf_with(commitment))).commitment == commitment


def test_bytes_and_links_are_told_apart_by_type_alone():
    """Lost: that a real CID given as bytes, as in a key or a salt, is not taken for a link."""
    cid = Cid.of(b"a blob")
    plain = decode_plain(encode({"bytes": bytes(cid), "link": cid}))
    assert plain == {"bytes": bytes(cid), "link": cid}
    assert isinstance(plain["bytes"], bytes)
