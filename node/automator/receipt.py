"""Receipts, made from what the audit log says of an order: the same log gives the same receipt, before and after
a crash.

To whoever asked they say a status class, usage in powers of two, and handles; a CID only with its release.
"""

from __future__ import annotations

from catalog.dagcbor import cid_of
from catalog.key import UNSIGNED, Signer, signed
from node.automator.ledger import Attempt
from workflow.receipt import Place, Receipt, Status


def receipt_of(attempt: Attempt, site: str, epoch: int, signer: Signer) -> Receipt:
    """The receipt that stands for an attempt: accepted while it runs, final once it has ended."""
    place = Place(epoch=epoch, index=attempt.index)
    opening = signed(
        Receipt(
            order=attempt.access.order,
            site=site,
            node=signer.did,
            previous=None,
            status=Status.DENIED if attempt.denied else Status.ACCEPTED,
            decision=attempt.access.shown,
            place=place,
            outputs={},
            spent=None,
            cost=0,
            reason=attempt.access.shown.reason if attempt.denied else "",
            at=attempt.began,
            sig=UNSIGNED,
        ),
        signer,
    )
    result = attempt.result
    if result is None:
        return opening
    return signed(
        Receipt(
            order=attempt.access.order,
            site=site,
            node=signer.did,
            previous=cid_of(opening),
            status=result.status,
            decision=attempt.access.shown,
            place=place,
            outputs={name: kept.output for name, kept in result.kept.items()},
            spent=result.spent,
            cost=result.cost,
            reason=result.reason,
            at=attempt.ended,
            offer=result.offer,
            sig=UNSIGNED,
        ),
        signer,
    )
