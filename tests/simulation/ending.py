"""What must hold at the end: every submission ended and tells the truth, and every replica is the same.

And every intent that opened data stands provably in a log whose checkpoint a quorum cosigned; whoever forked is stopped
at all, and nobody else is; and each still follows each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from catalog.body import is_visible
from catalog.checkpoint import cosigners, open_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.fork import check_fork
from catalog.index import SiteIndex
from catalog.leaf import decode_leaf, opens
from catalog.merkle import prove_inclusion, verify_inclusion
from catalog.note import parse_note
from node.bus.journal import Record, State
from node.replicate.quota import LEAVES
from node.replication import Seen
from tests.simulation.consortium import DAY, EPOCH_BEGAN, Consortium, Site, compute
from tests.simulation.disk import StoredLog
from tests.simulation.node import SMALL, Node
from tests.simulation.watch import Invariant, Violation, Watch
from workflow.argument import Data, Many
from workflow.order import Order
from workflow.receipt import Receipt, Status


def check_submission(consortium: Consortium, watch: Watch, record: Record) -> None:
    """A submission ended with what was released and nothing else, or names who is missing."""
    watch.seen[f"submission {record.state}"] += 1
    if not record.state.ended:
        raise Violation(Invariant.RESULT, "a submission never ended")
    receipts = {receipt.order: receipt for receipt in record.receipts}
    for receipt in record.receipts:
        account = watch.accounts[receipt.site]
        # A log that was brought back may say «failed» of what was running when it was copied, and was delivered then.
        results = [each.get(receipt.order) for each in (account.results, account.lost)]
        if receipt.status is Status.DONE and not any(each and each.status is Status.DONE for each in results):
            raise Violation(Invariant.RESULT, "the bus holds a receipt that its site's log does not")
    done = {order.shard for order in record.orders if order.step == "count" and _status(receipts, order) is Status.DONE}
    asked = record.submission.inputs["data"]
    if not isinstance(asked, Many):
        raise TypeError("the simulation submits lists")
    data = [item for item in asked.items if isinstance(item, Data)]
    if record.state is State.DONE:
        used = _check_pooled(consortium, watch, record, receipts)
        missing = [item.site for item in data if item.cid not in used]
    elif record.state is State.CANCELLED or record.reason.startswith("no ") or "has no" in record.reason:
        return
    else:
        failed_early = {order.step for order in record.orders} <= {"count"}
        missing = [item.site for shard, item in enumerate(data) if shard not in done] if failed_early else []
    for site in missing:
        # A shard that the institute's own step dropped is missing for the institute's reason.
        if consortium.names[site] not in record.reason and "«copy" not in record.reason:
            raise Violation(
                Invariant.RESULT,
                f"{consortium.names[site]} is missing and is not named: {record.state} «{record.reason}»",
            )


def _status(receipts: Mapping[Cid, Receipt], order: Order) -> Status | None:
    receipt = receipts.get(cid_of(order))
    return None if receipt is None else receipt.status


def _check_pooled(consortium: Consortium, watch: Watch, record: Record, receipts: Mapping[Cid, Receipt]) -> set[Cid]:
    """The pooled result is the pool of released outputs, each once; the datasets that went into it."""
    pool = next(o for o in record.orders if o.step == "pool" and _status(receipts, o) is Status.DONE)
    steps = _order_of(record)
    used: list[Cid] = []
    for path in _sources(pool, steps, record, receipts):
        used.extend(item.cid for item in _data(path))
        if path.site != consortium.institute.did:
            output = receipts[cid_of(path)].outputs["result"]
            if output.cid is None or output.cid not in watch.accounts[path.site].released:
                raise Violation(Invariant.RESULT, "the bus pooled what was not released")
    if len(used) != len(set(used)):
        raise Violation(Invariant.RESULT, "a hospital's result was pooled twice")
    expected = compute("pool", [compute("count", [_bytes(consortium, cid)]) for cid in used])
    cid = receipts[cid_of(pool)].outputs["pooled"].cid
    got = consortium.institute.disk.blobs[cid] if cid else b"null"
    if got != expected:
        raise Violation(Invariant.RESULT, f"the pooled result is {json.loads(got)}, not {json.loads(expected)}")
    if len(used) < min(record.submission.min_sites, len(_data_asked(record))):
        raise Violation(Invariant.RESULT, "fewer shards were pooled than the submission asked for")
    return set(used)


def _order_of(record: Record) -> list[str]:
    steps = dict.fromkeys(order.step for order in record.orders)
    copies = sorted(step for step in steps if step.startswith("copy"))
    return ["count", *copies, "pool"]


def _sources(order: Order, steps: list[str], record: Record, receipts: Mapping[Cid, Receipt]) -> list[Order]:
    """The count orders whose results an order was made from, in the order of its inputs; each receipt used once."""
    before = steps[steps.index(order.step) - 1]
    found: list[Order] = []
    taken: set[Cid] = set()
    for item in _data(order):
        source = next(
            (
                each
                for each in record.orders
                if each.step == before
                and each.site == item.site
                and cid_of(each) not in taken
                and _status(receipts, each) is Status.DONE
                and any(output.cid == item.cid for output in receipts[cid_of(each)].outputs.values())
            ),
            None,
        )
        if source is None:
            raise Violation(
                Invariant.RESULT, f"step «{order.step}» was given what no order before it delivered, or twice"
            )
        taken.add(cid_of(source))
        found.extend([source] if before == "count" else _sources(source, steps, record, receipts))
    return found


def _data(order: Order) -> list[Data]:
    (argument,) = order.inputs.values()
    items = argument.items if isinstance(argument, Many) else (argument,)
    return [item for item in items if isinstance(item, Data)]


def _data_asked(record: Record) -> list[Data]:
    asked = record.submission.inputs["data"]
    return [item for item in asked.items if isinstance(item, Data)] if isinstance(asked, Many) else []


def _bytes(consortium: Consortium, cid: Cid) -> bytes:
    return next(site.disk.blobs[cid] for site in consortium.hospitals if cid in site.datasets)


FOLLOWED_MILLIS = 3 * 60_000
"""Within this time each honest member has followed each other one, in peace, whatever a liar asks of them."""


class Ending:
    """What the ``nodes`` of the honest sites hold when peace has come."""

    def __init__(self, consortium: Consortium, watch: Watch, nodes: Mapping[str, Node]) -> None:
        self._consortium = consortium
        self._watch = watch
        self._nodes = nodes
        self._indexes: dict[tuple[str, str], SiteIndex] = {}

    def found(self) -> list[tuple[Invariant, str]]:
        """What does not hold yet: the honest sites come to hold and count of each other what they wrote.

        Raises:
            Violation: an honest one stands accused.
        """
        if not all(node.ready and node.process.alive for node in self._nodes.values()):
            return [(Invariant.CONVERGES, "a node has not come up")]
        honest = self._consortium.honest
        for site in honest:
            self._check_accused(site)
        found = [line for site in honest for line in self._unsigned(site)]
        found += [line for site in honest for other in honest for line in self._differences(site, other)]
        slow = [line for site in honest for line in self._unfollowed(site)]
        return [
            *((Invariant.CONVERGES, line) for line in found),
            *((Invariant.FORK, line) for line in self._unstopped()),
            *((Invariant.FLOOD, line) for line in slow),
        ]

    def check(self) -> None:
        """What holds from the first moment of agreement on.

        Raises:
            Violation: it does not.
        """
        for site in self._consortium.honest:
            self._check_flooded(site)
            self._check_intents(site)

    def _unsigned(self, site: Site) -> list[str]:
        """Whose catalog a site holds otherwise than its owner signed it."""
        found = []
        for other in self._consortium.sites:
            log = site.disk.replicas.get(other.did)
            if log is not None and log.note:
                signed = open_checkpoint(log.note, log.origin, log.did)
                if signed.root != log.root_at(len(log.leaves)):
                    found.append(f"{site.name} holds what {other.name} did not sign")
        return found

    def _differences(self, site: Site, other: Site) -> list[str]:
        found = []
        replica = site.disk.catalog if other is site else site.disk.replicas[other.did]
        if replica.hashes != other.disk.catalog.hashes:
            found.append(f"{site.name} has {len(replica.leaves)} of {len(other.disk.catalog.leaves)} of {other.name}")
        actual, expected = self._nodes[site.did].index.site(other.did), self._index_of(other, site.did)
        if summary(actual) != summary(expected):
            found.append(f"{site.name} counts other entries of {other.name} than it wrote: {_diff(actual, expected)}")
        return found + (_uncosigned(site, other) if other is not site else [])

    def _index_of(self, owner: Site, reader: str) -> SiteIndex:
        """The index of an owner's log as a reader who sees all that it may see has it."""
        index = self._indexes.get((owner.did, reader))
        if index is None:
            index = self._indexes[owner.did, reader] = SiteIndex(owner.did)
            index.govern(owner.charter)
        log = owner.disk.catalog
        for position in range(index.size, len(log.leaves)):
            body = log.bodies[position][1]
            seen = body if is_visible(body, reader) else None
            index.take(self._watch.readings.read(log.origin, position, log.leaves[position], seen))
        return index

    def _unstopped(self) -> list[str]:
        """Who still relies on a member that has forked, as another honest one has shown, or the two together could."""
        honest = self._consortium.honest
        forked = {origin.partition("/")[0] for site in honest for origin in site.disk.memory.accused}
        if self._consortium.liar is not None and self._parted(self._consortium.liar):
            forked.add(self._consortium.liar.did)
        return [
            f"{site.name} still relies on a member that has forked"
            for site in honest
            if any(not self._nodes[site.did].index.site(did).stale for did in forked)
        ]

    def _parted(self, liar: Site) -> bool:
        """Whether honest members hold two histories of a liar's catalog."""
        held = sorted((site.disk.replicas[liar.did].hashes for site in self._consortium.honest), key=len)
        return any(held[-1][: len(hashes)] != hashes for hashes in held)

    def _check_accused(self, site: Site) -> None:
        liar = self._consortium.liar
        for fork in site.disk.memory.accused.values():
            if liar is None or fork.origin.partition("/")[0] != liar.did:
                raise Violation(Invariant.FORK, f"{site.name} takes an honest member for one that has forked")
            check_fork(fork, [liar.node.did])

    def _check_flooded(self, site: Site) -> None:
        """No more came of a liar's catalog than the quota of every run of this site's node lets in."""
        liar, seen = self._consortium.liar, self._watch.seen
        if liar is None or seen["clock set"]:  # a clock that is set forward fills the stores
            return
        entries = SMALL[LEAVES]
        days = (self._watch.now() - EPOCH_BEGAN) / DAY
        most = entries.most * (1 + seen["killed"] + seen["restored"]) + entries.a_day * days
        if len(site.disk.replicas[liar.did].leaves) > most:
            raise Violation(Invariant.FLOOD, f"{site.name} took more of the liar's catalog than its quota")

    def _unfollowed(self, site: Site) -> list[str]:
        """Whom a site has not followed for too long."""
        least = self._watch.now() - FOLLOWED_MILLIS
        others = [other for other in self._consortium.honest if other is not site]
        late = [other.name for other in others if self._watch.rounds.get((site.did, other.did), 0) < least]
        return [f"{site.name} has not followed {name} for minutes" for name in late]

    def _check_intents(self, site: Site) -> None:
        """Each intent is proven by a checkpoint that a quorum cosigned, and its body is what that commits to."""
        log, quorum = site.disk.audit, self._consortium.quorum
        if not log.leaves:
            return
        note = log.cosigned.get(len(log.leaves), "")
        checkpoint = open_checkpoint(note, log.origin, log.did)
        witnesses = {did: node for did, node in self._consortium.nodes.items() if did != site.did}
        if len(cosigners(note, witnesses)) < quorum:
            raise Violation(Invariant.INTENT, f"the audit log of {site.name} was cosigned by too few")
        for index, (salt, body) in log.bodies.items():
            proof = prove_inclusion(index, checkpoint.size, log.subtree)
            verify_inclusion(log.hashes[index], index, checkpoint.size, checkpoint.root, proof)
            if not opens(decode_leaf(log.leaves[index]), body, salt):
                raise Violation(Invariant.INTENT, f"a body in the audit log of {site.name} is not what its leaf names")


def summary(index: SiteIndex) -> tuple[int, dict[int, str], dict[tuple[str, str], int]]:
    """What an index says, for comparing."""
    kinds = ("key", "dataset", "block", "endorse", "grant", "revoke", "project", "approve", "policy", "offer", "beat")
    entries = {(kind, entry.subject): entry.index for kind in kinds for entry in index.entries(kind)}
    return index.size, dict(index.faults), entries


def _diff(actual: SiteIndex, expected: SiteIndex) -> str:
    return f"size {actual.size}/{expected.size}, {set(summary(expected)[2].items()) ^ set(summary(actual)[2].items())}"


def _uncosigned(witness: Site, owner: Site) -> list[str]:
    """Logs of ``owner`` whose newest checkpoint ``witness`` has not cosigned, or whose cosignature never arrived."""
    found = []
    for log in (owner.disk.catalog, owner.disk.audit):
        size, root = len(log.leaves), log.root_at(len(log.leaves))
        if witness.disk.memory.kept.get(log.origin, Seen(0, root)) != Seen(size, root) and size:
            found.append(f"{witness.name} has not cosigned {owner.name}'s log of {size}")
        elif size and not _arrived(log, size, witness.did):
            found.append(f"{owner.name} never got the cosignature of {witness.name} on its log of {size}")
    return found


def _arrived(log: StoredLog, size: int, witness: str) -> bool:
    note = log.cosigned.get(size)
    return note is not None and any(each.name == witness for each in parse_note(note).signatures)
