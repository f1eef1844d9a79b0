"""The epoch of now and what may follow it, as people are told."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.member import Epoch, Member


class CandidateView(Value, frozen=True, kw_only=True):
    """A site that took up an invitation of this one and waits to be admitted."""

    member: Member
    node: str


class PendingView(Value, frozen=True, kw_only=True):
    """A document that may follow the epoch of now: who signed it, and how many must.

    ``fault`` says why it may not follow, whoever signed it; ``mine`` whether this site signed it.
    """

    document: Epoch
    signed: tuple[str, ...]
    needed: int
    mine: bool
    fault: str


class EpochsView(Value, frozen=True, kw_only=True):
    """The epoch of now, what may follow it, who waits to be admitted, and who contradicted itself.

    ``twice`` has, by name, what the logs of members show that signed two documents for one number. ``sizes`` are the
    entries of each member's catalog that were indexed here.
    """

    epoch: Epoch
    consortium: Cid
    pending: tuple[PendingView, ...]
    candidates: tuple[CandidateView, ...]
    twice: dict[str, tuple[str, ...]]
    sizes: dict[str, int]
