"""Many segments of a Crypt4GH body at once, for threads: OpenSSL's ChaCha20-Poly1305, which writes where it is told to.

What one segment is stands in :mod:`catalog.crypt4gh`; this says the same of several that follow one another.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from catalog.crypt4gh import NONCE_BYTES, OVERHEAD, SEALED, SEGMENT, Random, sealed_size
from catalog.error import VerificationFailed


def seal_segments(key: bytes, plain: bytes | bytearray, random: Random) -> bytes | bytearray:
    """The segments of ``plain``, which are whole but for the last; each with a fresh nonce."""
    cipher, view, made = ChaCha20Poly1305(key), memoryview(plain), bytearray(sealed_size(len(plain)))
    out = memoryview(made)
    for number, start in enumerate(range(0, len(plain), SEGMENT)):
        nonce, place = random(NONCE_BYTES), number * SEALED
        out[place : place + NONCE_BYTES] = nonce
        segment = view[start : start + SEGMENT]
        cipher.encrypt_into(nonce, segment, None, out[place + NONCE_BYTES : place + OVERHEAD + len(segment)])
    return made


def open_segments(key: bytes, sealed: bytes) -> bytes | bytearray:
    """The plaintext of whole segments, of which the last one of a body may be shorter.

    Raises:
        VerificationFailed: one is altered, cut off, empty, or sealed under another key.
    """
    whole, last = divmod(len(sealed), SEALED)
    if 0 < last <= OVERHEAD:
        raise VerificationFailed("a segment of encrypted data was refused: it is cut off, or empty")
    cipher, view = ChaCha20Poly1305(key), memoryview(sealed)
    made = bytearray(whole * SEGMENT + max(last - OVERHEAD, 0))
    out = memoryview(made)
    try:
        for number, start in enumerate(range(0, len(sealed), SEALED)):
            nonce, segment = view[start : start + NONCE_BYTES], view[start + NONCE_BYTES : start + SEALED]
            cipher.decrypt_into(nonce, segment, None, out[number * SEGMENT : (number + 1) * SEGMENT])
    except InvalidTag as error:
        raise VerificationFailed("a segment of encrypted data was refused: altered, or under another key") from error
    return made
