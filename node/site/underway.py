"""The transfers that are under way at this moment, for whoever wants to look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from node.site.transfer import Progress


class UnderWay:
    """What is being fetched now."""

    def __init__(self) -> None:
        self._shown: list[Progress] = []

    @contextmanager
    def showing(self, progress: Progress) -> Iterator[None]:
        """Show ``progress`` while the block lasts."""
        self._shown.append(progress)
        try:
            yield
        finally:
            self._shown.remove(progress)

    def __iter__(self) -> Iterator[Progress]:
        """Those under way, the oldest first."""
        return iter(tuple(self._shown))
