"""Pruning an audit log: bodies that have been kept for as long as they must be are erased; the log still verifies.

Rows go from the oldest on, up to the first that is to stay. What is left of each is its leaf, which an asker counts as
a blank; what a pruned result left on disk is served to nobody any more.
"""

from __future__ import annotations

from typing import Final

import trio

from catalog.body import read_body
from catalog.origin import LogName
from node.config import Folder, read_config
from node.keyfile import read_identity
from node.storage.log import DiskLog
from node.storage.reopened import own_origin
from node.system import SystemRandom

DAY_MILLIS: Final = 86_400_000
BATCH: Final = 4096


async def prune(folder: Folder, now: int) -> int:
    """Erase what is older than the site's ``keep_days`` at ``now`` (Unix milliseconds); how many bodies went.

    Raises:
        NotFound: it is no site's folder. Conflict: its node runs; stop it first.
        VerificationFailed: a file is damaged.
    """
    config = read_config(folder)
    node = await trio.to_thread.run_sync(read_identity, folder.node_key)
    oldest = now - config.keep_days * DAY_MILLIS
    pruned = 0
    origin = await trio.to_thread.run_sync(own_origin, folder.audit, config.root, LogName.AUDIT)
    async with await DiskLog.open(folder.audit, origin, 0, node.key, SystemRandom()) as log:
        for start in range(0, log.size, BATCH):
            stop = min(start + BATCH, log.size)
            old: list[int] = []
            for index, (_, stored) in enumerate(await log.read(start, stop), start):
                if stored is not None and read_body(stored[1]).at >= oldest:
                    stop = index
                    break
                if stored is not None:
                    old.append(index)
            await log.erase(*old)
            pruned += len(old)
            if stop < min(start + BATCH, log.size):
                break
    return pruned
