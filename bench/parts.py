"""What a node uses its processor for: the stacks of a sampled one, put down to the parts of its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

REST: Final = "event loop and threads"

_PARTS: Final = (
    ("gossip", ("libp2p/pubsub/", "node/network/gossip.py:")),
    (
        "bytes over HTTPS",
        (
            "node/network/bulk.py:",
            "node/network/bulk_",
            "node/site/shelf.py:",
            "node/site/catalogshelf.py:",
            "http/client.py:",
        ),
    ),
    ("control streams", ("libp2p/", "noise/", "node/network/")),
    ("local interface", ("node/api/", "hypercorn/", "starlette/")),
    ("index and search", ("node/replicate/indexing.py:", "node/site/provers.py:", "node/site/finding.py:")),
    ("cosigning", ("node/replicate/cosign.py:", "node/replicate/push.py:", "node/site/lane.py:")),
    ("cosigning", ("node/storage/witness.py:", "node/storage/stored.py:StoredLog._keep_cosignatures")),
    ("leaves and bodies to disk", ("node/storage/",)),
    ("leaves and bodies to disk", ("node/replicate/replicator.py:Replicator._offered", "node/replicate/catchup.py:")),
    ("heads and rounds", ("node/replicate/replicator.py:", "node/site/follower.py:")),
    ("heads and rounds", ("node/site/questions.py:Questions._heads",)),
    ("questions read and answered", ("node/site/questions.py:", "node/message.py:")),
    ("writing", ("node/site/writing.py:", "node/site/publishing.py:")),
)
"""Each part with the beginnings of the frames that are it. The innermost frame that is some part decides."""


def by_part(stacks: Mapping[str, int]) -> Counter[str]:
    """Microseconds of each part, of those of each stack."""
    parts: Counter[str] = Counter()
    for stack, micros in stacks.items():
        parts[_part(stack)] += micros
    return parts


def _part(stack: str) -> str:
    for frame in reversed(stack.split(";")):
        for part, beginnings in _PARTS:
            if frame.startswith(beginnings):
                return part
    return REST
