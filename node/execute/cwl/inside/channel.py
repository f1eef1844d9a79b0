"""The line to the node: frames of four bytes of length and JSON."""

from __future__ import annotations

import posixpath
import socket
import struct
from collections.abc import Mapping

import msgspec

from node.execute.cwl.message import MOST_FRAME, Look, Read, Said, ToEvaluator, ToNode


class ClosedError(Exception):
    """The node has gone, or wants nothing more."""


class Channel:
    """A connected stream socket, used by one thread."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._updated: dict[str, str] = {}
        self._decoder = msgspec.json.Decoder(ToEvaluator)

    def receive(self) -> ToEvaluator:
        """What the node asks for next.

        Raises:
            ClosedError: nothing more.
        """
        (size,) = struct.unpack(">I", self._exactly(4))
        if size > MOST_FRAME:
            raise ClosedError
        found: ToEvaluator = self._decoder.decode(self._exactly(size))
        return found

    def send(self, value: ToNode) -> None:
        """Answer, or ask."""
        data = msgspec.json.encode(value, enc_hook=_plain)
        self._line.sendall(struct.pack(">I", len(data)) + data)

    def ask(self, question: Look | Read) -> Said:
        """What the node says of a file.

        Raises:
            ClosedError: it says nothing.
        """
        self.send(msgspec.structs.replace(question, path=self.now(question.path)))
        answer = self.receive()
        if not isinstance(answer, Said):
            raise ClosedError
        return answer

    def update(self, names: Mapping[str, str]) -> None:
        """Take up what took the place of files and folders: whoever looks at those looks at these from now on."""
        self._updated |= names

    def now(self, path: str) -> str:
        """What stands in the place of ``path`` now: it, or a folder around it, may have been updated more than once."""
        for _ in self._updated:
            place = path
            while place not in self._updated and place != posixpath.dirname(place):
                place = posixpath.dirname(place)
            if place not in self._updated:
                break
            path = self._updated[place] + path[len(place) :]
        return path

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._line.recv(min(size - len(data), 1 << 20))
            if not part:
                raise ClosedError
            data += part
        return bytes(data)


def _plain(value: object) -> str | int | float:
    """A number or text without how it stood in its document, which YAML's reader keeps."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"a {type(value).__name__} is no value of CWL")
