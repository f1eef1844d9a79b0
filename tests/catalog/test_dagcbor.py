"""Canonical DAG-CBOR: one encoding per value, and nothing but a refusal for everything else."""

import base64
import tracemalloc
from contextlib import suppress
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.body import Body, Index, Millis
from catalog.cid import Cid
from catalog.dagcbor import (
    LINK as LINK_TAG,
)
from catalog.dagcbor import (
    MAX_DEPTH,
    Value,
    cid_of,
    convert,
    decode,
    decode_plain,
    encode,
    from_json,
    glance,
    to_json,
)
from catalog.error import BadInput, VerificationFailed
from catalog.leaf import Leaf
from catalog.member import Epoch
from node.founding import Founding, Invite, Knock
from node.message import Envelope, Reply, WhoAnswer, read_question, read_reply
from workflow.order import Order
from workflow.receipt import Receipt
from workflow.submission import Submission


class Cat(Value, frozen=True, kw_only=True, tag="cat"):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    asleep: bool = False


class Dog(Value, frozen=True, kw_only=True, tag="dog"):
    age: int


class House(Value, frozen=True, kw_only=True):
    key: bytes
    link: Cid
    pets: tuple[Cat | Dog, ...]
    more: dict[str, int | None]
    free: dict[str, Any]


class Times(Value, frozen=True, kw_only=True):
    index: Index
    at: Millis


CIDS = st.binary(min_size=32, max_size=32).map(lambda digest: Cid(0x71, 0x12, digest))
INTS = st.integers(-(1 << 63), (1 << 63) - 1)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), INTS, st.text(max_size=20), st.binary(max_size=40), CIDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
HOUSES = st.builds(
    House,
    key=st.binary(max_size=40),
    link=CIDS,
    pets=st.lists(
        st.builds(Cat, name=st.text(min_size=1, max_size=9), asleep=st.booleans()) | st.builds(Dog, age=INTS),
        max_size=3,
    ).map(tuple),
    more=st.dictionaries(st.text(max_size=8), st.none() | INTS, max_size=3),
    free=st.dictionaries(st.text(max_size=8), PLAIN, max_size=3),
)
KINDS = [House, Body, Leaf, Epoch, Founding, Invite, Knock, Envelope, Reply, WhoAnswer, Order, Receipt, Submission]


def text(value: str) -> bytes:
    return bytes([0x60 + len(value)]) + value.encode()


@given(PLAIN)
def test_plain_values_come_back_as_they_were_in_the_same_bytes(value):
    data = encode(value)
    assert decode_plain(data) == value
    assert encode(decode_plain(data)) == data


@given(HOUSES)
def test_typed_values_come_back_as_they_were_and_have_one_cid(house):
    data = encode(house)
    assert decode(House, data) == house
    assert cid_of(house) == cid_of(decode_plain(data)) == Cid.of(data, 0x71)


@given(HOUSES.map(lambda house: msgspec.structs.replace(house, free={})))
def test_json_is_the_same_value_for_people(house):
    """Lost: what the terminal shows and signs is another value than what the node keeps."""
    assert from_json(House, to_json(house)) == house


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_garbage_is_refused_by_every_decoder_with_its_own_error_alone(kind, data):
    """Lost: a message of a stranger ends the task that reads it."""
    for read in (lambda: decode(kind, data), lambda: decode_plain(data), lambda: read_question(data)):
        with suppress(VerificationFailed):  # some garbage is a plain value
            read()
    with pytest.raises(VerificationFailed):
        read_reply(kind, data)
    with pytest.raises(BadInput):
        from_json(kind, data)


@given(HOUSES.map(encode), st.integers(0, 10_000), st.binary(min_size=1, max_size=9), st.booleans())
def test_a_changed_encoding_is_another_value_or_none(data, place, change, insert):
    """Lost: one value, one signature, many spellings, each with its own CID."""
    place %= len(data) + 1
    changed = data[:place] + change + data[place if insert else place + len(change) :]
    try:
        value = decode(House, changed)
    except VerificationFailed:
        return
    assert encode(value) == changed


@given(st.sampled_from(KINDS), PLAIN)
def test_any_plain_value_is_that_kind_or_refused(kind, plain):
    with pytest.raises(VerificationFailed):
        convert(kind, plain)
    with pytest.raises(VerificationFailed):
        decode(kind, encode(plain))


LINK = Cid.of(b"x")
HOUSE = {"key": b"abc", "link": LINK, "pets": [{"type": "cat", "name": "Tom", "asleep": True}], "more": {}, "free": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"link": str(LINK)},
        {"link": bytes(LINK)},
        {"key": base64.b64encode(b"abc").decode()},
        {"pets": [{"type": "cat", "name": "Tom"}]},
        {"pets": [{"name": "Tom", "asleep": False}]},
        {"pets": [{"type": "cow", "age": 3}]},
        {"pets": [{"type": "dog", "age": "3"}]},
        {"pets": [{"type": "dog", "age": True}]},
        {"pets": {}},
        {"more": {"a": 1}, "extra": 1},
        {"more": []},
    ],
)
def test_a_second_way_to_write_a_value_is_refused(change):
    """Lost: bytes other than those that were signed for carry the same signature, and so another CID and commitment.

    Text in the place of a link or of bytes, a default left out, a union's tag left out: JSON allows some of these.
    """
    assert isinstance(decode(House, encode(HOUSE)), House)
    with pytest.raises(VerificationFailed):
        decode(House, encode(HOUSE | change))


@pytest.mark.parametrize("missing", HOUSE)
def test_a_missing_field_is_refused(missing):
    with pytest.raises(VerificationFailed):
        decode(House, encode({name: value for name, value in HOUSE.items() if name != missing}))


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("half float", b"\xf9\x3c\x00"),
        ("single float", b"\xfa\x3f\x80\x00\x00"),
        ("double float", b"\xfb\x3f\xf0" + bytes(6)),
        ("not a number", b"\xf9\x7e\x00"),
        ("undefined", b"\xf7"),
        ("a simple value", b"\xe0"),
        ("a simple value in two bytes", b"\xf8\x20"),
        ("0 in two bytes", b"\x18\x00"),
        ("23 in three bytes", b"\x19\x00\x17"),
        ("a length in two bytes", b"\x58\x01a"),
        ("a string without its length", b"\x5f\x41a\xff"),
        ("a list without its length", b"\x9f\x01\xff"),
        ("a map without its length", b"\xbf\x61a\x01\xff"),
        ("a break alone", b"\xff"),
        ("64 bits and a sign", b"\x3b" + b"\xff" * 8),
        ("2**63", b"\x1b\x80" + bytes(7)),
        ("a big number", b"\xc2\x49\x01" + bytes(8)),
        ("a date", b"\xc0" + text("2026-01-01")),
        ("an epoch date", b"\xc1\x01"),
        ("a shared value", b"\xd8\x1c\x01"),
        ("a reference", b"\xd8\x1d\x00"),
        ("a set", b"\xd9\x01\x02\x81\x01"),
        ("CBOR marked as such", b"\xd9\xd9\xf7\x01"),
        ("a key twice", b"\xa2" + text("a") + b"\x01" + text("a") + b"\x02"),
        ("keys out of order", b"\xa2" + text("b") + b"\x01" + text("a") + b"\x02"),
        ("a long key first", b"\xa2" + text("aa") + b"\x01" + text("b") + b"\x02"),
        ("a number as key", b"\xa1\x01\x02"),
        ("bytes as key", b"\xa1\x41a\x02"),
        ("text that is not UTF-8", b"\x61\xff"),
        ("half a surrogate", b"\x63\xed\xa0\x80"),
        ("a link without its zero", b"\xd8\x2a\x58\x24" + bytes(LINK)),
        ("a link of version 0", b"\xd8\x2a\x58\x23\0\x12\x20" + bytes(32)),
        ("a link of text", b"\xd8\x2a" + text("b")),
        ("a link to no CID", b"\xd8\x2a\x42\x00\x01"),
        ("something behind it", b"\x01\x01"),
        ("nothing", b""),
    ],
)
def test_what_dag_cbor_does_not_know_is_refused(what, data):
    with pytest.raises(VerificationFailed):
        decode_plain(data)
    with pytest.raises(VerificationFailed):
        decode_plain(b"\xa1" + text("a") + data)


TAGGED = (b"\x01", b"\x41a", b"\x61a", b"\x81\x01", b"\x82\x01\x02", b"\xa0", b"\x80")


@pytest.mark.parametrize("read", [decode_plain, glance])
def test_no_tag_but_that_of_links_is_read(read):
    """Lost: the library learns another tag, and what a peer wrote refers to itself, or is compiled."""
    for tag in (*range(LINK_TAG), *range(LINK_TAG + 1, 70_000), 1 << 20, (1 << 64) - 1):
        head = bytes([0xC0 + tag]) if tag < 24 else b"\xdb" + tag.to_bytes(8, "big")
        for held in TAGGED if tag < 2_000 or tag in {43_000, 55_799} else TAGGED[:1]:
            with pytest.raises(VerificationFailed):
                read(head + held)


@pytest.mark.parametrize("read", [decode_plain, glance])
@pytest.mark.parametrize(
    "data",
    [
        b"\xd8\x1c\x81\xd8\x1d\x00",  # a list that holds itself
        b"\xd8\x1c\xa1\x61a\xd8\x1d\x00",  # a map that does
        b"\xd9\x01\x00\x82\x63aaa\xd8\x19\x00",  # text that is written once and read twice
        b"\x82\xd8\x1c\x81\x01\xd8\x1d\x00",  # a list that is
    ],
)
def test_what_refers_to_what_was_read_before_is_refused(read, data):
    """Lost: five bytes of anybody hold a node up for ever, or fill its memory."""
    with pytest.raises(VerificationFailed):
        read(data)


@pytest.mark.parametrize("head", [b"\x5b", b"\x7b", b"\x9b", b"\xbb"])
def test_a_length_that_lies_allocates_nothing(head):
    """Lost: nine bytes from a stranger take a node's memory."""
    tracemalloc.start()
    try:
        for size in (1 << 62, 1 << 40, 1 << 30):
            with pytest.raises(VerificationFailed):
                decode_plain(head + size.to_bytes(8, "big") + b"\x00" * 64)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x61a"])
def test_depth_is_bounded_before_the_stack_is(opening):
    assert decode_plain(opening * (MAX_DEPTH - 1) + b"\x01")
    for depth in (MAX_DEPTH + 2, 1000, 300_000):
        with pytest.raises(VerificationFailed):
            decode_plain(opening * depth + b"\x01")


def test_size_is_bounded_before_anything_is_read():
    data = encode({"a": bytes(100)})
    assert decode_plain(data, len(data))
    with pytest.raises(VerificationFailed, match="at most"):
        decode_plain(data, len(data) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b'{"key":"a","link":"","pets":[],"more":{},"free":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"key":"\xff"}',
        b"\xff\xfe",
        b'{"key":"\\ud800"}',
        b"NaN",
        b"1" * 10_000,
        b"",
    ],
)
def test_json_from_people_is_bad_input_and_nothing_else(data):
    """Lost: a card or a request with one bad byte ends in a traceback."""
    with pytest.raises(BadInput):
        from_json(House, data)


@pytest.mark.parametrize("value", [1.5, float("nan"), {"a": [0.0]}, object()])
def test_what_could_never_be_read_again_is_not_written(value):
    """Lost: an entry that was signed and that no member reads."""
    with pytest.raises(TypeError, match="no place in DAG-CBOR"):
        encode(value)


def test_an_index_or_a_time_beyond_63_bits_is_refused_where_it_is_first_read():
    """Lost: a body that one site can write, as a big number, and that nobody reads again."""
    assert from_json(Times, b'{"index":%d,"at":0}' % ((1 << 63) - 1))
    for at in (-1, 1 << 63, 1 << 70):
        for text in (b'{"index":%d,"at":0}', b'{"index":0,"at":%d}'):
            with pytest.raises(BadInput):
                from_json(Times, text % at)


class Alone(Value, frozen=True, tag_field="type", tag="alone"):
    """A tagged kind that is no member of a union."""

    age: int


class Around(Value, frozen=True):
    inner: tuple[Alone | None, ...]


@pytest.mark.parametrize(("kind", "plain"), [(Alone, {"age": 1}), (Around, {"inner": [{"age": 1}]})])
def test_a_tag_is_written_also_where_there_is_no_choice(kind, plain):
    """Lost: one value has two encodings, with two signatures."""
    whole = msgspec.convert(plain, kind)
    assert decode(kind, encode(whole)) == whole
    with pytest.raises(VerificationFailed):
        decode(kind, encode(plain))
