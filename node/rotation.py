"""Giving a site's node a new key: what lies ready in its folder, and how the next start carries it out.

The root key signs where it is (``comity site rotate``); the node never sees it. A rotation lies ready once its file is
there. It is carried out before anything else is opened, each step harmless to repeat, and the last one is that the new
key takes the old one's name.
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import trio

from catalog.body import Index as Place
from catalog.body import read_body, write_body
from catalog.dagcbor import Value, decode, encode
from catalog.epoch import charters
from catalog.error import BadInput, ComityError, Conflict, NotFound, VerificationFailed
from catalog.index import Index, SiteIndex
from catalog.key import Did, Signer
from catalog.keyring import Charter
from catalog.member import Epoch, KeyFields, Role
from catalog.origin import LogName
from node.config import Folder, read_config
from node.founding import Founding
from node.keyfile import Identity, read_identity, sync, write_identity, write_secret
from node.replicate.indexing import ALONE, index_anew
from node.storage.bodies import FILE, Bodies
from node.storage.database import Database
from node.storage.facts import Fact, Facts, Kept
from node.storage.log import DiskLog
from node.storage.reopened import own_origin
from node.system import SystemRandom

_NODE = b"\x64role\x64node"
"""How the body of a node key's entry says what it is about, in canonical DAG-CBOR."""


class Rotation(Value, frozen=True, kw_only=True):
    """A change of the node's key: the bodies, by the root, that remove the old keys and enrol ``node``.

    ``audit`` is the size that the audit log must have, where nothing of it may be lost; ``both`` that the old key
    signs the checkpoints too, so that members that know only the old one can go along.
    """

    bodies: Annotated[tuple[bytes, ...], msgspec.Meta(min_length=1, max_length=9)]
    node: Did
    epoch: Place
    audit: Place | None
    both: bool


def next_key(folder: Folder) -> Path:
    """Where the new key lies until it takes the old one's place."""
    return folder.node_key.with_name("node.key.next")


def ready(folder: Folder) -> Path:
    """The file of the rotation that is to be carried out."""
    return folder.node_key.with_name("rotation")


def is_ready(folder: Folder) -> bool:
    """Whether a rotation is to be carried out at the next start."""
    return ready(folder).exists()


def removal(old: KeyFields, audit: int, since: tuple[int, int] | None) -> KeyFields:
    """The fields that remove a node key: it counts up to ``audit`` of the audit log, or to ``since`` of both logs."""
    until, audit_until = (None, audit) if since is None else since
    return msgspec.structs.replace(old, removed=True, until=until, audit_until=audit_until)


def enrolment(node: Identity) -> KeyFields:
    """The fields that enrol a node key."""
    return KeyFields(did=node.did, role=Role.NODE, name=node.name, x25519=node.x25519)


def signed_bodies(site: str, root: Signer, at: int, entries: list[tuple[KeyFields, int | None]]) -> tuple[bytes, ...]:
    """Key entries, each with the place that it replaces, as bodies by the root key."""
    bodies = (write_body("key", fields, site=site, at=at, by=root, previous=before) for fields, before in entries)
    return tuple(encode(body) for body in bodies)


def prepare(folder: Folder, rotation: Rotation, node: Identity) -> None:
    """Lay a rotation ready; durable on return.

    Raises:
        Conflict: one lies ready already.
    """
    if is_ready(folder):
        raise Conflict(f"a change of the node's key lies ready in {folder.path}; start the node to carry it out")
    next_key(folder).unlink(missing_ok=True)  # of one that was never laid ready
    write_identity(next_key(folder), node)
    write_secret(ready(folder), encode(rotation))


def dismiss(folder: Folder) -> None:
    """Take back what lies ready: the old key stays."""
    ready(folder).unlink(missing_ok=True)
    next_key(folder).unlink(missing_ok=True)
    sync(folder.node_key.parent)


async def read_own(folder: Folder) -> tuple[SiteIndex, int, int, int]:
    """The index of a stopped node's own catalog, the sizes of its two logs, and the consortium's epoch.

    Raises:
        Conflict: a node runs on the folder. NotFound, VerificationFailed: no site there, or it is damaged.
    """
    key = Identity.new("nobody")  # opens only what earlier keys signed, and signs nothing
    catalog, audit = await _logs(folder, key, 0)
    try:
        index, epoch = await _indexed(catalog, folder)
        return index, catalog.size, audit.size, epoch
    finally:
        await catalog.aclose()
        await audit.aclose()


async def carry_out(folder: Folder) -> str:
    """Carry out what lies ready; what was done, in plain words, empty if nothing was.

    Raises:
        Conflict: another process holds the folder. VerificationFailed: something in it is damaged.
        ComityError: the disk refused; the next start goes on.
    """
    if not is_ready(folder):
        return ""
    rotation = decode(Rotation, ready(folder).read_bytes())
    node = read_identity(next_key(folder)) if next_key(folder).exists() else read_identity(folder.node_key)
    if node.did != rotation.node:
        raise VerificationFailed(
            f"{ready(folder)} is about another key than {next_key(folder)}; run the rotation again"
        )
    catalog, audit = await _logs(folder, node, rotation.epoch)
    try:
        if next_key(folder).exists() and rotation.audit not in (None, audit.size):
            await trio.to_thread.run_sync(dismiss, folder)
            return "the node's key was not changed: its audit log grew meanwhile; run «comity site rotate» again"
        old = read_identity(folder.node_key).key if rotation.both and next_key(folder).exists() else None
        last = await catalog.body(catalog.size - 1)
        if last is None or last[1] != rotation.bodies[-1]:
            await _check(catalog, folder, rotation)
            await catalog.append([("key", body) for body in rotation.bodies])
        await catalog.sign_anew(old)
        await audit.sign_anew(old)
    finally:
        await catalog.aclose()
        await audit.aclose()
    await trio.to_thread.run_sync(_take_place, folder)
    return f"the node has a new key, {node.did}"


async def _check(catalog: DiskLog, folder: Folder, rotation: Rotation) -> None:
    """Nothing is written that would not count: a rotation that its site does not accept is worse than none."""
    index, _ = await _indexed(catalog, folder)
    for data in rotation.bodies:
        if index.add(index.size, "key", read_body(data)) is None:
            await trio.to_thread.run_sync(dismiss, folder)  # or the node could not be started any more
            raise BadInput(f"the change of the node's key would not count: {index.faults[index.size - 1]}")


async def _indexed(log: DiskLog, folder: Folder) -> tuple[SiteIndex, int]:
    """The site's own index by what its members said of its root key, and the epoch in which they said it last."""
    root = read_config(folder).root
    database = Database.open(folder.state)
    try:
        charter, epoch = await charter_of(Facts(database), root)
    finally:
        database.close()
    current = Index([root])
    current.site(root).govern(charter)
    await index_anew(log, current, root, ALONE)
    return current.site(root), epoch


async def charter_of(facts: Facts, root: str) -> tuple[Charter, int]:
    """What the epochs that this site keeps say of its own root key, and the number of the last one."""
    founding, later = await facts.get(Fact.FOUNDING, Founding), await facts.all(Kept.EPOCH, Epoch)
    first = [founding.epoch()] if founding is not None and founding.founded() is not None else []
    chain = [*first, *(epoch for epoch in later if epoch.number or not first)]
    return charters(chain).get(root, Charter(((0, root),))), chain[-1].number if chain else 0


async def _logs(folder: Folder, node: Identity, epoch: int) -> tuple[DiskLog, DiskLog]:
    root, random = read_config(folder).root, SystemRandom()
    earlier = await trio.to_thread.run_sync(partial(_node_keys, folder, root))
    catalog, audit = own_origin(folder.catalog, root, LogName.CATALOG), own_origin(folder.audit, root, LogName.AUDIT)
    first = await DiskLog.open(folder.catalog, catalog, epoch, node.key, random, earlier)
    try:
        return first, await DiskLog.open(folder.audit, audit, epoch, node.key, random, earlier)
    except ComityError:
        await first.aclose()
        raise


def _node_keys(folder: Folder, root: str) -> tuple[str, ...]:
    """Every node key that an entry in the catalog's folder names: each may have signed what lies there.

    Whether it counts is said by the index, which is read once the log is open.
    """
    if not (folder.catalog / FILE).exists():
        raise NotFound(f"there is no catalog in {folder.catalog}; restore the site from a backup")
    found: list[str] = []
    bodies = Bodies(folder.catalog / FILE)
    try:
        for leaf in bodies.mentioning(_NODE):
            stored = bodies.get(leaf)
            with contextlib.suppress(VerificationFailed):
                body = read_body(stored[1]) if stored is not None else None
                if body is not None and body.site == root and body.kind == "key":
                    found.append(msgspec.convert(body.fields["did"], Did))
    finally:
        bodies.close()
    return tuple(dict.fromkeys(found))


def _take_place(folder: Folder) -> None:
    if next_key(folder).exists():
        next_key(folder).replace(folder.node_key)
        sync(folder.node_key.parent)
    ready(folder).unlink()
    sync(folder.node_key.parent)
