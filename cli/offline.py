"""A site's folder checked offline, trusting nothing but one root key: every log, every body, and their order.

The node key that signs the logs is believed because the root key enrolled it in the catalog log. A replica is the log
of the site whose root key its folder is named for, and is held to the same. Who must cosign is said by the consortium's
epochs, each checked against the one before; a release that fewer have cosigned is told as waiting, and is no fault.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.body import read_body
from catalog.checkpoint import Checkpoint, cosignatures
from catalog.epoch import charters
from catalog.error import ComityError, Damaged, NotFound, VerificationFailed
from catalog.index import SiteIndex
from catalog.key import public_bytes, short
from catalog.keyring import Charter
from catalog.leaf import decode_leaf, opens
from catalog.note import parse_note
from catalog.origin import LogName
from catalog.plural import counted
from catalog.reading import read_leaf
from catalog.reopening import Reopening
from catalog.tiles import WIDTH, bundles
from cli.accounts import Accounts
from node.config import Folder, read_config
from node.storage.bodies import FILE, MOST_COSIGNED, SCHEMA
from node.storage.consortium import read_accepted, read_epochs
from node.storage.fsck import check_folder
from node.storage.logfolder import CHECKPOINT, read_note
from node.storage.readonly import open_read_only
from node.storage.reopened import origin_in, read_reopenings, unopened
from node.storage.tilefolder import TILES, TileFolder

_COSIGNED: Final = "SELECT size, note FROM cosigned ORDER BY size DESC LIMIT ?"


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was checked of one log, in counts. ``signatures`` are those of bodies.

    ``of`` is the member whose log a replica is, by name, as far as the consortium's epochs name it.
    """

    path: str
    of: str
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
    """What was checked of a site's folder; each fault names its file and, where there is one, its leaf.

    ``waiting`` are releases that the quorum has not cosigned.
    """

    root: str
    logs: tuple[LogReport, ...]
    faults: tuple[str, ...]
    waiting: tuple[str, ...] = ()

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
    if not folder.catalog.is_dir():
        raise NotFound(f"there is no log in {folder.catalog}; give the folder of a site, or a copy of one")
    site = root or read_config(folder).root
    public_bytes(site)
    epochs = read_epochs(folder.state)
    known = charters(epochs) if epochs else {}
    replicas = {root: path for root, path in replicas_of(folder.replicas) if root != site}
    indexes = {root: index_of(path, root, known.get(root)) for root, path in replicas.items()}
    indexes[site] = index_of(folder.catalog, site, known.get(site))
    node = indexes[site][0].node()
    if node is None:
        raise VerificationFailed(_keyless(directory, folder.catalog, site))
    members = epochs[-1].roots() if epochs else frozenset(indexes)
    keys = {root: _cosigning(found) for root, (found, _) in indexes.items()}
    checked = _Checked(
        directory,
        folder.replicas,
        {member.root: member.site for epoch in epochs for member in epoch.members},
        keys,
        members,
        epochs[-1].quorum if epochs else 0,
        {root: index for root, (index, _) in indexes.items()},
        read_accepted(folder.state),
    )
    logs = [_Log(folder.catalog, site, node, LogName.CATALOG), _Log(folder.audit, site, node, LogName.AUDIT)]
    reports, faults, waiting = [], [], []
    for root, path in replicas.items():
        key = indexes[root][0].node()
        if key is None:
            faults.append(_keyless(directory, path, root))
        else:
            logs.append(_Log(path, root, key, LogName.CATALOG))
    for log in logs:
        report, wrong, late = _check(checked, log, indexes[log.site][1])
        reports.append(report)
        faults += wrong
        waiting += late
    return SiteReport(site, tuple(reports), tuple(faults), tuple(waiting))


def _keyless(directory: Path, log: Path, site: str) -> str:
    """Why no node key of ``site`` can be read from its catalog log: a leaf that is damaged, or another site's log."""
    name = log.relative_to(directory).as_posix()
    # Nothing says who signed its checkpoint; the leaves and the hashes over them can be compared all the same.
    for fault in check_folder(log, origin_in(log, site, LogName.CATALOG), site).faults:
        if fault.index is not None or fault.file.startswith(TILES):
            return f"{name}/{fault}; so the node key that the root key enrolled cannot be read"
    try:
        open_read_only(log / FILE, SCHEMA).close()
    except (Damaged, sqlite3.DatabaseError) as error:
        return f"{name}/{FILE}: {error}; so the node key that the root key enrolled cannot be read"
    return f"{name}/{FILE}: no node key is enrolled by the root key {short(site)}; the log is another site's"


def replicas_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The replicas by the root keys of their sites, which are their folders' names."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / CHECKPOINT).exists():
            yield f"did:key:{path.name}", path


@dataclass(frozen=True, slots=True)
class _Checked:
    """What the logs are held against: all sites' node keys, the earlier ones too, which of these sites are members, how
    many of them must cosign, and their catalogs' indexes.
    """

    directory: Path
    replicas: Path
    names: Mapping[str, str]
    nodes: Mapping[str, Sequence[str]]
    members: frozenset[str]
    quorum: int
    indexes: Mapping[str, SiteIndex]
    reopenings: Sequence[Reopening]

    def opened(self, log: _Log) -> Sequence[Reopening]:
        """What opened the epochs of a log: beside a site's own, in its database for a replica."""
        if log.path.parent != self.replicas:
            return read_reopenings(log.path)
        return [each for each in self.reopenings if (each.site, each.log) == (log.site, log.name)]


def _check(checked: _Checked, log: _Log, signatures: int) -> tuple[LogReport, list[str], list[str]]:
    name = log.path.relative_to(checked.directory).as_posix()
    others = {site: keys for site, keys in checked.nodes.items() if site != log.site}
    origin = origin_in(log.path, log.site, log.name)
    report = check_folder(log.path, origin, log.node, others, _earlier(checked.indexes[log.site], log))
    wrong: list[tuple[int | None, str]] = []
    roots = [did for _, did in checked.indexes[log.site].keys.charter.roots]
    unproven = unopened(log.path, origin, checked.opened(log), roots)
    late: list[str] = []
    if log.name is LogName.CATALOG:
        wrong += sorted(checked.indexes[log.site].faults.items())
    else:
        accounts = Accounts(log.site, checked.indexes)
        signatures, wrong = _accounts(accounts, log)
        witnesses = {site: keys for site, keys in others.items() if site in checked.members}
        covered = _covered(log, witnesses, checked.quorum)
        late = [
            f"{name}: the release at leaf {at} waits for cosignatures of {counted(checked.quorum, 'member')}"
            for at in accounts.releases
            if at >= covered
        ]
    # A body that is not what its leaf commits to is named once, by the check of the log.
    named = {fault.index for fault in report.faults}
    faults = [f"{name}/{fault}" for fault in report.faults]
    faults += [f"{name}: {counted(report.unlisted, 'fault')} more"] if report.unlisted else []
    faults += [f"{name}/{CHECKPOINT}: {unproven}"] if unproven else []
    faults += [f"{name}/{FILE}: {_at(index)}{reason}" for index, reason in wrong if index not in named or index is None]
    told = LogReport(
        path=name,
        of=checked.names.get(log.site, "") if log.path.parent == checked.replicas else "",
        origin=report.origin,
        leaves=report.leaves,
        bodies=report.bodies,
        signatures=signatures,
        cosignatures=report.cosignatures,
        unchecked=report.unchecked,
        absent=report.absent,
        erased=report.erased,
    )
    return told, faults, late


def _earlier(site: SiteIndex, log: _Log) -> dict[str, int]:
    """The keys that signed a log before, and up to how many leaves of it what each signed counts."""
    limits = (
        (did, key.until if log.name is LogName.CATALOG else key.audit_until) for did, key in site.keys.nodes.items()
    )
    return {did: most for did, most in limits if most is not None}


def _cosigning(site: SiteIndex) -> tuple[str, ...]:
    """The keys whose cosignatures count as a site's: those that it has or had, but for stolen ones.

    Cosignatures name no place in their witness's log, so a thief could have made any of them.
    """
    return tuple(did for did in site.nodes() if did not in site.keys.stolen)


def _covered(log: _Log, others: Mapping[str, Sequence[str]], quorum: int) -> int:
    """How many leaves of a log the quorum has cosigned; all of them where none is needed."""
    if not quorum:
        return 1 << 62
    try:
        with closing(open_read_only(log.path / FILE, SCHEMA)) as database:
            for size, note in database.execute(_COSIGNED, (MOST_COSIGNED + 1,)):
                if isinstance(size, int) and len({name for name, _ in cosignatures(str(note), others)}) >= quorum:
                    return size
    except (ComityError, sqlite3.DatabaseError):
        return 0  # what is wrong with it is named by the check of the log itself
    return 0


def _at(index: int | None) -> str:
    return "" if index is None else f"leaf {index}: "


def index_of(folder: Path, site: str, charter: Charter | None) -> tuple[SiteIndex, int]:
    """The index of the catalog log in ``folder`` as nodes make it, and how many bodies' authority held."""
    index, origin = SiteIndex(site), origin_in(folder, site, LogName.CATALOG)
    if charter is not None:
        index.govern(charter)
    checked = _feed(index, folder, origin)
    while index.due:  # a key was removed as of an earlier place: what counted before does not
        index = index.anew()
        checked = _feed(index, folder, origin)
    return index, checked


def _feed(index: SiteIndex, folder: Path, origin: str) -> int:
    return sum(index.take(read_leaf(origin, *row)) is not None for row in rows_in(folder))


def _accounts(accounts: Accounts, log: _Log) -> tuple[int, list[tuple[int | None, str]]]:
    """Check an audit log's bodies; how many signatures held, and what is wrong at which leaf."""
    wrong: list[tuple[int | None, str]] = []
    checked = 0
    for at, leaf, data in rows_in(log.path):
        if data is None:
            accounts.unread.add(at)
            continue
        try:
            body = read_body(data)
            fields = accounts.read(at, decode_leaf(leaf), body)
        except VerificationFailed as error:
            accounts.unread.add(at)
            wrong.append((at, str(error)))
            continue
        try:
            accounts.take(at, body, fields)
        except VerificationFailed as error:
            wrong.append((at, str(error)))
        checked += 1
    return checked, [*wrong, *accounts.mistaken]


def rows_in(folder: Path) -> Iterator[tuple[int, bytes, bytes | None]]:
    """The leaves of a log with their bodies, as far as they can be read; none where the leaf opens to another body."""
    files = TileFolder(folder)
    try:
        size = Checkpoint.parse(parse_note(read_note(folder / CHECKPOINT)).text).size
        with closing(open_read_only(folder / FILE, SCHEMA)) as database:
            for start in range(0, size, WIDTH):
                [bundle] = bundles(start, min(start + WIDTH, size))
                for at, leaf in enumerate(files.read_leaves(bundle), start):
                    yield at, leaf, _body(database, at, leaf)
    except (ComityError, OSError, sqlite3.DatabaseError):
        # What cannot be read is named, with its file and leaf, by the check of the log itself.
        return


def _body(database: sqlite3.Connection, at: int, leaf: bytes) -> bytes | None:
    row = database.execute("SELECT salt, body FROM bodies WHERE leaf = ?", (at,)).fetchone()
    salt, data = row if row else (None, None)
    if not isinstance(salt, bytes) or not isinstance(data, bytes):
        return None
    try:
        return data if opens(decode_leaf(leaf), data, salt) else None
    except VerificationFailed:
        return None
