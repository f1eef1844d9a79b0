"""How much a store may hold, when its operator said so."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from catalog.error import Full


class Room:
    """The bytes below ``folders``, bounded by ``most``; 0 bounds nothing. For any thread.

    What is there is counted when it is needed first, and again after something went.
    """

    def __init__(self, most: int, folders: Sequence[Path]) -> None:
        self._most = most
        self._folders = folders
        self._used: int | None = None
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Have room for ``size`` more bytes.

        Raises:
            Full: there is none; nothing was taken.
        """
        if not self._most and self._used is None:
            return  # it is counted when somebody asks
        with self._lock:
            used = self._counted()
            if self._most and used + size > self._most:
                raise Full(
                    f"nothing more is stored: this site's data have {used / (1 << 30):,.1f} GiB of the"
                    f" {self._most / (1 << 30):,.1f} that its operator allows; withdraw what is not needed, or set a"
                    " higher [storage] most_gib and restart the node"
                )
            self._used = used + size

    def used(self) -> int:
        """The bytes that are there."""
        with self._lock:
            return self._counted()

    def count_again(self) -> None:
        """Something went."""
        with self._lock:
            self._used = None

    def _counted(self) -> int:
        if self._used is None:
            self._used = sum(map(_bytes_below, self._folders))
        return self._used


def _bytes_below(folder: Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                total += _bytes_below(Path(entry)) if entry.is_dir() else entry.stat().st_size
            except FileNotFoundError:
                continue  # it has just gone, or got its name
    return total
