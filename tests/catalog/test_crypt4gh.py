"""Crypt4GH as we write and read it, against the reference implementation (the package ``crypt4gh``)."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable

import pytest
from crypt4gh import header as reference
from crypt4gh import lib
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.crypt4gh import (
    MAX_PACKETS,
    OVERHEAD,
    SEALED,
    SEGMENT,
    open_segment,
    public_of,
    read_header,
    seal_segment,
    sealed_size,
    segments,
    write_header,
)
from catalog.error import ComityError, Denied, VerificationFailed

KEY, SECRET, OTHER, WRITER = (bytes([number]) * 32 for number in (1, 2, 3, 4))

BORDERS = [each + off for each in (0, SEGMENT, 2 * SEGMENT) for off in (-1, 0, 1) if each + off >= 0]
SIZES = st.one_of(st.sampled_from(BORDERS), st.integers(0, 3 * SEGMENT))


def some(count: int) -> bytes:
    return random.Random(count).randbytes(count)


def body(data: bytes) -> bytes:
    parts = (data[at : at + SEGMENT] for at in range(0, len(data), SEGMENT))
    return b"".join(seal_segment(KEY, part, struct.pack("<IQ", place, 0)) for place, part in enumerate(parts))


def packets(*contents: bytes, method: bytes = bytes(4)) -> bytes:
    """A header of these packets for the reader, encrypted by the reference."""
    sealed = (reference.encrypt_X25519_Chacha20_Poly1305(each, WRITER, public_of(SECRET)) for each in contents)
    return bytes(reference.serialize([method + each for each in sealed]))


@settings(max_examples=20, deadline=None)
@given(SIZES)
def test_the_reference_opens_what_we_write(size: int) -> None:
    """Lost: a researcher with the right key cannot use the program that everybody else has."""
    data, out = some(size), io.BytesIO()
    header = write_header(KEY, public_of(SECRET), some)
    assert len(body(data)) == sealed_size(size)
    lib.decrypt([(0, SECRET, None)], io.BytesIO(header + body(data)), out)
    assert out.getvalue() == data


@settings(max_examples=20, deadline=None)
@given(SIZES, st.integers(500, SEALED + 1))
def test_we_open_what_the_reference_writes(size: int, piece: int) -> None:
    """Lost: we read our own dialect alone. However the bytes come in pieces, they are the same segments."""
    data, out = some(size), io.BytesIO()
    lib.encrypt([(0, WRITER, public_of(SECRET))], io.BytesIO(data), out)
    key, at = read_header(out.getvalue(), SECRET)
    sealed = out.getvalue()[at:]
    pieces = (sealed[start : start + piece] for start in range(0, len(sealed), piece))
    assert b"".join(open_segment(key, each) for each in segments(pieces)) == data


def test_a_header_is_for_its_reader_and_may_have_packets_for_others() -> None:
    """Lost: a reader takes another's header for damage, or a header for several opens for none."""
    ours = write_header(KEY, public_of(SECRET), some)
    theirs = write_header(KEY, public_of(OTHER), some)
    with pytest.raises(Denied, match="nothing for this key"):
        read_header(theirs, SECRET)
    both = ours[:12] + (2).to_bytes(4, "little") + theirs[16:] + ours[16:]
    assert read_header(both + b"body", SECRET) == (KEY, len(both))


HEADER = write_header(KEY, public_of(SECRET), some)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"crypt4gx" + HEADER[8:], "none of version 1"),
        (HEADER[:8] + (2).to_bytes(4, "little") + HEADER[12:], "none of version 1"),
        (HEADER[:12] + bytes(4) + HEADER[16:], "0 packets"),
        (HEADER[:12] + (MAX_PACKETS + 1).to_bytes(4, "little") + HEADER[16:], "packets"),
        (HEADER[:12] + b"\xff\xff\xff\xff" + HEADER[16:], "packets"),
        (HEADER[:16] + b"\xff\xff\xff\xff" + HEADER[20:], "cut off"),
        (HEADER[:16] + bytes(4) + HEADER[20:], "too short"),
        (HEADER[:20] + b"\1\0\0\0" + HEADER[24:], "unknown method"),
        *[(HEADER[:end], "cut off") for end in (12, 15, 16, 19, 20, 60, 123)],
        (packets(bytes(4) + b"\1\0\0\0" + KEY), "unknown type or method"),
        (packets(b"\2\0\0\0" + bytes(4) + KEY), "unknown type or method"),
        (packets(bytes(8) + KEY + b"more"), "unknown type or method"),
        (packets(bytes(8) + KEY, reference.make_packet_data_edit_list([0, 5])), "edit list"),
        (packets(bytes(8) + KEY, bytes(8) + OTHER), "several data keys"),
    ],
)
def test_a_header_that_is_not_as_it_should_be_is_refused(data: bytes, why: str) -> None:
    """Lost: a header from elsewhere decides what is read, how much memory it takes, or which bytes are left out."""
    with pytest.raises(VerificationFailed, match=why):
        read_header(data, SECRET)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        lambda sealed: flipped(sealed, 0),
        lambda sealed: flipped(sealed, 12),
        lambda sealed: flipped(sealed, len(sealed) - 1),
        lambda sealed: sealed[:-1],
        lambda sealed: sealed[:OVERHEAD],
        lambda sealed: b"",
        lambda sealed: sealed + b"x",
    ],
)
def test_an_altered_segment_is_refused(change: Callable[[bytes], bytes]) -> None:
    """Lost: what somebody changed in ciphertext is read as data."""
    with pytest.raises(VerificationFailed):
        open_segment(KEY, change(body(b"data of patients")))
    with pytest.raises(VerificationFailed):
        open_segment(OTHER, body(b"data of patients"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 123), st.binary(max_size=8))
def test_no_bytes_do_more_than_be_refused(data: bytes, at: int, put: bytes) -> None:
    """Lost: a header of a peer ends the node."""
    for each in (data, b"crypt4gh\1\0\0\0" + data, HEADER[:at] + put + HEADER[at + len(put) :]):
        try:
            key, _ = read_header(each, SECRET)
        except ComityError:
            continue
        assert key == KEY
