"""What nodes say to each other over control connections: tagged questions, and an answer or a typed refusal.

Who asks is known from the connection. Every value is bounded by the frame it came in (1 MiB) and by its own type.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, TypeVar

import msgspec

from catalog.body import Index, Millis
from catalog.cid import Cid
from catalog.dagcbor import Value, decode, encode
from catalog.error import BadInput, ComityError, Conflict, Denied, Infeasible, NotFound, Unreachable, VerificationFailed
from catalog.key import Did, Signed
from workflow.order import Order
from workflow.receipt import Receipt
from workflow.submission import Submission

MAX_MESSAGE: Final = 1 << 20

A = TypeVar("A", bound=Value)

Note = Annotated[str, msgspec.Meta(max_length=16 << 10)]
Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Hashes = Annotated[tuple[Hash, ...], msgspec.Meta(max_length=64)]


class Heads(Value, frozen=True, kw_only=True, tag="heads"):
    """Asks for the newest checkpoints of the answering site's logs."""


class Consistency(Value, frozen=True, kw_only=True, tag="consistency"):
    """Asks for the proof that a log of ``new`` leaves begins with the log of ``old`` leaves."""

    origin: Annotated[str, msgspec.Meta(max_length=200)]
    old: Index
    new: Index


class Cosigned(Value, frozen=True, kw_only=True, tag="cosigned"):
    """Hands a checkpoint back to its owner with the asking site's cosignature on it."""

    note: Note


class Proof(Value, frozen=True, kw_only=True):
    """An order and its final receipt, from which the label of a value is recomputed."""

    order: Order
    receipt: Receipt


class Place(Value, frozen=True, kw_only=True, tag="order"):
    """An order with all that the site needs to judge it. Placing it again gives the receipt that stands."""

    order: Order
    submission: Submission
    workflow: Annotated[str, msgspec.Meta(max_length=256 << 10)]
    proofs: Annotated[tuple[Proof, ...], msgspec.Meta(max_length=4096)]
    seconds: Annotated[int, msgspec.Meta(ge=0, le=25)]


class Outcome(Value, frozen=True, kw_only=True, tag="outcome"):
    """Asks for the receipt of an order, waiting at most ``seconds`` for a final one."""

    order: Cid
    seconds: Annotated[int, msgspec.Meta(ge=0, le=25)]


class Who(Signed, frozen=True, kw_only=True):
    """A person's signed question: who accessed ``dataset``?"""

    DOMAIN: ClassVar[str] = "who"

    person: Did
    site: Did
    dataset: Cid
    at: Millis
    nonce: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class Rows(Value, frozen=True, kw_only=True, tag="rows"):
    """Asks for the audit rows that answer ``who``, newest first, those below the index ``before`` if given."""

    who: Who
    before: Index | None


Question = Heads | Consistency | Cosigned | Place | Outcome | Rows


class Envelope(Value, frozen=True, kw_only=True):
    """One question on its way."""

    question: Question


class HeadsAnswer(Value, frozen=True, kw_only=True):
    """Signed checkpoints, one for each log."""

    notes: Annotated[tuple[Note, ...], msgspec.Meta(max_length=8)]


class ProofAnswer(Value, frozen=True, kw_only=True):
    """The hashes of a proof."""

    hashes: Hashes


class Done(Value, frozen=True, kw_only=True):
    """Nothing to say but that it is done."""


class Row(Value, frozen=True, kw_only=True):
    """One audit row: its body and salt, its leaf and place, and the proof under the answer's checkpoint."""

    index: Index
    leaf: Annotated[bytes, msgspec.Meta(max_length=512)]
    salt: Hash
    body: Annotated[bytes, msgspec.Meta(max_length=64 << 10)]
    proof: Hashes


class WhoAnswer(Value, frozen=True, kw_only=True):
    """A site's rows about a dataset under one signed (and, as far as it goes, cosigned) checkpoint."""

    note: Note
    rows: Annotated[tuple[Row, ...], msgspec.Meta(max_length=4096)]
    more: bool


class Refusal(Value, frozen=True, kw_only=True):
    """A typed error on its way to the asker: its kind and its one line."""

    kind: Annotated[str, msgspec.Meta(max_length=32)]
    message: Annotated[str, msgspec.Meta(max_length=2000)]


class Reply(Value, frozen=True, kw_only=True):
    """An answer's bytes, or a refusal."""

    answer: bytes | None
    refusal: Refusal | None


_ERRORS: Final[dict[str, type[ComityError]]] = {
    kind.__name__: kind for kind in (BadInput, Conflict, Denied, Infeasible, NotFound, Unreachable, VerificationFailed)
}


def question_bytes(question: Question) -> bytes:
    """The bytes of a question."""
    return encode(Envelope(question=question))


def read_question(data: bytes) -> Question:
    """Read a question.

    Raises:
        VerificationFailed: too large, malformed, or none that this version knows.
    """
    return decode(Envelope, data, MAX_MESSAGE).question


def reply_bytes(answer: Value | ComityError) -> bytes:
    """The bytes of an answer or of a refusal."""
    if isinstance(answer, ComityError):
        refusal = Refusal(kind=type(answer).__name__, message=str(answer)[:2000])
        return encode(Reply(answer=None, refusal=refusal))
    return encode(Reply(answer=encode(answer), refusal=None))


def read_reply(kind: type[A], data: bytes) -> A:
    """Read an answer of ``kind``.

    Raises:
        ComityError: the refusal that came instead, as its own type.
        VerificationFailed: malformed.
    """
    reply = decode(Reply, data, MAX_MESSAGE)
    if reply.refusal is not None:
        raise _ERRORS.get(reply.refusal.kind, ComityError)(reply.refusal.message)
    return decode(kind, reply.answer or b"", MAX_MESSAGE)
