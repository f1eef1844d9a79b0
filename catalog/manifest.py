"""What a shared dataset is made of: its files by path, each with its size and the CID of its encrypted body.

A shared dataset is a UnixFS folder. «manifest» in it is this value, in DAG-CBOR, encrypted as every other file of it
is: as a Crypt4GH body under the dataset's one data key. The bodies lie beside it under numbers, for names are data.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from catalog.body import Index
from catalog.cid import Cid
from catalog.dagcbor import Value, decode
from catalog.error import VerificationFailed

MANIFEST: Final = "manifest"
"""The name of the manifest's body in the folder."""
MAX_MANIFEST: Final = 64 << 20
MAX_FILES: Final = 1 << 18
_MAX_NAME: Final = 255
_MAX_DEPTH: Final = 64


class SharedFile(Value, frozen=True, kw_only=True):
    """One file: ``path`` within the dataset, ``size`` of its plaintext in bytes, ``body`` where its segments lie."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=16 << 10)]
    size: Index
    media_type: Annotated[str, msgspec.Meta(max_length=120)]
    body: Cid


class Manifest(Value, frozen=True, kw_only=True):
    """All files, sorted by path (as UTF-8 bytes), each path once.

    If not a ``folder``, the dataset is one file, whose path is its name. Empty folders are not kept.
    """

    folder: bool
    files: Annotated[tuple[SharedFile, ...], msgspec.Meta(max_length=MAX_FILES)]

    @property
    def size(self) -> int:
        """Plaintext bytes of all files."""
        return sum(file.size for file in self.files)


def read_manifest(data: bytes) -> Manifest:
    """Read a decrypted manifest, whose paths lead nowhere but below one folder.

    Raises:
        VerificationFailed: malformed, too large, paths that are not plain, not in order, or in one another.
    """
    manifest = decode(Manifest, data, MAX_MANIFEST)
    paths = [file.path.split("/") for file in manifest.files]
    if not manifest.folder and [len(parts) for parts in paths] != [1]:
        raise VerificationFailed("a manifest was refused: it is of one file, and names another number of them")
    for parts in paths:
        if len(parts) > _MAX_DEPTH or any(not _is_plain(part) for part in parts):
            raise VerificationFailed("a manifest was refused: a path in it is not plain")
    names = [file.path.encode() for file in manifest.files]
    if names != sorted(set(names)):
        raise VerificationFailed("a manifest was refused: its paths are not sorted, each once")
    folders = {"/".join(parts[:depth]) for parts in paths for depth in range(1, len(parts))}
    if any(file.path in folders for file in manifest.files):
        raise VerificationFailed("a manifest was refused: a path in it is a file and a folder at once")
    return manifest


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and "\0" not in part and len(part.encode()) <= _MAX_NAME
