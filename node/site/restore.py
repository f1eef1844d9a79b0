"""Bringing a site back from an old copy of its folder: what the members still have is fetched, what is lost is said.

The catalog is completed from the members' replicas, each leaf under checkpoints that this site signed itself. What the
audit log has lost lies nowhere else, so its root key opens a new epoch of it: what members cosigned of the old one
stays evidence, and the new one begins with the leaves that are left. The receipts that members hold keep what was
delivered in between from being delivered, and charged, again. The site is halted until a steward has looked at it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from catalog.error import ComityError, Denied, Infeasible, Unreachable
from catalog.key import Signer
from catalog.origin import LogName, number_of
from catalog.reopening import Reopening
from node.automator.recovery import halting, next_epoch, remembered
from node.config import Folder
from node.keyfile import read_identity
from node.replicate.catchup import Sender, fetch_bodies, fetch_leaves
from node.site.site import Site
from node.site.standing import Heard, Sighting, ask_members, fault_of
from node.site.together import aside, side_by_side
from node.storage.reopened import reopen, unfinished
from node.storage.replica import ReplicaLog

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
    await _finish(folder, root, tell)
    heard, logs = await _look(folder, root, tell)
    catalog = [each for each in heard.sightings if each.log is LogName.CATALOG]
    forked = any(_is_fork(fault) for fault in logs[LogName.CATALOG])
    if not forked and logs[LogName.CATALOG]:
        await _complete(folder, catalog, tell)
    if forked or heard.away:
        await _reopen(folder, root, LogName.CATALOG, catalog, tell)
    elif not logs[LogName.CATALOG]:
        tell("The catalog is whole: no member has seen more of it.")
    reopening = None
    if logs[LogName.AUDIT] or heard.away:
        audit = [each for each in heard.sightings if each.log is LogName.AUDIT]
        reopening = await _reopen(folder, root, LogName.AUDIT, audit, tell)
    else:
        tell("The audit log is whole: no member has seen more of it.")
    await _halt(folder, reopening, tell)


async def _finish(folder: Folder, root: Signer, tell: Tell) -> None:
    """Finish new epochs that an earlier run wrote down and did not begin."""
    node = read_identity(folder.node_key)
    for path in (folder.catalog, folder.audit):
        begun = await trio.to_thread.run_sync(unfinished, path)
        if begun is not None:
            await trio.to_thread.run_sync(reopen, path, begun, node.key, (), (root.did,))
            tell(f"Epoch {begun.number} of the {begun.log} log, begun by an earlier run, is finished.")


async def _look(folder: Folder, root: Signer, tell: Tell) -> tuple[Heard, dict[LogName, list[str]]]:
    """What the members have seen, and for each log why it is not the newest."""
    site = await Site.open(folder)
    try:
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
        faults: dict[LogName, list[str]] = {log: [] for log in LogName}
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
                faults[each.log].append(fault)
        for line in told:
            tell(line)
        if heard.away:
            # What it has seen cannot be gone on beside: that would be a second history.
            tell(f"Both logs go on in a new epoch, for who did not answer may have seen more of them ({away}).")
        return heard, faults
    finally:
        await site.aclose()


def _is_fork(fault: str) -> bool:
    return "another history" in fault


async def _complete(folder: Folder, seen: Sequence[Sighting], tell: Tell) -> None:
    """Fetch the missing end of the catalog from the members that have it."""
    site = await Site.open(folder)
    try:
        origin, keys = site.catalog.origin, site.catalog.keys
        await site.catalog.aclose()
        own = await ReplicaLog.open(folder.catalog, origin, keys[0], keys[1:])
        try:
            before, failure = own.size, ""
            for each in sorted(seen, key=lambda sighting: -sighting.checkpoint.size):
                sender = Sender(each.member, site.root, site.reach, side_by_side, aside)
                try:
                    await fetch_leaves(sender, own, each.checkpoint, each.note)
                    await fetch_bodies(sender, own, before, lambda _bodies, _bytes: None)
                except ComityError as error:
                    failure = str(error)
            largest = max((each.checkpoint.size for each in seen), default=0)
            if own.size < largest:
                raise Unreachable(f"the catalog's entries up to {largest} could not be fetched ({failure}); try again")
            absent = await own.missing_bodies(before, 1 << 20)
        finally:
            await own.aclose()
    finally:
        await site.aclose()
    tell(f"The catalog is completed from the members' replicas: {own.size - before} entries came back.")
    if absent:
        tell(f"The content of {len(absent)} of them was for this site alone and is lost: entries {_few(absent)}.")


async def _reopen(folder: Folder, root: Signer, log: LogName, seen: Sequence[Sighting], tell: Tell) -> Reopening:
    """Open the next epoch of a log with the leaves that are left."""
    site = await Site.open(folder)
    try:
        own = site.logs[log]
        newest = max((each.checkpoint.size for each in seen), default=own.size)
        reopening = next_epoch(site.root, log, own, site.node.did, newest, root)
        path, key, earlier = own.folder, site.node.key, own.keys[1:]
        roots = [did for _, did in site.index.site(site.root).keys.charter.roots]
    finally:
        await site.aclose()
    await trio.to_thread.run_sync(reopen, path, reopening, key, earlier, roots)
    tell(
        f"The {log} log lacks {reopening.lost} leaves that nobody else has. The root key has opened its epoch"
        f" {reopening.number}, which begins with the {reopening.size} that are here."
    )
    return reopening


async def _halt(folder: Folder, reopening: Reopening | None, tell: Tell) -> None:
    """Halt the site, with the instances that others hold receipts of and the audit log does not know."""
    site = await Site.open(folder)
    try:
        members = {root: site.membership.names.get(root, root) for root in site.membership.nodes if root != site.root}
        ours = await remembered(site.reach, site.root, site.catalog.keys, members)
        delivered = ours.lost(site.ledger)
        for member, why in ours.away.items():
            tell(f"{members[member]} could not be asked for receipts ({why}); run this again once it answers.")
        # A release that waited when the copy was made, and was told since, is not asked about again.
        await site.releases.drop_waiting(ours.done)
        await site.book.write(halting(site.root, reopening, delivered))
    finally:
        await site.aclose()
    if delivered:
        tell(f"{len(delivered)} instances were delivered that the log no longer has: they are not delivered again.")
    tell("The site is halted. Start it, look at what is missing, and then: comity site resume --as STEWARD")


def _few(places: Sequence[int]) -> str:
    return ", ".join(map(str, places[:8])) + (" …" if len(places) > 8 else "")
