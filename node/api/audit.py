"""Audit answers verified where they are read: no row is shown that its site's log does not commit to.

For each row: its leaf is in the log under the site's signed checkpoint, opens to the body, the body is signed by the
site's node and about what was asked, and what it says of a person or another site was signed by them. And no row is
left out: an answer begins with the heads of all chains, written down beside the very question, so that the last row
and the number of rows are known before the first one comes; each row names the one before it and its own number.
Times never fall along a log, so that what is older than a row that is too old is too old itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from catalog.body import Body, fields_of, message_in, read_body
from catalog.checkpoint import Checkpoint, cosigners, open_checkpoint
from catalog.dagcbor import decode, encode
from catalog.error import BadInput, VerificationFailed
from catalog.headmap import Head, verify_head
from catalog.key import verify
from catalog.leaf import Leaf, decode_leaf, opens
from catalog.merkle import leaf_hash
from catalog.multiproof import paths_of, root_of_many
from catalog.origin import LogName, earlier, log_of, origin_of
from catalog.proof import Proof, write_proof
from node.api.committed import check_committed
from node.message import Opening, Row, Who, WhoAnswer
from workflow.account import ACCOUNTS, AccountFields, HeadsFields, Link, ReadFields
from workflow.crate.layout import Shown

MAX_ANSWER: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A member as a reader of audit logs needs it: its node's key, and every node key that it ever had."""

    node: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """A verified row: its place in the site's audit log of ``size`` leaves, and which sites cosigned that size.

    ``row`` and ``proof`` are what shows it to whoever was not there, if that was wanted.
    """

    site: str
    index: int
    kind: str
    body: Body
    fields: AccountFields
    size: int
    cosigners: tuple[str, ...]
    row: Row
    proof: Proof | None

    def shown(self) -> Shown:
        """The row as a crate carries it (:mod:`workflow.crate.layout`).

        Raises:
            BadInput: it was read without what shows it.
        """
        if self.proof is None or self.row.salt is None or self.row.body is None:
            raise BadInput("the row was read without its proof")
        return Shown(
            log=self.proof.checkpoint.partition("\n")[0],
            index=self.index,
            leaf=self.row.leaf,
            salt=self.row.salt,
            body=self.row.body,
            proof=write_proof(self.proof),
        )


@dataclass(frozen=True, slots=True)
class Blank:
    """A row that is counted and not shown: it was erased, or it is not for the asker. Its leaf tells its kind."""

    site: str
    index: int
    kind: str


class Reading:
    """One site's answer to one question, read page after page. ``members`` are all of them, by root key.

    ``done`` once the last row has come.
    """

    def __init__(self, question: Who, site: str, members: Mapping[str, Member], *, proofs: bool = False) -> None:
        """With ``proofs`` each account carries a proof of its own, for keeping."""
        self._question = question
        self._site = site
        self._members = members
        self._proofs = proofs
        self._origin = origin_of(site, LogName.AUDIT)
        self._head: Head | None = None
        self._begun = False
        self._last: tuple[int, int] | None = None  # index and number of the row that came last
        self._dated: tuple[int, int] = (0, -1)  # time and index of the newest row with a body
        self._asked_at = 0
        self.done = False

    def take(self, data: bytes) -> Iterator[Account | Blank]:
        """The rows of the next page, oldest first, each verified before it is given.

        Raises:
            VerificationFailed: names the row that is not what it claims to be, or is missing.
        """
        told = decode(WhoAnswer, data, MAX_ANSWER)
        asked = self._members[self._site]  # a note that was cosigned before it changed its key is by the earlier one
        self._follow_epoch(told.note)
        checkpoint = open_checkpoint(told.note, self._origin, *dict.fromkeys((asked.node, *asked.nodes)))
        others = {root: member.node for root, member in self._members.items() if root != self._site}
        signed_by = tuple(sorted(cosigners(told.note, others)))
        self._check_leaves(told, checkpoint)
        if self._begun is (told.opening is not None):
            raise VerificationFailed("its answer does not begin with the heads of its chains, or does so twice")
        if told.opening is not None:
            self._begin(told.opening)
        paths = paths_of(_leaves(told), checkpoint.size, told.proof) if self._proofs else {}
        for row in told.rows:
            proof = Proof(row.index, paths[row.index], told.note) if self._proofs else None
            yield self._row(row, checkpoint, signed_by, proof)
        if told.more and not told.rows:
            raise VerificationFailed("it says that there are further rows and sends none")
        if not told.more:
            self._end()

    @property
    def stopped(self) -> str:
        """Where an answer broke off, in words."""
        return "before its first row" if self._last is None else f"behind its row {self._last[0]}"

    def _check_leaves(self, told: WhoAnswer, checkpoint: Checkpoint) -> None:
        """All leaves of a page are in the tree under its checkpoint: one proof for all."""
        leaves = _leaves(told)
        if len(leaves) != len(told.rows) + (2 if told.opening else 0):
            raise VerificationFailed("a row stands twice in its answer")
        if root_of_many(leaves, checkpoint.size, told.proof) != checkpoint.root:
            span = f"rows {min(leaves)} to {max(leaves)}" if leaves else "an empty page"
            raise VerificationFailed(f"{span} of its audit log are not all in the tree that its checkpoint names")

    def _begin(self, opening: Opening) -> None:
        """Take the head of what was asked about from the heads that were written beside the question."""
        heads, asked = (self._fields(row) for row in (opening.heads, opening.asked))
        if not isinstance(heads, HeadsFields) or not isinstance(asked, ReadFields):
            raise VerificationFailed("its answer begins with other rows than the heads of its chains and the question")
        if heads.upto != opening.heads.index or opening.asked.index != heads.upto + 1:
            raise VerificationFailed("it wrote something down between the heads of its chains and the question")
        if asked.question != encode(self._question) or asked.reason:
            raise VerificationFailed("it answers another question than was asked")
        self._asked_at = self._body(opening.heads, self._leaf(opening.heads)).at
        subject = self._question.subject
        if subject is None:
            self._head = Head(subject=bytes(32), index=heads.upto - 1, count=heads.upto) if heads.upto else None
        elif opening.proof is None:
            raise VerificationFailed("it does not show where the chain of what was asked about ends")
        else:
            self._head = verify_head(subject, heads.root, heads.count, opening.proof)
        self._begun = True

    def _row(
        self, row: Row, checkpoint: Checkpoint, signed_by: tuple[str, ...], proof: Proof | None
    ) -> Account | Blank:
        try:
            if self.done or self._head is None or row.index > self._head.index:
                raise VerificationFailed("it is behind the end of the chain that its site committed to")  # noqa: TRY301
            leaf = self._leaf(row)
            if row.body is None:
                self._step(row.index, None, None)
                return Blank(self._site, row.index, leaf.kind_name)
            body = self._body(row, leaf)
            fields = self._typed(body)
            check_committed(body, fields, lambda site: self._members[site].nodes if site in self._members else ())
            self._step(row.index, self._link(row.index, fields), body.at)
        except VerificationFailed as error:
            raise VerificationFailed(f"row {row.index} of its audit log: {error}") from error
        return Account(self._site, row.index, body.kind, body, fields, checkpoint.size, signed_by, row, proof)

    def _step(self, index: int, link: Link | None, at: int | None) -> None:
        """A row follows the one before it and has the next number; a blank has both by its place alone."""
        if self._last is None:
            self._first(index, link, at)
        else:
            last, number = self._last
            if index <= last:
                raise VerificationFailed(f"it comes behind row {last}, which is newer")
            if link is not None and (link.before, link.count) != (last, number + 1):
                told = f"{link.before}, as number {link.count}"
                raise VerificationFailed(f"it follows row {told}: the answer leaves rows out behind row {last}")
            if self._question.subject is None and index != last + 1:
                raise VerificationFailed(f"the answer leaves out what follows row {last}")
            self._last = index, number + 1
        self._date(index, at)

    def _first(self, index: int, link: Link | None, at: int | None) -> None:
        """The first row is number one, unless older ones were not asked for; then it is itself too old."""
        number = link.count if link is not None else 1
        if link is None and self._question.subject is None:
            number = index + 1
        if number > 1 and (at is None or at >= self._question.since):
            raise VerificationFailed(f"the answer leaves out the {number - 1} rows before it")
        if (number == 1) is not (link is None or link.before is None) and self._question.subject is not None:
            raise VerificationFailed("it is the first of its chain and names one before it")
        self._last = index, number

    def _date(self, index: int, at: int | None) -> None:
        """No row is dated before one that stands before it; the question came behind all of them."""
        newest, last = self._dated
        if at is None:
            return
        if at < newest:
            raise VerificationFailed(f"it is dated before row {last}, which stands before it: its times cannot be true")
        if at > self._asked_at:
            raise VerificationFailed("it is dated after the question behind it: its times cannot be true")
        self._dated = at, index

    def _end(self) -> None:
        """The last row is the head; or it is newer than what was asked for."""
        self.done = True
        if not self._begun:
            raise VerificationFailed("its answer has no beginning")
        if self._head is None or self._last == (self._head.index, self._head.count):
            return
        until = self._question.until
        if until is not None and self._dated[0] > until:
            return
        seen = 0 if self._last is None else self._last[1]
        raise VerificationFailed(
            f"its log commits to {self._head.count} rows, the last of them row {self._head.index}; the answer ends"
            f" {'with' if seen else 'before'} number {seen or 1}"
        )

    def _link(self, index: int, fields: AccountFields) -> Link:
        subject = self._question.subject
        if subject is None:
            return Link(before=index - 1 if index else None, count=index + 1)
        if subject not in fields.chain:
            raise VerificationFailed("it is not about what was asked")
        return fields.chain[subject]

    def _fields(self, row: Row) -> AccountFields:
        body = self._body(row, self._leaf(row))
        fields = self._typed(body)
        check_committed(body, fields, lambda site: self._members[site].nodes if site in self._members else ())
        return fields

    def _follow_epoch(self, note: str) -> None:
        """The log's root may have opened a new epoch of it; members cosign none that it has not."""
        origin = note.partition("\n")[0]
        if self._begun and origin != self._origin:
            raise VerificationFailed("its log has another epoch than when the answer began; ask again")
        if log_of(origin, self._site) is LogName.AUDIT:
            self._origin = origin

    def _leaf(self, row: Row) -> Leaf:
        leaf = decode_leaf(row.leaf)
        if not any(leaf.belongs_to(origin) for origin in earlier(self._origin)):
            raise VerificationFailed("its leaf was written for another log")
        return leaf

    def _body(self, row: Row, leaf: Leaf) -> Body:
        if row.body is None or row.salt is None or not opens(leaf, row.body, row.salt):
            raise VerificationFailed("its leaf commits to another body")
        body = read_body(row.body)
        if body.kind != leaf.kind_name or body.site != self._site:
            raise VerificationFailed("its body is of another kind or site than its place says")
        if body.actor not in self._members[self._site].nodes:
            raise VerificationFailed("its body is by another actor than the site's node")
        verify(body.actor, message_in(row.body), body.sig)
        return body

    def _typed(self, body: Body) -> AccountFields:
        kind = ACCOUNTS.get(body.kind)
        if kind is None:
            raise VerificationFailed(f"it is of the kind «{body.kind}», which this version does not know")
        return fields_of(body, kind)


def _leaves(told: WhoAnswer) -> dict[int, bytes]:
    """The hashes of all leaves of a page by their places."""
    rows = [*told.rows, *((told.opening.heads, told.opening.asked) if told.opening else ())]
    return {row.index: leaf_hash(row.leaf) for row in rows}
