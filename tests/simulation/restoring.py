"""Bringing a hospital's audit log back from an old copy, as ``node/site/restore.py`` does it with a real folder.

The catalog is whole again at once here: members have all of it, and completing it is catching up. What the audit log
has lost lies nowhere else, so the root opens a new epoch of it; what others hold receipts of stands in its first row.
"""

from __future__ import annotations

from catalog.body import read_body, write_body
from catalog.checkpoint import Checkpoint, sign_checkpoint
from catalog.dagcbor import cid_of, encode
from catalog.key import UNSIGNED, signed
from catalog.origin import LogName, number_of
from catalog.reopening import Reopening
from node.automator.ledger import Ledger
from tests.simulation.consortium import EPOCH_BEGAN, Consortium, Site
from tests.simulation.disk import StoredLog
from workflow.account import HaltFields
from workflow.order import Instance
from workflow.receipt import Status


def restore(consortium: Consortium, site: Site, backup: StoredLog) -> set[Instance]:
    """Put ``backup`` in the place of a site's audit log; what was delivered that it does not know of.

    Nothing but that the site is halted happens if the copy lacks nothing.
    """
    newest, log = len(site.disk.audit.leaves), backup
    lost = delivered(consortium, site, ledger_of(backup))
    reopening = signed(
        Reopening(
            site=site.did,
            log=LogName.AUDIT,
            number=number_of(log.origin) + 1,
            size=len(log.leaves),
            root=log.root_at(len(log.leaves)),
            node=site.node.did,
            lost=newest - len(log.leaves),
            reason="restored from a backup",
            sig=UNSIGNED,
        ),
        site.root,
    )
    log.origin = reopening.origin
    log.cosigned.clear()
    log.note = sign_checkpoint(Checkpoint(log.origin, len(log.leaves), reopening.root), site.node)
    halt = HaltFields(
        project=None,
        member=None,
        reason="restored from a backup",
        statement=None,
        chain=ledger_of(log).chain([site.did]),
        reopening=encode(reopening),
        delivered=tuple(sorted(lost, key=str)),
    )
    body = write_body("halt", halt, site=site.did, at=EPOCH_BEGAN, by=site.node, audience=())
    log.put(site.node, 0, [("halt", encode(body), consortium.random.randbytes(32))])
    site.disk.audit = log
    site.disk.reopenings.append(reopening)
    return lost


def ledger_of(log: StoredLog) -> Ledger:
    """What an audit log says."""
    ledger = Ledger()
    for position, (_, body) in sorted(log.bodies.items()):
        ledger.take(position, read_body(body))
    return ledger


def delivered(consortium: Consortium, site: Site, ledger: Ledger) -> set[Instance]:
    """Instances of which the institute holds final receipts by ``site``, and its log no result."""
    found = set()
    for record in consortium.institute.disk.journal.kept.values():
        orders = {cid_of(order): order for order in record.orders}
        for receipt in record.receipts:
            attempt = ledger.attempt(receipt.order)
            known = attempt is not None and attempt.result is not None
            if receipt.site == site.did and receipt.status in (Status.DONE, Status.HELD) and not known:
                found.add(orders[receipt.order].instance)
    return found
