"""Wheels unpacked, each into a tree of its own: strict about names, since an archive may name any path."""

from __future__ import annotations

import configparser
import site
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trio
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.exceptions import InstallerError
from installer.sources import WheelContentElement, WheelFile
from installer.utils import parse_entrypoints

from catalog.error import ComityError, VerificationFailed, shown
from node.execute.environment.base import INSIDE, interpreter
from node.execute.environment.trees import on_disk

PREFIX: Final = f"{INSIDE}/python"
"""Where Python's own prefix is inside."""
PYTHON: Final = f"{PREFIX}/bin/python3"
MOST_FILES: Final = 100_000
MOST_BYTES: Final = 16 << 30
"""Of one wheel, unpacked."""


class _Wheel(WheelFile):
    """A wheel without the bytecode that some carry, which is not taken: nobody can see what it does."""

    def get_contents(self) -> Iterator[WheelContentElement]:
        """Each file, with its line of RECORD and whether it is executable."""
        return (each for each in super().get_contents() if "__pycache__" not in each[0][0].split("/"))


def packages_folder() -> str:
    """Where the base's Python looks for what is installed; inside."""
    return site.getsitepackages([PREFIX])[-1]


def unpack(wheel: Path, name: str, root: Path) -> None:
    """Unpack the ``wheel`` of the package ``name`` below ``root``, laid out as it is inside. Blocking.

    Raises:
        VerificationFailed: it is no wheel, or names what it may not; the message says which. Full: no room.
        ComityError: the disk refuses.
    """
    packages = packages_folder()
    schemes = {
        "purelib": packages,
        "platlib": packages,
        "scripts": f"{PREFIX}/bin",
        "data": PREFIX,
        "headers": f"{PREFIX}/include/{name}",
    }
    destination = SchemeDictionaryDestination(
        schemes, interpreter=PYTHON, script_kind="posix", destdir=str(root), overwrite_existing=False
    )
    try:
        with on_disk(f"the wheel of «{name}» could not be unpacked"), zipfile.ZipFile(wheel) as archive:
            _check(archive, name)
            source = _Wheel(archive)
            source.validate_record(validate_contents=True)
            _check_scripts(source, name)
            install(source, destination, {})
    # A list of errors, since the library and zipfile tell by all of these that an archive is not what it should be.
    except (zipfile.BadZipFile, InstallerError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise VerificationFailed(f"the wheel of «{name}» was refused: {shown(str(error), 120)}") from error


def _check(archive: zipfile.ZipFile, name: str) -> None:
    members = archive.infolist()
    seen: set[str] = set()
    if len(members) > MOST_FILES or sum(each.file_size for each in members) > MOST_BYTES:
        raise VerificationFailed(f"the wheel of «{name}» was refused: more files or bytes than a wheel may have")
    for each in members:
        parts = each.filename.removesuffix("/").split("/")
        mode = each.external_attr >> 16
        if any(part in ("", ".", "..") or not part.isprintable() or "\\" in part for part in parts):
            raise VerificationFailed(
                f"the wheel of «{name}» was refused: «{shown(each.filename, 80)}» is no plain path in it"
            )
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR) or each.flag_bits & 1:
            raise VerificationFailed(
                f"the wheel of «{name}» was refused: «{shown(each.filename, 80)}» is neither a file nor a folder"
            )
        if each.filename in seen:
            raise VerificationFailed(f"the wheel of «{name}» was refused: it has «{shown(each.filename, 80)}» twice")
        seen.add(each.filename)


def _check_scripts(source: WheelFile, name: str) -> None:
    if "entry_points.txt" not in source.dist_info_filenames:
        return
    try:
        for _ in parse_entrypoints(source.read_dist_info("entry_points.txt")):
            pass
    except (AssertionError, configparser.Error) as error:  # the first is how the library tells it
        raise VerificationFailed(
            f"the wheel of «{name}» was refused: its scripts (entry_points.txt) are not NAME = MODULE:FUNCTION"
        ) from error


async def compile_below(folder: Path, root: Path) -> None:
    """Compile the modules in ``folder``, which lies below ``root`` as it lies inside, for whoever reads them there.

    The bytecode carries a hash that nobody checks, and no time. A process of its own for each tree, always begun alike:
    what Python writes may depend on what it compiled before. A module that does not compile stays a module.

    Raises:
        ComityError: the interpreter cannot be run.
    """
    command = (
        *(str(interpreter()), "-s", "-S", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(root), "-p", "/", str(folder)),
    )
    ended = await trio.run_process(
        command,
        env={"PYTHONHASHSEED": "0", "LANG": "C.UTF-8"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if ended.returncode not in (0, 1):
        raise ComityError(f"the modules could not be compiled: Python ended with {ended.returncode}")
