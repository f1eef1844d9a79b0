"""The decrypted files of a shared dataset, written below one new folder: a manifest's paths lead nowhere else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from catalog.error import BadInput, ComityError
from catalog.manifest import Manifest, SharedFile

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

BytesOf = Callable[[SharedFile], Iterator[bytes | bytearray]]
"""The bytes to write for a file of a manifest, in pieces."""


def write_files(target: Path, manifest: Manifest, bytes_of: BytesOf, *, suffix: str = "", mode: int = 0o600) -> None:
    """Write every file of a checked ``manifest`` to ``target``, a new file or folder; nothing stays there on failure.

    ``suffix`` is added to the names of files. Blocks.

    Raises:
        BadInput: ``target`` is there, or has no folder to be in. ComityError: the disk refuses; what ``bytes_of``
            raises.
    """
    try:
        if manifest.folder:
            _new_folder(target, mode)
        elif target.exists() or target.is_symlink():
            raise FileExistsError(17, "file exists")
    except OSError as error:
        raise BadInput(f"«{target}» cannot be made ({_why(error)}): name a new place in a folder") from error
    try:
        for file in manifest.files:
            place = target.joinpath(*file.path.split("/")) if manifest.folder else target
            for folder in reversed(place.relative_to(target).parents[:-1]):
                if not (target / folder).exists():
                    _new_folder(target / folder, mode)
            _write(place.with_name(place.name + suffix) if manifest.folder else place, bytes_of(file), mode)
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True) if manifest.folder else target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ComityError(f"«{target}» was not written: {_why(error)}") from error
        raise


def _new_folder(place: Path, mode: int) -> None:
    place.mkdir(mode=0o700)
    place.chmod(0o755 if mode & 0o044 else 0o700)


def _write(place: Path, pieces: Iterator[bytes | bytearray], mode: int) -> None:
    with os.fdopen(os.open(place, _NEW, 0o600), "wb") as stream:
        for piece in pieces:
            stream.write(piece)
        os.fchmod(stream.fileno(), mode)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
