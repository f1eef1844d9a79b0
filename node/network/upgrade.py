"""Upgrades at the asking end: a signed request after which the connection carries bytes of another kind."""

from __future__ import annotations

import ssl
from typing import Final, cast

import h11
import trio

from catalog.error import NotFound, Unreachable, VerificationFailed
from catalog.httpsig import NONCE_BYTES, sign_request
from catalog.key import Signer, short
from node.network.dial import Dialer, Endpoint
from node.network.tls import Interceptions, check_peer, client_context
from node.ports import Clock, Random

ANSWER_SECONDS: Final = 20.0
"""For the TLS handshake and the answer."""

MOST_HEAD: Final = 16 << 10
_RECEIVE: Final = 1 << 12


class Upgrades:
    """Asks for upgrades in the name of one key, over TLS 1.3 to pinned keys."""

    def __init__(self, key: Signer, clock: Clock, random: Random, dialer: Dialer, found: Interceptions) -> None:
        self._key = key
        self._clock = clock
        self._random = random
        self._dialer = dialer
        self._found = found
        self._context = client_context()

    async def open(self, node: str, address: Endpoint, target: str, protocol: str) -> trio.SSLStream:
        """The connection to ``node`` once it has agreed that it speaks ``protocol`` from now on.

        Raises:
            Unreachable: no connection, or no answer in time. NotFound: it does not agree.
            VerificationFailed: another key than ``node``'s, or no proper answer.
        """
        stream = await self._dialer.dial(node, address)
        tls = trio.SSLStream(stream, self._context, server_hostname=address[0], https_compatible=True)
        agreed = False
        try:
            with trio.move_on_after(ANSWER_SECONDS):
                await self._shake_hands(tls, node)
                await self._ask(tls, node, target, protocol)
                agreed = True
        finally:
            if not agreed:
                await trio.aclose_forcefully(tls)
        if not agreed:
            raise Unreachable(f"{short(node)} did not answer at {address[0]} port {address[1]}; try again")
        return tls

    async def _shake_hands(self, tls: trio.SSLStream, node: str) -> None:
        try:
            await tls.do_handshake()
        except trio.BrokenResourceError as error:
            raise Unreachable(f"no TLS with {short(node)}: {error.__cause__ or 'it broke off'}; try again") from error
        with self._found.watching(node):
            # trio passes what it does not define on to the SSLObject below.
            check_peer(cast(ssl.SSLObject, tls), node)

    async def _ask(self, tls: trio.SSLStream, node: str, target: str, protocol: str) -> None:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
        signature = sign_request(
            self._key, "POST", target, peer=node, now=self._clock.now(), nonce=self._random.token(NONCE_BYTES)
        )
        headers = [("Host", node), ("Connection", "upgrade"), ("Upgrade", protocol), ("Content-Length", "0")]
        request = http.send(h11.Request(method="POST", target=target, headers=[*headers, *signature.items()]))
        try:
            await tls.send_all((request or b"") + (http.send(h11.EndOfMessage()) or b""))
            while (event := http.next_event()) is h11.NEED_DATA:
                http.receive_data(bytes(await tls.receive_some(_RECEIVE)))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unreachable(f"{short(node)} broke off; try again") from error
        except h11.RemoteProtocolError as error:
            raise VerificationFailed(f"{short(node)} does not speak HTTP as a node does ({error!s:.80})") from error
        if isinstance(event, h11.Response) and event.status_code == 404:
            raise NotFound(f"{short(node)} does not agree to «{protocol}»")
        if not isinstance(event, h11.InformationalResponse) or event.status_code != 101 or http.trailing_data[0]:
            raise VerificationFailed(f"{short(node)} answered a request for «{protocol}» with something else")
