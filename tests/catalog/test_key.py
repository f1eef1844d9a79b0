"""Keys and signatures: a signature counts for one key, one type and one value."""

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.body import Body
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.error import BadInput, VerificationFailed
from catalog.grant import Grant
from catalog.key import UNSIGNED, PrivateKey, Signed, check, did_of, message_of, public_bytes, signed, verify
from catalog.member import Epoch
from node.founding import Invite
from node.message import Who
from workflow.order import Order
from workflow.receipt import Receipt
from workflow.submission import Submission

KEY, OTHER = PrivateKey(bytes([1]) * 32), PrivateKey(bytes([2]) * 32)


class Yes(Signed, frozen=True, kw_only=True):
    DOMAIN = "yes"
    what: str


class No(Signed, frozen=True, kw_only=True):
    DOMAIN = "no"
    what: str


def test_a_did_is_the_one_that_others_write_for_that_key():
    """Lost: keys made here mean nothing elsewhere (W3C did:key, test vector of RFC 8032, test 1)."""
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    key = PrivateKey(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert public_bytes(key.did) == public
    assert key.did == did_of(public) == "did:key:z" + base58.b58encode(b"\xed\x01" + public).decode()
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


@given(st.one_of(st.text(max_size=80), st.text("123ABCdefz", max_size=60).map("did:key:z6Mk".__add__)))
def test_text_that_is_no_did_is_bad_input_in_one_printable_line(text):
    refusal = ""
    try:
        assert did_of(public_bytes(text)) == text
    except BadInput as error:
        refusal = str(error)
    assert refusal.isprintable()
    with pytest.raises(VerificationFailed):
        verify(text, b"", bytes(64))


@pytest.mark.parametrize("turn", ["{} ", " {}", "{}\n", "{}1", "{}#", "x{}"])
def test_a_second_spelling_of_a_key_is_refused(turn):
    """Lost: one key under two names, one of which was revoked (base58 decoders pass over blanks)."""
    with pytest.raises(BadInput):
        public_bytes(turn.format(KEY.did))


def test_a_key_of_another_kind_is_refused():
    for prefix in (b"\xec\x01", b"\x80\x24", b"\xed\x00"):
        with pytest.raises(BadInput):
            public_bytes("did:key:z" + base58.b58encode(prefix + bytes(32)).decode())


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_signature_counts_for_its_value_and_its_key_alone(what, other):
    value = signed(Yes(what=what, sig=UNSIGNED), KEY)
    check(value, KEY.did)
    with pytest.raises(VerificationFailed):
        check(value, OTHER.did)
    if other != what:
        with pytest.raises(VerificationFailed):
            check(Yes(what=other, sig=value.sig), KEY.did)


def test_a_signature_of_one_type_never_counts_as_another_s():
    """Lost: a steward who signed one thing signed another that has the same fields."""
    yes = signed(Yes(what="x", sig=UNSIGNED), KEY)
    with pytest.raises(VerificationFailed):
        check(No(what="x", sig=yes.sig), KEY.did)


def test_every_signed_type_has_a_domain_of_its_own_that_ends_where_the_value_begins():
    """Lost: as before, for the real types: two domains that are equal, or one that swallows the other's line."""
    domains = [kind.DOMAIN for kind in (Body, Grant, Invite, Who, Order, Receipt, Submission, Epoch)]
    assert len(set(domains)) == len(domains)
    assert all(domain.replace("-", "").isalnum() and domain.islower() for domain in domains)
    assert message_of(Yes(what="x", sig=UNSIGNED)).startswith(b"comity/yes/v1\n\xa1\x64what")


def test_what_a_signature_covers_does_not_hold_the_signature():
    assert message_of(Yes(what="x", sig=UNSIGNED)) == message_of(Yes(what="x", sig=bytes([7]) * 64))


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_a_changed_signature_is_refused(place):
    value = signed(Yes(what="x", sig=UNSIGNED), KEY)
    sig = bytearray(value.sig)
    sig[place] ^= 1
    with pytest.raises(VerificationFailed):
        check(Yes(what="x", sig=bytes(sig)), KEY.did)


def test_a_second_signature_made_from_a_first_is_refused():
    """Lost: one signed value has two CIDs (S + L verifies for a careless verifier; RFC 8032, 5.1.7)."""
    order = 2**252 + 27742317777372353535851937790883648493
    value = signed(Yes(what="x", sig=UNSIGNED), KEY)
    scalar = int.from_bytes(value.sig[32:], "little") + order
    with pytest.raises(VerificationFailed):
        check(Yes(what="x", sig=value.sig[:32] + scalar.to_bytes(32, "little")), KEY.did)


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_a_key_of_small_order_signs_nothing(public):
    """Lost: one signature that holds for every message."""
    for sig in (bytes(64), b"\x01" + bytes(63), public + bytes(32)):
        with pytest.raises(VerificationFailed):
            verify(did_of(public), b"any", sig)


@pytest.mark.parametrize("length", [0, 63, 65, 1000])
def test_a_signature_of_another_length_is_refused(length):
    with pytest.raises(VerificationFailed):
        verify(KEY.did, b"", bytes(length))


def test_a_private_key_shows_its_public_half_alone():
    """Lost: the key in a log or a traceback."""
    for shown in (repr(KEY), str(KEY), f"{KEY}"):
        assert KEY.did in shown
        assert KEY.seed.hex() not in shown
        assert repr(KEY.seed)[2:-1] not in shown


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_bad_input(length):
    with pytest.raises(BadInput):
        PrivateKey(bytes(length))


def test_a_link_in_a_signed_value_is_covered_as_a_link():
    class Linked(Signed, frozen=True, kw_only=True):
        DOMAIN = "yes"
        what: Cid | bytes

    assert issubclass(Linked, Value)
    cid = Cid.of(b"x")
    value = signed(Linked(what=cid, sig=UNSIGNED), KEY)
    with pytest.raises(VerificationFailed):
        check(Linked(what=bytes(cid), sig=value.sig), KEY.did)
