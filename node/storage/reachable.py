"""Which nodes lie below a root, remembered in few bytes: what may be asked for under that root."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import Final

from catalog.cid import Cid

_DIGEST: Final = 32


class Reachable(Sequence[bytes]):
    """The digests of ``cids``, sorted, 32 bytes each. ``complete``: all of them are stored, so none is unknown."""

    def __init__(self, cids: Collection[Cid], *, complete: bool) -> None:
        self._digests = b"".join(sorted({cid.digest for cid in cids}))
        self.complete = complete

    def __len__(self) -> int:
        return len(self._digests) // _DIGEST

    def __getitem__(self, index: object) -> bytes:  # type: ignore[override]
        if not isinstance(index, int):
            raise TypeError("one digest at a time")
        return self._digests[index * _DIGEST : (index + 1) * _DIGEST]

    def holds(self, cid: Cid) -> bool:
        """Whether ``cid`` lies below the root."""
        at = bisect_left(self, cid.digest)
        return at < len(self) and self[at] == cid.digest
