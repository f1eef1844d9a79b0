"""The histories of a site's catalog after a fork: what most members hold, and what can be taken up of the others.

Two nodes on copies of one folder, or an old copy that signed, leave several histories of a log, each of them signed by
the site. What the members have cosigned must not be lost with it, least of all a revocation: so the one that most of
them hold is the one that the root goes on from, whichever of them lies in the folder. Entries of the others are signed
by persons, for this log: those that rest on nothing of their own history are written again behind it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path

import trio

from catalog.body import Body, read_body
from catalog.dagcbor import encode
from catalog.entry import Entry, read_entry
from catalog.error import ComityError, NotFound, Unreachable, VerificationFailed
from catalog.leaf import decode_leaf
from catalog.member import KeyFields
from catalog.origin import LogName, number_of
from catalog.withdraw import WithdrawFields
from node.config import Folder
from node.log import Log, PeerLog
from node.replicate.catchup import Sender, fetch_bodies, fetch_leaves
from node.site.reaching import reaching
from node.site.site import Site
from node.site.standing import Sighting
from node.site.together import aside, side_by_side
from node.storage.durable import sync_folders
from node.storage.logfolder import CHECKPOINT, has_log, read_note
from node.storage.reopened import FILE, origin_in
from node.storage.replica import ReplicaLog

LEFT = "left"
HISTORY = "history-"
CHUNK = 1024

Tell = Callable[[str], None]


class Stage(Enum):
    """How far the catalog has come: to be gathered, whole, forked, or begun anew with others to be taken up."""

    GATHERING = auto()
    WHOLE = auto()
    FORKED = auto()
    REOPENED = auto()


def stage(folder: Folder) -> Stage:
    """Where a run that was cut off stopped; what it had gathered and not used is dropped."""
    own = _number(folder.catalog)
    there = {path: _number(path) for path in _others(folder)}
    if any(number < own for number in there.values()):
        return Stage.REOPENED
    if folder.restoring / LEFT in there:
        return Stage.FORKED
    for path in there:
        shutil.rmtree(path)
    return Stage.GATHERING


# --- what there is ---------------------------------------------------------------------------------------------------


async def gather(folder: Folder, sightings: Sequence[Sighting], anew: bool, tell: Tell) -> Stage:
    """Complete the catalog from what members hold of it, or put the history that most of them hold in its place.

    ``anew`` says that it is to be begun anew in any case: they prove a fork of it, or not all of them were heard.
    Other histories lie in ``folder.restoring`` afterwards.

    Raises:
        Unreachable: a history that a member has seen cannot be fetched.
    """
    found = await reaching(folder, partial(_gathered, sightings))
    base, own = found.base, found.own
    if base is not own:
        tell(
            f"Most members hold another history of the catalog than lies here: its {base.size} leaves take their place."
        )
        await trio.to_thread.run_sync(_put_in_place, folder, base.folder)
    elif own.size > found.before:
        tell(f"The catalog is completed from the members' replicas: {own.size - found.before} entries came back.")
    elif not found.others:
        tell("The catalog is whole: no member has seen more of it.")
    if found.absent:
        tell(f"The content of entries that were for this site alone is lost; see to them first: {_few(found.absent)}.")
    return Stage.FORKED if anew or found.others or found.withheld else Stage.WHOLE


@dataclass(frozen=True)
class _Gathered:
    """What members hold of the catalog. To go on from is ``base``: ``own``, which had ``before`` leaves, or another."""

    base: ReplicaLog
    own: ReplicaLog
    before: int
    others: int
    withheld: int
    absent: list[str]


async def _gathered(sightings: Sequence[Sighting], site: Site) -> _Gathered:
    folder, origin, keys = site.folder, site.catalog.origin, site.catalog.keys
    await site.catalog.aclose()
    own = await ReplicaLog.open(folder.catalog, origin, keys[0], keys[1:])
    histories: list[ReplicaLog] = []
    try:
        before = own.size
        votes, withheld = await _fetch(site, own, histories, _newest(sightings, origin), folder.restoring)
        base = max((own, *histories), key=lambda each: votes[each.folder])  # the first of several: what lies here
        _check_given(site, base, withheld)
        if base is not own:
            await _carry_bodies(own, base)
        absent = [f"{at} ({await _kind(base, at)})" for at in await _bodies(site, base, sightings)]
        return _Gathered(base, own, before, len(histories), len(withheld), absent)
    finally:
        for each in (own, *histories):
            await each.aclose()


def _check_given(site: Site, base: Log, withheld: Sequence[Sighting]) -> None:
    """Refuse to go on without what may be more of the same history."""
    for each in withheld:
        if each.checkpoint.size > base.size:
            name = site.membership.names.get(each.member, each.member)
            raise Unreachable(
                f"{name} has seen {each.checkpoint.size} entries of the catalog, and nobody gives what is beyond"
                f" {base.size}; try again when more members answer"
            )


def _newest(sightings: Sequence[Sighting], origin: str) -> list[Sighting]:
    """Of each member the newest that it has seen of the catalog in this epoch, the largest first."""
    newest: dict[str, Sighting] = {}
    for each in sorted(sightings, key=lambda sighting: sighting.checkpoint.size):
        if each.log is LogName.CATALOG and each.checkpoint.origin == origin:
            newest[each.member] = each
    return sorted(newest.values(), key=lambda sighting: -sighting.checkpoint.size)


async def _fetch(
    site: Site, own: ReplicaLog, histories: list[ReplicaLog], sightings: Sequence[Sighting], work: Path
) -> tuple[dict[Path, int], list[Sighting]]:
    """Bring what members have seen into ``own`` or, what is another history, into one of ``histories``.

    How many members hold each, by its folder, and what nobody gives.
    """
    votes, withheld = {own.folder: 0}, []
    for sighting in sightings:
        held = await _holder(site, [own, *histories], sighting)
        if held is None:
            fresh = await ReplicaLog.open(work / f"{HISTORY}{len(histories)}", own.origin, own.keys[0], own.keys[1:])
            if await _takes(site, fresh, sighting):
                held = fresh
                histories.append(fresh)
            else:
                await fresh.aclose()
        if held is None:
            withheld.append(sighting)
        else:
            votes[held.folder] = votes.get(held.folder, 0) + 1
    # Who has cosigned a checkpoint may not have its leaves yet: another member may have given them since.
    for sighting in list(withheld):
        for each in (own, *histories):
            if sighting.checkpoint.size <= each.size and await _takes(site, each, sighting):
                withheld.remove(sighting)
                votes[each.folder] += 1
                break
    return votes, withheld


async def _holder(site: Site, logs: Sequence[ReplicaLog], sighting: Sighting) -> ReplicaLog | None:
    """The history that has what a member has seen, if one of them does."""
    for each in logs:
        if await _takes(site, each, sighting):
            return each
    return None


async def _takes(site: Site, log: ReplicaLog, sighting: Sighting) -> bool:
    """Whether what a member has seen is of this history, which is brought so far if it ends before."""
    seen = sighting.checkpoint
    if seen.size <= log.size:
        return await log.root_at(seen.size) == seen.root
    try:
        await fetch_leaves(_sender(site, sighting.member), log, seen, sighting.note)
    except (Unreachable, NotFound, VerificationFailed):
        return False
    return True


async def common(one: Log, other: Log) -> int:
    """How many leaves two logs have in common from their beginning."""
    least, most = 0, min(one.size, other.size)
    while least < most:
        middle = (least + most + 1) // 2
        if await one.root_at(middle) == await other.root_at(middle):
            least = middle
        else:
            most = middle - 1
    return least


async def _carry_bodies(own: Log, base: PeerLog) -> None:
    """What lies here of the leaves that both have."""
    end = await common(own, base)
    for start in range(0, end, CHUNK):
        rows = await own.read(start, min(start + CHUNK, end))
        await base.put_bodies([(index, *each) for index, (_, each) in enumerate(rows, start) if each is not None])


async def _bodies(site: Site, base: ReplicaLog, sightings: Sequence[Sighting]) -> list[int]:
    """Fetch the bodies that lack from whoever has them; the places of those that nobody gives."""
    for member in dict.fromkeys(each.member for each in sightings):
        if not await base.missing_bodies(0, 1):
            break
        try:
            await fetch_bodies(_sender(site, member), base, 0, lambda _bodies, _bytes: None)
        except ComityError:
            continue  # another one may have them
    return await base.missing_bodies(0, 1 << 20)


async def _kind(log: Log, index: int) -> str:
    try:
        return decode_leaf(await log.leaf(index)).kind_name
    except VerificationFailed:
        return "not of a kind"


def _sender(site: Site, member: str) -> Sender:
    return Sender(member, site.root, site.reach, side_by_side, aside)


# --- which of them counts --------------------------------------------------------------------------------------------


def _put_in_place(folder: Folder, history: Path) -> None:
    """Have ``history`` in the catalog's place; what lay there goes aside. Cut off in between, it is undone."""
    left = folder.restoring / LEFT
    reopenings = folder.catalog / FILE
    if reopenings.exists():
        shutil.copy2(reopenings, history / FILE)
        sync_folders([history])
    os.replace(folder.catalog, left)
    os.replace(history, folder.catalog)
    sync_folders([folder.catalog.parent, folder.restoring])


def undo(folder: Folder) -> None:
    """Put the catalog back that a run which was cut off had put aside, if there is none in its place."""
    left = folder.restoring / LEFT
    if left.exists() and not has_log(folder.catalog):
        shutil.rmtree(folder.catalog, ignore_errors=True)
        os.replace(left, folder.catalog)
        sync_folders([folder.catalog.parent, folder.restoring])


async def beyond(folder: Folder) -> int:
    """Up to how many leaves the catalog would have come with those that other histories have beside it."""
    site = await Site.open(folder)
    try:
        upto = site.catalog.size
        for path in _others(folder):
            history = await _open(site, path)
            try:
                upto += history.size - await common(site.catalog, history)
            finally:
                await history.aclose()
        return upto
    finally:
        await site.aclose()


async def _open(site: Site, path: Path) -> ReplicaLog:
    keys = site.catalog.keys
    return await ReplicaLog.open(path, origin_in(path, site.root, LogName.CATALOG), keys[0], keys[1:])


def _others(folder: Folder) -> list[Path]:
    """Where the histories lie that are not the catalog's own."""
    found = folder.restoring.iterdir() if folder.restoring.is_dir() else ()
    return sorted(path for path in found if has_log(path))


def _number(path: Path) -> int:
    """The epoch of the log in a folder."""
    return number_of(read_note(path / CHECKPOINT).partition("\n")[0])


# --- what is taken up of the others ----------------------------------------------------------------------------------


async def take_up(folder: Folder, tell: Tell) -> int:
    """Write entries of other histories behind the catalog's own, as far as they count there; from where on it is new.

    Done again, it writes nothing twice.
    """
    site = await Site.open(folder)
    try:
        start = site.catalog.size
        if site.membership.epoch is not None:
            site.catalog.epoch = site.membership.epoch.number
        for path in _others(folder):
            history = await _open(site, path)
            try:
                start = min(start, await _take_up(site, history, tell))
            finally:
                await history.aclose()
        return start
    finally:
        await site.aclose()


async def _take_up(site: Site, history: Log, tell: Tell) -> int:
    own, fork = site.index.site(site.root), await common(site.catalog, history)
    taken, left = 0, []
    for index in range(fork, history.size):
        stored = await history.body(index)
        body = read_body(stored[1]) if stored is not None else None
        if body is not None and _counts(site, body, fork):
            await site.catalog.append([(body.kind, encode(body))])
            own.add(own.size, body.kind, body)
            taken += 1
        elif body is None or body.kind not in _OF_ITS_TIME:
            left.append(f"{index} ({await _kind(history, index)})")
    if taken:
        tell(f"{taken} entries of another history of the catalog count in this one, and were written again.")
    if left:
        tell(f"Entries of another history that rest on what is not in this one are left: {_few(left)}.")
    return fork


_OF_ITS_TIME = ("beat", "capacity")
"""What a node said of that moment, and says anew by itself."""


def _counts(site: Site, body: Body, fork: int) -> bool:
    """Whether ``body`` counts as the next entry, and rests on nothing that stood from ``fork`` on."""
    own = site.index.site(site.root)
    try:
        entry = read_entry(site.root, own.size, body.kind, body)
        own.authorise(entry)
    except VerificationFailed:
        return False
    return body.kind not in _OF_ITS_TIME and all(place < fork for place in _places(entry))


def _places(entry: Entry) -> list[int]:
    """The places of the log that an entry speaks of."""
    places = [] if entry.body.previous is None else [entry.body.previous]
    match entry.fields:
        case WithdrawFields(places=named):
            places += named
        case KeyFields(until=until) if until is not None:
            places.append(until)
        case _:
            pass
    return places


def _few(told: Sequence[str]) -> str:
    return ", ".join(told[:16]) + (f" and {len(told) - 16} more" if len(told) > 16 else "")
