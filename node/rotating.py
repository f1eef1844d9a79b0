"""Changing a node's key from where its folder and the root key are, whether the node runs or not."""

from __future__ import annotations

import time
from typing import Final

import trio

from catalog.error import BadInput, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.key import Signer
from catalog.member import KeyFields, Role
from node.api.client import Node
from node.api.schema import KeysView, KeyView
from node.config import Folder
from node.keyfile import Identity
from node.rotation import Rotation, carry_out, enrolment, is_ready, prepare, read_own, removal, signed_bodies

PATIENCE: Final = 60.0
"""Seconds for a running node to start anew."""
TRIES: Final = 3
"""How often it is tried at a node whose audit log grows meanwhile."""


def rotate_node(
    folder: Folder, root: Signer, *, lost: bool = False, since: int | None = None, audit_since: int | None = None
) -> str:
    """Enrol a new node key and remove the old one; the new one.

    ``since`` is the first place of the catalog that the old key's thief may have signed, ``audit_since`` that of the
    audit log, which is its end of now where it is not given.

    Raises:
        Denied: the key does not act as this site's root. Conflict: the node did not come to rest in three tries.
        NotFound: there is no node key to replace. Unreachable: the node did not start anew in time.
    """
    for _ in range(TRIES):
        running = _running(folder)
        known = running or trio.run(_of_folder, folder)
        node = _prepare(folder, known, root, lost, since, audit_since)
        if running is None:
            trio.run(carry_out, folder)
        else:
            _start_anew(folder)
        if _now(folder, running is not None) == node:
            return node
    raise Conflict("the node writes rows faster than its key can be changed; stop it and run this again")


def _prepare(
    folder: Folder, known: KeysView, root: Signer, lost: bool, since: int | None, audit_since: int | None
) -> str:
    if known.acting != root.did:
        raise Denied("this key does not act as the root of this site; give the one that does with --root-key")
    old = [each for each in known.keys if each.fields.role is Role.NODE and not each.fields.removed]
    if not old:
        raise NotFound("no node key of this site counts; restore the site from a backup")
    node = Identity.new(old[-1].fields.name)
    for place, size, what in ((since, known.catalog, "catalog"), (audit_since, known.audit, "audit log")):
        if place is not None and place >= size:
            raise BadInput(f"the {what} ends with entry {size - 1}, so nothing would be taken back from {place} on")
    limits = None if since is None else (since, known.audit if audit_since is None else audit_since)
    entries: list[tuple[KeyFields, int | None]] = [
        (removal(each.fields, known.audit, limits), each.index) for each in old
    ]
    bodies = signed_bodies(known.root, root, time.time_ns() // 1_000_000, [*entries, (enrolment(node), None)])
    planned = not lost and since is None
    audit = known.audit if since is None else None
    prepare(folder, Rotation(bodies=bodies, node=node.did, epoch=known.epoch, audit=audit, both=planned), node)
    return node.did


def _running(folder: Folder) -> KeysView | None:
    try:
        with Node.at(folder.path) as node:
            return node.keys()
    except Unreachable:
        return None


async def _of_folder(folder: Folder) -> KeysView:
    """What a running node would say of its keys, read from the folder of one that does not run."""
    own, catalog, audit, epoch = await read_own(folder)
    found = [
        KeyView(index=entry.index, fields=entry.fields)
        for entry in own.entries("key")
        if isinstance(entry.fields, KeyFields)
    ]
    node = own.node()
    if node is None:
        raise VerificationFailed(f"no node key is enrolled in {folder.catalog}; restore the site from a backup")
    return KeysView(
        root=own.root, acting=own.keys.acting, node=node, keys=tuple(found), catalog=catalog, audit=audit, epoch=epoch
    )


def _start_anew(folder: Folder) -> None:
    with Node.at(folder.path) as running:
        running.restart()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if not is_ready(folder) and _now(folder, True):
                return
        except (Unreachable, NotFound):
            pass
        time.sleep(0.1)
    raise Unreachable(f"the node did not start anew within {PATIENCE:g} s; see its log, or start it: it goes on")


def _now(folder: Folder, running: bool) -> str:
    if not running:
        return trio.run(_of_folder, folder).node
    with Node.at(folder.path) as node:
        return node.keys().node
