"""Both sides of a transfer compared: what one site says it gave, another must say it got, and the reverse.

A site that writes nothing down is found by what the other side wrote, as long as the two do not both keep silent. A
fetch that broke off leaves more rows at the source than at the recipient, and is told like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from catalog.cid import Cid
from catalog.plural import counted
from node.api.audit import Account
from workflow.account import AccessFields, FetchFields, KeyReleaseFields, ReleaseFields, ResultFields, Side

Transfer = tuple[str, str, str, str]
"""Source, recipient, ``fetch``, ``key`` or ``release``, and what: a root's CID, with the reader of a key; or an
order's CID and the output's name."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A row of ``site`` whose counterpart at ``other`` is missing. ``index`` is its place, ``what`` is for people."""

    site: str
    index: int
    other: str
    what: str


class Counterparts:
    """Takes all sites' rows about one dataset, and names those whose other side is missing."""

    def __init__(self) -> None:
        self._rows: dict[Side, dict[Transfer, list[int]]] = {Side.SOURCE: {}, Side.RECIPIENT: {}}
        self._places: list[tuple[str, int, str, int, Cid]] = []
        self._orders: dict[tuple[str, int], Cid] = {}
        self._let: dict[tuple[str, str], Transfer] = {}

    def take(self, account: Account) -> None:
        """Remember what of a row has another side."""
        match account.fields:
            case FetchFields(person=None, root=root, site=other, side=side):
                self._add(side, account, other, "fetch", str(root))
            case KeyReleaseFields(root=root, site=other, side=side, reader=reader):
                self._add(side, account, other, "key", f"{root}/{reader}")
            case ReleaseFields(order=order, output=output, site=other, side=side) as release:
                if side is Side.RECIPIENT or other in release.added or release.reported is not None:
                    self._add(side, account, other, "release", f"{order}/{output}")
                if release.place is not None:
                    self._places.append((account.site, account.index, other, release.place, order))
            case ResultFields(order=order, kept=kept):
                # What a second result does not release any more was taken back before anybody was told of it.
                for output, each in kept.items():
                    let = (account.site, f"{order}/{output}")
                    if each.output.release is None and let in self._let:
                        self._rows[Side.SOURCE].pop(self._let.pop(let))
            case AccessFields(order=order):
                self._orders[account.site, account.index] = order
            case _:
                pass

    def _add(self, side: Side, account: Account, other: str, kind: str, what: str) -> None:
        if other == account.site:
            return  # what a site gives to its own bus has no other side
        ends = (account.site, other) if side is Side.SOURCE else (other, account.site)
        transfer = (*ends, kind, what)
        self._rows[side].setdefault(transfer, []).append(account.index)
        if side is Side.SOURCE and kind == "release":
            self._let[account.site, what] = transfer

    def unmatched(self, answered: Mapping[str, int]) -> Iterator[Unmatched]:
        """The rows without another side, of pairs of which both ``answered`` (site → how many blanks it sent)."""
        yield from self._lacking(Side.SOURCE, answered)
        yield from self._lacking(Side.RECIPIENT, answered)
        for site, index, other, place, order in self._places:
            if other in answered and self._orders.get((other, place)) != order:
                what = f"a receipt names row {place} of its audit log for an order, and its answer has no such row"
                yield Unmatched(site, index, other, what + _perhaps(answered[other]))

    def _lacking(self, side: Side, answered: Mapping[str, int]) -> Iterator[Unmatched]:
        there = self._rows[Side.RECIPIENT if side is Side.SOURCE else Side.SOURCE]
        for transfer, rows in self._rows[side].items():
            source, recipient, kind, what = transfer
            site, other = (source, recipient) if side is Side.SOURCE else (recipient, source)
            surplus = len(rows) - len(there.get(transfer, ()))
            if surplus <= 0 or not {site, other} <= set(answered):
                continue
            told = "gave" if side is Side.SOURCE else "got"
            wrote = "got" if side is Side.SOURCE else "gave"
            for index in sorted(rows)[-surplus:]:
                line = f"it {told} {_named(kind, what)}, and the other site did not write down that it {wrote} it"
                yield Unmatched(site, index, other, line + _perhaps(answered[other]))


def _named(kind: str, what: str) -> str:
    if kind == "fetch":
        return f"bytes of …{what[-8:]}"
    if kind == "key":
        return f"the key of …{what.partition('/')[0][-8:]}"
    order, _, output = what.partition("/")
    return f"the release of «{output}» of the order …{order[-8:]}"


def _perhaps(blanks: int) -> str:
    return f"; there it may be erased or not for the asker, as {counted(blanks, 'row')} are" if blanks else ""
