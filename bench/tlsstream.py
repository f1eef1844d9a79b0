"""Seconds for 1 GiB through a bare TLS 1.3 stream between two processes: ``python -m bench.tlsstream``."""

from __future__ import annotations

import os
import socket
import time

from catalog.key import PrivateKey
from node.network.tls import client_context, server_context

SIZE = 1 << 30
PIECE = 1 << 18


def main() -> None:
    """Send from a child, receive here."""
    context = server_context(PrivateKey(bytes([7]) * 32))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if os.fork() == 0:
            raw, _ = listener.accept()
            with context.wrap_socket(raw, server_side=True) as tls:
                piece = os.urandom(PIECE)
                for _ in range(SIZE // PIECE):
                    tls.sendall(piece)
            os._exit(0)
        with client_context().wrap_socket(socket.create_connection(listener.getsockname())) as tls:
            buffer = memoryview(bytearray(PIECE))
            began, left = time.perf_counter(), SIZE
            while left and (count := tls.recv_into(buffer)):
                left -= count
            print(time.perf_counter() - began)
        os.wait()


if __name__ == "__main__":
    main()
