"""A site's folder checked offline, trusting nothing but one root key: every log, every body, and their order.

The node key that signs the logs is believed because the root key enrolled it in the catalog log. A replica names
its site in its checkpoint and its node in its folder, and is held to the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from catalog.body import Body, fields_of, read_body
from catalog.checkpoint import Checkpoint
from catalog.cid import Cid
from catalog.error import ComityError, NotFound, VerificationFailed
from catalog.index import SiteIndex
from catalog.key import check, public_bytes, short
from catalog.leaf import Leaf, decode_leaf, opens
from catalog.note import parse_note
from catalog.origin import LogName, origin_of
from catalog.tiles import bundles
from node.config import Folder, read_config
from node.storage.bodies import FILE
from node.storage.fsck import check_folder
from node.storage.logfolder import CHECKPOINT, read_note
from node.storage.tilefolder import TileFolder
from workflow.account import ACCOUNTS, AccessFields, AccountFields, ResultFields


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was checked of one log, in counts. ``signatures`` are those of bodies."""

    path: str
    origin: str
    leaves: int
    bodies: int
    signatures: int
    cosignatures: int
    unchecked: int
    absent: int
    erased: int


@dataclass(frozen=True, slots=True)
class SiteReport:
    """What was checked of a site's folder; each fault names its file and, where there is one, its leaf."""

    root: str
    logs: tuple[LogReport, ...]
    faults: tuple[str, ...]

    @property
    def leaves(self) -> int:
        """Of all logs."""
        return sum(log.leaves for log in self.logs)

    @property
    def bodies(self) -> int:
        """Of all logs."""
        return sum(log.bodies for log in self.logs)

    @property
    def signatures(self) -> int:
        """Of all logs."""
        return sum(log.signatures for log in self.logs)

    @property
    def cosignatures(self) -> int:
        """Of all logs."""
        return sum(log.cosignatures for log in self.logs)


@dataclass(frozen=True, slots=True)
class _Log:
    """A log to be checked: its folder, whose it is, and the key that signs it."""

    path: Path
    site: str
    node: str
    name: LogName


def verify_site(directory: Path, root: str | None = None) -> SiteReport:
    """Check all logs in a site's folder; damage is in the report.

    Raises:
        NotFound: it is no site's folder. BadInput: the root key is none.
        VerificationFailed: no node key is enrolled by the root key, so that nothing can be checked.
    """
    folder = Folder(directory)
    site = root or read_config(folder).root
    public_bytes(site)
    if not folder.catalog.is_dir():
        raise NotFound(f"there is no log in {folder.catalog}; give the folder of a site, or a copy of one")
    node = _index(folder.catalog, site)[0].node()
    if node is None:
        raise VerificationFailed(
            f"{folder.catalog / FILE}: no node key is enrolled by the root key {short(site)}; "
            "the log is another site's, or its first entries are damaged"
        )
    logs = [
        _Log(folder.catalog, site, node, LogName.CATALOG),
        _Log(folder.audit, site, node, LogName.AUDIT),
        *_replicas(folder.replicas),
    ]
    witnesses = {log.site: log.node for log in logs}
    reports, faults = [], []
    for log in logs:
        report, wrong = _check(directory, log, witnesses)
        reports.append(report)
        faults += wrong
    return SiteReport(site, tuple(reports), tuple(faults))


def _replicas(folder: Path) -> Iterator[_Log]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / CHECKPOINT).exists():
            # Who signs is the folder's name; whose log that is, its first line, and the root's enrolment bears it out.
            origin = (path / CHECKPOINT).read_text(errors="replace").partition("\n")[0][:200]
            yield _Log(path, origin.partition("/")[0], f"did:key:{path.name}", LogName.CATALOG)


def _check(directory: Path, log: _Log, witnesses: Mapping[str, str]) -> tuple[LogReport, list[str]]:
    name = log.path.relative_to(directory).as_posix()
    others = {site: node for site, node in witnesses.items() if site != log.site}
    report = check_folder(log.path, origin_of(log.site, log.name), log.node, others)
    if log.name is LogName.CATALOG:
        index, checked = _index(log.path, log.site)
        wrong: list[tuple[int | None, str]] = [*sorted(index.faults.items())]
        if index.node() != log.node:
            wrong.append((None, f"its node key {short(log.node)} is not the one that the root key enrolled"))
    else:
        checked, wrong = _accounts(log)
    # A body that is not what its leaf commits to is named once, by the check of the log.
    named = {fault.index for fault in report.faults}
    faults = [f"{name}/{fault}" for fault in report.faults]
    faults += [f"{name}/{FILE}: {_at(index)}{reason}" for index, reason in wrong if index not in named or index is None]
    counted = LogReport(
        path=name,
        origin=report.origin,
        leaves=report.leaves,
        bodies=report.bodies,
        signatures=checked,
        cosignatures=report.cosignatures,
        unchecked=report.unchecked,
        absent=report.absent,
        erased=report.erased,
    )
    return counted, faults


def _at(index: int | None) -> str:
    return "" if index is None else f"leaf {index}: "


def _index(folder: Path, site: str) -> tuple[SiteIndex, int]:
    """The index of a catalog log, and how many bodies' signatures and authority held."""
    index, checked = SiteIndex(site), 0
    for at, leaf, data in _entries(folder):
        try:
            body = read_body(data) if data is not None else None
        except VerificationFailed as error:
            body = None
            index.faults[at] = str(error)
        checked += index.add(at, leaf.kind_name, body) is not None
    return index, checked


@dataclass(slots=True)
class _Book:
    """What the bodies of an audit log said so far. ``unread`` are those that are erased, damaged or not here."""

    intents: dict[int, Cid]
    heads: dict[str, int]
    unread: set[int]

    def take(self, at: int, kind: str, fields: AccountFields) -> None:
        """Check one body against those before it, and remember it.

        Raises:
            VerificationFailed: a result without its intent, or a chain with a gap.
        """
        heads = dict(self.heads)
        self.heads.update(dict.fromkeys(fields.chain, at))
        if kind == "intent" and isinstance(fields, AccessFields):
            self.intents[at] = fields.order
        if isinstance(fields, ResultFields):
            self._check_intent(fields)
        for dataset, before in fields.chain.items():
            head = heads.get(dataset)
            # An unread body may be the one that stands between.
            if before != head and not (before in self.unread and before > (-1 if head is None else head)):
                raise VerificationFailed(f"it says that leaf {before} was the last about {dataset}; that was {head}")

    def _check_intent(self, result: ResultFields) -> None:
        if result.intent not in self.unread and self.intents.get(result.intent) != result.order:
            raise VerificationFailed(f"it is the result of an order for which leaf {result.intent} has no intent")


def _accounts(log: _Log) -> tuple[int, list[tuple[int | None, str]]]:
    """Check an audit log's bodies: by its node, each result after its intent, each dataset's chain unbroken."""
    wrong: list[tuple[int | None, str]] = []
    book = _Book({}, {}, set())
    checked = 0
    for at, leaf, data in _entries(log.path):
        if data is None:
            book.unread.add(at)
            continue
        try:
            fields = _account(log, leaf, read_body(data))
        except VerificationFailed as error:
            book.unread.add(at)
            wrong.append((at, str(error)))
            continue
        try:
            book.take(at, leaf.kind_name, fields)
        except VerificationFailed as error:
            wrong.append((at, str(error)))
        checked += 1
    return checked, wrong


def _account(log: _Log, leaf: Leaf, body: Body) -> AccountFields:
    if body.kind != leaf.kind_name or body.site != log.site or body.actor != log.node:
        raise VerificationFailed("its body is of another kind, site or actor than its place says")
    check(body, log.node)
    kind = ACCOUNTS.get(body.kind)
    if kind is None:
        raise VerificationFailed(f"it is of the kind «{body.kind}», which this version does not know")
    return fields_of(body, kind)


def _entries(folder: Path) -> Iterator[tuple[int, Leaf, bytes | None]]:
    """The leaves of a log with their bodies, as far as they can be read; none where the leaf opens to another body."""
    try:
        size = Checkpoint.parse(parse_note(read_note(folder / CHECKPOINT)).text).size
        leaves = (leaf for tile in bundles(0, size) for leaf in TileFolder(folder).read_leaves(tile))
        with closing(_database(folder / FILE)) as database:
            for at, data in enumerate(leaves):
                leaf = decode_leaf(data)
                yield at, leaf, _body(database, at, leaf)
    except (ComityError, OSError, sqlite3.DatabaseError):
        # What cannot be read is named, with its file and leaf, by the check of the log itself.
        return


def _body(database: sqlite3.Connection, at: int, leaf: Leaf) -> bytes | None:
    row = database.execute("SELECT salt, body FROM bodies WHERE leaf = ?", (at,)).fetchone()
    salt, data = row if row else (None, None)
    if not isinstance(salt, bytes) or not isinstance(data, bytes) or not opens(leaf, data, salt):
        return None
    return data


def _database(path: Path) -> sqlite3.Connection:
    log = path.with_name(path.name + "-wal")
    # Without a write-ahead log nobody writes, and a copy may lie on a medium that cannot be written.
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True)
