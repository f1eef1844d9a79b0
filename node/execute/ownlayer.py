"""The site's own environment as a layer of images, for steps whose block names none."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Final

from node.execute.environment.base import INSIDE, base_sources
from node.execute.image import File, Layer

_LINKS: Final = {"bin": f"{INSIDE}/bin", "lib": f"{INSIDE}/lib", "lib64": f"{INSIDE}/lib"}


@cache
def own_layer() -> Layer:
    """The layer. Blocking, the first time for half a second.

    Its modules keep their times, by which the byte code that this machine has of them is known to be theirs.

    Raises:
        Denied: this machine does not tell which libraries its Python needs.
    """
    files: dict[str, File] = {}
    for name, source in base_sources().items():
        files[name] = File(source, int(source.stat().st_mtime))
        compiled = Path(importlib.util.cache_from_source(str(source)))
        if source.suffix == ".py" and compiled.exists():
            files[importlib.util.cache_from_source(name)] = File(compiled)
    programs = {f"{INSIDE[1:]}/bin/{name}": f"../python/bin/{name}" for name in ("python3", "python")}
    return Layer(files, _LINKS | programs)
