"""Writing the audit log: bodies signed by the node, chained per subject, durable before anything goes on.

The ledger takes a body when its place is known, which is before it is durable: what it says of places from
:attr:`AuditBook.durable` on may keep this site from acting twice, and may not be told to anybody. If a write fails,
nothing that the ledger says may be relied on any more, and the book stays closed until the node starts again.

Times never fall along the log: a row takes the time of the one before it where the clock was set back behind that.
Else one row of a wrong time would end a search for what is older than some time, and hide what stands before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from catalog.body import Body, fields_of, read_body, write_body
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import ComityError
from catalog.key import Signer
from catalog.leaf import decode_leaf
from catalog.origin import number_of
from node.automator.halt import Halts
from node.automator.ledger import Attempt, Projection
from node.automator.life import Begun, Life, after, check_attempt, event_of
from node.log import OwnLog
from node.ports import Clock
from workflow.account import ACCOUNTS, AccessFields, AccountFields, Chain, Link, ResultFields

Write = Callable[[Chain, int], AccountFields]
"""Makes a body's fields from its chain and its own index."""


@dataclass(frozen=True, slots=True)
class Line:
    """One body to write: its kind, the datasets and people it is about, and its fields once its place is known."""

    kind: str
    datasets: Sequence[Cid]
    fields: Write
    people: Sequence[str] = ()

    @property
    def subjects(self) -> list[str]:
        """What its chain links, each once."""
        return list(dict.fromkeys([*(str(dataset) for dataset in self.datasets), *self.people]))


class AuditBook:
    """The audit log of ``site`` with its ledger. Lines get their places in the order of the calls."""

    def __init__(self, site: str, signer: Signer, log: OwnLog, ledger: Projection, clock: Clock) -> None:
        self._site = site
        self._signer = signer
        self._log = log
        self._clock = clock
        self._next = log.size
        self._closed = ""
        self.ledger = ledger
        self.halts = Halts()

    @property
    def number(self) -> int:
        """The epoch of the log, which receipts name beside the place."""
        return number_of(self._log.origin)

    @property
    def durable(self) -> int:
        """How many bodies are durable; what stands at a later place is still being written."""
        return self._log.size

    def attempt(self, order: Cid) -> Attempt:
        """What became of an order that was written down here.

        Raises:
            ComityError: the ledger has lost it.
        """
        found = self.ledger.attempt(order)
        if found is None:
            raise ComityError("the audit log lost an order that it had; restart the node")
        return found

    async def row(self, place: int) -> tuple[str, Body | None]:
        """The kind and the body of the row at ``place``; no body once it was pruned, no kind beyond the log's end.

        Raises:
            Damaged, VerificationFailed: what is stored of it is damaged.
        """
        if place >= self._log.size:
            return "", None
        [(leaf, stored)] = await self._log.read(place, place + 1)
        return decode_leaf(leaf).kind_name, None if stored is None else read_body(stored[1])

    async def write(self, lines: Sequence[Line]) -> int:
        """Write ``lines`` in one commit; durable on return. The index of the first.

        Raises:
            VerificationFailed: a body would be too large or not of its kind's shape; nothing was written.
            Conflict: it may not follow what stands of its order or its instance; nothing was written.
            ComityError: the log cannot be written, now or since an earlier failure; nothing may run.
        """
        if self._closed:
            raise ComityError(f"the audit log is closed since a write failed ({self._closed}); mend it and start again")
        first, bodies = self._next, self._bodies(lines)
        self._check_lives(bodies)
        for body in bodies:
            self.ledger.take(self._next, body)
            self.halts.take(self._next, body)
            self._next += 1
        try:
            placed = await self._log.append([(body.kind, encode(body)) for body in bodies])
        except (OSError, ComityError) as error:
            self._closed = f"{type(error).__name__}: {error}"
            raise ComityError(f"the audit log cannot be written, so nothing runs here: {error}") from error
        if placed != first:
            self._closed = f"a line went to {placed} where {first} was due"
            raise ComityError(f"the audit log is written by somebody else: {self._closed}")
        return first

    def _bodies(self, lines: Sequence[Line]) -> list[Body]:
        """The bodies of all lines as they will be read back, before the ledger takes the first of them."""
        last: Chain = {}
        bodies: list[Body] = []
        at = self.ledger.newest
        for index, line in enumerate(lines, self._next):
            chain = {
                subject: Link(before=last[subject].before, count=last[subject].count + 1) if subject in last else link
                for subject, link in self.ledger.chain(line.subjects).items()
            }
            fields = line.fields(chain, index)
            at = max(at, self._clock.now())
            body = write_body(line.kind, fields, site=self._site, at=at, by=self._signer, audience=())
            bodies.append(read_body(encode(body)))
            fields_of(bodies[-1], ACCOUNTS[line.kind])
            last.update({subject: Link(before=index, count=link.count) for subject, link in chain.items()})
        return bodies

    def _check_lives(self, bodies: Sequence[Body]) -> None:
        """Check every row about an order against what stands of it, and of the other attempts at its instance."""
        lives: dict[Cid, Life] = {}
        for body in bodies:
            kind = ACCOUNTS.get(body.kind)
            fields = fields_of(body, kind) if kind is not None else None
            if not isinstance(fields, AccessFields | ResultFields):
                continue
            event = event_of(fields)
            if event is None:
                continue
            if isinstance(fields, AccessFields) and isinstance(event, Begun):
                others = [each for each in self.ledger.attempts(fields.instance) if each.access.order != fields.order]
                check_attempt(fields.instance, fields.attempt, [(each.access.attempt, each.life) for each in others])
            life = lives.get(fields.order)
            if life is None:
                attempt = self.ledger.attempt(fields.order)
                life = attempt.life if attempt is not None else Life()
            lives[fields.order] = after(life, event)
