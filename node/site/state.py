"""The state of a site, read from its folder: logs and database, and what is rebuilt from the logs at every start."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from catalog.body import read_body
from catalog.index import Index
from catalog.origin import LogName
from node.automator.book import AuditBook
from node.config import Config, Folder, read_config
from node.keyfile import Identity, read_identity
from node.ports import Clock
from node.replicate.indexing import index_anew, index_log
from node.replicate.reopened import Reopened
from node.rotation import charter_of
from node.site.finding import Finding
from node.site.provers import Provers
from node.storage.database import Database
from node.storage.facts import Facts
from node.storage.ledger import DiskLedger
from node.storage.log import DiskLog
from node.storage.reopened import AcceptedReopenings, own_origin, read_reopenings
from node.storage.search import SearchStore
from node.system import SystemRandom


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
    provers: Provers
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
        self.database.close()


async def read_state(folder: Folder, clock: Clock) -> State:
    """Open what lies in a site's folder and rebuild everything that is a projection of its logs.

    Raises:
        NotFound: no site there. VerificationFailed: a file is damaged, named. Conflict: another node holds it.
    """
    config = read_config(folder)
    node = read_identity(folder.node_key)
    database = Database.open(folder.state)
    facts = Facts(database)
    catalog, audit = await _open_logs(folder, config.root, node)
    recovered = [log.recovered for log in (catalog, audit) if log.recovered]
    index, provers = Index([config.root]), Provers()
    await _index_own(catalog, index, config.root, facts, provers)
    for log in (catalog, audit):
        log.trust(node.did, tuple(did for did in index.site(config.root).nodes() if did != node.did))
    finding = await _find_in(folder, index, config.root, recovered)
    ledger = await DiskLedger.open(folder.ledger, audit)
    if ledger.recovered:
        recovered.append(ledger.recovered)
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
        provers,
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


async def _index_own(catalog: DiskLog, index: Index, root: str, facts: Facts, provers: Provers) -> None:
    """What counts of the site's own catalog, by what its members said of its root key."""
    own = index.site(root)
    own.govern((await charter_of(facts, root))[0])
    await index_log(catalog, own, None, provers)
    if own.due:
        await index_anew(catalog, index, root, None, provers)


async def _find_in(folder: Folder, index: Index, root: str, recovered: list[str]) -> Finding:
    """The search, with the site's own catalog in it."""
    store, damage = await trio.to_thread.run_sync(SearchStore.open, folder.search)
    if damage:
        recovered.append(f"{damage}; it was made anew from the logs")
    finding = Finding(index, store, recovered.append)
    await finding.renew(root)
    return finding


async def _read_halts(book: AuditBook, root: str, audit: DiskLog, ledger: DiskLedger) -> None:
    """For what the site is halted, by the rows about the site itself."""
    for row in ledger.rows(root, 0, audit.size, audit.size):
        if (stored := await audit.body(row)) is not None:
            book.halts.take(row, read_body(stored[1]))
