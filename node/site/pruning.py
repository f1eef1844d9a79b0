"""Pruning an audit log: bodies that were kept for as long as they must be are erased; the log still verifies.

What still carries state stays, however old: else a site would forget that it is halted, carry an order out again, or
not know what to destroy. Of what goes its leaf is left, and its place in its chains under hashes of what it was
about, so that an asker counts it as a blank; what a pruned result left on disk is served to nobody any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from catalog.body import fields_of, read_body
from catalog.certificate import CertificateFields
from catalog.cid import Cid
from catalog.headmap import subject_hash
from catalog.index import Index
from catalog.project import ProjectFields, ProjectRef
from node.automator.ledger import Projection
from node.config import Folder
from node.site.consorting import open_replicas
from node.site.site import Site
from workflow.account import (
    ACCOUNTS,
    AccessFields,
    AccountFields,
    EntryFields,
    HaltFields,
    ReleaseFields,
    ResultFields,
    Side,
)

DAY_MILLIS: Final = 86_400_000
BATCH: Final = 4096


@dataclass(slots=True)
class Pruned:
    """How many bodies were erased, and how many stay that are as old: they still carry state."""

    erased: int = 0
    kept: int = 0


async def prune(folder: Folder, now: int) -> Pruned:
    """Erase what is older than the site's ``keep_days`` at ``now`` (Unix milliseconds), from the oldest on.

    Raises:
        NotFound: it is no site's folder. Conflict: a log is held by another process.
        VerificationFailed: a file is damaged.
    """
    site = await Site.open(folder)
    try:
        await open_replicas(site)
        return await _prune(site, now)
    finally:
        await site.aclose()


async def _prune(site: Site, now: int) -> Pruned:
    log, pruned, state = site.audit, Pruned(), Carried(site.root, site.index, site.ledger, now)
    oldest = now - site.config.keep_days * DAY_MILLIS
    for start in range(0, log.size, BATCH):
        stop = min(start + BATCH, log.size)
        going: dict[int, list[bytes]] = {}
        for index, (_, stored) in enumerate(await log.read(start, stop), start):
            if stored is None:
                continue
            body = read_body(stored[1])
            if body.at >= oldest:
                stop = index
                break
            fields = fields_of(body, ACCOUNTS[body.kind]) if body.kind in ACCOUNTS else None
            if fields is None or state.holds(index, fields):
                pruned.kept += 1
            else:
                going[index] = [subject_hash(subject) for subject in fields.chain]
        await log.prune(going)
        pruned.erased += len(going)
        if stop < min(start + BATCH, log.size):
            break
    return pruned


class Carried:
    """Which rows of the audit log of ``site`` still carry state at ``now``; asked in the order of their places.

    A row of a kind that this version does not know carries what it may; it is never asked about.
    """

    def __init__(self, site: str, index: Index, ledger: Projection, now: int) -> None:
        self._site = site
        self._index = index
        self._ledger = ledger
        self._now = now
        self._open: dict[ProjectRef, bool] = {}
        self._intents: set[int] = set()

    def holds(self, place: int, fields: AccountFields) -> bool:
        """Whether the row at ``place`` is needed still.

        Halts and their ends, which say what stands, which words were used, and what was delivered before a restore;
        what was examined before it left, against which later releases are held; what was begun, made and received for a
        project that this site is not finished with; and up to which entry the catalog was noted.
        """
        match fields:
            case HaltFields():
                return True
            case AccessFields(project=project):
                if self._is_open(project):
                    self._intents.add(place)
                return place in self._intents
            case ResultFields(intent=intent):
                return intent in self._intents
            case ReleaseFields(examined=Cid()):
                return True
            case ReleaseFields(side=Side.RECIPIENT, project=ProjectRef() as project):
                return self._is_open(project)
            case EntryFields(entry=entry):
                return entry == self._ledger.noted
            case _:
                return False

    def _is_open(self, ref: ProjectRef) -> bool:
        if ref not in self._open:
            self._open[ref] = not self._is_finished(ref)
        return self._open[ref]

    def _is_finished(self, ref: ProjectRef) -> bool:
        """Whether a project is over and nothing of it is left here; one that is not known here may go on."""
        there = self._index.sites.get(ref.site)
        fields = there.typed(ProjectFields, "project", ref.name) if there is not None else None
        if fields is None or not fields.over(self._now):
            return False
        own = self._index.site(self._site).typed(CertificateFields, "certificate", ref.subject)
        left = self._ledger.traces.of(ref)
        return (own is not None and own.terms == fields.terms) or not (left.values or left.datasets)
