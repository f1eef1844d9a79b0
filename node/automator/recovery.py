"""What a site brought back from an old copy works out: the next epoch of its log, what it had delivered, its halt.

What was delivered since the copy was made stands in no log any more, but whoever asked for it holds this site's own
receipts. They are asked for, so that nothing is delivered, and charged, again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode, encode
from catalog.error import ComityError, Conflict, VerificationFailed
from catalog.key import UNSIGNED, Signer, check, signed
from catalog.origin import LogName, number_of
from catalog.reopening import Reopening
from node.automator.book import Line
from node.automator.ledger import Projection
from node.log import Log
from node.message import MAX_MESSAGE, Proof, ReceiptsAnswer
from node.ports import Bulk
from workflow.account import Chain, HaltFields
from workflow.order import Instance
from workflow.receipt import Status

RECEIPTS_PATH: Final = "/receipts"
"""Below it, at a member's bulk server, the asking site's own receipts that the member holds, from the n-th on."""

MAX_ROW: Final = 256
REASON: Final = "the site was restored from a backup; a steward looks at what is missing and resumes"


def next_epoch(site: str, log: LogName, own: Log, node: str, newest: int, root: Signer) -> Reopening:
    """Opens the next epoch of ``own`` with the leaves that are left of ``newest`` that were seen; ``node`` signs."""
    return signed(
        Reopening(
            site=site,
            log=log,
            number=number_of(own.origin) + 1,
            size=own.size,
            root=own.root,
            node=node,
            lost=max(0, newest - own.size),
            reason="restored from a backup",
            sig=UNSIGNED,
        ),
        root,
    )


@dataclass(frozen=True, slots=True)
class Remembered:
    """The final receipts by this site of something delivered that members hold, and who did not say, and why."""

    proofs: tuple[Proof, ...]
    away: Mapping[str, str]

    @property
    def done(self) -> list[Cid]:
        """The orders that were told to be done."""
        return [proof.receipt.order for proof in self.proofs if proof.receipt.status is Status.DONE]

    def lost(self, ledger: Projection) -> list[Instance]:
        """The instances of whose delivery the log does not know."""
        lost = [proof.order.instance for proof in self.proofs if not _knows(ledger, proof.receipt.order)]
        return list(dict.fromkeys(lost))


def _knows(ledger: Projection, order: Cid) -> bool:
    try:
        attempt = ledger.attempt(order)
    except Conflict:  # its rows were erased: an order of that age is not carried out again
        return True
    return attempt is not None and attempt.result is not None


async def remembered(bulk: Bulk, site: str, keys: Collection[str], members: Iterable[str]) -> Remembered:
    """Ask all ``members`` for the receipts that ``site`` signed with one of ``keys``."""
    found: dict[Cid, Proof] = {}
    away: dict[str, str] = {}
    for member in members:
        came: dict[Cid, Proof] = {}
        try:
            await _receipts(bulk, site, keys, member, came)
        except ComityError as error:
            away[member] = str(error)
        found |= came
    delivered = (proof for proof in found.values() if proof.receipt.status in (Status.DONE, Status.HELD))
    return Remembered(tuple(delivered), away)


async def _receipts(bulk: Bulk, site: str, keys: Collection[str], member: str, came: dict[Cid, Proof]) -> None:
    """Page after page; each must bring something more that this site signed, so that a liar comes to an end."""
    start, more = 0, True
    while more:
        data = await bulk.get(member, f"{RECEIPTS_PATH}/{start}", MAX_MESSAGE)
        answer = decode(ReceiptsAnswer, data, MAX_MESSAGE)
        before, start, more = len(came), start + len(answer.proofs), answer.more
        came |= {proof.receipt.order: proof for proof in answer.proofs if _signed(proof, site, keys)}
        if more and len(came) == before:
            raise VerificationFailed("it shows receipts that this site did not sign, without end")


def _signed(proof: Proof, site: str, keys: Collection[str]) -> bool:
    receipt = proof.receipt
    if receipt.site != site or receipt.order != cid_of(proof.order) or receipt.node not in keys:
        return False
    try:
        check(receipt, receipt.node)
    except VerificationFailed:
        return False
    return True


def halting(site: str, opened: Sequence[Reopening], delivered: Sequence[Instance]) -> list[Line]:
    """The rows that halt everything at ``site``, with the epochs of logs that its root ``opened`` and no row names yet.

    And with what others hold receipts of and the log does not know.
    """
    rows = [tuple(delivered[at : at + MAX_ROW]) for at in range(0, len(delivered), MAX_ROW)]
    pairs = zip_longest(opened, rows) if opened or rows else [(None, None)]
    return [_row(site, reopening, row or ()) for reopening, row in pairs]


def _row(site: str, reopening: Reopening | None, delivered: tuple[Instance, ...]) -> Line:
    def fields(chain: Chain, _index: int) -> HaltFields:
        return HaltFields(
            project=None,
            member=None,
            reason=REASON,
            statement=None,
            chain=chain,
            reopening=encode(reopening) if reopening is not None else None,
            delivered=delivered,
        )

    return Line("halt", (), fields, (site,))
