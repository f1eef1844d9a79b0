"""A port of loopback that leads into a network namespace: a socket stays where it was made, whoever uses it.

Run as a program inside the namespace, with the number of a socket that listens outside, and the address inside.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress

from tests.infra.firewall.forward import carry
from tests.infra.place import Place


def forward(place: Place, address: str, port: int | None = None, name: str = "forward") -> int:
    """The port here that is, from now on, that address and port there; without a ``port``, of the same number there.

    ``name`` is that of the process that does so.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        here = int(listener.getsockname()[1])
        program = [sys.executable, "-m", __name__, str(listener.fileno()), address, str(port or here)]
        place.daemons.start(name, place.inside(*program))
        return here


def _serve(listener: socket.socket, address: str, port: int) -> None:
    while True:
        here, _ = listener.accept()
        threading.Thread(target=_join, args=(here, address, port), daemon=True).start()


def _join(here: socket.socket, address: str, port: int) -> None:
    with here, suppress(OSError), socket.create_connection((address, port), 10) as there:
        there.settimeout(None)
        for end in (here, there):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=carry, args=(there, here), daemon=True)
        back.start()
        carry(here, there)
        back.join()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3]))
