"""What the audit log says so far: attempts, results, held outputs, chains. A projection, rebuilt from the log alone.

Nothing that safety needs lives only here: feed it the log again and it is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from catalog.body import Body, fields_of
from catalog.cid import Cid
from workflow.account import ACCOUNTS, AccessFields, AccountFields, ResultFields
from workflow.order import Instance


@dataclass(frozen=True, slots=True)
class Attempt:
    """One order as the log knows it: its intent or denial at ``index``, and its result if it has ended.

    ``began`` and ``ended`` are the times in these bodies, Unix milliseconds; ``closed`` is the result's index.
    """

    index: int
    began: int
    access: AccessFields
    result: ResultFields | None = None
    ended: int = 0
    closed: int = 0

    @property
    def denied(self) -> bool:
        """Whether it was refused before anything ran."""
        return not self.access.decision.allowed


class Ledger:
    """The state of all orders at this site, fed with the audit log's bodies in order."""

    def __init__(self) -> None:
        self._orders: dict[Cid, Attempt] = {}
        self._instances: dict[Instance, list[Cid]] = {}
        self._heads: dict[str, int] = {}
        self._rows: dict[str, list[int]] = {}

    def take(self, index: int, body: Body) -> None:
        """Take the body at ``index``.

        Raises:
            VerificationFailed: it is not of its kind's shape.
        """
        kind = ACCOUNTS.get(body.kind)
        if kind is None:
            return
        fields: AccountFields = fields_of(body, kind)
        for dataset in fields.chain:
            self._heads[dataset] = index
            self._rows.setdefault(dataset, []).append(index)
        if isinstance(fields, AccessFields):
            self._orders[fields.order] = Attempt(index, body.at, fields)
            self._instances.setdefault(fields.instance, []).append(fields.order)
        elif isinstance(fields, ResultFields):
            attempt = self._orders[fields.order]
            self._orders[fields.order] = replace(attempt, result=fields, ended=body.at, closed=index)

    def attempt(self, order: Cid) -> Attempt | None:
        """What became of an order."""
        return self._orders.get(order)

    def attempts(self, instance: Instance) -> list[Attempt]:
        """Every attempt at an instance, in the order in which they came."""
        return [self._orders[order] for order in self._instances.get(instance, ())]

    def open_attempts(self) -> Iterator[Attempt]:
        """Attempts with an intent and no result: those that were running when the log ended."""
        return (a for a in self._orders.values() if a.result is None and not a.denied)

    def results(self) -> Iterator[ResultFields]:
        """Every result."""
        return (attempt.result for attempt in self._orders.values() if attempt.result is not None)

    def chain(self, datasets: list[Cid]) -> dict[str, int | None]:
        """The link backwards for a new body about these datasets."""
        return {str(dataset): self._heads.get(str(dataset)) for dataset in datasets}

    def rows(self, dataset: Cid) -> list[int]:
        """The indexes of every leaf about a dataset, oldest first."""
        return list(self._rows.get(str(dataset), ()))
