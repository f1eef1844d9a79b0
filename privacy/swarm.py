"""What may enter a private swarm of IPFS, whose nodes are asked for by name and see no label.

Bitswap hands every node that it has to every peer that names it. So the question is not who may fetch, but what may
lie there at all (PROTOCOL.md, «Bytes»): data that everyone reads, and ciphertext that every member may hold.
"""

from __future__ import annotations

from collections.abc import Collection

from catalog.dataset import DatasetFields, Level
from privacy.label import may_hold


def may_enter(dataset: DatasetFields, members: Collection[str]) -> bool:
    """Whether the bytes of ``dataset`` may lie in a swarm.

    ``members`` are the root keys of all sites of the consortium where the swarm is known to be theirs alone; none
    where that is not known, and then only what is open enters.
    """
    if dataset.withdrawn or dataset.cid.is_keyed:
        return False
    if dataset.level is Level.OPEN:
        return not dataset.label.owners
    if dataset.level is Level.SHARED:
        owned = bool(dataset.label.owners)
        return owned and bool(members) and all(may_hold(dataset.label, member) for member in members)
    return False
