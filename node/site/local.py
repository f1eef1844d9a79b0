"""This site itself, reached through the same port as the others: a bus places orders at home as it does elsewhere."""

from __future__ import annotations

import trio

from catalog.error import Unreachable
from node.ports import Answer
from node.site.reach import Reach


class LocalFirst:
    """The ``Control`` port that answers for this site without a connection, and asks everybody else through one."""

    def __init__(self, site: str, answer: Answer, reach: Reach) -> None:
        self._site = site
        self._answer = answer
        self._reach = reach

    async def ask(self, site: str, question: bytes, seconds: float = 30.0) -> bytes:
        """Ask a site, ours included.

        Raises:
            Unreachable: as the ``Control`` port says.
        """
        if site != self._site:
            return await self._reach.ask(site, question, seconds)
        with trio.move_on_after(seconds):
            return await self._answer(site, question)
        raise Unreachable(f"this site's own node did not answer within {seconds:g} s")

    async def hint(self, message: bytes) -> None:
        """Gossip a message."""
        await self._reach.hint(message)
