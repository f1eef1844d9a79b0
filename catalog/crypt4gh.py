"""Crypt4GH version 1 (GA4GH): a header that gives a reader the data key, and a body of encrypted segments.

A file is ``header ‖ body``. The header has one packet for each reader: X25519 (libsodium's ``crypto_kx``, the writer
as server) agrees on a key, ChaCha20-Poly1305 (RFC 8439) encrypts with it the 32-byte data key. The body is the
plaintext in segments of 65,536 bytes, the last one shorter, each encrypted under the data key with a nonce of its own:
``nonce ‖ ciphertext ‖ tag``. Numbers are little-endian.

The format does not say where a segment stands, nor how many there are. Who relies on this names the body by its CID,
and its size beside it (:mod:`catalog.manifest`). Randomness comes from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_kx_client_session_keys,
    crypto_kx_seed_keypair,
    crypto_kx_server_session_keys,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError

from catalog.error import Denied, VerificationFailed

KEY_BYTES: Final = 32
"""Bytes of a data key, and of an X25519 key."""
NONCE_BYTES: Final = 12
SEGMENT: Final = 65_536
"""Plaintext bytes of a segment; only the last one of a body may have fewer, and none has 0."""
OVERHEAD: Final = NONCE_BYTES + 16
SEALED: Final = SEGMENT + OVERHEAD
"""Bytes of a whole segment in a body."""
MAX_PACKETS: Final = 64
MAX_HEADER: Final = 64 << 10

Random = Callable[[int], bytes]
"""So many unguessable bytes."""

_MAGIC: Final = b"crypt4gh" + (1).to_bytes(4, "little")
_METHOD: Final = (0).to_bytes(4, "little")  # X25519 with ChaCha20-Poly1305
_DATA_KEY: Final = bytes(8)  # the packet's type, data encryption parameters; the method, ChaCha20-Poly1305
_PACKET: Final = 4 + 4 + KEY_BYTES + OVERHEAD + len(_DATA_KEY) + KEY_BYTES


def write_header(data_key: bytes, reader: bytes, random: Random) -> bytes:
    """The header (124 bytes) that gives ``data_key`` to the X25519 public key ``reader``, by a fresh key of the writer.

    Raises:
        VerificationFailed: ``reader`` is no key that anything can be agreed on with.
    """
    public, secret = crypto_kx_seed_keypair(random(KEY_BYTES))
    try:
        _, shared = crypto_kx_server_session_keys(public, secret, reader)
    except CryptoError as error:
        raise VerificationFailed("a reader's encryption key is none: it was enrolled wrong") from error
    nonce = random(NONCE_BYTES)
    packet = _METHOD + public + _seal(shared, _DATA_KEY + data_key, nonce)
    return _MAGIC + _number(1) + _number(len(packet) + 4) + packet


def read_header(data: bytes, secret: bytes) -> tuple[bytes, int]:
    """The data key that a header has for the X25519 secret key ``secret``, and how many bytes the header takes.

    ``data`` begins with the header. Packets for others are passed over; edit lists and several data keys, which
    Comity never writes, are refused.

    Raises:
        VerificationFailed: no header, of another version, with an unknown method or packet, too long or cut off.
        Denied: no packet is for this key.
    """
    if data[: len(_MAGIC)] != _MAGIC:
        raise VerificationFailed("a Crypt4GH header was refused: it is none of version 1")
    count = _read(data, len(_MAGIC))
    if not 1 <= count <= MAX_PACKETS:
        raise VerificationFailed(f"a Crypt4GH header was refused: {count:,} packets, at most {MAX_PACKETS} are read")
    keys: set[bytes] = set()
    place = len(_MAGIC) + 4
    for _ in range(count):
        length = _read(data, place)
        if length < _PACKET - KEY_BYTES or place + length > min(len(data), MAX_HEADER):
            raise VerificationFailed("a Crypt4GH header was refused: a packet is too short, too long or cut off")
        opened = _opened(data[place + 4 : place + length], secret)
        keys |= {_data_key(opened)} if opened is not None else set()
        place += length
    if not keys:
        raise Denied("a Crypt4GH header was not opened: it has nothing for this key")
    if len(keys) > 1:
        raise VerificationFailed("a Crypt4GH header was refused: it has several data keys")
    return keys.pop(), place


def seal_segment(data_key: bytes, plain: bytes, nonce: bytes) -> bytes:
    """One segment of a body: 1 to 65,536 bytes under a ``nonce`` that this key never had before."""
    return _seal(data_key, plain, nonce)


def open_segment(data_key: bytes, sealed: bytes) -> bytes:
    """The plaintext of one segment.

    Raises:
        VerificationFailed: altered, cut off, or sealed under another key.
    """
    if not OVERHEAD < len(sealed) <= SEALED:
        raise VerificationFailed("a segment of encrypted data was refused: it is cut off, or empty")
    try:
        return _open(data_key, sealed)
    except CryptoError as error:
        raise VerificationFailed("a segment of encrypted data was refused: altered, or under another key") from error


def segments(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The whole segments of a body, and its last one, from its bytes in pieces of any size."""
    rest = b""
    for piece in pieces:
        rest += piece
        stop = len(rest) - len(rest) % SEALED
        yield from (rest[at : at + SEALED] for at in range(0, stop, SEALED))
        rest = rest[stop:]
    if rest:
        yield rest


def sealed_size(size: int) -> int:
    """Bytes of the body of ``size`` bytes of plaintext."""
    return size + -(-size // SEGMENT) * OVERHEAD


def public_of(secret: bytes) -> bytes:
    """The X25519 public key of a secret one."""
    return crypto_scalarmult_base(secret)


def _seal(key: bytes, plain: bytes, nonce: bytes) -> bytes:
    return nonce + crypto_aead_chacha20poly1305_ietf_encrypt(plain, None, nonce, key)


def _open(key: bytes, sealed: bytes) -> bytes:
    return crypto_aead_chacha20poly1305_ietf_decrypt(sealed[NONCE_BYTES:], None, sealed[:NONCE_BYTES], key)


def _opened(packet: bytes, secret: bytes) -> bytes | None:
    """What is in a packet, its length cut off; none if it is for another key."""
    if packet[:4] != _METHOD:
        raise VerificationFailed("a Crypt4GH header was refused: a packet is encrypted by an unknown method")
    writer, sealed = packet[4 : 4 + KEY_BYTES], packet[4 + KEY_BYTES :]
    try:
        shared, _ = crypto_kx_client_session_keys(public_of(secret), secret, writer)
        return _open(shared, sealed)
    except CryptoError:
        return None


def _data_key(opened: bytes) -> bytes:
    if opened[:4] == _number(1):
        raise VerificationFailed("a Crypt4GH header was refused: it has an edit list, which Comity does not read")
    if opened[: len(_DATA_KEY)] != _DATA_KEY or len(opened) != len(_DATA_KEY) + KEY_BYTES:
        raise VerificationFailed("a Crypt4GH header was refused: a packet of unknown type or method")
    return opened[len(_DATA_KEY) :]


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _read(data: bytes, place: int) -> int:
    if len(data) < place + 4:
        raise VerificationFailed("a Crypt4GH header was refused: it is cut off")
    return int.from_bytes(data[place : place + 4], "little")
