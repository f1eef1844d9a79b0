"""A port on this machine's loopback that leads to the same port on the loopback of another namespace."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.infra.firewall.internet import Place


@contextmanager
def forwarded(place: Place, port: int) -> Iterator[None]:
    """As long as the block lasts, ``port`` here is the port at ``place``."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, place, port), daemon=True)
        accepting.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket, place: Place, port: int) -> None:
    while True:
        try:
            here, _ = listener.accept()
        except OSError:  # the block is over
            return
        try:
            there = place.connection(port)
        except ConnectionError:  # nobody listens there (yet)
            here.close()
            continue
        threading.Thread(target=_join, args=(here, there), daemon=True).start()


def _join(one: socket.socket, other: socket.socket) -> None:
    with one, other:
        back = threading.Thread(target=carry, args=(other, one), daemon=True)
        back.start()
        carry(one, other)
        back.join()


def carry(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes one way until there are none, and say so to the other end."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
