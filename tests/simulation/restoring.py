"""Bringing a hospital back from an old copy: what ``node/site/restore.py`` does, over the simulated network and disk.

The catalog is whole again at once here: members have all of it, and completing it is catching up. What the audit log
has lost lies nowhere else, so the root opens a new epoch of it; what others hold receipts of stands in its first row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.body import read_body
from catalog.checkpoint import Checkpoint, sign_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import decode
from catalog.error import ComityError, Unreachable
from catalog.origin import LogName, log_of
from catalog.reopening import Reopening
from node.automator.book import AuditBook
from node.automator.ledger import Ledger
from node.automator.recovery import halting, next_epoch, remembered
from node.message import MAX_MESSAGE, SeenAnswer
from node.ports import Bulk, Clock, Random
from node.site.recollection import SEEN_PATH
from node.site.standing import Sighting, _sighting, fault_of
from tests.simulation.consortium import Consortium, Site
from tests.simulation.disk import Appended, Change, SimulatedOwnLog, StoredLog, Write
from workflow.order import Instance


@dataclass(frozen=True)
class Backup:
    """What a copy of a disk holds that is brought back."""

    audit: StoredLog
    releases: dict[Cid, None]

    @classmethod
    def of(cls, site: Site) -> Backup:
        """A copy of a site's disk as it is now."""
        return cls(site.disk.audit.copy(), dict(site.disk.memory.releases))

    def put_back(self, site: Site) -> None:
        """Bring the copy back."""
        site.disk.audit = self.audit
        site.disk.memory.releases = self.releases


class Restoring:
    """One run of ``comity site restore``. Run again, it goes on where it was cut off."""

    def __init__(
        self, site: Site, consortium: Consortium, bulk: Bulk, clock: Clock, random: Random, appended: Appended
    ) -> None:
        self._site = site
        self._consortium = consortium
        self._bulk = bulk
        self._clock = clock
        self._audit = SimulatedOwnLog(site.disk.audit, site.node, random.token, appended)
        self.told: list[Instance] = []
        """What it has written down as delivered."""

        self.away: dict[str, str] = {}
        """Who did not say what was delivered."""

    async def run(self) -> None:
        """Restore the site.

        Raises:
            Unreachable: too few members answer to know what is missing.
        """
        heard = await self._look()
        sightings = [each for shown in heard.values() for each in shown]
        faults = [fault for each in sightings if (fault := await fault_of(each, self._audit))]
        # Who was not heard may have seen more.
        opened = [await self._reopen(sightings)] if faults or len(heard) < len(self._members) else []
        ledger = ledger_of(self._site.disk.audit)
        ours = await remembered(self._bulk, self._site.did, [self._site.node.did], self._members)
        lost = ours.lost(ledger)
        await self._site.disk.memory.drop_waiting(ours.done)
        book = AuditBook(self._site.did, self._site.node, self._audit, ledger, self._clock)
        await book.write(halting(self._site.did, opened, lost))
        self.told, self.away = lost, dict(ours.away)

    @property
    def _members(self) -> list[str]:
        return [each.did for each in self._consortium.sites if each is not self._site]

    async def _look(self) -> dict[str, list[Sighting]]:
        """What members have seen of the audit log: so many that one of every quorum is among them."""
        found: dict[str, list[Sighting]] = {}
        for member in self._members:
            try:
                answer = decode(SeenAnswer, await self._bulk.get(member, SEEN_PATH, MAX_MESSAGE), MAX_MESSAGE)
            except ComityError:
                continue
            notes = [note for note in answer.notes if log_of(note.partition("\n")[0], self._site.did) is LogName.AUDIT]
            found[member] = [each for note in notes for each in _sighting(self._site.did, member, note, [self._audit])]
        if len(found) < len(self._members) - self._consortium.quorum + 1:
            raise Unreachable("too few members answer")
        return found

    async def _reopen(self, sightings: Sequence[Sighting]) -> Reopening:
        site, log = self._site, self._site.disk.audit
        newest = max((each.checkpoint.size for each in sightings), default=self._audit.size)
        reopening = next_epoch(site.did, LogName.AUDIT, self._audit, site.node.did, newest, site.root)
        async with Change(Write.RENEW):
            log.origin = reopening.origin
            log.cosigned.clear()
            log.note = sign_checkpoint(Checkpoint(log.origin, reopening.size, reopening.root), site.node)
            site.disk.reopenings.append(reopening)
        return reopening


def ledger_of(log: StoredLog) -> Ledger:
    """What an audit log says."""
    ledger = Ledger()
    for position, (_, body) in sorted(log.bodies.items()):
        ledger.take(position, read_body(body))
    return ledger
