"""A Docker daemon, through its own client: what it is, its images, and one container from its making to its removal.

All methods are blocking. What the client raises ends here: a daemon that is not there is :class:`Unreachable`, one that
refuses is :class:`RefusedError` with its own words.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from docker import APIClient  # type: ignore[import-untyped]
from docker.errors import APIError, DockerException, NotFound  # type: ignore[import-untyped]
from requests.exceptions import RequestException

from catalog.error import Unreachable
from node.execute.image import Image

LABEL: Final = "comity.work"
"""A container's label: the work folder of its step, by which a later node knows what an earlier one left."""

_CALL_SECONDS: Final = 60
_LONGEST_SECONDS: Final = 1 << 24
_USUAL: Final = "unix:///var/run/docker.sock"


class RefusedError(Exception):
    """The daemon does not do it; its argument is what it says. ``missing`` is whether an image is not there."""

    def __init__(self, said: str, *, missing: bool = False) -> None:
        super().__init__(said)
        self.missing = missing


class Facts(msgspec.Struct, frozen=True, rename="pascal"):
    """What the daemon says of itself (``GET /info``)."""

    server_version: str = ""
    architecture: str = ""
    security_options: list[str] = []
    runtimes: dict[str, object] = {}
    memory_limit: bool = False
    pids_limit: bool = False
    processors: int = msgspec.field(default=0, name="NCPU")
    memory: int = msgspec.field(default=0, name="MemTotal")

    @property
    def rootless(self) -> bool:
        """Whether the daemon runs as an unprivileged user, which is root to its containers."""
        return any("name=rootless" in option for option in self.security_options)

    @property
    def filters(self) -> bool:
        """Whether it can filter system calls."""
        return any("name=seccomp" in option for option in self.security_options)


class Daemon:
    """The daemon at ``host``, or where ``DOCKER_HOST`` says, or at the usual socket."""

    def __init__(self, host: str) -> None:
        self.host = host or os.environ.get("DOCKER_HOST", "") or _USUAL
        self._client: APIClient | None = None

    def facts(self) -> Facts:
        """What it is.

        Raises:
            Unreachable: it does not answer.
        """
        with self._asking() as client:
            return msgspec.convert(client.info(), type=Facts, strict=False)

    def has(self, name: str, image: Image) -> bool:
        """Whether the image of that name is there and consists of the layers of ``image``.

        Raises:
            Unreachable: it does not answer.
        """
        try:
            with self._asking() as client:
                found = client.inspect_image(name)
        except RefusedError:
            return False
        layers: object = found.get("RootFS", {}).get("Layers")
        return layers == [layer.digest for layer in image.layers]

    def load(self, name: str, image: Image) -> None:
        """Load an image, under that name.

        Raises:
            Unreachable: it does not answer. RefusedError: it does not take it.
        """
        with self._asking() as client:
            for line in client.load_image(image.chunks(name)):
                if error := line.get("error"):
                    raise RefusedError(str(error))

    def start(self, name: str, made: Mapping[str, Any], host: Mapping[str, Any]) -> None:
        """Make and start a container of that name: its configuration, and ``host``'s part of it.

        Raises:
            Unreachable: it does not answer. RefusedError: it does not start.
        """
        with self._asking() as client:
            body = {**made, "HostConfig": dict(host)}
            client.create_container_from_config(body, name)
            client.start(name)

    def wait(self, name: str) -> None:
        """Wait until a container has ended.

        Raises:
            Unreachable: the daemon went. RefusedError: there is no such container any more.
        """
        with self._asking() as client:
            client.wait(name, timeout=_LONGEST_SECONDS)

    def remove(self, name: str) -> bool:
        """End and remove a container, if there is one; whether the kernel ended a process of it for lack of memory.

        Raises:
            Unreachable: it does not answer. RefusedError: it cannot.
        """
        try:
            with self._asking() as client:
                starved = bool(client.inspect_container(name)["State"].get("OOMKilled"))
                client.remove_container(name, force=True, v=True)
        except RefusedError as error:
            if error.missing:
                return False
            raise
        return starved

    def labelled(self) -> dict[str, str]:
        """All containers of steps, running or not: the work folder of each by its name.

        Raises:
            Unreachable: it does not answer.
        """
        with self._asking() as client:
            found = client.containers(all=True, filters={"label": LABEL})
        return {each["Id"]: each["Labels"][LABEL] for each in found}

    @contextmanager
    def _asking(self) -> Iterator[APIClient]:
        try:
            self._knock()
            if self._client is None:
                self._client = APIClient(base_url=self.host, timeout=_CALL_SECONDS, version="auto")
            yield self._client
        except NotFound as error:
            raise RefusedError(_said(error), missing=True) from error
        except APIError as error:
            raise RefusedError(_said(error)) from error
        except (DockerException, RequestException, OSError) as error:
            raise Unreachable(f"Docker does not answer at {self.host}: start it, or name another one") from error

    def _knock(self) -> None:
        """Raise OSError if nobody listens: the client would leave the socket that it made open."""
        if self.host.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as end:
                end.settimeout(_CALL_SECONDS)
                end.connect(self.host.removeprefix("unix://"))


def _said(error: APIError) -> str:
    return str(error.explanation or error).strip()
