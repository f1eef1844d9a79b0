"""Whether this folder is the newest there is of its site: asked of the members before anything new is signed.

A folder that was put back from a backup, or copied to a second machine, would sign another history than the one that
members have cosigned. What they show is signed by this site's own keys, so nobody can keep a node from starting.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from catalog.checkpoint import Checkpoint, open_checkpoint
from catalog.dagcbor import decode
from catalog.error import ComityError, Conflict, NotFound, Unreachable, VerificationFailed
from catalog.fork import Fork, check_fork
from catalog.origin import LogName, log_of, number_of
from catalog.reopening import Reopening
from node.message import MAX_MESSAGE, SeenAnswer
from node.ports import Bulk
from node.site.recollection import SEEN_PATH
from node.storage.stored import StoredLog

ASK_SECONDS: Final = 6.0
"""How long a starting node waits for members; who is away then may still refuse to cosign later."""

AGAIN_SECONDS: Final = 0.3
log = logging.getLogger("comity.standing")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A checkpoint of a log of this site, signed by this site, that ``member`` has."""

    member: str
    log: LogName
    checkpoint: Checkpoint
    note: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What the members say that they have seen, which logs they prove to be forked, and who did not answer."""

    sightings: tuple[Sighting, ...]
    reopenings: tuple[Reopening, ...]
    forked: frozenset[LogName]
    answered: tuple[str, ...]
    away: Mapping[str, str]


async def ask_members(
    bulk: Bulk, site: str, members: Sequence[str], logs: Sequence[StoredLog], enough: int, seconds: float = ASK_SECONDS
) -> Heard:
    """Ask all members what they have seen of the ``logs`` of ``site``, until all answered or the time is over.

    Once ``enough`` have answered, the others are given a moment more.
    """
    answers: dict[str, SeenAnswer] = {}
    away: dict[str, str] = dict.fromkeys(members, "it did not answer in time")
    some, every = trio.Event(), trio.Event()

    async def ask(member: str) -> None:
        while True:
            try:
                data = await bulk.get(member, SEEN_PATH, MAX_MESSAGE)
                answers[member] = decode(SeenAnswer, data, MAX_MESSAGE)
                break
            except Unreachable as error:
                away[member] = str(error)
                await trio.sleep(AGAIN_SECONDS)
            except (NotFound, VerificationFailed) as error:
                away[member] = f"it does not say: {error}"
                await trio.sleep(AGAIN_SECONDS)
        if len(answers) >= enough:
            some.set()
        if len(answers) == len(members):
            every.set()

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(ask, member)
            if members:
                await some.wait()
                with trio.move_on_after(2 * AGAIN_SECONDS):
                    await every.wait()
                nursery.cancel_scope.cancel()
    sightings = [
        each
        for member, answer in answers.items()
        for note in answer.notes
        for each in _sighting(site, member, note, logs)
    ]
    told = {each.origin: each for answer in answers.values() for each in answer.reopenings if each.site == site}
    return Heard(
        tuple(sightings),
        tuple(told[origin] for origin in sorted(told)),
        frozenset(log for answer in answers.values() for fork in answer.forks for log in _forked(site, fork, logs)),
        tuple(answers),
        {member: why for member, why in away.items() if member not in answers},
    )


def _sighting(site: str, member: str, note: str, logs: Sequence[StoredLog]) -> list[Sighting]:
    """The checkpoint in ``note``, if one of this site's keys signed it; else it says nothing."""
    origin = note.partition("\n")[0]
    name = log_of(origin, site)
    if name is None:
        return []
    keys = next(each.keys for each in logs if log_of(each.origin, site) is name)
    try:
        return [Sighting(member, name, open_checkpoint(note, origin, *keys), note)]
    except VerificationFailed as error:
        log.warning("a member shows a checkpoint that is none of this site's: %s", error)
        return []


def _forked(site: str, fork: Fork, logs: Sequence[StoredLog]) -> list[LogName]:
    """The log of which a member shows two histories, both signed by this site, in the epoch that it has here."""
    own = next((each for each in logs if each.origin == fork.origin), None)
    name = log_of(fork.origin, site)
    if own is None or name is None:
        return []
    try:
        check_fork(fork, own.keys)
    except VerificationFailed as error:
        log.warning("a member shows a fork that is none: %s", error)
        return []
    return [name]


async def fault_of(sighting: Sighting, own: StoredLog) -> str:
    """Why ``own`` is not the newest there is of its log, in words that follow a member's name; empty if it may be."""
    seen, number = sighting.checkpoint, number_of(sighting.checkpoint.origin)
    if number < number_of(own.origin):
        return ""  # an epoch that this site's root has closed
    if number > number_of(own.origin):
        return f"knows epoch {number} of the {sighting.log} log, which this folder does not have"
    if seen.size > own.size:
        return (
            f"has seen {seen.size} leaves of the {sighting.log} log of this site, signed by its own key, and here are"
            f" {own.size}"
        )
    try:
        same = seen.size == 0 or await own.root_at(seen.size) == seen.root
    except ComityError as error:
        return f"has seen a {sighting.log} log that cannot be compared with the one here ({error})"
    return "" if same else f"has seen another history of the {sighting.log} log, signed by this site's own key"


async def check_standing(heard: Heard, logs: Mapping[LogName, StoredLog], names: Mapping[str, str]) -> None:
    """Refuse to go on with a folder that is older than what members have seen, or beside it.

    Raises:
        Conflict: it is; the message says who has seen what, and what to do.
    """
    for sighting in heard.sightings:
        fault = await fault_of(sighting, logs[sighting.log])
        if fault:
            raise Conflict(
                f"{names.get(sighting.member, sighting.member)} {fault}: this folder was brought back from an old copy,"
                " or a second node runs on another copy of it. Nothing was signed. Stop the other node if there is"
                " one, then run «comity site restore»"
            )
