"""Audit rows in a crate: signed by the node that wrote them, and about the orders that the crate carries."""

from __future__ import annotations

from typing import Final

from catalog.body import fields_of, message_in, read_body
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of
from catalog.error import VerificationFailed
from catalog.index import Index
from catalog.key import verify
from catalog.leaf import decode_leaf
from catalog.origin import LogName, log_of, number_of, site_of
from workflow.account import AccessFields, ReleaseFields, ResultFields
from workflow.crate.layout import Bundle, Shown

KINDS: Final[dict[str, type[AccessFields] | type[ResultFields] | type[ReleaseFields]]] = {
    "intent": AccessFields,
    "decision": AccessFields,
    "result": ResultFields,
    "release": ReleaseFields,
}
"""The kinds of rows that a crate carries: what sites wrote down of its orders."""


def of_orders(kind: str, fields: Value, bundle: Bundle) -> bool:
    """Whether a row of that kind, with these fields, is one that a crate with these orders can carry."""
    match fields:
        case AccessFields() | ResultFields() | ReleaseFields():
            return kind in KINDS and fields.order in bundle.orders
        case _:
            return False


def began(bundle: Bundle) -> dict[Cid, int]:
    """When the sites of the orders wrote that they would open data for them, Unix milliseconds, as far as is carried.

    Raises:
        VerificationFailed: a row cannot be read.
    """
    found = {}
    for each in bundle.shown:
        if log_of(each.log, site_of(each.log)) is LogName.AUDIT:
            body = read_body(each.body)
            order = fields_of(body, AccessFields).order if body.kind == "intent" else None
            if order is not None and order in bundle.orders and bundle.orders[order].site == body.site:
                found[order] = body.at
    return found


class Rows:
    """Checks audit rows against the orders and receipts of ``bundle``. ``shown`` are the sites whose receipts' places
    were found in them.
    """

    def __init__(self, bundle: Bundle, index: Index) -> None:
        self._bundle = bundle
        self._index = index
        self.shown: set[str] = set()

    def check(self, each: Shown) -> None:
        """Check one row, whose place in its log was.

        Raises:
            VerificationFailed: it is of no kind that a crate has, by another than its site's node, of no order here,
                or says something else than the receipt does.
        """
        site = site_of(each.log)
        body = read_body(each.body)
        kind = KINDS.get(body.kind)
        if kind is None or body.kind != decode_leaf(each.leaf).kind_name or body.site != site:
            raise VerificationFailed("it is of another kind or site than its place says, or of none that a crate has")
        if not self._index.site(site).signs(body.actor, LogName.AUDIT, each.index):
            raise VerificationFailed("it is by another key than spoke for its site there")
        verify(body.actor, message_in(each.body), body.sig)
        fields = fields_of(body, kind)
        order = self._bundle.orders.get(fields.order)
        if order is None:
            raise VerificationFailed("it is about an order that is not carried")
        match fields:
            case AccessFields():
                self._access(each, site, fields)
            case ReleaseFields():
                self._release(fields)

    def _access(self, each: Shown, site: str, fields: AccessFields) -> None:
        submission, receipt = self._bundle.submission, self._bundle.receipt_of(fields.order)
        if submission is None or fields.instance.submission != cid_of(submission):
            raise VerificationFailed("it is of another submission")
        place = receipt.place if receipt is not None and receipt.site == site else None
        if place is not None and (place.epoch, place.index) != (number_of(each.log), each.index):
            raise VerificationFailed("the receipt of its order names another place")
        if place is not None:
            self.shown.add(site)

    def _release(self, fields: ReleaseFields) -> None:
        receipt = self._bundle.receipt_of(fields.order)
        output = receipt.outputs.get(fields.output) if receipt is not None else None
        if output is None or fields.value not in {each.value for each in output.releases}:
            raise VerificationFailed("no receipt here has that release")
        if fields.statement is not None and fields.statement not in output.releases:
            raise VerificationFailed("the statement in it is not the one in the receipt")
