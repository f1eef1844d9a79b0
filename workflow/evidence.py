"""Labels recomputed over the receipt chain, back to the owners' logs (PROTOCOL.md, Label).

Nothing that a requester or a receipt claims of a label is read. A value is a dataset, whose label stands in its
owner's log, or the output of an order, whose label is the join of everything that went into it, with the readers
that each owner's signed release added.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.dataset import DatasetFields
from catalog.error import Denied, VerificationFailed
from catalog.index import Index
from catalog.key import check
from catalog.label import Label
from catalog.origin import LogName
from privacy.label import joined, released
from privacy.trust import block_label
from workflow.argument import Data, pieces_in
from workflow.order import Order
from workflow.receipt import Output, Receipt, Release


@dataclass(frozen=True, slots=True)
class Made:
    """A step's output that a checked receipt names, with its label and the datasets that it was made from.

    ``untold`` are those of them that are in it otherwise than by what their sites released.
    """

    order: Order
    receipt: Receipt
    name: str
    output: Output
    label: Label
    datasets: frozenset[Cid]
    untold: frozenset[Cid]


class Evidence:
    """The checked proofs beside an order. Construction verifies every signature; nothing is believed before.

    Each proof comes after those that its own order names, so labels are recomputed in one pass. The same bytes can
    be the output of several steps, a copy of its input among them: a value is whatever its order's proofs make it.

    Raises:
        VerificationFailed: a proof is not of this submission, not final, not by the site that it names, or a release
            statement is false.
        Denied: a proof relies on what is neither a dataset of its site nor proven before it.
    """

    def __init__(self, index: Index, submission: Cid, proofs: Sequence[tuple[Order, Receipt]]) -> None:
        self._index = index
        self._made: dict[tuple[str, Cid], list[tuple[Cid, Made]]] = {}
        for order, receipt in proofs:
            self._check(submission, order, receipt)
            self._take(order, receipt)

    def _check(self, submission: Cid, order: Order, receipt: Receipt) -> None:
        if order.submission != submission or receipt.order != cid_of(order) or receipt.site != order.site:
            raise VerificationFailed("a proof beside the order belongs to something else")
        if not receipt.final or not self._by_its_node(receipt):
            raise VerificationFailed("a proof beside the order is not a final receipt of its site's node")
        check(order, order.bus)
        check(receipt, receipt.node)

    def _by_its_node(self, receipt: Receipt) -> bool:
        """Whether the key in the receipt spoke for its site at the place where the site wrote it down."""
        place, site = receipt.place, self._index.site(receipt.site)
        if place is None:
            return receipt.node == site.node()
        return site.signs(receipt.node, LogName.AUDIT, place.index)

    def _take(self, order: Order, receipt: Receipt) -> None:
        label, proof = self.inputs_label(order), cid_of(receipt)
        named = frozenset(order.proofs)
        datasets = frozenset(cid for data in pieces_in(order.inputs) for cid in self._datasets(data, named))
        untold = frozenset(cid for data in pieces_in(order.inputs) for cid in self._untold(data, named))
        for name, output in receipt.outputs.items():
            if output.cid is not None:
                gained = self._released(order, name, output, label)
                told = {cid for each in output.releases for cid in untold if self._stands(cid, each.owner)}
                made = Made(order, receipt, name, output, gained, datasets, untold - told)
                self._made.setdefault((order.site, output.cid), []).append((proof, made))

    def made(self, data: Data) -> tuple[Made, ...]:
        """The outputs that ``data`` may be, if it is one: several, if several steps made the same bytes."""
        return self._proven(data, None)

    def _proven(self, data: Data, named: frozenset[Cid] | None) -> tuple[Made, ...]:
        found = self._made.get((data.site, data.cid), ())
        return tuple(made for proof, made in found if named is None or proof in named)

    def dataset(self, data: Data) -> DatasetFields | None:
        """The dataset that ``data`` names, as its owner's log has it now."""
        fields = self._index.site(data.site).typed(DatasetFields, "dataset", str(data.cid))
        return None if fields is None or fields.withdrawn else fields

    def datasets(self, data: Data) -> frozenset[Cid]:
        """The datasets that a value was made from, itself if it is one: what an access to it is accounted to."""
        return self._datasets(data, None)

    def owned(self, data: Data, site: str) -> frozenset[Cid]:
        """Those of the :meth:`datasets` that stand in the catalog of ``site``."""
        return frozenset(cid for cid in self.datasets(data) if self._stands(cid, site))

    def untold(self, data: Data, site: str) -> frozenset[Cid]:
        """Those of the :meth:`owned` that are in ``data`` otherwise than by what ``site`` released."""
        return frozenset(cid for cid in self._untold(data, None) if self._stands(cid, site))

    def _untold(self, data: Data, named: frozenset[Cid] | None) -> frozenset[Cid]:
        if self.dataset(data) is not None:
            return frozenset({data.cid})
        return frozenset(cid for made in self._proven(data, named) for cid in made.untold)

    def _stands(self, dataset: Cid, site: str) -> bool:
        return self._index.site(site).latest("dataset", str(dataset)) is not None

    def _datasets(self, data: Data, named: frozenset[Cid] | None) -> frozenset[Cid]:
        if self.dataset(data) is not None:
            return frozenset({data.cid})
        return frozenset(cid for made in self._proven(data, named) for cid in made.datasets)

    def label(self, data: Data) -> Label:
        """The label of a value.

        Raises:
            Denied: neither a dataset of that site nor a proven output.
        """
        return self._label(data, None)

    def _label(self, data: Data, named: frozenset[Cid] | None) -> Label:
        dataset = self.dataset(data)
        if dataset is not None:
            return dataset.label
        proven = self._proven(data, named)
        if not proven:
            raise Denied(f"«{data.name}» is neither a dataset of its site nor a proven output; check its CID")
        return joined(made.label for made in proven)

    def inputs_label(self, order: Order) -> Label:
        """The join of the labels of everything that goes into ``order``, its block included.

        Raises:
            Denied: something is neither a dataset of its site nor an output that the order's proofs name.
        """
        named = frozenset(order.proofs)
        return joined([self._label(data, named) for data in pieces_in(order.inputs)] + [self.block_label(order.block)])

    def block_label(self, block: Cid) -> Label:
        """The label of a block.

        Raises:
            Denied: no site shares a block of that CID here.
        """
        label = block_label(self._index, block)
        if label is None:
            raise Denied(f"no block {block} is shared with this site; its author can share it")
        return label

    def _released(self, order: Order, name: str, output: Output, label: Label) -> Label:
        for release, value in _statements(output):
            names = (release.order, release.output, release.handle, release.value)
            if names != (cid_of(order), name, output.handle, value):
                raise VerificationFailed("a release statement belongs to another value")
            check_released(self._index, release)
            if release.owner in label.owners:
                label = released(label, release.owner, release.added)
        return label


def _statements(output: Output) -> list[tuple[Release, Cid | None]]:
    """The release statements about an output, each with the name that it must have for the value."""
    own = [] if output.release is None else [(output.release, output.cid)]
    if not output.further:
        return own
    if output.cid is None or output.salt is None:
        raise VerificationFailed("other owners' release statements come without what they are about")
    told = output.cid.keyed(output.salt)
    return [*own, *((release, told) for release in output.further)]


def check_released(index: Index, release: Release) -> None:
    """Check who signed a statement: the key that spoke for the owner at the place in its audit log that it names.

    Raises:
        VerificationFailed: none of them did.
    """
    owner = index.site(release.owner)
    for node in owner.nodes():
        if owner.signs(node, LogName.AUDIT, release.ledger):
            with suppress(VerificationFailed):
                check(release, node)
                return
    raise VerificationFailed("a release statement is not signed by its owner's node")
