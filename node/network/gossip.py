"""Gossip: gossipsub among members, where a peer's message can be lost but can break nothing."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub

from catalog.error import VerificationFailed
from node.network.bulkhead import contain
from node.network.peer import did_of_peer

HINT_BYTES: Final = 64 << 10
"""The largest message that is sent or taken."""


class Gossip(Pubsub):
    """Pubsub that takes one topic's messages from members alone, signed by whom they say they are from."""

    def __init__(self, host: BasicHost, router: GossipSub, admits: Callable[[str], bool]) -> None:
        super().__init__(
            host,
            router,
            strict_signing=True,
            max_subscriptions_per_rpc=16,
            max_subscriptions_per_peer=16,
            max_inbound_rpc_size=4 * HINT_BYTES,
        )
        self._admits = admits
        self._router = router

    async def messages(self, topic: str) -> AsyncIterator[tuple[str, bytes]]:
        """Join ``topic``; every message of the others that arrives, and the key that signed it, until cancelled."""
        subscription = await self.subscribe(topic)
        while True:
            message = await subscription.get()
            # libp2p lists every delivery, and shortens the list only as part of the adaptation that is off here.
            self._router.recent_message_deliveries.clear()
            if message.from_id != self.my_id.to_bytes():
                yield did_of_peer(ID(message.from_id)), message.data

    def _next_seqno(self) -> bytes:
        # Counting from the clock, as libp2p does, repeats numbers after a restart, and peers drop what they have
        # seen. A message id made from the content instead would not be the one that IHAVE and IWANT carry.
        return secrets.token_bytes(8)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Take one message, from a peer or from ourselves, and pass it on; drop it if it is not as agreed."""
        if len(msg.data) > HINT_BYTES or len(msg.topicIDs) != 1 or len(msg.seqno) != 8:
            return
        if msg_forwarder != self.my_id:
            try:
                origin = did_of_peer(ID(msg.from_id))
            except VerificationFailed:
                return
            if not self._admits(origin):
                return
        await contain("a gossip message", str(msg_forwarder), partial(super().push_msg, msg_forwarder, msg))


def router() -> GossipSub:
    """A gossipsub router for tens of members, every one of whom is known.

    Peer exchange, adaptation (which slows the heartbeat to 30 s and more when nothing is gossiped) and the wish for
    several networks are for open swarms; all are off.
    """
    return GossipSub(
        protocols=[PROTOCOL_ID_V11],
        degree=8,
        degree_low=6,
        degree_high=12,
        heartbeat_interval=1,
        do_px=False,
        px_peers_count=0,
        adaptive_gossip_enabled=False,
        max_messages_per_topic_per_second=100.0,
        eclipse_protection_enabled=False,
        max_pending_messages_per_peer=16,
    )
