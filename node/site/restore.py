"""Bringing a site back from an old copy of its folder: what the members still have is fetched, what is lost is said.

The catalog is completed from the members' replicas, each leaf under checkpoints that this site signed itself. What the
audit log has lost lies nowhere else, so its root key opens a new epoch of it: what members cosigned of the old one
stays evidence, and the new one begins with the leaves that are left. The receipts that members hold keep what was
delivered in between from being delivered, and charged, again. The site is halted until a steward has looked at it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from catalog.checkpoint import Checkpoint
from catalog.dagcbor import encode
from catalog.error import Denied, Infeasible, Unreachable
from catalog.key import Signer
from catalog.note import parse_note
from catalog.origin import LogName, number_of
from catalog.plural import counted
from node.automator.recovery import halting, next_epoch, remembered
from node.config import Folder
from node.keyfile import read_identity
from node.site.histories import Stage, beyond, gather, stage, take_up, undo
from node.site.noting import note_missed
from node.site.reaching import reaching
from node.site.site import Site
from node.site.standing import Heard, ask_members, fault_of
from node.storage.reopened import read_reopenings, reopen, unfinished

HEAR_SECONDS: Final = 20.0

Tell = Callable[[str], None]
"""Says in a line of plain words what was found or done."""


async def restore(folder: Folder, root: Signer, tell: Tell) -> None:
    """Restore the site in ``folder``, which this process holds; run again, it goes on where it was cut off.

    Raises:
        Denied: ``root`` does not act as this site's root. Unreachable: too few members answer to know what is missing.
        Infeasible: this copy is older than an epoch that the root opened before.
        VerificationFailed: something in the folder, or what members sent, is not what was signed.
    """
    await trio.to_thread.run_sync(undo, folder)
    await _finish(folder, root, tell)
    heard, faulty = await reaching(folder, partial(_look, root, tell))
    folder.restoring.mkdir(exist_ok=True)  # from here on no node starts on this folder before all of it is done
    start = await _mend_catalog(folder, root, heard, tell)
    if heard.away or LogName.AUDIT in faulty | heard.forked:
        await _reopen(folder, root, LogName.AUDIT, await _accounted(folder, heard), tell)
    else:
        tell("The audit log is whole: no member has seen more of it.")
    await reaching(folder, partial(_halt, start, tell))
    await trio.to_thread.run_sync(shutil.rmtree, folder.restoring)


async def _mend_catalog(folder: Folder, root: Signer, heard: Heard, tell: Tell) -> int | None:
    """Have the catalog whole, or begun anew if it may have forked; from which place on it then has other entries."""
    found = await trio.to_thread.run_sync(stage, folder)
    if found is Stage.GATHERING:
        found = await gather(folder, heard.sightings, bool(heard.away) or LogName.CATALOG in heard.forked, tell)
    if found is Stage.FORKED:
        await _reopen(folder, root, LogName.CATALOG, await beyond(folder), tell)
        found = Stage.REOPENED
    return await take_up(folder, tell) if found is Stage.REOPENED else None


async def _finish(folder: Folder, root: Signer, tell: Tell) -> None:
    """Finish new epochs that an earlier run wrote down and did not begin."""
    node = read_identity(folder.node_key)
    for path in (folder.catalog, folder.audit):
        begun = await trio.to_thread.run_sync(unfinished, path)
        if begun is not None:
            await trio.to_thread.run_sync(reopen, path, begun, node.key, (), (root.did,))
            tell(f"Epoch {begun.number} of the {begun.log} log, begun by an earlier run, is finished.")


async def _look(root: Signer, tell: Tell, site: Site) -> tuple[Heard, frozenset[LogName]]:
    """What the members have seen, and which logs here are not the newest."""
    if site.index.site(site.root).keys.acting != root.did:
        raise Denied("this key does not act as the root of this site; give the one that does with --root-key")
    if site.membership.consortium is None:
        raise Infeasible("this site is in no consortium, so nobody has seen more of it; just run it")
    names, others = site.membership.names, [each for each in site.membership.nodes if each != site.root]
    logs = list(site.logs.values())
    heard = await ask_members(site.reach, site.root, others, logs, len(others), HEAR_SECONDS)
    asked = ", ".join(sorted(names.get(each, each) for each in heard.answered)) or "nobody"
    tell(f"Asked what they have seen of this site's logs: {asked}.")
    away = "; ".join(f"{names.get(each, each)}: {why}" for each, why in heard.away.items())
    if len(heard.answered) < site.enough:
        raise Unreachable(f"{site.enough} members must answer before this site knows what it lacks ({away})")
    faulty: set[LogName] = set()
    told: dict[str, None] = {}
    for each in heard.sightings:
        if number_of(each.checkpoint.origin) > number_of(site.logs[each.log].origin):
            raise Infeasible(
                f"this copy is older than epoch {number_of(each.checkpoint.origin)} of the {each.log} log, which"
                " the root of this site opened; restore a newer copy"
            )
        fault = await fault_of(each, site.logs[each.log])
        if fault:
            told[f"{names.get(each.member, each.member)} {fault}."] = None
            faulty.add(each.log)
    for line in told:
        tell(line)
    for log in sorted(heard.forked):
        tell(f"Members have proof of two histories of the {log} log, both signed by this site's own key.")
    if heard.away:
        # To go on beside what it has seen would be a second history.
        tell(f"Both logs go on in a new epoch, for who did not answer may have seen more of them ({away}).")
    return heard, frozenset(faulty)


async def _accounted(folder: Folder, heard: Heard) -> int:
    """Up to how many leaves the audit log would have come with all that members have seen of it, as far as is known.

    Where it was another one, it was the same up to what they had cosigned here.
    """
    site = await Site.open(folder)
    try:
        size, note = site.audit.size, await site.audit.last_cosigned()
        newest = max((each.checkpoint.size for each in heard.sightings if each.log is LogName.AUDIT), default=0)
        shared = Checkpoint.parse(parse_note(note).text).size if note is not None else 0
        return newest if newest > size else size + max(0, newest - shared)
    finally:
        await site.aclose()


async def _reopen(folder: Folder, root: Signer, log: LogName, upto: int, tell: Tell) -> None:
    """Open the next epoch of a log with the leaves that are here; it was known to have ``upto``."""
    site = await Site.open(folder)
    try:
        own = site.logs[log]
        reopening = next_epoch(site.root, log, own, site.node.did, upto, root)
        path, key, earlier = own.folder, site.node.key, own.keys[1:]
        roots = [did for _, did in site.index.site(site.root).keys.charter.roots]
    finally:
        await site.aclose()
    await trio.to_thread.run_sync(reopen, path, reopening, key, earlier, roots)
    tell(
        f"The root key has opened epoch {reopening.number} of the {log} log, with the {reopening.size} leaves that are"
        f" here; {reopening.lost} stay behind in the epoch before."
    )


async def _halt(start: int | None, tell: Tell, site: Site) -> None:
    """Halt the site, with the instances that others hold receipts of and the audit log does not know.

    What the catalog has from ``start`` on is noted in the audit log, if that is given.
    """
    members = {root: site.membership.names.get(root, root) for root in site.membership.nodes if root != site.root}
    ours = await remembered(site.reach, site.root, site.catalog.keys, members)
    delivered = ours.lost(site.ledger)
    for member, why in ours.away.items():
        tell(f"{members[member]} could not be asked for receipts ({why}); run this again once it answers.")
    # A release that waited when the copy was made, and was told since, is not asked about again.
    await site.releases.drop_waiting(ours.done)
    opened = [each for path in (site.folder.catalog, site.folder.audit) for each in read_reopenings(path)]
    unsaid = [each for each in opened if encode(each) not in site.book.halts.reopenings]
    await site.book.write(halting(site.root, unsaid, delivered))
    if start is not None:
        await note_missed(site.book, site.index, site.root, site.catalog, start)
    if delivered:
        tell(f"The log has lost {counted(len(delivered), 'delivered step')}, which will not be delivered again.")
    tell("The site is halted. Start it, look at what is missing, and then: comity site resume --as STEWARD")
