"""What must hold at the end: every submission ended and tells the truth, and every replica is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping

from catalog.body import read_body
from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.index import Index, SiteIndex
from catalog.leaf import decode_leaf
from node.bus.journal import Record, State
from node.ports import Seen
from tests.simulation.consortium import Consortium, Site, compute
from tests.simulation.disk import StoredLog
from tests.simulation.watch import Invariant, Violation, Watch
from workflow.argument import Data, Many
from workflow.order import Order
from workflow.receipt import Receipt, Status


def check_submission(consortium: Consortium, watch: Watch, record: Record) -> None:
    """A submission ended with what was released and nothing else, or names who is missing."""
    watch.seen[f"submission {record.state}"] += 1
    if record.state is State.RUNNING:
        raise Violation(Invariant.RESULT, "a submission never ended")
    receipts = {receipt.order: receipt for receipt in record.receipts}
    for receipt in record.receipts:
        result = watch.accounts[receipt.site].results.get(receipt.order)
        if receipt.status is Status.DONE and (result is None or result.status is not Status.DONE):
            raise Violation(Invariant.RESULT, "the bus holds a receipt that its site's log does not")
    done = {order.shard for order in record.orders if order.step == "count" and _status(receipts, order) is Status.DONE}
    asked = record.submission.inputs["data"]
    if not isinstance(asked, Many):
        raise TypeError("the simulation submits lists")
    data = [item for item in asked.items if isinstance(item, Data)]
    if record.state is State.DONE:
        used = _check_pooled(consortium, watch, record, receipts)
        missing = [item.site for item in data if item.cid not in used]
    elif record.reason.startswith("no ") or "has no" in record.reason:
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


def differences(consortium: Consortium, site: Site, index: Index) -> list[str]:
    """Where what ``site`` holds and counts of the honest members differs from what they wrote."""
    found = []
    for other in consortium.honest:
        replica = site.disk.catalog if other is site else site.disk.replicas[other.did]
        if replica.hashes != other.disk.catalog.hashes:
            found.append(f"{site.name} has {len(replica.leaves)} of {len(other.disk.catalog.leaves)} of {other.name}")
        expected = index_of(other, site.did)
        actual = index.site(other.did)
        if summary(actual) != summary(expected):
            found.append(f"{site.name} counts other entries of {other.name} than it wrote: {_diff(actual, expected)}")
        if other is not site:
            found += _uncosigned(site, other)
    return found


def index_of(owner: Site, reader: str) -> SiteIndex:
    """The index of an owner's log as a reader who sees all that it may see has it."""
    index = SiteIndex(owner.did)
    for position, leaf in enumerate(owner.disk.catalog.leaves):
        body = read_body(owner.disk.catalog.bodies[position][1])
        index.add(position, decode_leaf(leaf).kind_name, body if body.visible_to(reader) else None)
    return index


def summary(index: SiteIndex) -> tuple[int, dict[int, str], dict[tuple[str, str], int]]:
    """What an index says, for comparing."""
    kinds = ("key", "dataset", "block", "endorse", "grant", "project", "policy", "offer")
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
    return (size, witness) in log.cosigned
