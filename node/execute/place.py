"""The folder in which steps are staged: the node's own, and empty when the node starts.

What a step reads and writes lies there in the clear while it runs. It may be below a folder that lies in memory and
that others write to as well, such as ``/dev/shm``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from catalog.error import BadInput
from node.execute.discard import discard


def begin_place(place: Path) -> None:
    """Make ``place`` anew, mode 0700; what an earlier node of this user left there is removed.

    Raises:
        BadInput: something that is not this user's folder lies there, or it cannot be made.
    """
    try:
        status = place.lstat()
    except FileNotFoundError:
        status = None
    if status is not None and not (stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()):
        raise BadInput(f"{place}, where steps would be staged, is no folder of this node's: remove it")
    try:
        if status is not None:
            discard(place)
        place.mkdir(mode=0o700)
    except OSError as error:
        raise BadInput(f"steps cannot be staged in {place}: {error.strerror}; see [steps] staging") from error
