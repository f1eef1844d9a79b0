"""Audit answers verified where they are read: no row is shown that its site's log does not commit to.

For each row: its leaf is in the log under the site's signed checkpoint, opens to the body, and the body is signed
by the site's node and about the dataset. The rows of a dataset are a chain, so a row left out in between shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catalog.body import Body, fields_of, read_body
from catalog.checkpoint import Checkpoint, cosigners, open_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import decode
from catalog.error import VerificationFailed
from catalog.key import check
from catalog.leaf import decode_leaf, opens
from catalog.merkle import leaf_hash, verify_inclusion
from catalog.origin import LogName, origin_of
from node.message import Row, WhoAnswer
from workflow.account import ACCOUNTS, AccountFields

MAX_ANSWER = 64 << 20


@dataclass(frozen=True, slots=True)
class Account:
    """A verified row: its place in the site's audit log of ``size`` leaves, and which sites cosigned that size.

    ``before`` is the place of the row before it about the same dataset.
    """

    site: str
    index: int
    kind: str
    body: Body
    fields: AccountFields
    before: int | None
    size: int
    cosigners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Verified rows, newest first, and whether the site has older ones."""

    accounts: tuple[Account, ...]
    more: bool


def verify_page(
    answer: bytes, site: str, node: str, dataset: Cid, witnesses: Mapping[str, str], after: Account | None = None
) -> Page:
    """The rows of one answer of ``site`` about ``dataset``; it continues the page that ended with ``after``.

    ``witnesses`` are the members: root key → node key.

    Raises:
        VerificationFailed: names the row that is not what it claims to be, or is missing.
    """
    told = decode(WhoAnswer, answer, MAX_ANSWER)
    checkpoint = open_checkpoint(told.note, origin_of(site, LogName.AUDIT), node)
    others = {root: key for root, key in witnesses.items() if root != site}
    signed_by = tuple(sorted(cosigners(told.note, others)))
    accounts: list[Account] = []
    for row in told.rows:
        newer = accounts[-1] if accounts else after
        try:
            account = _verify(row, site, node, dataset, checkpoint, signed_by)
            _check_follows(newer, row.index)
        except VerificationFailed as error:
            raise VerificationFailed(f"row {row.index} of its audit log: {error}") from error
        accounts.append(account)
    oldest = accounts[-1] if accounts else after
    if told.more and not accounts:
        raise VerificationFailed("it says that there are older rows and sends none")
    if not told.more:
        _check_follows(oldest, None)
    return Page(tuple(accounts), told.more)


def _check_follows(newer: Account | None, index: int | None) -> None:
    """A row names the one before it about the same dataset, so none can be left out in between."""
    if newer is not None and newer.before != index:
        raise VerificationFailed(f"row {newer.index} follows row {newer.before}, which the answer leaves out")


def _verify(
    row: Row, site: str, node: str, dataset: Cid, checkpoint: Checkpoint, signed_by: tuple[str, ...]
) -> Account:
    verify_inclusion(leaf_hash(row.leaf), row.index, checkpoint.size, checkpoint.root, list(row.proof))
    leaf = decode_leaf(row.leaf)
    if not leaf.belongs_to(checkpoint.origin):
        raise VerificationFailed("its leaf was written for another log")
    if not opens(leaf, row.body, row.salt):
        raise VerificationFailed("its leaf commits to another body")
    body = read_body(row.body)
    if body.kind != leaf.kind_name or body.site != site or body.actor != node:
        raise VerificationFailed("its body is of another kind, site or actor than its place says")
    check(body, node)
    kind = ACCOUNTS.get(body.kind)
    if kind is None:
        raise VerificationFailed(f"it is of the kind «{body.kind}», which this version does not know")
    fields = fields_of(body, kind)
    if str(dataset) not in fields.chain:
        raise VerificationFailed("it is not about this dataset")
    before = fields.chain[str(dataset)]
    return Account(site, row.index, body.kind, body, fields, before, checkpoint.size, signed_by)
