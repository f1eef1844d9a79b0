"""Checkpoints of a log (C2SP tlog-checkpoint) and the cosignatures of its witnesses (C2SP tlog-cosignature).

A checkpoint is a signed note whose text is three lines: the log's origin, the number of its leaves, their root.
The log's key is named as its origin; a witness's key has a name of its own. A cosignature says: at this time, this
was the largest consistent tree of that log that the witness had seen. Its time is in Unix *seconds*.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from catalog.error import BadInput, VerificationFailed, shown
from catalog.key import Signer, public_bytes, short, verify
from catalog.merkle import HASH, MAX_SIZE
from catalog.note import (
    COSIGNATURE,
    ED25519,
    MAX_SIGNATURES,
    Note,
    NoteSignature,
    decode_base64,
    is_key_name,
    key_id,
    parse_line,
    parse_note,
    sign_note,
    verify_note,
)

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_STAMPED: Final = 8 + 64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How large the log ``origin`` is, in leaves, and their Merkle root, 32 bytes."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text: origin, size, root, a line each."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a note's text. Extension lines are refused: no witness checks them.

        Raises:
            VerificationFailed: it is not the text of a checkpoint.
        """
        lines = text.split("\n", 4)
        if len(lines) != 4 or lines[3] or not is_key_name(lines[0]) or not _SIZE.fullmatch(lines[1]):
            raise VerificationFailed("a checkpoint was refused: origin, size and root, a line each, are expected")
        origin, size, root = lines[0], int(lines[1]), decode_base64(lines[2])
        if size > MAX_SIZE or len(root) != HASH:
            raise VerificationFailed(
                f"a checkpoint of «{shown(origin)}» was refused: its size or root is out of bounds"
            )
        return cls(origin, size, root)


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> str:
    """The checkpoint as a note signed by the log's key."""
    return sign_note(checkpoint.text, checkpoint.origin, signer)


def open_checkpoint(note: str, origin: str, *dids: str) -> Checkpoint:
    """Read a checkpoint of the log ``origin`` and verify the signature of its key, which is one of ``dids``.

    A log has several keys in its life: give those whose signature counts for what is asked.

    Raises:
        VerificationFailed: malformed, of another log, signed by none of those keys, or falsely in the name of one.
    """
    parsed = parse_note(note)
    checkpoint = Checkpoint.parse(parsed.text)
    if checkpoint.origin != origin:
        other = shown(checkpoint.origin)
        raise VerificationFailed(f"a checkpoint of «{other}» came where one of «{shown(origin)}» was expected")
    if not dids:
        raise VerificationFailed(f"a checkpoint of «{shown(origin)}» came, and no key of its site is known here")
    signed_by = [did for did in dids if parsed.by(origin, key_id(origin, ED25519, public_bytes(did)))]
    for did in signed_by or dids[:1]:
        verify_note(parsed, origin, did)
    return checkpoint


def cosign(note: str, name: str, signer: Signer, seconds: int) -> str:
    """One cosignature line for a checkpoint, by the witness ``name`` at Unix time ``seconds``.

    Verify the log's signature, and consistency with the last checkpoint that was cosigned, before.

    Raises:
        VerificationFailed: the note is not a checkpoint.
        BadInput: the name or the time cannot stand in a cosignature.
    """
    text = parse_note(note).text
    Checkpoint.parse(text)
    if not is_key_name(name) or not 0 <= seconds < 1 << 63:
        raise BadInput(
            f"«{name[:64]}» at {seconds} cannot cosign: a name without spaces and a positive time are needed"
        )
    public = public_bytes(signer.did)
    stamped = seconds.to_bytes(8, "big") + signer.sign(_message(text, seconds))
    return NoteSignature(name, key_id(name, COSIGNATURE, public), stamped).line


def add_line(note: str, line: str) -> str:
    """The note with one more signature line; a line that it has already is not added twice.

    Raises:
        VerificationFailed: the note or the line is malformed, or the note has no room.
    """
    parsed, signature = parse_note(note), parse_line(line)
    if signature in parsed.signatures:
        return note
    if len(parsed.signatures) == MAX_SIGNATURES:
        raise VerificationFailed(f"no signature was added: the note has {MAX_SIGNATURES} already")
    longer = str(Note(parsed.text, (*parsed.signatures, signature)))
    return str(parse_note(longer))


def verify_cosignature(note: str, name: str, did: str) -> int:
    """The Unix time in seconds at which the witness ``name``, with the key ``did``, cosigned this checkpoint.

    The earliest, if it did several times: cosigning again renews nothing (PROTOCOL.md, Freshness).

    Raises:
        VerificationFailed: it did not, or a line in its name is false, or the note is not a checkpoint.
    """
    seconds = _cosigned_at(parse_note(note), name, did)
    if seconds is None:
        raise VerificationFailed(f"a checkpoint is not cosigned by «{shown(name)}» with the key {short(did)}")
    return seconds


def cosigners(note: str, witnesses: Mapping[str, str]) -> dict[str, int]:
    """Which of ``witnesses`` (key name → did) cosigned this checkpoint, and when, in Unix seconds.

    Raises:
        VerificationFailed: a line in the name of one of them is false, or the note is not a checkpoint.
    """
    parsed = parse_note(note)
    Checkpoint.parse(parsed.text)
    times = ((name, _cosigned_at(parsed, name, did)) for name, did in witnesses.items())
    return {name: seconds for name, seconds in times if seconds is not None}


def cosignatures(note: str, witnesses: Mapping[str, Iterable[str]]) -> set[tuple[str, str]]:
    """The witness and the key of each cosignature by a key that one of ``witnesses`` (key name → dids) has or had.

    Raises:
        VerificationFailed: as :func:`cosigners`.
    """
    return {(name, did) for name, dids in witnesses.items() for did in dids if cosigners(note, {name: did})}


def merge_cosignatures(kept: str | None, note: str, dids: Sequence[str], witnesses: Mapping[str, str]) -> str:
    """``kept``, or else ``note`` with the first line of its log's keys ``dids`` alone, and the lines of ``witnesses``.

    Of each witness (key name → did) the earliest line stays; one that is in ``kept`` is never replaced. The two are
    notes of one checkpoint, already opened with :func:`open_checkpoint`.

    Raises:
        VerificationFailed: a line in the name of a witness is false, or there is no room for all.
    """
    cosigners(note, witnesses)
    parsed = parse_note(note)
    origin = Checkpoint.parse(parsed.text).origin
    own = [line for did in dids for line in parsed.by(origin, key_id(origin, ED25519, public_bytes(did)))]
    merged = kept or str(Note(parsed.text, tuple(own[:1])))
    for name, witness in witnesses.items():
        key = key_id(name, COSIGNATURE, public_bytes(witness))
        lines = parsed.by(name, key)
        if lines and not parse_note(merged).by(name, key):
            merged = add_line(merged, min(lines, key=lambda each: each.signature[:8]).line)
    return merged


def _cosigned_at(note: Note, name: str, did: str) -> int | None:
    Checkpoint.parse(note.text)
    times = []
    for each in note.by(name, key_id(name, COSIGNATURE, public_bytes(did))):
        seconds = int.from_bytes(each.signature[:8], "big")
        if len(each.signature) != _STAMPED or seconds >= 1 << 63:
            raise VerificationFailed(f"the cosignature of «{shown(name)}» is malformed")
        verify(did, _message(note.text, seconds), each.signature[8:])
        times.append(seconds)
    return min(times, default=None)


def _message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()
