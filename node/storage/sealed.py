"""Nodes that are held for a project: each sealed under a key of that project, and unreadable once the key is gone.

They are what its steps made here, and what came here for it and no catalog publishes.

A node's file is ``nonce ‖ ciphertext ‖ tag`` of XChaCha20-Poly1305 (libsodium) with 24 random bytes for a nonce and the
node's CID as associated data, so that no file stands in another's place. The CID is still that of the plaintext, which
is verified whenever it is read. The key is 32 random bytes in a file of its own, apart from what it opens: a backup
that leaves the keys out has nothing of what is held. A project's end overwrites and removes its key first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from nacl.utils import random

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import BadInput, ComityError, Damaged, VerificationFailed
from catalog.project import ProjectRef
from node.keyfile import OTHERS, write_secret
from node.regular import read_regular
from node.storage.dagpb import MAX_NODE
from node.storage.durable import sync_folders
from node.storage.room import Room
from node.storage.staging import Staging, refused

KEY_BYTES: Final = 32
ARRIVING: Final = "arriving"
"""The folder of a project in which is kept aside what comes for it."""
NONCE_BYTES: Final = 24
OVERHEAD: Final = NONCE_BYTES + 16
"""Bytes by which a sealed file is longer than what it holds."""


@dataclass(frozen=True, slots=True, repr=False)
class ProjectKey:
    """The key of one project, and the folder of what it seals."""

    folder: Path
    key: bytes

    def __repr__(self) -> str:
        return f"ProjectKey({self.folder.name})"

    @property
    def arriving(self) -> Path:
        """Where what comes for the project from other sites is kept aside, sealed like the rest; it goes with it."""
        return self.folder / ARRIVING

    def place(self, cid: Cid) -> Path:
        """Where the node ``cid`` lies."""
        return self.folder / str(cid)

    def size(self, cid: Cid) -> int | None:
        """Bytes of the node ``cid``, damaged or not; none if it is not held for the project."""
        try:
            return max(0, self.place(cid).stat().st_size - OVERHEAD)
        except FileNotFoundError:
            return None

    def seal(self, name: bytes, data: bytes) -> bytes:
        """``data`` sealed as what is called ``name``."""
        nonce = random(NONCE_BYTES)
        return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(data, name, nonce, self.key)

    def open(self, name: bytes, sealed: bytes) -> bytes:
        """What was sealed as ``name``.

        Raises:
            VerificationFailed: altered, cut off, of another name, or under another key.
        """
        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed[NONCE_BYTES:], name, sealed[:NONCE_BYTES], self.key
            )
        except (CryptoError, ValueError) as error:
            raise VerificationFailed(
                "what is held for a project is damaged: stop the node and run «comity site fsck --mend», which drops it"
                " so that it is made or fetched again"
            ) from error


class Sealing(Staging):
    """One addition's nodes on their way to what is held under ``key``; as in :class:`Staging`, but sealed first."""

    def __init__(self, folder: Path, key: ProjectKey, room: Room) -> None:
        super().__init__(folder, key.place, room)
        self._key = key

    def put(self, cid: Cid, data: bytes) -> None:
        """Take a node whose ``data`` are known to match ``cid``.

        Raises:
            ComityError: the disk refuses, or there is no room.
        """
        super().put(cid, self._key.seal(bytes(cid), data))


class SealedNodes:
    """What is held below ``folder``, a folder for each project, with the projects' keys in ``keys``; both are made.

    Blocking, for any thread.

    Raises:
        Damaged: a key is of another length, or open to other users.
    """

    def __init__(self, folder: Path, keys: Path) -> None:
        self.folder = folder
        self._keys = keys
        self._lock = threading.Lock()
        for made in (folder, keys):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._known: dict[str, ProjectKey] = {}
        for path in sorted(keys.iterdir()):
            key = read_key(path)
            if key == bytes(KEY_BYTES):
                _remove(folder / path.name, path)  # it was being destroyed
            else:
                self._known[path.name] = _opened(folder / path.name, key)

    def key_of(self, project: ProjectRef) -> ProjectKey:
        """The key of ``project``; it is made if this is the first that is held for it.

        Raises:
            ComityError: the disk refuses.
        """
        name = folder_name(project)
        with self._lock:
            known = self._known.get(name)
            if known is None:
                known = self._known[name] = self._made(name)
            return known

    def get(self, cid: Cid) -> bytes | None:
        """The node ``cid``, opened; none if it is held for no project. Its bytes are the caller's to verify.

        Raises:
            VerificationFailed: each of its files is damaged. ComityError: the disk refuses.
        """
        damage: VerificationFailed | None = None
        for key in self._holders():
            try:
                sealed = _read(key.place(cid))
                if sealed is not None:
                    return key.open(bytes(cid), sealed)
            except VerificationFailed as error:
                damage = error
        if damage is not None:
            raise damage
        return None

    def size(self, cid: Cid) -> int | None:
        """Bytes of the node ``cid``, damaged or not; none if it is held for no project."""
        sizes = (key.size(cid) for key in self._holders())
        return next((size for size in sizes if size is not None), None)

    def keys(self, but: ProjectRef | None) -> list[ProjectKey]:
        """The keys of all projects for which something is held, but for one."""
        left_out = None if but is None else folder_name(but)
        return [key for key in self._holders() if key.folder.name != left_out]

    def arriving(self) -> list[Path]:
        """The folders in which something may be kept aside on its way in."""
        return [key.arriving for key in self._holders()]

    def files(self) -> dict[Path, Cid]:
        """The files of all nodes that are held, with their CIDs."""
        return {path: cid for key in self._holders() for path, cid in _nodes(key.folder)}

    def remove(self, files: Mapping[Path, Cid], reached: set[bytes]) -> tuple[int, int]:
        """Remove those of ``files`` whose digest is not ``reached``, durably; how many, and their bytes.

        Raises:
            ComityError: the disk refuses.
        """
        count = size = 0
        folders: set[Path] = set()
        try:
            for path, cid in files.items():
                if cid.digest not in reached and path.exists():
                    size += path.stat().st_size
                    path.unlink()
                    folders.add(path.parent)
                    count += 1
            sync_folders(folders)
        except OSError as error:
            raise ComityError(f"{error.filename} could not be removed: {error.strerror}; see to the disk") from error
        return count, size

    def end(self, project: ProjectRef) -> tuple[int, int]:
        """Destroy the key of ``project``, then what it sealed; how many nodes, and their bytes. It may be done again.

        Raises:
            ComityError: the disk refuses; the key may be gone already.
        """
        name = folder_name(project)
        folder, file = self.folder / name, self._keys / name
        with self._lock:
            self._known.pop(name, None)
            try:
                nodes = [path.stat().st_size for path, _ in _nodes(folder)]
                _overwrite(file)
                _remove(folder, file)
            except OSError as error:
                raise ComityError(f"what is held in {folder} could not be removed: {error.strerror}") from error
        return len(nodes), sum(nodes)

    def _holders(self) -> list[ProjectKey]:
        with self._lock:
            return list(self._known.values())

    def _made(self, name: str) -> ProjectKey:
        folder, key = self.folder / name, random(KEY_BYTES)
        try:
            if folder.exists():  # what another key sealed, which is gone, opens no more
                shutil.rmtree(folder)
            made = _opened(folder, key)
            sync_folders([self.folder])
            write_secret(self._keys / name, key)
        except OSError as error:
            raise refused(error) from error
        return made


def _opened(folder: Path, key: bytes) -> ProjectKey:
    """A project's key, whose folders are there from now on until its end: whoever writes later makes none."""
    opened = ProjectKey(folder, key)
    for made in (folder, opened.arriving):
        made.mkdir(mode=0o700, exist_ok=True)
    return opened


def folder_name(project: ProjectRef) -> str:
    """How the folder and the key of a project are called: people choose its name, and it is no path."""
    return hashlib.sha256(encode(project)).hexdigest()[:32]


def _nodes(folder: Path) -> Iterator[tuple[Path, Cid]]:
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        try:
            yield path, Cid.parse(path.name)
        except BadInput:
            continue  # no node


def _read(path: Path) -> bytes | None:
    try:
        return read_regular(path, MAX_NODE + OVERHEAD)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ComityError(f"{path} could not be read: {error.strerror}; see to the site's disk") from error


def read_key(path: Path) -> bytes:
    """The key of a project; zeros if it was being destroyed.

    Raises:
        FileNotFoundError: there is none. Damaged: it is no key any more, or open to other users.
    """
    if stat.S_IMODE(path.stat().st_mode) & OTHERS:
        raise Damaged(f"{path}, the key of a project, is open to other users of this machine: chmod it 600")
    key = read_regular(path, KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise Damaged(f"{path}, the key of a project, is damaged: remove it; what it sealed is lost and made again")
    return key


def _overwrite(key: Path) -> None:
    """Write zeros over a key where it lies, durably; nothing if it is gone."""
    try:
        fd = os.open(key, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.write(fd, bytes(KEY_BYTES))
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(folder: Path, key: Path) -> None:
    """Remove what a key that was overwritten had sealed, then the key's file, by which this is found to be done."""
    if folder.exists():
        shutil.rmtree(folder)
    key.unlink(missing_ok=True)
    sync_folders([folder.parent, key.parent])
