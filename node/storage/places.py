"""What the projections in the ledger's file have in common: they keep places alone, the bodies are in the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catalog.body import Body, read_body


@dataclass(frozen=True, slots=True)
class Places:
    """The ledger's file, by queries that ``read`` and ``write``, and the log, in which ``peek`` finds a leaf's body."""

    read: Callable[..., list[tuple[Any, ...]]]
    write: Callable[[str, tuple[object, ...]], None]
    peek: Callable[[int], bytes | None]

    def body(self, leaf: int) -> Body | None:
        """The body of a leaf; none if it was erased, or is not durable yet."""
        data = self.peek(leaf)
        return None if data is None else read_body(data)
