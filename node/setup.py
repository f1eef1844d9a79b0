"""Making a site: its keys, its settings and its two empty logs, in a folder that is there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from catalog.body import write_body
from catalog.dagcbor import encode
from catalog.error import BadInput, Conflict
from catalog.member import KeyFields, Role
from catalog.origin import LogName, origin_of
from node.config import Address, Config, Folder, site_toml
from node.keyfile import Identity, write_identity, write_secret
from node.rootkey import Passphrase, write_root
from node.runnersettings import RunnerSettings
from node.stepsettings import StepSettings
from node.storage.log import DiskLog
from node.system import SystemRandom

FIRST_EPOCH = 0


@dataclass(frozen=True, slots=True)
class SiteMade:
    """A new site: its name, the public halves of its root and node keys, and its first steward's identity."""

    name: str
    root: str
    node: str
    steward: Identity


def init_site(
    folder: Folder,
    name: str,
    steward_name: str,
    control: Address,
    bulk: Address,
    api: Address,
    passphrase: Passphrase,
    root_key: Path | None = None,
    *,
    inbound: bool = True,
    steps: StepSettings | None = None,
    runners: RunnerSettings | None = None,
) -> SiteMade:
    """Make a site in ``folder``; the steward's key is returned, not kept there.

    ``inbound`` says whether members can connect to it, ``steps`` and ``runners`` what its steps run in; without them
    as at any site.

    Its root key is encrypted under ``passphrase`` and written to ``root_key``, or into the folder if none is given.

    Raises:
        Conflict: the folder is a site already, or is not empty, or there is a file at ``root_key``.
        BadInput: a name is empty, too long or has control characters, or the folder cannot be made.
    """
    for whose, each in (("site", name), ("steward", steward_name)):
        if not 0 < len(each) <= 120 or not each.isprintable():
            raise BadInput(f"a {whose}'s name is 1 to 120 printable characters")
    if folder.config.exists():
        raise Conflict(f"{folder.path} is a site already; run it with «comity site run {folder.path}»")
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise Conflict(f"{folder.path} is there and not empty; choose another folder")
    fresh = Folder(folder.path.with_name(f".{folder.path.name}.{secrets.token_hex(4)}"))
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        config = Config(name, "", control, bulk, api, inbound=inbound)
        config = replace(config, steps=steps or config.steps, runners=runners or config.runners)
        made = _make(fresh, config, Identity.new(name), Identity.new(steward_name), passphrase, root_key)
        if folder.path.exists():
            folder.path.rmdir()
        fresh.path.rename(folder.path)
        try:
            _sync(folder.path.parent)
        except OSError:
            shutil.rmtree(folder.path)  # its steward's key is returned, and so would be lost
            raise
    except OSError as error:
        raise BadInput(f"{folder.path} could not be made: {error.strerror}; choose another place") from error
    finally:
        shutil.rmtree(fresh.path, ignore_errors=True)
    return made


def _make(
    folder: Folder, config: Config, root: Identity, steward: Identity, passphrase: Passphrase, root_key: Path | None
) -> SiteMade:
    node = Identity.new(f"{root.name[:114]}, node")
    for place in (folder.path, folder.root_key.parent, folder.catalog.parent, folder.replicas, folder.blobs):
        place.mkdir(mode=0o700)
    write_identity(folder.node_key, node)
    write_secret(folder.token, secrets.token_urlsafe(32).encode())
    write_secret(folder.config, site_toml(replace(config, root=root.did)).encode())
    bodies = [_enrolment(root, Role.NODE, node), _enrolment(root, Role.STEWARD, steward)]
    trio.run(partial(_begin_logs, folder, root.did, node, bodies))
    write_root(root_key or folder.root_key, root, passphrase)  # the last: what fails before leaves nothing elsewhere
    return SiteMade(root.name, root.did, node.did, steward)


def _enrolment(root: Identity, role: Role, identity: Identity) -> bytes:
    fields = KeyFields(did=identity.did, role=role, name=identity.name, x25519=identity.x25519)
    return encode(write_body("key", fields, site=root.did, at=time.time_ns() // 1_000_000, by=root.key))


async def _begin_logs(folder: Folder, site: str, node: Identity, bodies: Sequence[bytes]) -> None:
    random = SystemRandom()
    catalog = await DiskLog.create(folder.catalog, origin_of(site, LogName.CATALOG), FIRST_EPOCH, node.key, random)
    async with catalog:
        await catalog.append([("key", body) for body in bodies])
    audit = await DiskLog.create(folder.audit, origin_of(site, LogName.AUDIT), FIRST_EPOCH, node.key, random)
    await audit.aclose()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
