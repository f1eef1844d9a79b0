"""A small HTTP proxy that knows CONNECT alone, wants a password, and writes down what it saw.

Run as a program with the address to listen on, the value of Proxy-Authorization that it wants, and the file of its
notes: for each connection the first line of the request, and the first byte that the client sent behind it.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from pathlib import Path

from tests.infra.firewall.forward import carry

MOST_HEAD = 16 << 10


class Visit(socketserver.BaseRequestHandler):
    """One connection."""

    server: ConnectProxy

    def handle(self) -> None:
        head = bytearray()
        while not head.endswith(b"\r\n\r\n") and len(head) < MOST_HEAD:
            octet = self.request.recv(1)
            if not octet:
                return
            head += octet
        request, *headers = head.decode().split("\r\n")
        method, target, _ = request.split(" ")
        if method != "CONNECT":
            self.server.note(f"{request} refused")
            self.request.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
        elif f"Proxy-Authorization: {self.server.wanted}" not in headers:
            self.server.note(f"{request} unauthorized")
            self.request.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        else:
            self._connect(request, target)

    def _connect(self, request: str, target: str) -> None:
        host, _, port = target.rpartition(":")
        try:
            there = socket.create_connection((host.strip("[]"), int(port)), 10)
        except OSError:
            self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        there.settimeout(None)
        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.server.note(f"{request} {self.request.recv(1, socket.MSG_PEEK).hex()}")
        back = threading.Thread(target=carry, args=(there, self.request), daemon=True)
        back.start()
        carry(self.request, there)
        back.join()
        there.close()


class ConnectProxy(socketserver.ThreadingTCPServer):
    """The proxy; ``wanted`` is the header's value, empty for none."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], wanted: str, notes: Path) -> None:
        super().__init__(address, Visit)
        self.wanted = wanted
        self._notes = notes
        self._writing = threading.Lock()

    def note(self, line: str) -> None:
        with self._writing, self._notes.open("a") as file:
            file.write(f"{line}\n")


if __name__ == "__main__":
    host, port = sys.argv[1].rsplit(":", 1)
    ConnectProxy((host, int(port)), sys.argv[2], Path(sys.argv[3])).serve_forever()
