"""The base of environments: a tree of this site's Python, a shell, the small programs of POSIX, and their libraries.

The tree is made from lists and holds nothing else: no folder of the host's system is shown to a step. A step whose
block names no environment is shown it as it is (:class:`Own`), with the standard library where it lies; environments
that are made from locks begin with a copy of it all (:func:`fill_base`).
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from catalog.error import Denied
from node.execute.discard import discard

INSIDE: Final = "/opt"
"""Where the tree lies inside; the root's ``/bin``, ``/lib`` and ``/lib64`` are links into it."""

BIN: Final = f"{INSIDE}/bin"

# What tools written for any machine call. They can do nothing that Python cannot; each is there if the machine has it.
_PROGRAMS: Final = (
    *(
        "sh",
        "bash",
        "true",
        "false",
        "test",
        "echo",
        "printf",
        "env",
        "sleep",
        "date",
        "seq",
        "expr",
        "basename",
        "dirname",
    ),
    *("cat", "head", "tail", "cp", "mv", "rm", "rmdir", "ln", "ls", "mkdir", "touch", "chmod", "find", "stat", "dd"),
    *("sort", "uniq", "wc", "cut", "paste", "join", "tr", "rev", "tee", "comm", "split", "sed", "grep", "awk", "diff"),
    *("xargs", "od", "cmp", "md5sum", "sha256sum", "base64", "tar", "gzip", "gunzip", "bzip2", "xz", "pwd", "id"),
    *("setsid", "mkfifo"),
)
_SEARCHED: Final = "/usr/bin:/bin:/usr/sbin:/sbin"
_UNNEEDED: Final = "_tkinter"  # a window; its libraries are half of all
_NOT_TAKEN: Final = frozenset(
    (
        *("site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"),
        *("tkinter", "idlelib", "turtledemo", "ensurepip", "lib2to3"),
    )
)
_UNTAKEN_FILES: Final = (_UNNEEDED, "_test", "_xxtest", "_ctypes_test", "turtle.py")
# The first is loaded when a thread is ended. With the others they are what a wheel («manylinux») finds on every system.
_EVERYWHERE: Final = (
    *("libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libutil.so.1"),
    *("libresolv.so.2", "libatomic.so.1", "libz.so.1"),
)
# A line of ldd(1): «libc.so.6 => /lib/… (0x…)», or the loader's own name alone.
_LINE: Final = re.compile(r"^\s(?:(?P<name>\S+) => )?(?P<path>/\S+) \(0x", re.MULTILINE)


class Own:
    """The site's own environment, a tree in ``folder``, made anew when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = threading.Lock()
        self._options: list[str] = []

    def options(self) -> list[str]:
        """The bubblewrap options that show it, read-only. Blocking, the first time for half a second.

        Raises:
            Denied: this machine does not tell which libraries its Python needs, or lacks «find».
        """
        with self._made:
            if not self._options:
                if self._folder.exists():
                    discard(self._folder)
                self._options = _make(self._folder)
        return self._options


@cache
def passing() -> Own:
    """One that goes with this process, for whoever has no folder to keep it in."""
    place = Path(tempfile.mkdtemp(prefix="comity-environment-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Own(place)


def _make(folder: Path) -> list[str]:
    """Fill ``folder`` with the tree; the options that show it."""
    libraries = sorted(set(standard_library()))
    for below in ("bin", "lib", "python/bin", *(str(_beside(each)) for each in libraries)):
        (folder / below).mkdir(parents=True, exist_ok=True)
    _fill(folder, libraries)
    for place in (folder, *(each for each in folder.rglob("*") if each.is_dir())):
        place.chmod(0o755)
    options = ["--ro-bind", str(folder), INSIDE]
    for library in libraries:
        options += _library_options(library)
    for name in ("bin", "lib", "lib64"):
        options += ["--symlink", f"{INSIDE}/{'bin' if name == 'bin' else 'lib'}", f"/{name}"]
    return options


def _fill(folder: Path, libraries: Sequence[Path]) -> None:
    for name, path in _parts(libraries).items():
        _copy(path, folder / name)
    for name in ("python3", "python"):
        (folder / "bin" / name).symlink_to(f"../python/bin/{interpreter().name}")


def interpreter() -> Path:
    """The base's Python, where it lies on this machine."""
    return Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")


def _parts(libraries: Sequence[Path]) -> dict[str, Path]:
    """Where each program, library and the interpreter lies on this machine, by its path in the tree.

    Raises:
        Denied: this machine does not tell which libraries its Python needs, or lacks «find».
    """
    python = interpreter()
    programs = {name: Path(found) for name in _PROGRAMS if (found := shutil.which(name, path=_SEARCHED))}
    if "find" not in programs:
        raise Denied("what a step leaves is looked through with «find»: install it (package findutils); no step runs")
    extensions = [each for library in libraries for each in library.glob("lib-dynload/*.so")]
    loaded = [each for each in extensions if not each.name.startswith(_UNNEEDED)]
    libs = loaded_by([python, *loaded, *programs.values()])
    return {
        **{f"lib/{name}": path for name, path in libs.items()},
        **{f"bin/{name}": path for name, path in programs.items()},
        f"python/bin/{python.name}": python,
    }


def base_sources() -> dict[str, Path]:
    """Every file of the base, by its path below the root of an environment, with where it lies on this machine.

    The interpreter has its usual names as files, which are one file where they are stored by content. Tests, windows
    and what a node installed beside the standard library are left out.

    Raises:
        Denied: this machine does not tell which libraries its Python needs, or lacks «find».
    """
    libraries = sorted(set(standard_library()))
    found = _parts(libraries)
    found |= {f"python/bin/{name}": interpreter() for name in ("python3", "python")}
    for library in libraries:
        for path in _modules(library):
            found[str(_beside(library) / path.relative_to(library))] = path
    return {f"{INSIDE.removeprefix('/')}/{name}": path for name, path in sorted(found.items())}


def _modules(library: Path) -> Iterator[Path]:
    """The files of a folder of the standard library that a step may want."""
    for top, folders, files in os.walk(library):
        here = Path(top)
        folders[:] = sorted(name for name in folders if name not in _NOT_TAKEN and not name.startswith("config-"))
        yield from (
            here / name
            for name in files
            if not name.startswith(_UNTAKEN_FILES) and not name.endswith((".pyc", ".a", ".o"))
        )


def fill_base(folder: Path, sources: Mapping[str, Path]) -> None:
    """Copy the files of :func:`base_sources` below ``folder``, which is there. Blocking."""
    for name, path in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)


def _library_options(library: Path) -> list[str]:
    """The standard library where it lies, without what a node installed beside it: that is not a step's."""
    inside = f"{INSIDE}/{_beside(library)}"
    options = ["--ro-bind", str(library), inside]
    for packages in ("site-packages", "dist-packages"):
        if (library / packages).is_dir():
            options += ["--perms", "755", "--size", "4096", "--tmpfs", f"{inside}/{packages}"]
            options += ["--remount-ro", f"{inside}/{packages}"]
    return options


def standard_library() -> tuple[Path, Path]:
    """The folders of the modules in Python and in C; the same one nearly everywhere."""
    bases = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    return Path(sysconfig.get_path("stdlib", vars=bases)), Path(sysconfig.get_path("platstdlib", vars=bases))


def _beside(library: Path) -> Path:
    """Where a folder of the standard library lies in the tree, so that the interpreter finds it."""
    return Path("python", library.parent.name, library.name)


def loaded_by(objects: Iterable[Path]) -> dict[str, Path]:
    """All that the dynamic linker loads for these, by the names that it looks for: itself among them.

    Raises:
        Denied: there is no ldd, or it says nothing.
    """
    ldd = shutil.which("ldd", path=_SEARCHED)
    done = subprocess.run([ldd, *objects], capture_output=True, text=True, check=False) if ldd else None
    found = {
        match["name"] or Path(match["path"]).name: Path(match["path"])
        for match in _LINE.finditer(done.stdout if done else "")
    }
    if not found:
        raise Denied("which libraries Python needs is not known here: install «ldd» (package libc-bin); no step runs")
    beside = next(path for name, path in found.items() if name.startswith("libc.")).parent
    return found | {name: beside / name for name in _EVERYWHERE if (beside / name).exists()}


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)
