"""Where the evaluator's names of files lead, as a port: nothing that it names is a path of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands at a name: ``kind`` is ``file`` or ``folder``, empty if nothing; ``size`` in bytes."""

    kind: str = ""
    size: int = 0


NOTHING = Seen()


class Tree(Protocol):
    """Files and folders by absolute, normal names, such as ``/inputs/0/scan.txt``."""

    async def look(self, name: str) -> Seen:
        """What stands there.

        Raises:
            ComityError: it cannot be found out.
        """

    async def names(self, name: str) -> list[str]:
        """The names in a folder; none if it is none.

        Raises:
            ComityError: it cannot be found out.
        """

    async def read(self, name: str, most: int) -> bytes | None:
        """The first ``most`` bytes of a file; none if it is none.

        Raises:
            ComityError: it cannot be read, or must not be.
        """
