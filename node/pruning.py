"""Pruning a site's audit log while no node runs on its folder."""

from __future__ import annotations

import trio

from node.config import Folder, read_config
from node.holding import held
from node.site.pruning import Pruned, prune


def prune_site(folder: Folder, now: int) -> Pruned:
    """Erase what the audit log in ``folder`` has kept for long enough at ``now`` (Unix milliseconds).

    Raises:
        NotFound: no site. Conflict: a node runs on it; stop it first. VerificationFailed: a file is damaged.
    """
    folder = Folder(folder.path.absolute())
    read_config(folder)
    with held(folder):
        return trio.run(prune, folder, now)
