"""A site whose node is a real process, with a Kubo beside it, and the Kubos of others in its swarm."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from catalog.cid import Cid
from node.api.client import Node
from node.api.person import Persons
from node.api.swarm import SwarmView
from node.config import Address, Folder
from node.rootkey import new_passphrase
from node.setup import init_site
from node.storage.swarmkey import new_swarm_key, take_swarm_key
from tests.infra.kubo.daemon import Kubo

T = TypeVar("T")
SECONDS = 60.0


def eventually(look: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """What ``look`` gives once it is something; fails when that lasts too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


class Hospital:
    """A site in a folder of its own. ``program`` is the Kubo that its node runs; none if it is told of one.

    ``settings`` stand behind the head ``section`` of its settings, if that is there, else at their end.
    """

    def __init__(self, path: Path, program: Path | str | None, settings: str = "", section: str = "") -> None:
        self.folder, self.home = Folder(path / "site"), path / "home"
        self.program = program
        self.log = path / "node.log"
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
        *ports, self.swarm_port = [each.getsockname()[1] for each in held]
        for each in held:
            each.close()
        made = init_site(
            self.folder, "St. Anna", "Ada", *(Address("127.0.0.1", port) for port in ports), new_passphrase()
        )
        Persons(self.home).add(made.steward)
        self.swarm_key = path / "swarm.key"
        new_swarm_key(self.swarm_key)
        take_swarm_key(self.swarm_key, self.folder.swarm_key)
        own = f'[kubo]\nlisten = ["/ip4/127.0.0.1/tcp/{self.swarm_port}"]\n'
        text = self.folder.config.read_text()
        head, found, rest = text.partition(f"{section}\n") if section else (text, "", "")
        self.folder.config.write_text(f"{head}{found}\n{settings or own}{rest}")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``comity`` at this site."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            env=os.environ | {"COMITY_HOME": str(self.home), "COMITY_SITE": str(self.folder.path)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def ended(self) -> str:
        """Run a node that is expected to end by itself; what it says."""
        ended = self.command("site", "run", str(self.folder.path), *self._with())
        assert ended.returncode in (1, 2, 4), (ended.returncode, ended.stderr)
        assert "Traceback" not in ended.stderr
        return ended.stderr.strip()

    def _with(self) -> list[str]:
        return ["--with-kubo", str(self.program)] if self.program else []

    @contextmanager
    def running(self) -> Iterator[Running]:
        """The node, up until the block ends."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "site", "run", str(self.folder.path), *self._with()],
                env=os.environ | {"COMITY_HOME": str(self.home)},
                stdout=log,
                stderr=log,
            )
            try:

                def up() -> bool | None:
                    assert process.poll() is None, self.log.read_text()
                    return "is up" in self.log.read_text() or None

                eventually(up, "the node")
                with Node.at(self.folder.path, Persons(self.home).load("Ada")) as node:
                    yield Running(self, process, node)
            finally:
                if process.poll() is None:
                    process.terminate()
                process.wait(SECONDS)


class Running:
    """A node that runs, and what is asked of it."""

    def __init__(self, site: Hospital, process: subprocess.Popen[bytes], node: Node) -> None:
        self.site, self.process, self.node = site, process, node

    def swarm(self) -> SwarmView:
        """How its Kubo fares."""
        view = self.node.status().swarm
        assert view is not None
        return view

    def published(self, roots: int) -> SwarmView:
        """How it fares once so many roots are in the swarm and nothing is wrong."""

        def look() -> SwarmView | None:
            view = self.swarm()
            return view if not view.fault and view.roots == roots else None

        return eventually(look, f"{roots} published roots")

    def fault(self, words: str) -> str:
        """What is wrong with the Kubo, once that has ``words``."""

        def look() -> str | None:
            found = self.swarm().fault
            return found if re.search(words, found) else None

        return eventually(look, f"«{words}»")

    def kubo(self) -> int:
        """The process of the Kubo that the node started."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        for pid in {int(word) for path in children for word in path.read_text().split()}:
            if b"daemon\0--migrate=false" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError("no Kubo runs below the node")

    def kill_kubo(self) -> None:
        """End the Kubo at once."""
        os.kill(self.kubo(), signal.SIGKILL)

    @property
    def address(self) -> str:
        """Where the Kubo that the node started is reached by the swarm."""
        config = json.loads((self.site.folder.kubo / "config").read_text())
        return f"/ip4/127.0.0.1/tcp/{self.site.swarm_port}/p2p/{config['Identity']['PeerID']}"

    def asked(self, program: Path, *arguments: str) -> bytes:
        """What ``ipfs`` prints, asked of the Kubo that the node started: what only the site's own user can do."""
        api = (self.site.folder.kubo / "api").read_text().strip()
        return Kubo(program, self.site.folder.kubo, api)(*arguments)


def stored(folder: Folder) -> set[Cid]:
    """Every node that the site's own store holds."""
    return {Cid.parse(path.name) for path in (folder.blobs / "nodes").rglob("*") if path.is_file()}
