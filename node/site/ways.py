"""The ways between this node and the others, put together: who dials how, what is relayed, what is listened on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import trio

from catalog.error import BadInput
from catalog.key import short
from node.api.schema import ReachView
from node.config import Config
from node.keyfile import Identity
from node.network.blob import Answer, Blob, BulkRequest, Upgrade
from node.network.dial import Direct, Endpoint, https_endpoint
from node.network.front import Front
from node.network.line import Lines
from node.network.outbound import Outbound
from node.network.proxy import Proxy
from node.network.relay import Relay
from node.network.routes import Routes
from node.network.tls import Interceptions
from node.network.upgrade import Upgrades
from node.ports import Clock, Random
from node.site.membership import Membership

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus


class Ways:
    """Made before the ``membership`` that it asks about; :meth:`run` is for as long as the site is served.

    Raises:
        BadInput: the environment's HTTPS_PROXY cannot be used.
    """

    def __init__(
        self,
        config: Config,
        node: Identity,
        clock: Clock,
        random: Random,
        membership: Callable[[], Membership],
        environment: Mapping[str, str],
    ) -> None:
        self._config = config
        self._membership = membership
        self.direct = Direct(Proxy.of(environment))
        self.interceptions = Interceptions()
        self.front = Front()
        self.lines = Lines(self._admits)
        self.relay = Relay(node.did, self.lines, self._admits)
        upgrades = Upgrades(node.key, clock, random, self.direct, self.interceptions)
        self.dialer = Routes(self.direct, upgrades, self.lines, self.reachable)
        self.outbound = Outbound(upgrades, self.reachable, self.front.welcome)

    def reachable(self) -> dict[str, Endpoint]:
        """The other members' nodes that can be dialled, and where their bulk servers are."""
        membership, found = self._membership(), dict[str, Endpoint]()
        for root, founder in membership.founders.items():
            node = membership.nodes.get(root)
            if node is None or founder is membership.directory.me.founder:
                continue
            try:
                address = https_endpoint(founder.bulk)
            except BadInput:
                continue  # nobody is there; what it announced is its own affair
            if address is not None:
                found[node] = address
        return found

    def answering(self, answer: Answer) -> Answer:
        """``answer``, and before it the relay's."""

        async def answered(request: BulkRequest) -> Blob | Upgrade | None:
            return self.relay.answer(request) if self.relay.asked(request) else await answer(request)

        return answered

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry what goes over lines, keep this site's own, and listen on the port that both servers share.

        Raises:
            Conflict: the port is in use. BadInput: this machine has no such address.
        """
        async with trio.open_nursery() as nursery:
            await nursery.start(self.dialer.run)
            if not self._config.inbound:
                nursery.start_soon(self.outbound.run)
            elif self._config.shared:
                await nursery.start(self.front.serve, self._config.control.host, self._config.control.port)
            task_status.started()

    def view(self) -> ReachView:
        """How this node and the others come to each other, for people."""
        proxy = self.direct.proxy
        return ReachView(
            inbound=self._config.inbound,
            proxy=proxy.name if proxy is not None else "",
            waits_at=self._names(self.outbound.waiting_at),
            lines_of=self._names(self.lines.counts),
            carried=self.relay.carried,
            intercepted=tuple(self.interceptions.found.values()),
        )

    def _names(self, nodes: Iterable[str]) -> tuple[str, ...]:
        membership = self._membership()
        return tuple(sorted(membership.names.get(membership.site_of(node) or "", short(node)) for node in nodes))

    def _admits(self, node: str) -> bool:
        return self._membership().site_of(node) is not None
