"""Receipts of other sites: what must hold of one before it counts, and what is written down with it."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.dagcbor import cid_of
from catalog.error import Unreachable, VerificationFailed
from catalog.index import Index
from catalog.key import check
from catalog.label import Label
from catalog.offer import OfferFields
from node.bus.journal import Journal, Record
from node.message import Proof
from node.ports import Receiving
from privacy.label import effective_readers
from workflow.argument import Data, pieces_in
from workflow.evidence import Evidence
from workflow.name import is_data_name
from workflow.order import Order
from workflow.price import dataset_of, moved_to, price
from workflow.receipt import Receipt, Status
from workflow.submission import Submission


class Receipts:
    """Takes receipts for the orders of this site. ``proofs`` are those that an order names."""

    def __init__(self, index: Index, journal: Journal, received: Receiving) -> None:
        self._index = index
        self._journal = journal
        self._received = received

    async def take(self, submission: Submission, order: Order, proofs: Sequence[Proof], receipt: Receipt) -> None:
        """Keep a final receipt; what the other site released is written down here too, before it is used."""
        if any(output.release is not None for output in receipt.outputs.values()):
            evidence = Evidence(self._index, order.submission, [(proof.order, proof.receipt) for proof in proofs])
            datasets = {cid for item in pieces_in(order.inputs) for cid in evidence.datasets(item)}
            await self._received.released(receipt, datasets, submission)
        await self._journal.received(order.submission, receipt)

    def check(self, order: Order, proofs: Sequence[Proof], receipt: Receipt) -> Receipt:
        """A receipt counts only if it is for this order, by the node of the site that was asked, within its price.

        One that says «done» must have released every output to whom the order names: what a later site would refuse
        is the fault of this site alone, and the others' shards go on without it.

        Raises:
            VerificationFailed: it does not count. Unreachable: that cannot be told yet; ask again.
        """
        node = self._index.site(order.site).node()
        if receipt.order != cid_of(order) or receipt.site != order.site or receipt.node != node:
            raise VerificationFailed("its receipt is for another order or by another site")
        check(receipt, receipt.node)
        if receipt.cost > order.max_cost:
            raise VerificationFailed("its receipt charges more than the order allowed")
        if receipt.cost and receipt.status not in (Status.DONE, Status.HELD):
            raise VerificationFailed("its receipt charges for what was not delivered")
        if receipt.cost:
            self._check_price(order, proofs, receipt)
        if not set(receipt.outputs) <= set(order.outputs):
            raise VerificationFailed("its receipt names outputs that were not ordered")
        if receipt.status is Status.DONE:
            self._check_delivered(order, proofs, receipt)
        return receipt

    def _check_price(self, order: Order, proofs: Sequence[Proof], receipt: Receipt) -> None:
        """What it charges must follow from the use that it tells and from the offer that it names.

        Of an offer that was replaced meanwhile it is only known that it was one: then the order's cap alone binds.

        Raises:
            VerificationFailed: it does not follow. Unreachable: the offer has not come here yet.
        """
        index = self._index.site(order.site)
        offer, named = index.latest("offer", ""), receipt.offer
        if named is None:
            raise VerificationFailed("its receipt charges by no offer of its site")
        if offer is None or offer.index != named or not isinstance(offer.fields, OfferFields):
            if named >= index.size or index.versions.lacks([named]):
                raise Unreachable("its receipt charges by an offer that this site has not heard of yet")
            found = index.versions.found([named]).get(named)
            if found is None or found.counted.kind != "offer":
                raise VerificationFailed("its receipt charges by an entry that is no offer")
            return
        made = {output.cid for proof in proofs for output in proof.receipt.outputs.values()}
        foreign = [item for item in pieces_in(order.inputs) if item.site != order.site and item.cid not in made]
        if any(dataset_of(self._index, item) is None for item in foreign):
            return  # what is no dataset any more has no size here
        if receipt.cost > price(offer.fields, receipt.spent, moved_to(self._index, order.site, order.inputs)):
            raise VerificationFailed("its receipt charges more than its site's offer says of the use that it tells")

    def _check_delivered(self, order: Order, proofs: Sequence[Proof], receipt: Receipt) -> None:
        if set(receipt.outputs) != set(order.outputs):
            raise VerificationFailed("its receipt does not name the outputs that were ordered")
        pairs = [(proof.order, proof.receipt) for proof in (*proofs, Proof(order=order, receipt=receipt))]
        evidence = Evidence(self._index, order.submission, pairs)
        for name, output in receipt.outputs.items():
            if output.cid is None:
                if order.outputs[name].readers:
                    raise VerificationFailed(f"its receipt says «done», and names no value for «{name}»")
                continue
            if output.form is None:
                raise VerificationFailed(f"its receipt does not say what the value of «{name}» is")
            if not is_data_name(output.name):
                raise VerificationFailed(f"its receipt gives «{name}» a name that is no file's")
            data = Data(site=order.site, cid=output.cid, name=output.name)
            readers = effective_readers(_label_of(evidence, data, order, name))
            if readers is not None and not set(order.outputs[name].readers) <= readers:
                raise VerificationFailed(
                    f"its receipt says «done», and «{name}» is not released to whom the order names"
                )


def proofs_of(record: Record, order: Order) -> list[Proof]:
    """The proofs that an order of the journal names, from the journal."""
    orders = {cid_of(each): each for each in record.orders}
    named = {cid_of(each): each for each in record.receipts}
    return [Proof(order=orders[named[cid].order], receipt=named[cid]) for cid in order.proofs]


def _label_of(evidence: Evidence, data: Data, order: Order, name: str) -> Label:
    """The label that this very order gave its output."""
    made = (each for each in evidence.made(data) if each.order == order and each.name == name)
    return next(made).label
