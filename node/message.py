"""What nodes say to each other over control connections: tagged questions, and an answer or a typed refusal.

Who asks is known from the connection. Every value is bounded by the frame it came in (1 MiB) and by its own type.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, TypeVar

import msgspec

from catalog.body import Index, Millis
from catalog.cid import Cid
from catalog.dagcbor import Value, decode, encode
from catalog.error import (
    BadInput,
    ComityError,
    Conflict,
    Damaged,
    Denied,
    Infeasible,
    NotFound,
    Unreachable,
    VerificationFailed,
    shown,
)
from catalog.fork import Fork
from catalog.headmap import HeadProof
from catalog.key import Did, Signed
from catalog.project import ProjectRef
from catalog.reopening import MAX_REOPENINGS, Reopening
from workflow.cancellation import Cancellation
from workflow.inquiry import MOST_STEWARDS
from workflow.order import Order
from workflow.receipt import Receipt, Release
from workflow.report import Report
from workflow.submission import Submission

MAX_MESSAGE: Final = 1 << 20
_MOST_MESSAGE: Final = 2000
MAX_KNOWN: Final = 2 * 256
"""Logs that an answer names: two of each member, of whom there are at most 256."""

MAX_ROWS: Final = 128
"""Rows that go with a checkpoint: of more than that, tiles and batches of bodies cost less."""

MAX_COMPLAINT: Final = 64 << 10
"""Bytes of what a command that failed wrote to standard error."""

A = TypeVar("A", bound=Value)

Note = Annotated[str, msgspec.Meta(max_length=16 << 10)]
Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Origin = Annotated[str, msgspec.Meta(max_length=200)]
Hashes = Annotated[tuple[Hash, ...], msgspec.Meta(max_length=64)]


class Heads(Value, frozen=True, kw_only=True, tag="heads"):
    """Asks for the newest checkpoints of the answering site's logs."""


class Consistency(Value, frozen=True, kw_only=True, tag="consistency"):
    """Asks how the tree of ``new`` leaves of a log begins: for its path to the first ``old`` of them.

    It is a :func:`catalog.merkle.full_path`, from which a fork can be shown, not only denied.
    """

    origin: Annotated[str, msgspec.Meta(max_length=200)]
    old: Index
    new: Index


class Row(Value, frozen=True, kw_only=True):
    """One row of a log: its place, its leaf, its salt and body. A blank has neither: erased, or not for the reader."""

    index: Index
    leaf: Annotated[bytes, msgspec.Meta(max_length=512)]
    salt: Hash | None
    body: Annotated[bytes, msgspec.Meta(max_length=64 << 10)] | None


class AddCheckpoint(Value, frozen=True, kw_only=True, tag="add-checkpoint"):
    """Asks for the cosignature on a checkpoint of the asking site's own log (after C2SP tlog-witness).

    ``proof`` is the :func:`catalog.merkle.full_path` from ``old``, which is what the witness has seen before. ``rows``
    may be all those of a catalog from ``old`` on: the witness, who follows it, then has nothing to fetch.
    """

    note: Note
    old: Index
    proof: Hashes
    rows: Annotated[tuple[Row, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()


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


class Foresee(Value, frozen=True, kw_only=True, tag="foresee"):
    """Asks what the site would say to an order that nobody has signed yet; nothing is begun, or written down."""

    place: Place


class Complained(Value, frozen=True, kw_only=True, tag="complained"):
    """Asks what the command of an ``order`` that failed wrote to standard error; with what its label follows from."""

    order: Order
    submission: Submission
    proofs: Annotated[tuple[Proof, ...], msgspec.Meta(max_length=4096)]


class Reporting(Value, frozen=True, kw_only=True, tag="report"):
    """Asks another owner to release an output of ``place.order``, which the asking site carried out, on its report.

    Asking again tells how it stands, and gives the statement once it has taken effect.
    """

    report: Report
    place: Place


class Outcome(Value, frozen=True, kw_only=True, tag="outcome"):
    """Asks for the receipt of an order, waiting at most ``seconds`` for a final one."""

    order: Cid
    seconds: Annotated[int, msgspec.Meta(ge=0, le=25)]


class Who(Signed, frozen=True, kw_only=True):
    """A person's signed question to audit logs: who accessed ``dataset``, or what did ``about`` do; or all of a log.

    ``since`` and ``until`` (Unix milliseconds, both included) bound the time in the rows.
    """

    DOMAIN: ClassVar[str] = "who"

    person: Did
    site: Did
    dataset: Cid | None
    about: Did | None = None
    since: Millis = 0
    until: Millis | None = None
    at: Millis
    nonce: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]

    @property
    def subject(self) -> str | None:
        """The subject of the chain that answers; none if all of a log is asked for."""
        return str(self.dataset) if self.dataset is not None else self.about


class Cancel(Value, frozen=True, kw_only=True, tag="cancel"):
    """Asks to end an ``order`` that the asking site placed before: by the ``word`` of the person whose order it is."""

    order: Cid
    word: Cancellation


class Rows(Value, frozen=True, kw_only=True, tag="rows"):
    """Asks for the audit rows that answer ``who``, oldest first, those behind the index ``after`` if given."""

    who: Who
    after: Index | None


class Halt(Signed, frozen=True, kw_only=True):
    """A steward's word to halt the site, or with ``resume`` to go on: one ``project``, one ``member``, or all."""

    DOMAIN: ClassVar[str] = "halt"

    site: Did
    person: Did
    resume: bool
    project: ProjectRef | None
    member: Did | None
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    at: Millis
    nonce: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class SeenAnswer(Value, frozen=True, kw_only=True):
    """What a member has seen of the asking site's own logs: checkpoints that this one signed, epochs, and forks.

    The ``forks`` are those of the logs in the epochs that they have now.
    """

    notes: Annotated[tuple[Note, ...], msgspec.Meta(max_length=8)]
    reopenings: Annotated[tuple[Reopening, ...], msgspec.Meta(max_length=MAX_REOPENINGS)]
    forks: Annotated[tuple[Fork, ...], msgspec.Meta(max_length=2)] = ()


class ReceiptsAnswer(Value, frozen=True, kw_only=True):
    """Final receipts of the asking site that the answering site's bus holds, with their orders; there may be more."""

    proofs: Annotated[tuple[Proof, ...], msgspec.Meta(max_length=256)]
    more: bool


Question = Heads | Consistency | AddCheckpoint | Place | Foresee | Complained | Reporting | Outcome | Cancel | Rows


class Envelope(Value, frozen=True, kw_only=True):
    """One question on its way."""

    question: Question


class Foreseen(Value, frozen=True, kw_only=True):
    """Whether policy would let the step run, after so many ``stewards`` said yes; and why not, as an asker is told."""

    allowed: bool
    stewards: Annotated[int, msgspec.Meta(ge=0, le=MOST_STEWARDS)]
    reason: Annotated[str, msgspec.Meta(max_length=1000)]


class Complaints(Value, frozen=True, kw_only=True):
    """The end of what a command wrote, held as ``cid``, to be fetched as any value; none if it wrote nothing."""

    cid: Cid | None
    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_COMPLAINT)]


class Reported(Value, frozen=True, kw_only=True):
    """The owner's statement; or none yet, and what it ``waits`` for."""

    release: Release | None
    waits: Annotated[str, msgspec.Meta(max_length=1000)]


class HeadsAnswer(Value, frozen=True, kw_only=True):
    """Signed checkpoints, one for each log; and as ``known`` what it has of others' logs: origin → size, root.

    What is known is a hint: who wants that much of another's log may ask the answering site for it.
    """

    notes: Annotated[tuple[Note, ...], msgspec.Meta(max_length=8)]
    known: Annotated[dict[Origin, tuple[Index, Hash]], msgspec.Meta(max_length=MAX_KNOWN)] = msgspec.field(
        default_factory=dict
    )
    cosigned: Annotated[tuple[Note, ...], msgspec.Meta(max_length=1)] = ()
    reopenings: Annotated[tuple[Reopening, ...], msgspec.Meta(max_length=MAX_REOPENINGS)] = ()


class Added(Value, frozen=True, kw_only=True):
    """The witness's cosignature line, or none, and the size that a proof has to begin at."""

    size: Index
    line: Annotated[str, msgspec.Meta(max_length=1024)] | None


class ProofAnswer(Value, frozen=True, kw_only=True):
    """The hashes of a proof."""

    hashes: Hashes


class Done(Value, frozen=True, kw_only=True):
    """Nothing to say but that it is done."""


class Opening(Value, frozen=True, kw_only=True):
    """How an answer begins: the heads of all chains as they stood when the question came, then the question itself.

    ``heads`` and ``asked`` are the rows of these two, one after the other; ``proof`` leads to the head of what was
    asked about, unless all of the log was asked for.
    """

    heads: Row
    asked: Row
    proof: HeadProof | None


class WhoAnswer(Value, frozen=True, kw_only=True):
    """A page of a site's rows, oldest first, under one signed (and, as far as it goes, cosigned) checkpoint.

    ``proof`` is the one proof (:mod:`catalog.multiproof`) of all leaves in it. The first page has the ``opening``.
    """

    note: Note
    rows: Annotated[tuple[Row, ...], msgspec.Meta(max_length=4096)]
    proof: Annotated[bytes, msgspec.Meta(max_length=1 << 20)]
    opening: Opening | None
    more: bool


class Refusal(Value, frozen=True, kw_only=True):
    """A typed error on its way to the asker: its kind and its one line."""

    kind: Annotated[str, msgspec.Meta(max_length=32)]
    message: Annotated[str, msgspec.Meta(max_length=_MOST_MESSAGE)]


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
        if isinstance(answer, Damaged):
            answer = ComityError("a file of this site is damaged; its operator is told which")
        # As others know it: what is more exact is for this site's own eyes.
        kind = next((each.__name__ for each in type(answer).__mro__ if each.__name__ in _ERRORS), ComityError.__name__)
        refusal = Refusal(kind=kind, message=str(answer)[:_MOST_MESSAGE])
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
        raise _ERRORS.get(reply.refusal.kind, ComityError)(shown(reply.refusal.message, _MOST_MESSAGE))
    return decode(kind, reply.answer or b"", MAX_MESSAGE)
