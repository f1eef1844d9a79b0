"""A registry of images, Debian's, in the network of what pulls from it, and at the same port of loopback here."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.infra.forward import forward
from tests.infra.machine import need_programs
from tests.infra.place import Place

PACKAGES = {"docker-registry": "docker-registry", "htpasswd": "apache2-utils"}
NAME = "registry"
FORWARD = "registry-forward"
LOOPBACK = "127.0.0.1"
READY_SECONDS = 30


@dataclass(frozen=True)
class Registry:
    """One that was started, in the network of ``place``."""

    place: Place
    port: int

    @property
    def host(self) -> str:
        """What it is called in the names of images, here and there."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def folder(self) -> Path:
        """All that it keeps."""
        return self.place.state / NAME

    def blob(self, digest: str) -> Path:
        """Where its bytes of that digest lie."""
        algorithm, _, value = digest.partition(":")
        return self.folder / "docker/registry/v2/blobs" / algorithm / value[:2] / value / "data"

    def start(self, settings: Mapping[str, object] | None = None, users: Mapping[str, str] | None = None) -> None:
        """Start it with more ``settings`` of its own, and open to those ``users`` with their passwords, or to all.

        Raises:
            RefusedError: it does not start.
        """
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "config.json"
        usual = {"version": "0.1", "storage": {"filesystem": {"rootdirectory": str(self.folder)}}}
        path.write_text(json.dumps(_merged(usual | self._auth(users or {}), self._http(), settings or {})))
        self.place.daemons.start(NAME, self.place.inside("docker-registry", "serve", path))
        self.place.daemons.wait(READY_SECONDS, "the registry", self._answers)

    def stop(self) -> None:
        """End it; it keeps what it has."""
        self.place.daemons.stop(NAME)

    def _http(self) -> Mapping[str, object]:
        return {"http": {"addr": self.host, "secret": self.place.mark}}

    def _auth(self, users: Mapping[str, str]) -> Mapping[str, object]:
        if not users:
            return {}
        path = self.folder / "users"
        path.write_text("".join(_hashed(*user) for user in users.items()))
        return {"auth": {"htpasswd": {"realm": NAME, "path": str(path)}}}

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.host}/v2/").status_code in (200, 401)
        except httpx.HTTPError:
            return False


@contextmanager
def running(place: Place) -> Iterator[Registry]:
    """One beside a component that is up, open to all, for a block; nothing is left of it.

    Raises:
        RefusedError: this machine lacks something, which is named, or it does not start.
    """
    need_programs(PACKAGES)
    made = Registry(place, forward(place, LOOPBACK, name=FORWARD))
    try:
        made.start()
        yield made
    finally:
        place.daemons.stop(NAME, FORWARD)
        if made.folder.exists():
            shutil.rmtree(made.folder)


def _merged(*parts: Mapping[str, object]) -> dict[str, object]:
    """Sections of the same name are one, and what was said last holds."""
    whole: dict[str, object] = {}
    for name, value in (each for part in parts for each in part.items()):
        there = whole.get(name)
        whole[name] = _merged(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return whole


def _hashed(user: str, password: str) -> str:
    done = subprocess.run(["htpasswd", "-inB", user], input=password, capture_output=True, text=True, check=True)
    return done.stdout.strip() + "\n"
