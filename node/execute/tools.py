"""What every container of a step has beside its environment: the supervisor, with a Python of its own.

It lies at ``/.comity`` and is started through its own dynamic linker, so that it works in every image, one without a
shell or a C library too. It holds the modules that the supervisor loads, as the interpreter tells them, and no others.

Of an image that somebody else made it reads nothing: neither a cache of libraries nor ``/etc/ld.so.preload``, which
every dynamic linker obeys but this one, in which another name stands for it.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import node
from catalog.error import Denied
from node.execute.environment.base import interpreter, loaded_by, standard_library
from node.execute.image import File, Layer

FOLDER: Final = ".comity"
_MAIN: Final = "node.execute.inside.supervise"
_SIDE: Final = "node.execute.inside.side"
_LIBRARY: Final = f"{FOLDER}/python/lib/python{sys.version_info.major}.{sys.version_info.minor}"
_PRELOADED: Final = b"/etc/ld.so.preload\0"
_NEVER: Final = b"/.comity/nothing..\0"
_TELLS: Final = f"""
import json, sys
sys.path.append(sys.argv[1])
import {_MAIN}, {_SIDE}
print(json.dumps(sorted({{each.__spec__.origin for each in list(sys.modules.values())
                         if getattr(each, "__spec__", None) and each.__spec__.has_location}})))
"""


@cache
def tools_layer() -> Layer:
    """The layer. Blocking, the first time for a tenth of a second.

    Raises:
        Denied: this machine does not tell what its Python needs.
    """
    sources = [Path(os.__file__), *map(Path, _loaded_modules())]  # by the first an interpreter finds its library
    files = {_place(source): File(source) for source in sources}
    for source in sources:
        if source.suffix == ".py":
            compiled = Path(importlib.util.cache_from_source(_place(source)))
            files[str(compiled)] = File(_compiled(source))
    program = interpreter()
    files[f"{FOLDER}/python/bin/{program.name}"] = File(program)
    extensions = [source for source in sources if source.suffix == ".so"]
    files |= {f"{FOLDER}/lib/{name}": File(_library(path)) for name, path in loaded_by([program, *extensions]).items()}
    return Layer(files)


@cache
def supervisor_command() -> tuple[str, ...]:
    """The command that starts the supervisor in a container that has :func:`tools_layer`. Blocking, the first time."""
    linker = next(name for name in tools_layer().files if Path(name).name.startswith("ld-linux"))
    return (
        *(
            f"/{linker}",
            "--inhibit-cache",
            "--library-path",
            f"/{FOLDER}/lib",
            f"/{FOLDER}/python/bin/{interpreter().name}",
        ),
        *("-I", "-S", "-B", "-c", f"from {_MAIN} import main; main()"),
    )


def _library(path: Path) -> Path | bytes:
    if not path.name.startswith("ld-"):
        return path
    linker = path.read_bytes()
    if linker.count(_PRELOADED) != 1:
        raise Denied(f"{path} is no dynamic linker that the supervisor of containers can be started with; no step runs")
    return linker.replace(_PRELOADED, _NEVER)


def _loaded_modules() -> list[str]:
    ours = str(Path(node.__file__).parent.parent)
    done = subprocess.run(
        [interpreter(), "-I", "-S", "-B", "-c", _TELLS, ours], capture_output=True, text=True, check=False, env={}
    )
    if done.returncode:
        raise Denied(f"this machine's Python does not run by itself: {done.stderr.strip()[-200:]}; no step runs")
    found: list[str] = json.loads(done.stdout)
    return found


def _place(source: Path) -> str:
    """Where a module lies in the layer: the supervisor's own with the standard library's."""
    ours = Path(node.__file__).parent.parent
    for base in (*standard_library(), ours):
        if source.is_relative_to(base):
            return f"{_LIBRARY}/{source.relative_to(base)}"
    raise Denied(f"the supervisor of containers would load {source}, which is no part of Python's library")


def _compiled(source: Path) -> bytes:
    """Its byte code, which no time of a file can make invalid (PEP 552)."""
    content = source.read_bytes()
    code = compile(content, f"/{_place(source)}", "exec", dont_inherit=True, optimize=0)
    unchecked = (1).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(content) + marshal.dumps(code)
