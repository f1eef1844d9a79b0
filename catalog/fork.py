"""Proof that a site keeps two histories of one log, which anybody checks offline (PROTOCOL.md, Logs).

Either two checkpoints of one size that the site signed for two roots; or two of different sizes, with the consistency
path of the tree that the larger one names: it leads to that one's root and, for the smaller size, to another root than
the one that the site signed. No leaf is needed, and nobody's word but the site's own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, ClassVar, Final

import msgspec

from catalog.body import MAX_BODY, fields_of, read_body
from catalog.checkpoint import Checkpoint, open_checkpoint
from catalog.dagcbor import Value
from catalog.error import VerificationFailed
from catalog.key import check
from catalog.member import KeyFields, Role
from catalog.merkle import roots_of_path
from catalog.note import MAX_NOTE, Note, parse_note

MAX_PATH: Final = 128
MAX_FILE: Final = 1 << 20
"""Bytes of a file with a proof."""

_Note = Annotated[str, msgspec.Meta(max_length=MAX_NOTE)]
_Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Fork(Value, frozen=True, kw_only=True):
    """Two checkpoints of one log, the smaller first. ``consistency`` is there if their sizes differ.

    It is the path of RFC 9162 in the tree of ``second``, with the hash in front that the specification leaves out for
    a size that is a power of two (:func:`catalog.merkle.full_path`).
    """

    first: _Note
    second: _Note
    consistency: Annotated[tuple[_Hash, ...], msgspec.Meta(max_length=MAX_PATH)] | None = None

    @property
    def origin(self) -> str:
        """The log that it is about, unverified."""
        return self.first.partition("\n")[0]


class AccuseFields(Value, frozen=True, kw_only=True):
    """The fields of an ``accuse`` entry: whoever found a fork tells every member of it. Each checks it again."""

    fork: Fork

    @property
    def origin(self) -> str:
        """The log that is accused, which is the entry's subject: one proof says all."""
        return self.fork.origin


class ForkFile(Value, frozen=True, kw_only=True):
    """A fork with what somebody outside needs to check it: the ``key`` entries by which a root enrolled the keys."""

    DOMAIN: ClassVar[str] = "fork"

    fork: Fork
    enrolments: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(max_length=MAX_BODY)], ...], msgspec.Meta(min_length=1, max_length=8)
    ]


def bare(note: str) -> str:
    """The note with the lines of its log's own keys alone: whose else it carries proves nothing here."""
    parsed = parse_note(note)
    origin = Checkpoint.parse(parsed.text).origin
    return str(Note(parsed.text, tuple(each for each in parsed.signatures if each.name == origin)))


def check_fork(fork: Fork, dids: Collection[str]) -> tuple[Checkpoint, Checkpoint]:
    """Check that one of the keys ``dids``, all of one site, signed two histories; the two checkpoints.

    Raises:
        VerificationFailed: the notes are not signed so, or they do not contradict each other.
    """
    first, second = (open_checkpoint(note, fork.origin, *dids) for note in (fork.first, fork.second))
    if first.size == second.size:
        if first.root == second.root or fork.consistency:
            raise VerificationFailed("no fork is proven: the two checkpoints say the same")
        return first, second
    roots = roots_of_path(first.size, second.size, fork.consistency or ())
    if roots is None or roots[1] != second.root or roots[0] == first.root:
        raise VerificationFailed("no fork is proven: the path does not show that the larger log begins otherwise")
    return first, second


def check_file(file: ForkFile) -> tuple[str, Checkpoint, Checkpoint]:
    """Check a fork with nothing but the file: the root key that the log is named after, and the two checkpoints.

    Raises:
        VerificationFailed: a key is not one that this root enrolled for its node, or no fork is proven.
    """
    root = file.fork.origin.partition("/")[0]
    return (root, *check_fork(file.fork, [_node(root, enrolment) for enrolment in file.enrolments]))


def _node(root: str, enrolment: bytes) -> str:
    body = read_body(enrolment)
    check(body, root)
    fields = fields_of(body, KeyFields)
    if body.kind != "key" or (body.site, body.actor) != (root, root) or fields.removed or fields.role is not Role.NODE:
        raise VerificationFailed("the file enrols a key that is not a node's of the log's own root")
    return fields.did


def said_of(fork: Fork) -> str:
    """What a proven fork shows, in plain words: «it» is the site."""
    first, second = (Checkpoint.parse(parse_note(note).text) for note in (fork.first, fork.second))
    log = first.origin.split("/")[1]
    if first.size == second.size:
        return f"it signed two histories of its {log} log, both of {first.size} leaves"
    return f"it signed two histories of its {log} log, of {first.size} and of {second.size} leaves"
