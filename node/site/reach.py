"""Reaching other sites: the core's ``Control`` and ``Bulk`` ports, with sites named by their root keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TypeVar

from catalog.error import Denied, NotFound, Unreachable, VerificationFailed
from node.founding import Founder
from node.network.bulk import BulkClient
from node.network.control import ControlNetwork
from node.site.directory import Directory
from node.site.membership import Membership

T = TypeVar("T")


class Reach:
    """Knows where each member's node is, and asks it."""

    def __init__(self, membership: Membership, network: ControlNetwork, bulk: BulkClient) -> None:
        self._membership = membership
        self._network = network
        self._bulk = bulk

    async def ask(self, site: str, question: bytes, seconds: float = 30.0) -> bytes:
        """Send a control question to the node of ``site``.

        Raises:
            Unreachable: no connection, no answer in time; the message names the site.
            NotFound: no member.
        """
        founder = self._founder(site)
        node = self._membership.nodes[site]
        try:
            return await self._network.ask(node, [founder.control], question, seconds)
        except Unreachable as error:
            told = self._membership.in_names(str(error))
            raise Unreachable(f"{founder.member.site} does not answer ({told})") from error

    async def hint(self, message: bytes) -> None:
        """Gossip a message."""
        await self._network.hint(message)

    async def get(self, site: str, path: str, limit: int) -> bytes:
        """Fetch ``path`` from the bulk server of ``site``.

        Raises:
            Unreachable, NotFound, VerificationFailed: as the ``Bulk`` port says.
        """
        founder = self._founder(site)
        with self._naming():
            return await self._bulk.get(self._membership.nodes[site], founder.bulk, path, limit=limit)

    async def query(self, site: str, path: str, query: bytes, take: Callable[[IO[bytes]], T], limit: int) -> T:
        """Let ``take`` read, in a worker thread, what ``site`` answers to ``query``.

        Raises:
            Unreachable, NotFound, VerificationFailed: as the ``Bulk`` port says.
        """
        founder = self._founder(site)
        node = self._membership.nodes[site]
        with self._naming():
            return await self._bulk.stream(node, founder.bulk, path, take, limit=limit, query=query)

    async def post(self, site: str, path: str, body: bytes, limit: int) -> bytes:
        """Send ``body`` to ``path`` at the bulk server of ``site``; its answer, at most ``limit`` bytes.

        Raises:
            Unreachable, NotFound, VerificationFailed: as for :meth:`get`.
        """
        founder = self._founder(site)
        with self._naming():
            return await self._bulk.post(self._membership.nodes[site], founder.bulk, path, body, limit=limit)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Say of errors which site they are about: the network knows keys, people know names."""
        try:
            yield
        except (Unreachable, NotFound, VerificationFailed) as error:
            raise type(error)(self._membership.in_names(str(error))) from error

    def _founder(self, site: str) -> Founder:
        founder = self._membership.founders.get(site)
        if founder is None and self._membership.left is not None:
            raise NotFound("this site left the consortium; its members answer it no more")
        if founder is None and site in self._membership.former:
            raise NotFound(f"{self._membership.names[site]} left the consortium")
        if founder is None:
            raise NotFound("no member has that root key; see «comity consortium members»")
        return founder


class Introducing:
    """The ``Bulk`` port of a node that just started: whoever may not know its key yet is told first whose it is."""

    def __init__(self, reach: Reach, directory: Directory) -> None:
        self._reach = reach
        self._directory = directory

    async def get(self, site: str, path: str, limit: int) -> bytes:
        """As :meth:`Reach.get`."""
        if site in self._directory.untold():
            with suppress(Denied, VerificationFailed):  # then it does not answer this node either, and says why
                await self._directory.tell(site)
        return await self._reach.get(site, path, limit)
