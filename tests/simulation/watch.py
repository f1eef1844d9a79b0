"""What must hold at every moment of every run, seen from outside: from what is durable, run and sent.

The watch believes nothing that the core says of itself: it reads the bodies that became durable, the bytes that went
over the network and the data that were opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from catalog.body import fields_of, read_body
from catalog.checkpoint import Checkpoint
from catalog.cid import Cid
from catalog.dagcbor import decode
from catalog.entry import Entry
from catalog.error import VerificationFailed
from catalog.index import SiteIndex
from catalog.merkle import Frontier
from catalog.note import parse_note
from catalog.policy import PolicyFields
from node.message import MAX_MESSAGE, Cosigned, Reply, read_question
from tests.simulation.consortium import CIDS, Consortium, Site, Stance
from workflow.account import ACCOUNTS, AccessFields, ReleaseFields, ResultFields
from workflow.argument import Data
from workflow.order import Instance
from workflow.receipt import Receipt, Status


class Invariant(IntEnum):
    """What is checked."""

    INTENT = 1
    ONCE = 2
    CONVERGES = 3
    WITNESS = 4
    POLICY = 5
    RESULT = 6
    SECRET = 7
    RECEIPT = 8


class Violation(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: Invariant, message: str) -> None:
        super().__init__(f"invariant {int(invariant)} ({invariant.name}): {message}")
        self.invariant = invariant


@dataclass(eq=False)
class Account:
    """What one site's audit log says, read by the watch itself."""

    intents: dict[Cid, AccessFields] = field(default_factory=dict)
    denials: set[Cid] = field(default_factory=set)
    results: dict[Cid, ResultFields] = field(default_factory=dict)
    released: set[Cid] = field(default_factory=set)
    opened: Counter[tuple[Cid, frozenset[str]]] = field(default_factory=Counter)


class Watch:
    """Sees everything and raises :class:`Violation`."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium = consortium
        self.accounts = {site.did: Account() for site in consortium.sites}
        self.histories: dict[str, list[list[bytes]]] = {}
        """For each origin of the liar, the leaf hashes of its histories."""
        self.cosigned: dict[tuple[str, str], dict[int, bytes]] = {}
        self.seen: Counter[str] = Counter()
        """How often what was checked at all came about: a run in which nothing happens shows nothing."""
        self._secrets: dict[Cid, str] = {}
        self._shown: set[Cid] = set()
        self._delivered: Counter[Instance] = Counter()
        self._releases: Counter[tuple[Instance, str]] = Counter()
        self._permits: dict[tuple[str, int], bool] = {}
        self._arrived: dict[tuple[str, Cid], int] = {}
        for site in consortium.sites:
            self._permits[site.did, site.subjects["policy", ""]] = site.policy != ""

    # --- what becomes durable ----------------------------------------------------------------------------------------

    def published(self, site: Site, index: int, kind: str, body: bytes) -> None:
        """A catalog entry became durable."""
        self.seen[f"catalog {kind}"] += 1

    def indexed(self, site: Site, entry: Entry) -> None:
        """A site's node counts its own new entry from now on."""
        if isinstance(entry.fields, PolicyFields):
            self._permits[site.did, entry.index] = entry.fields.text != ""

    def accounted(self, site: Site, index: int, kind: str, data: bytes) -> None:
        """An audit entry became durable."""
        self.seen[kind] += 1
        body = read_body(data)
        fields = fields_of(body, ACCOUNTS[kind])
        account = self.accounts[site.did]
        if isinstance(fields, AccessFields) and kind == "intent":
            self._check_permitted(site, fields)
            if fields.order in account.intents:
                raise Violation(Invariant.ONCE, f"{site.name} begins the same order for {fields.instance} again")
            account.intents[fields.order] = fields
        elif isinstance(fields, AccessFields):
            account.denials.add(fields.order)
        elif isinstance(fields, ReleaseFields):
            self._check_release(site, account, fields)
        elif isinstance(fields, ResultFields):
            self._check_result(site, account, fields)

    def _check_permitted(self, site: Site, intent: AccessFields) -> None:
        version = int(intent.decision.policy)
        arrived = self._arrived.get((site.did, intent.order), -1)
        if version < arrived or not self._permits[site.did, version]:
            raise Violation(Invariant.POLICY, f"{site.name} runs {intent.instance} under a policy that permits nothing")
        if site.stance is Stance.UNGRANTED and intent.block == CIDS["count"]:
            raise Violation(Invariant.POLICY, f"{site.name} runs {intent.instance} without a grant")

    def _check_release(self, site: Site, account: Account, release: ReleaseFields) -> None:
        if site.stance is Stance.UNENDORSED:
            raise Violation(Invariant.POLICY, f"{site.name} releases what its steward never endorsed")
        if release.order not in account.intents:
            raise Violation(Invariant.INTENT, f"{site.name} releases without an intent")
        instance = account.intents[release.order].instance
        self._releases[instance, release.output] += 1
        if self._releases[instance, release.output] > 1:
            raise Violation(Invariant.ONCE, f"{site.name} releases {instance} «{release.output}» again")
        self._show(release.value)
        account.released.add(release.value)

    def _check_result(self, site: Site, account: Account, result: ResultFields) -> None:
        if result.order not in account.intents:
            raise Violation(Invariant.INTENT, f"{site.name} has a result without an intent")
        if result.order in account.results:
            raise Violation(Invariant.ONCE, f"{site.name} ends {result.instance} twice")
        account.results[result.order] = result
        self.seen[f"result {result.status}"] += 1
        if result.status in (Status.DONE, Status.HELD) or result.cost:
            self._delivered[result.instance] += 1
            if self._delivered[result.instance] > 1:
                raise Violation(Invariant.ONCE, f"{site.name} delivers and charges {result.instance} again")
        for kept in result.kept.values():
            if kept.output.cid is not None:
                self._show(kept.cid)

    def _show(self, cid: Cid) -> None:
        self._shown.add(cid)
        self._secrets.pop(cid, None)

    # --- what is run -------------------------------------------------------------------------------------------------

    def placed(self, site: Site, order: Cid, own: SiteIndex) -> None:
        """An order came; the policy that the site has now, or a later one, must decide it."""
        policy = own.latest("policy", "")
        if policy is not None:
            self._arrived.setdefault((site.did, order), policy.index)

    def opens(self, site: Site, block: Cid, data: Sequence[Data]) -> None:
        """A step is about to open data: there must be a durable intent for it, and each covers one run."""
        account = self.accounts[site.did]
        datasets = frozenset(str(item.cid) for item in data if item.cid in site.datasets)
        fits = [order for order, it in account.intents.items() if it.block == block and datasets <= set(it.chain)]
        account.opened[block, datasets] += 1
        self.seen["opened"] += 1
        if account.opened[block, datasets] <= len(fits) and not set(fits) <= set(account.results):
            return
        raise Violation(Invariant.INTENT, f"{site.name} opens data and no durable intent covers it")

    def made(self, site: Site, cid: Cid, data: Sequence[Data]) -> None:
        """A step stored an output; its name is a secret until it is released."""
        if cid not in self._shown:
            self._secrets[cid] = site.name

    # --- what is sent ------------------------------------------------------------------------------------------------

    def sniff(self, channel: str, source: str, target: str, data: bytes) -> None:
        """A message leaves ``source``."""
        for cid, owner in self._secrets.items():
            if cid.digest in data or str(cid).encode() in data:
                raise Violation(Invariant.SECRET, f"an output that {owner} has not released is named in a message")
        if channel != "control":
            return
        if b"cosigned" in data:
            self._check_cosignature(source, data)
        elif b"previous" in data:
            self._check_receipt(source, data)

    def _check_cosignature(self, source: str, data: bytes) -> None:
        question = read_question(data)
        if not isinstance(question, Cosigned):
            return
        witness = next(site for site in self._consortium.sites if site.did == source)
        new = Checkpoint.parse(parse_note(question.note).text)
        kept = witness.disk.memory.kept.get(new.origin)
        if kept is None or kept.size < new.size or (kept.size == new.size and kept.root != new.root):
            raise Violation(Invariant.WITNESS, f"{witness.name} cosigned what it does not remember durably")
        given = self.cosigned.setdefault((source, new.origin), {})
        if given.setdefault(new.size, new.root) != new.root:
            raise Violation(Invariant.WITNESS, f"{witness.name} cosigned two roots of size {new.size}")
        if not any(_holds(history, given) for history in self._histories(new.origin)):
            raise Violation(Invariant.WITNESS, f"{witness.name} cosigned a log that does not extend what it cosigned")
        self.seen["cosigned"] += 1

    def _histories(self, origin: str) -> list[list[bytes]]:
        if origin in self.histories:
            return self.histories[origin]
        logs = [log for site in self._consortium.sites for log in (site.disk.catalog, site.disk.audit)]
        return [log.hashes for log in logs if log.origin == origin]

    def _check_receipt(self, source: str, data: bytes) -> None:
        """A receipt says only what the audit log of its site says durably."""
        try:
            reply = decode(Reply, data, MAX_MESSAGE)
            receipt = decode(Receipt, reply.answer or b"", MAX_MESSAGE)
        except VerificationFailed:
            return
        account = self.accounts[source]
        known = account.denials if receipt.status is Status.DENIED else set(account.intents)
        result = account.results.get(receipt.order)
        ended = receipt.final and receipt.status is not Status.DENIED
        if receipt.order not in known or (ended and (result is None or result.status is not receipt.status)):
            raise Violation(Invariant.RECEIPT, f"a receipt «{receipt.status}» left before it was durable")
        self.seen[f"receipt {receipt.status}"] += 1


def _holds(history: list[bytes], given: dict[int, bytes]) -> bool:
    return all(size <= len(history) and Frontier().extend(history[:size]).root == root for size, root in given.items())
