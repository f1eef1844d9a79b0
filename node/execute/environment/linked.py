"""An environment with its links: for a runner that shows a step folders of this machine, and no image.

Beside the plain folder lies another one with the same files, which are links to the same bytes, and with the symbolic
links. They are made, and not followed: a folder that is walked is opened as a folder, without following one.
"""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path
from typing import Final

from catalog.error import BadInput, shown
from node.execute.discard import discard
from node.execute.environment.trees import link_tree, on_disk
from node.step import Environment

LINKED: Final = "linked"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_making = threading.Lock()


def linked(environment: Environment) -> Path:
    """The folder that holds ``environment`` with its links, but for those at its top. Blocking, the first time.

    Raises:
        BadInput: a link lies in no folder of it, or where something else does. Full, ComityError: the disk refuses.
    """
    below = {path: target for path, target in environment.links.items() if "/" in path}
    if not below:
        return environment.folder
    place = environment.folder.with_name(LINKED)
    with _making:
        if not place.exists():
            _make(environment.folder, below, place)
    return place


def _make(folder: Path, links: dict[str, str], place: Path) -> None:
    fresh = place.with_name(f".{LINKED}-{secrets.token_hex(8)}")
    try:
        with on_disk("an environment could not be put together"):
            link_tree(folder, fresh)
            for path, target in links.items():
                _link(fresh, path, target)
            fresh.rename(place)
    finally:
        if fresh.exists():
            discard(fresh)


def _link(root: Path, path: str, target: str) -> None:
    *above, name = path.split("/")
    here = os.open(root, _FOLDER)
    try:
        for part in above:
            below = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        os.symlink(target, name, dir_fd=here)
    except (NotADirectoryError, FileNotFoundError, FileExistsError) as error:
        raise BadInput(f"an environment was refused: its link «{shown(path, 80)}» lies in no folder of it") from error
    finally:
        os.close(here)
