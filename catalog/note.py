"""Signed notes (C2SP signed-note): a text, and lines that sign it, each by a named key.

Notes come from peers: they are bounded before they are parsed, base64 must be canonical, and lines of keys that
the reader does not know are carried along and count for nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from catalog.error import BadInput, VerificationFailed, shown
from catalog.key import Signer, public_bytes, short, verify

MAX_NOTE: Final = 16 << 10
"""Bytes of a note, signatures included."""

MAX_SIGNATURES: Final = 64
"""Signature lines of a note."""

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04

_MAX_NAME: Final = 255
_MAX_SIGNATURE: Final = 8 << 10
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")
_NAME: Final = re.compile(r"[^\s+]+")


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: the key's name, its id of 4 bytes, and the signature bytes as its algorithm has them."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line as it stands in a note, without its newline."""
        return f"— {self.name} {base64.b64encode(self.key_id + self.signature).decode()}"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note: ``text`` ends in a newline and is what every line signs. Nothing of it is verified yet."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(signature.line + "\n" for signature in self.signatures)

    def by(self, name: str, key_id: bytes) -> list[NoteSignature]:
        """The lines that claim to be by this key."""
        return [each for each in self.signatures if each.name == name and each.key_id == key_id]


def parse_note(note: str) -> Note:
    """Read a note of at most :data:`MAX_NOTE` bytes and :data:`MAX_SIGNATURES` lines.

    Raises:
        VerificationFailed: too large, malformed, or with control characters.
    """
    if len(note) > MAX_NOTE or _CONTROL.search(note) or len(note.encode()) > MAX_NOTE:
        raise VerificationFailed(f"a note was refused: over {MAX_NOTE:,} bytes, or with control characters")
    text, blank, tail = note.rpartition("\n\n")
    if not blank or not text or not tail.endswith("\n"):
        raise VerificationFailed("a note was refused: text, an empty line and signature lines are expected")
    lines = tail[:-1].split("\n", MAX_SIGNATURES)
    if len(lines) > MAX_SIGNATURES:
        raise VerificationFailed(f"a note was refused: it has more than {MAX_SIGNATURES} signatures")
    return Note(text + "\n", tuple(parse_line(line) for line in lines))


def parse_line(line: str) -> NoteSignature:
    """Read one signature line, without its newline.

    Raises:
        VerificationFailed: it is malformed, or its base64 is not canonical.
    """
    mark, name, data = (*line.split(" ", 2), "", "")[:3]
    if mark != "—" or not is_key_name(name) or len(data) > _MAX_SIGNATURE:
        raise VerificationFailed("a note was refused: a signature line is malformed")
    raw = decode_base64(data)
    if len(raw) < 5:
        raise VerificationFailed(f"a note was refused: the signature of «{shown(name)}» is cut off")
    return NoteSignature(name, raw[:4], raw[4:])


def is_key_name(name: str) -> bool:
    """Whether the specification allows ``name`` for a key: not empty, no spaces, no plus, no control characters."""
    return len(name) <= _MAX_NAME and _NAME.fullmatch(name) is not None and not _CONTROL.search(name)


def decode_base64(text: str) -> bytes:
    """The bytes of standard, padded, canonical base64 (RFC 4648 section 4).

    Raises:
        VerificationFailed: it is anything else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise VerificationFailed("a note was refused: something in it is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise VerificationFailed("a note was refused: its base64 is not canonical")
    return data


def key_id(name: str, algorithm: int, public: bytes) -> bytes:
    """The 4 bytes that, with ``name``, tell a key: SHA-256(name ‖ 0x0A ‖ algorithm ‖ public key)."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:4]


def sign_note(text: str, name: str, signer: Signer) -> str:
    """The note of ``text`` with one Ed25519 signature by ``signer`` under the key name ``name``.

    Raises:
        BadInput: the text does not end in a newline, or text or name cannot stand in a note.
    """
    if not text.endswith("\n") or _CONTROL.search(text) or not is_key_name(name):
        raise BadInput(
            f"no note can be signed by «{name[:64]}»: its name or its text has characters that none may have"
        )
    public = public_bytes(signer.did)
    signature = NoteSignature(name, key_id(name, ED25519, public), signer.sign(text.encode()))
    return str(Note(text, (signature,)))


def verify_note(note: Note, name: str, did: str) -> None:
    """Check that the key ``did``, under the name ``name``, signed the note.

    Raises:
        VerificationFailed: it did not, or one of the lines in its name is false.
    """
    found = note.by(name, key_id(name, ED25519, public_bytes(did)))
    if not found:
        raise VerificationFailed(f"a note is not signed by «{shown(name)}» with the key {short(did)}")
    for each in found:
        verify(did, note.text.encode(), each.signature)
