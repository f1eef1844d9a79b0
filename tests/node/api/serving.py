"""A real server over loopback in a thread of its own, with a small site in memory behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio

from catalog.key import PrivateKey
from node.api.client import Node
from node.api.server import serve_api
from node.config import Address, Config, Folder, site_toml
from node.keyfile import Identity
from tests.node.api.double import MemorySite

TOKEN = "a-token-of-this-test"


def key(number: int) -> PrivateKey:
    """A key that is the same in every run."""
    return PrivateKey(bytes([number]) * 32)


@dataclass(frozen=True)
class Running:
    """A server that answers, the site behind it, and a folder that a client is pointed at."""

    site: MemorySite
    folder: Path
    port: int
    stop: Callable[[], None]
    opened: list[Node] = field(default_factory=list)

    def node(self, person: Identity | None) -> Node:
        node = Node.at(self.folder, person)
        self.opened.append(node)
        return node


@pytest.fixture
def steward() -> Identity:
    return Identity.new("Sister Agnes")


@pytest.fixture
def researcher() -> Identity:
    return Identity.new("Mara")


@pytest.fixture
def running(tmp_path: Path, steward: Identity, researcher: Identity) -> Iterator[Running]:
    site = MemorySite("St. Anna", key(1), key(2), steward, researcher)
    yield from run(site, tmp_path / "st-anna")


def run(site: MemorySite, folder: Path) -> Iterator[Running]:
    ready: dict[str, object] = {}
    came = threading.Event()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            listening = partial(serve_api, site, Address("127.0.0.1", 0), TOKEN, site.node.did)
            address = await nursery.start(listening)
            ready.update(port=address.port, token=trio.lowlevel.current_trio_token(), scope=nursery.cancel_scope)
            came.set()

    def serve() -> None:
        try:
            trio.run(main)
        finally:
            # A server that cannot start is a fault at once, not after a wait for it.
            came.set()

    thread = threading.Thread(target=serve)
    thread.start()
    assert came.wait(10)
    assert ready, "the server did not start"
    port, scope, token = ready["port"], ready["scope"], ready["token"]
    assert isinstance(port, int)
    assert isinstance(scope, trio.CancelScope)
    assert isinstance(token, trio.lowlevel.TrioToken)

    def stop() -> None:
        if thread.is_alive():
            token.run_sync_soon(scope.cancel)
            thread.join(10)
        assert not thread.is_alive(), "the server did not stop"

    folder.mkdir()
    api = Address("127.0.0.1", port)
    Folder(folder).config.write_text(site_toml(Config(site.name, site.root.did, api, api, api)))
    Folder(folder).token.write_text(TOKEN + "\n")
    running = Running(site, folder, port, stop)
    try:
        yield running
    finally:
        for node in running.opened:
            node.close()
        stop()
