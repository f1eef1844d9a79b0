"""The state of a site, read from its folder: logs and database, and what is rebuilt from the logs at every start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import trio

from catalog.body import read_body
from catalog.error import Damaged
from catalog.index import Index
from catalog.origin import LogName
from node.automator.book import AuditBook
from node.config import Config, Folder, read_config
from node.keyfile import Identity, read_identity
from node.ports import Clock
from node.replicate.indexing import Feeding, index_anew, index_log
from node.replicate.reopened import Reopened
from node.rotation import charter_of
from node.site.finding import Finding
from node.site.keeping import Keeping
from node.site.provers import Provers
from node.site.together import Turns
from node.storage.database import Database
from node.storage.facts import Facts
from node.storage.ledger import DiskLedger
from node.storage.log import DiskLog
from node.storage.reopened import AcceptedReopenings, own_origin, read_reopenings
from node.storage.replica import ReplicaLog
from node.storage.search import SearchStore
from node.storage.versionstore import VersionStore
from node.system import SystemRandom

_CLOCKS: Final = 60_000
"""Milliseconds that a clock may have been set back without a word."""


@dataclass(frozen=True, slots=True)
class State:
    """What lies in ``folder``, opened. ``recovered`` says, a line each, what had to be made good."""

    folder: Folder
    config: Config
    node: Identity
    database: Database
    facts: Facts
    catalog: DiskLog
    audit: DiskLog
    index: Index
    replicas: dict[str, ReplicaLog]
    provers: Provers
    keeping: Keeping
    finding: Finding
    ledger: DiskLedger
    book: AuditBook
    reopened: Reopened
    recovered: list[str]

    async def aclose(self) -> None:
        """Close all of it."""
        self.ledger.close()
        for log in (self.catalog, self.audit):
            await log.aclose()
        await self.provers.aclose()
        await self.finding.aclose()
        self.keeping.close()
        self.database.close()


async def read_state(folder: Folder, clock: Clock) -> State:
    """Open what lies in a site's folder and rebuild everything that is a projection of its logs.

    Raises:
        NotFound: no site there. Damaged: a file is damaged, named. Conflict: another node holds it.
    """
    config = read_config(folder)
    node = read_identity(folder.node_key)
    database = Database.open(folder.state)
    facts = Facts(database)
    catalog, audit = await _open_logs(folder, config.root, node)
    recovered = [log.recovered for log in (catalog, audit) if log.recovered]
    replicas: dict[str, ReplicaLog] = {}
    store = await _open_versions(folder, config.root, catalog, replicas, recovered)
    index, provers, keeping = Index([config.root], store.begin), Provers(), Keeping(store)
    await _index_own(catalog, index, config.root, facts, keeping, provers)
    for log in (catalog, audit):
        log.trust(node.did, tuple(did for did in index.site(config.root).nodes() if did != node.did))
    finding = await _find_in(folder, index, config.root, recovered)
    ledger = await DiskLedger.open(folder.ledger, audit)
    if ledger.recovered:
        recovered.append(ledger.recovered)
    if ahead := _ahead(ledger.newest, clock.now()):
        recovered.append(ahead)
    book = AuditBook(config.root, node.key, audit, ledger, clock)
    await _read_halts(book, config.root, audit, ledger)
    reopened = Reopened(AcceptedReopenings(facts), lambda site: [did for _, did in index.site(site).keys.charter.roots])
    await reopened.load()
    for name, path in ((LogName.CATALOG, folder.catalog), (LogName.AUDIT, folder.audit)):
        reopened.own(config.root, name, read_reopenings(path))
    return State(
        folder,
        config,
        node,
        database,
        facts,
        catalog,
        audit,
        index,
        replicas,
        provers,
        keeping,
        finding,
        ledger,
        book,
        reopened,
        recovered,
    )


async def _open_logs(folder: Folder, root: str, node: Identity) -> list[DiskLog]:
    """The catalog and the audit log, each under the epoch of it that the root opened last."""
    random = SystemRandom()
    return [
        await DiskLog.open(path, own_origin(path, root, name), 0, node.key, random)
        for name, path in ((LogName.CATALOG, folder.catalog), (LogName.AUDIT, folder.audit))
    ]


async def _open_versions(
    folder: Folder, root: str, catalog: DiskLog, replicas: Mapping[str, ReplicaLog], recovered: list[str]
) -> VersionStore:
    """What was read of the catalogs, whose bodies lie in ``catalog`` and in those ``replicas`` that are open."""

    def body(site: str, place: int) -> bytes | None:
        log = catalog if site == root else replicas.get(site)
        return None if log is None else log.peek(place)

    store, damage = await trio.to_thread.run_sync(VersionStore.open, folder.versions, body)
    if damage:
        recovered.append(f"{damage}; it was made anew from the logs")
    return store


async def _index_own(
    catalog: DiskLog, index: Index, root: str, facts: Facts, keeping: Keeping, provers: Provers
) -> None:
    """What counts of the site's own catalog, by what its members said of its root key."""
    own, feeding = index.site(root), Feeding(provers, keeping, turns=Turns())
    own.govern((await charter_of(facts, root))[0])
    await keeping.take_up(catalog, own)
    await index_log(catalog, own, feeding)
    if own.due:
        await index_anew(catalog, index, root, feeding)


async def _find_in(folder: Folder, index: Index, root: str, recovered: list[str]) -> Finding:
    """The search, with the site's own catalog in it."""
    store, damage = await trio.to_thread.run_sync(SearchStore.open, folder.search)
    if damage:
        recovered.append(f"{damage}; it was made anew from the logs")
    finding = Finding(index, store, recovered.append)
    await finding.renew(root)
    return finding


def _ahead(newest: int, now: int) -> str:
    """What is told of an audit log whose newest row is of a time that the clock has not reached; empty if it has."""
    if newest <= now + _CLOCKS:
        return ""
    hours = (newest - now) / 3_600_000
    return (
        f"the newest row of the audit log is dated {hours:,.1f} h ahead of this machine's clock: every row takes that"
        " time until the clock has passed it, for times never fall; see that the clock is right"
    )


async def _read_halts(book: AuditBook, root: str, audit: DiskLog, ledger: DiskLedger) -> None:
    """For what the site is halted, by the rows about the site itself.

    Raises:
        Damaged: one of them was erased, so that nobody knows what it halted; no tool here does that.
    """
    for row in ledger.rows(root, 0, audit.size, audit.size):
        stored = await audit.body(row)
        if stored is None:
            raise Damaged(
                f"leaf {row} of the audit log, about a halt of this site, was erased in {audit.folder}; whether the"
                " site is halted cannot be known: restore it from a backup"
            )
        book.halts.take(row, read_body(stored[1]))
