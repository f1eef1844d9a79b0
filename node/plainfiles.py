"""Files that a person or a step gets, written below one new file or folder: no name in what came leads elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Final

from catalog.error import BadInput, ComityError, VerificationFailed
from catalog.manifest import Manifest, SharedFile

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_NAME: Final = 255
_MAX_DEPTH: Final = 64

BytesOf = Callable[[SharedFile], Iterator[bytes | bytearray]]
"""The bytes to write for a file of a manifest, in pieces."""


@contextmanager
def new_place(target: Path) -> Iterator[Path]:
    """A path beside ``target`` where nothing is yet; what is written there gets that name in the end, whole.

    If the block raises, nothing stays at either. Blocks.

    Raises:
        BadInput: ``target`` is there, or has no folder to be in. ComityError: the disk refuses.
    """
    _check_new(target)
    if not target.parent.is_dir():
        raise BadInput(f"«{target}» cannot be made: there is no folder «{target.parent}»; name a new place in a folder")
    aside = target.with_name(f".{target.name[:40]}.{token_hex(4)}.part")
    try:
        yield aside
        _check_new(target)
        aside.rename(target)
    except BaseException as error:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ComityError(f"«{target}» was not written: {_why(error)}") from error
        raise


def _check_new(target: Path) -> None:
    if os.path.lexists(target):
        raise BadInput(f"«{target}» is there already and was left as it is; name a new place")


def write_files(target: Path, manifest: Manifest, bytes_of: BytesOf, *, suffix: str = "", mode: int = 0o600) -> None:
    """Write every file of a checked ``manifest`` to ``target``, a new file or folder; nothing stays there on failure.

    ``suffix`` is added to the names of files. Blocks.

    Raises:
        BadInput: ``target`` is there, or has no folder to be in. ComityError: the disk refuses; what ``bytes_of``
            raises.
    """
    with new_place(target) as aside:
        if manifest.folder:
            _new_folder(aside, mode)
        for file in manifest.files:
            place = aside.joinpath(*file.path.split("/")) if manifest.folder else aside
            for folder in reversed(place.relative_to(aside).parents[:-1]):
                if not (aside / folder).exists():
                    _new_folder(aside / folder, mode)
            _write(place.with_name(place.name + suffix) if manifest.folder else place, bytes_of(file), mode)


def place_below(folder: Path, path: str) -> Path:
    """Where ``path`` («a/b») of a tree lies below ``folder``.

    Raises:
        VerificationFailed: it has a part that is no plain name, or too many.
    """
    parts = path.split("/")
    if len(parts) > _MAX_DEPTH or not all(map(_is_plain, parts)):
        raise VerificationFailed("a tree was refused: a path in it is not plain; nothing was written")
    return folder.joinpath(*parts)


def write_new(place: Path, pieces: Iterator[bytes], mode: int = 0o666) -> int:
    """Write a new file, never through a link; its bytes. ``mode`` is narrowed by the umask. Blocks.

    Raises:
        OSError: it is there, or the disk refuses; what ``pieces`` raises.
    """
    with os.fdopen(os.open(place, _NEW, mode), "wb") as stream:
        return sum(stream.write(piece) for piece in pieces)


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and "\0" not in part and len(part.encode()) <= _MAX_NAME


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
