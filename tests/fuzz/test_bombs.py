"""Inputs that are small and stand for something large: none may cost more memory than a node can spare for a peer."""

from __future__ import annotations

import tracemalloc

import cbor2
import pytest

from tests.fuzz.corpus import KEY
from tests.fuzz.decoders import DECODERS, NOTE, PROOF, Decoder
from tests.fuzz.test_decoders import HANG_SECONDS, ended_within, judge

SIZE = 1 << 18
MOST_BYTES = 96 * SIZE
"""Bytes at the worst moment, for as many that came: an empty list is a byte on the wire and 64 in memory."""
MOST_WRITTEN = 3 * MOST_BYTES
"""The same where what was read is written again as well, as bodies of at most 64 KiB are: it is there three times."""


def _claims() -> dict[str, bytes]:
    """Heads that say how much will come, and nothing after them."""
    lengths = (b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\0\0\0\xff" + b"\xff" * 4, b"\0\0\0\0\x7f\xff\xff\xff")
    heads = {
        f"{kind:02x} {length.hex()}": bytes([kind]) + length for kind in (0x5B, 0x7B, 0x9B, 0xBB) for length in lengths
    }
    return {**heads, **{f"in a field, {name}": b"\xa1\x61a" + data for name, data in heads.items()}}


BOMBS = {
    **_claims(),
    "a list of empty lists": b"\x9a\x00\x03\xff\x00" + b"\x80" * 0x3FF00,
    "a list of empty maps": b"\x9a\x00\x03\xff\x00" + b"\xa0" * 0x3FF00,
    "lists in lists": b"\x81" * (SIZE - 1) + b"\x80",
    "tags in tags": b"\xc1" * (SIZE - 1) + b"\x00",
    "maps in maps": b"\xa1\x60" * (SIZE // 2) + b"\x00",
    "one key again and again": b"\xba\x00\x01\x00\x00" + b"\x60\x00" * 0x10000,
    "a large number": b"\xc2\x5a\x00\x03\xff\x00" + b"\xff" * 0x3FF00,
    "shared values": b"\xd8\x1c\x82" * 1000 + b"\xd8\x1d\x00",
    "a list that holds itself": b"\xd8\x1c\x81\xd8\x1d\x00",
    "a list that holds itself in a field": b"\xa1\x61a\xd8\x1c\x81\xd8\x1d\x00",
    "one text again and again": b"\xd9\x01\x00\x9a\x00\x00\x80\x01"
    + cbor2.dumps("x" * 0x10000)
    + b"\xd8\x19\x00" * 0x8000,
    "an expression": b"\xd8\x23" + cbor2.dumps("(" * 0x8000 + ")" * 0x8000),
    "a long text": cbor2.dumps("x" * (SIZE - 5)),
    "line feeds": b"\n" * SIZE,
    "signature lines": NOTE.encode() + b"\xe2\x80\x94 a AAAAAAA=\n" * (SIZE // 16),
    "a key name": b"\xe2\x80\x94 " + b"a" * SIZE + b" AAAAAAA=\n",
    "hashes in a proof": PROOF.encode().replace(b"\n\n", b"\n" + (b"A" * 43 + b"=\n") * (SIZE // 45) + b"\n", 1),
    "extra data": PROOF.encode().replace(b"extra ", b"extra " + b"AAAA" * (SIZE // 4)),
    "digits": b"9" * SIZE,
    "parts of a path": b"tile/0/" + b"x000/" * (SIZE // 5) + b"000",
    "base58": KEY.did.encode() + b"1" * SIZE,
    "base32": b"b" + b"a" * SIZE,
    "opening brackets": b"[" * SIZE,
    "percent signs": b"/" + b"%20" * (SIZE // 3),
    "empty fields": b"\x12\x00" * (SIZE // 2),
    "links": (b"\x12\x2a\x0a\x24" + bytes.fromhex("01551220") + b"\0" * 32 + b"\x12\x00\x18\x00") * (SIZE // 44),
    "zeros": bytes(SIZE),
}


DIFFERENT = [each for each in DECODERS if not each.is_alike]


@pytest.mark.parametrize("decoder", DIFFERENT, ids=lambda decoder: decoder.name)
def test_no_input_costs_much_more_than_its_size(decoder: Decoder) -> None:
    """Lost: the node's memory, and all that it does for others, to one message."""
    for name, bomb in BOMBS.items():
        tracemalloc.start()
        try:
            with ended_within(HANG_SECONDS):
                judge(decoder, bomb)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        most = MOST_BYTES if decoder.write is None else MOST_WRITTEN
        assert peak < most, f"«{name}», {len(bomb):,} bytes, cost {peak:,} bytes"
