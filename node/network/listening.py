"""Listening: the sockets that a node accepts connections on."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import trio

from catalog.error import BadInput, Conflict


async def listen(host: str, port: int, section: str) -> Sequence[trio.SocketListener]:
    """Listen on ``port`` (0 for any free one) of ``host``, as the settings under ``section`` say.

    Raises:
        Conflict: the port is in use.
        BadInput: this machine has no such address, or the port needs rights that this process has not.
    """
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {port} on {host} is in use; stop what uses it, or set another under [{section}]"
            ) from error
        raise BadInput(
            f"cannot listen on {host} port {port}: {error.strerror or error}; set another under [{section}]"
        ) from error
