"""Peers: libp2p identities that are members' node keys, and a host that lets nobody else in.

A node's libp2p key is its node key (design, section 5), so the peer id that the Noise handshake proves and the
``did:key`` in the epoch documents say the same. :class:`Admission` asks at every handshake, in both directions,
whether that key may connect. Nothing that a peer says of itself or of others (addresses, protocols, peers to try)
is kept: addresses come from signed entries alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final

from libp2p.abc import INetStream, IRawConnection, ISecureConn, ISecureTransport
from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.crypto.ed25519 import create_new_key_pair as ed25519_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as x25519_key_pair
from libp2p.custom_types import StreamHandlerFn, TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.swarm import Swarm
from libp2p.peer.envelope import Envelope
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.mplex.constants import HeaderTags
from libp2p.stream_muxer.mplex.datastructures import StreamID
from libp2p.stream_muxer.mplex.exceptions import MplexUnavailable
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.stream_muxer.mplex.mplex_stream import MplexStream
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from catalog.error import VerificationFailed
from catalog.key import PrivateKey, did_of, public_bytes
from node.network.bulkhead import contain, log
from node.network.tcp import Tcp, TcpStream

STREAMS: Final = 64
"""Streams that one connection's other end may have open."""
_REMEMBERED: Final = 1024
"""Keys whose peer id is kept; it is asked for at each message."""
_CONNECTIONS: Final = 1024
_PER_PEER: Final = 8


@lru_cache(maxsize=_REMEMBERED)
def peer_id_of(did: str) -> ID:
    """The libp2p peer id of an Ed25519 ``did:key``; ``str()`` of it is the usual ``12D3KooW…``.

    Raises:
        BadInput: ``did`` is no Ed25519 ``did:key``.
    """
    return ID.from_pubkey(Ed25519PublicKey.from_bytes(public_bytes(did)))


@lru_cache(maxsize=_REMEMBERED)
def did_of_peer(peer: ID) -> str:
    """The ``did:key`` that a libp2p peer id carries.

    Raises:
        VerificationFailed: it is not the id of an Ed25519 key.
    """
    key = peer.extract_public_key()
    if not isinstance(key, Ed25519PublicKey) or ID.from_pubkey(key) != peer:
        raise VerificationFailed(f"the peer id {str(peer)[:64]} is not that of an Ed25519 key")
    return did_of(key.to_bytes())


class Admission(ISecureTransport):
    """Noise, and behind it, before anything else is spoken, the question whether this key may connect."""

    def __init__(self, noise: Noise, admits: Callable[[str], bool]) -> None:
        self._noise = noise
        self._admits = admits

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        """The session with whoever connected to us.

        Raises:
            HandshakeFailure: that key is not admitted, or has proved nothing.
        """
        return await self._admit(conn, await self._noise.secure_inbound(conn))

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        """The session with ``peer_id``, which we dialled; Noise itself refuses any other key.

        Raises:
            HandshakeFailure: that key is not admitted (any more), or has proved nothing.
        """
        return await self._admit(conn, await self._noise.secure_outbound(conn, peer_id))

    async def _admit(self, conn: IRawConnection, session: ISecureConn) -> ISecureConn:
        try:
            node = did_of_peer(session.get_remote_peer())
        except VerificationFailed as error:
            await session.close()
            raise HandshakeFailure(str(error)) from error
        if not self._admits(node):
            await session.close()
            log.info("refused a connection with %s, which is not admitted here", node)
            raise HandshakeFailure(f"{node} may not connect here")
        if isinstance(conn, RawConnection) and isinstance(conn.stream, TcpStream):
            conn.stream.settle()
        return session


class Muxer(Mplex):
    """mplex, whose connection fails alone, holds a bounded number of streams, and forgets those that ended."""

    async def handle_incoming(self) -> None:
        """Read until the connection ends, whatever its other end sends."""
        await contain("a connection", str(self.peer_id), super().handle_incoming)

    async def _handle_new_stream(self, stream_id: StreamID, message: bytes) -> None:
        if sum(not stream.is_initiator for stream in self.streams.values()) >= STREAMS:
            await self.send_message(HeaderTags.ResetReceiver, None, stream_id)
            return
        await super()._handle_new_stream(stream_id, message)

    async def _handle_message(self, stream_id: StreamID, message: bytes) -> None:
        stream = self.streams.get(stream_id)
        try:
            await super()._handle_message(stream_id, message)
        except MplexUnavailable:
            # libp2p 0.8.1 takes a stream that we reset while data waited for it for the end of the connection.
            if stream is None or not stream.event_reset.is_set():
                raise

    async def _initialize_stream(self, stream_id: StreamID, name: str) -> MplexStream:
        # libp2p 0.8.1 forgets a stream that both ends closed but keeps its channel, for as long as the connection.
        for gone in self.streams_msg_channels.keys() - self.streams.keys():
            del self.streams_msg_channels[gone]
        return await super()._initialize_stream(stream_id, name)


class NoHearsay(PeerStore):
    """A peer store that takes no addresses: libp2p would dial what any peer tells it to."""

    def add_addr(self, peer_id: ID, addr: Multiaddr, ttl: int = 0) -> None:
        """Take nothing."""

    def add_addrs(self, peer_id: ID, addrs: Sequence[Multiaddr], ttl: int = 0) -> None:
        """Take nothing."""

    def consume_peer_record(self, envelope: Envelope, ttl: int) -> bool:  # noqa: ARG002 -- libp2p's names
        """Take nothing; pubsub refuses the whole message if this says no."""
        return True


def open_host(
    key: PrivateKey, transport: Tcp, admits: Callable[[str], bool], handlers: dict[TProtocol, StreamHandlerFn]
) -> tuple[BasicHost, Swarm]:
    """A libp2p host for the node key ``key`` that speaks Noise and mplex over ``transport``, and only ``handlers``.

    Not started; it serves neither identify nor ping, dials nobody by itself, and drops no connection to make room.
    """
    pair = ed25519_key_pair(key.seed)
    store = NoHearsay()
    store.add_key_pair(ID.from_pubkey(pair.public_key), pair)

    def has_room(node: str) -> bool:
        return len(swarm.get_connections(peer_id_of(node))) < _PER_PEER and admits(node)

    swarm = Swarm(
        ID.from_pubkey(pair.public_key),
        store,
        TransportUpgrader(
            {NOISE: Admission(Noise(pair, x25519_key_pair().private_key), has_room)}, {MPLEX_PROTOCOL_ID: Muxer}
        ),
        transports=[transport],
        retry_config=RetryConfig(max_retries=0),
        connection_config=ConnectionConfig(
            max_connections=_CONNECTIONS,
            high_watermark=_CONNECTIONS,
            min_connections=0,
            low_watermark=0,
            max_connections_per_peer=_PER_PEER,
            auto_connect_interval=86400.0,
        ),
    )
    # The host registers one notifee, which runs identify as trio system tasks, whose failure ends the process.
    kept = list(swarm.notifees)
    host = BasicHost(swarm, default_protocols=OrderedDict(handlers), disable_identify_address_discovery=True)
    swarm.notifees[:] = kept
    negotiated = swarm.common_stream_handler

    async def handle(stream: INetStream) -> None:
        if not await contain("a stream", str(stream.muxed_conn.peer_id), partial(negotiated, stream)):
            await stream.reset()

    swarm.set_stream_handler(handle)
    return host, swarm
