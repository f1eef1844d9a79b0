"""Proofs that travel alone (C2SP tlog-proof): a leaf's index, its audit path, and the checkpoint that it leads to.

Whoever holds the leaf, the log's key and the witnesses' keys checks one offline; whether the cosignatures suffice
is asked of the proof's checkpoint with :func:`catalog.checkpoint.cosigners`.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

from catalog.checkpoint import Checkpoint, open_checkpoint
from catalog.error import VerificationFailed
from catalog.merkle import HASH, MAX_SIZE, leaf_hash, verify_inclusion
from catalog.note import MAX_NOTE, decode_base64

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_EXTRA: Final = 64 << 10
MAX_PROOF: Final = MAX_NOTE + 2 * MAX_EXTRA + 128 * (HASH * 2)
"""Characters of a proof."""

_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_EXTRA: Final = "extra "


@dataclass(frozen=True, slots=True)
class Proof:
    """A leaf's place: its index, the audit path (its sibling first), and the note of the checkpoint.

    ``extra`` is opaque and vouched for by nobody.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None


def write_proof(proof: Proof) -> str:
    """The text form, for a file ``….tlog-proof``."""
    lines = [HEADER]
    if proof.extra is not None:
        lines.append(_EXTRA + base64.b64encode(proof.extra).decode())
    lines.append(f"index {proof.index}")
    lines += [base64.b64encode(step).decode() for step in proof.hashes]
    return "\n".join(lines) + "\n\n" + proof.checkpoint


def parse_proof(text: str) -> Proof:
    """Read the text form; nothing of it is verified yet.

    Raises:
        VerificationFailed: too large or malformed.
    """
    if len(text) > MAX_PROOF:
        raise VerificationFailed(f"a proof of {len(text):,} characters was refused: at most {MAX_PROOF:,} are read")
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    header, extra = lines.pop(0), None
    if lines and lines[0].startswith(_EXTRA):
        extra = decode_base64(lines.pop(0).removeprefix(_EXTRA))
    index = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if header != HEADER or not blank or index is None or int(index[1]) >= MAX_SIZE:
        raise VerificationFailed(f"a proof was refused: «{HEADER}», an index, hashes and a checkpoint are expected")
    hashes = tuple(decode_base64(line) for line in lines)
    if any(len(step) != HASH for step in hashes):
        raise VerificationFailed("a proof was refused: a hash in it is not 32 bytes")
    return Proof(int(index[1]), hashes, checkpoint, extra)


def verify_proof(proof: Proof, leaf: bytes, origin: str, did: str) -> Checkpoint:
    """Check that ``leaf`` is in the log ``origin``, whose key is ``did``, and return the checkpoint that says so.

    Raises:
        VerificationFailed: it is not, or the checkpoint is not that log's.
    """
    checkpoint = open_checkpoint(proof.checkpoint, origin, did)
    verify_inclusion(leaf_hash(leaf), proof.index, checkpoint.size, checkpoint.root, proof.hashes)
    return checkpoint
