"""The images that tests run, made from Debian's packages and cached: a pause, a busybox, a Python."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.infra import image
from tests.infra.image import MERGED, Start, Tree
from tests.infra.machine import RefusedError, apt, cache_folder, fresh_lists

PAUSE = "infra.local/pause:1"
BUSYBOX = "infra.local/busybox:1"
PYTHON = "infra.local/python:3.11"

PYTHON_PACKAGES = (
    "libc6", "zlib1g", "libexpat1", "libssl3", "libbz2-1.0", "liblzma5", "libffi8", "libsqlite3-0", "libuuid1",
    "libcrypt1", "libgcc-s1", "libpython3.11-minimal", "python3.11-minimal", "libpython3.11-stdlib",
)  # fmt: skip
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/lintian")
USERS = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
GROUPS = b"root:x:0:\nnogroup:x:65534:\n"


def pause() -> Path:
    """The image that holds a pod's namespaces open, as an archive.

    Nothing of a pod becomes its child, since pods share no namespace of processes: it need not reap.
    """
    return _cached("pause", PAUSE, _pause)


def busybox() -> Path:
    """A shell and small tools, as an archive."""
    return _cached("busybox", BUSYBOX, _busybox)


def python() -> Path:
    """Debian's Python and its standard library, with a shell and a few tools, as an archive."""
    return _cached("python", PYTHON, _python)


def _cached(name: str, tag: str, make: Callable[[Path], tuple[Tree, Start]]) -> Path:
    """By what the recipe says: packages have later versions at another time, which change no test."""
    if platform.machine() != "x86_64":
        raise RefusedError(f"images are made for x86_64 alone, and this machine is {platform.machine()}")
    recipe = b"".join(Path(module).read_bytes() for module in (__file__, image.__file__))
    path = cache_folder() / "images" / f"{name}-{hashlib.sha256(recipe).hexdigest()[:16]}.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as aside:
            made = Path(aside) / path.name
            made.write_bytes(image.archive(tag, *make(Path(aside))))
            made.rename(path)
    return path


def _pause(folder: Path) -> tuple[Tree, Start]:
    tree = Tree()
    tree.file("busybox", _busybox_program(folder), 0o755)
    return tree, Start(entrypoint=("/busybox", "sleep", "infinity"), user="65535:65535")


def _busybox(folder: Path) -> tuple[Tree, Start]:
    tree = _base()
    _tools(tree, "bin", folder, ())
    return tree, Start(command=("sh",))


def _python(folder: Path) -> tuple[Tree, Start]:
    tree = _base()
    for name in MERGED:
        tree.folder(f"usr/{name}")
        tree.link(name, f"usr/{name}")
    for package in _packages(folder, PYTHON_PACKAGES):
        tree.package(package, *LEFT_OUT)
    tree.link("usr/bin/python3", "python3.11")
    tree.link("usr/bin/python", "python3")
    _tools(tree, "usr/bin", folder, ("sh", "cat", "ls", "id", "sleep", "mkdir", "cp", "env"))
    return tree, Start(command=("python3",), environment={"PYTHONDONTWRITEBYTECODE": "1"})


def _base() -> Tree:
    tree = Tree()
    for folder in ("etc", "dev", "proc", "sys", "home"):
        tree.folder(folder)
    tree.folder("tmp", 0o1777)
    tree.file("etc/passwd", USERS)
    tree.file("etc/group", GROUPS)
    return tree


def _tools(tree: Tree, folder: str, aside: Path, names: Sequence[str]) -> None:
    """Busybox and links to it of those names, or of all that it has."""
    program = aside / "busybox"
    program.write_bytes(_busybox_program(aside))
    program.chmod(0o755)
    known = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    tree.file(f"{folder}/busybox", program.read_bytes(), 0o755)
    for name in names or known:
        if name != "busybox":
            tree.link(f"{folder}/{name}", "busybox")


def _busybox_program(folder: Path) -> bytes:
    (package,) = _packages(folder, ("busybox-static",))
    content = Tree()
    content.package(package)
    return content.read("usr/bin/busybox")


def _packages(folder: Path, names: Sequence[str]) -> list[Path]:
    """The packages of those names, fetched into a folder of their own."""
    into = Path(tempfile.mkdtemp(dir=folder))
    fresh_lists()
    apt("download", "-qq", *names, folder=into)
    return sorted(into.glob("*.deb"))
