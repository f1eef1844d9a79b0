"""A receipt: a site's signed answer to an order, first that it took it, then how it ended (PROTOCOL.md)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec

from catalog.block import OutputName, OutputType
from catalog.body import Index, Millis
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.dataset import Text
from catalog.key import Did, Signed
from catalog.label import Reader
from catalog.offer import Micros
from privacy.decision import Decision
from workflow.argument import Handle


class Status(StrEnum):
    """How far an order came. ``accepted`` is followed by one of the others, which are final."""

    ACCEPTED = "accepted"
    DONE = "done"
    HELD = "held"
    DENIED = "denied"
    FAILED = "failed"
    CANCELLED = "cancelled"


ASKED_TO_RUN: Final = "a steward of this site is asked whether it may run"
ASKED_TO_LET_OUT: Final = "done; its release waits for a steward's answer"
"""What an «accepted» receipt says of an order that waits for people."""


WAITS_FOR_OWNERS: Final = "done; its release waits for the release of "
"""How an «accepted» receipt begins that names the other owners of an output who have not answered."""

BY_ITS_PERSON: Final = "its person cancelled it"
"""Why an order ended that its person cancelled, whatever its status: nothing more came of it."""

MOST_FURTHER: Final = 32
"""Statements of other owners about one output, and about all outputs of an order."""


class Form(StrEnum):
    """What the CID of an output is: a plain file or folder, or a stored value (:mod:`workflow.value`)."""

    FILE = "file"
    FOLDER = "folder"
    VALUE = "value"


Salt = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Release(Signed, frozen=True, kw_only=True):
    """An owner's decision that ``output`` of ``order`` has more readers, signed by the owner's node.

    ``policy`` is the index of the steward-signed policy in the owner's catalog log, ``ledger`` the index of the
    release in its audit log, ``report`` what the disclosure check found.
    """

    DOMAIN: ClassVar[str] = "release"

    order: Cid
    output: OutputName
    handle: Handle
    value: Cid
    owner: Did
    added: Annotated[tuple[Reader, ...], msgspec.Meta(min_length=1, max_length=256)]
    policy: Index
    report: Text
    ledger: Index


class Output(Value, frozen=True, kw_only=True):
    """One output in a receipt: a handle, and form, CID and size once it is released to whom the receipt is for.

    ``release`` is the statement of the site that made it, ``further`` are those of other owners, whom it told of the
    value under the name that the key ``salt`` gives its CID (:class:`workflow.report.Report`).
    """

    handle: Handle
    type: OutputType
    name: Annotated[str, msgspec.Meta(max_length=255)]
    cid: Cid | None
    size: Index | None
    release: Release | None
    reason: Text
    form: Form | None = None
    further: Annotated[tuple[Release, ...], msgspec.Meta(max_length=MOST_FURTHER)] = ()
    salt: Salt | None = None

    @property
    def releases(self) -> tuple[Release, ...]:
        """All statements by which it has more readers than what it was made of."""
        return self.further if self.release is None else (self.release, *self.further)


class Spent(Value, frozen=True, kw_only=True):
    """What a step used, rounded up to powers of two so that it carries no more: milliseconds and bytes."""

    wall_millis: Index
    cpu_millis: Index
    peak_bytes: Index


class Place(Value, frozen=True, kw_only=True):
    """Where a site wrote something down: the index in its audit log of this epoch."""

    epoch: Index
    index: Index


class Receipt(Signed, frozen=True, kw_only=True):
    """A site's answer to ``order``, signed by its ``node``.

    ``previous`` is the receipt that this one follows; ``place`` is where its audit log holds the intent or the
    denial. ``reason`` is for people: the rule that refused, or the class of a failure. ``offer`` is the place in the
    site's catalog of the offer by which ``cost`` follows from ``spent`` (:mod:`workflow.price`); none if it is free.
    """

    DOMAIN: ClassVar[str] = "receipt"

    order: Cid
    site: Did
    node: Did
    previous: Cid | None
    status: Status
    decision: Decision | None
    place: Place | None
    outputs: Annotated[dict[OutputName, Output], msgspec.Meta(max_length=256)]
    spent: Spent | None
    cost: Micros
    reason: Text
    at: Millis
    offer: Index | None = None

    @property
    def waits_for_people(self) -> bool:
        """Whether it is accepted and a steward, here or at another owner, has not answered.

        That may take days, and the site be away meanwhile.
        """
        asked = self.reason in (ASKED_TO_RUN, ASKED_TO_LET_OUT) or self.reason.startswith(WAITS_FOR_OWNERS)
        return not self.final and asked

    @property
    def final(self) -> bool:
        """Whether nothing more comes for this attempt."""
        return self.status is not Status.ACCEPTED


def rounded_up(amount: float) -> int:
    """The least power of two that is at least ``amount``; 0 for nothing. What a receipt says of usage."""
    return 0 if amount <= 0 else 1 << max(0, int(-(-amount // 1)) - 1).bit_length()
