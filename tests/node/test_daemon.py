"""The node's process: one per folder; it ends when it is told to, says what it recovered, and names what is damaged."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from catalog.body import read_body, write_body
from catalog.dagcbor import encode
from catalog.error import Unreachable
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from node.api.client import Node
from node.api.person import Persons
from node.config import Address, Folder, read_config
from node.keyfile import Identity, read_identity, write_identity
from node.rootkey import new_passphrase
from node.setup import init_site
from node.storage.log import DiskLog
from node.system import SystemRandom

UP_SECONDS = 60.0


class Here:
    """A site of the test, and the node processes that were started on it."""

    def __init__(self, path: Path, ports: list[int]) -> None:
        self.folder = Folder(path / "site")
        self.home = path / "home"
        self.environment = dict(os.environ) | {"COMITY_HOME": str(self.home)}
        self.started: list[subprocess.Popen[bytes]] = []
        control, bulk, api = (Address("127.0.0.1", port) for port in ports)
        # In this process, and under random bits: the command and costly passphrases have tests of their own.
        made = init_site(self.folder, "St. Anna", "Ada", control, bulk, api, new_passphrase())
        Persons(self.home).add(made.steward)
        self.ports = ports

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "cli.main", *words]

    def comity(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*words), env=self.environment, capture_output=True, text=True, timeout=UP_SECONDS, check=False
        )

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run a node that is expected to end by itself."""
        return self.comity("site", "run", str(self.folder.path))

    def start(self) -> subprocess.Popen[bytes]:
        """Start a node, and wait until it says that it is up."""
        node = subprocess.Popen(
            self._command("site", "run", str(self.folder.path)),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # what a buffer holds, nobody can wait for
        )
        self.started.append(node)
        said = lines_until(node, "is up")
        assert said[-1] == f"St. Anna is up: http://127.0.0.1:{self.ports[2]} (Ctrl-C stops it)"
        self.said = said
        return node

    def steward(self) -> Identity:
        return Persons(self.home).load("Ada")


def lines_until(node: subprocess.Popen[bytes], words: str) -> list[str]:
    """What a node says up to the line with ``words``."""
    assert node.stdout is not None
    said: list[str] = []
    until = time.monotonic() + UP_SECONDS
    while not said or words not in said[-1]:
        ready, _, _ = select.select([node.stdout], [], [], max(0.0, until - time.monotonic()))
        line = node.stdout.readline().decode() if ready else ""
        assert line, (said, node.stderr.read() if node.stderr and node.poll() is not None else "it hangs")
        said.append(line.rstrip("\n"))
    return said


def stop(node: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> str:
    """End a node; all that it said, what it says to people last."""
    if node.poll() is None:
        node.send_signal(number)
    out, err = node.communicate(timeout=UP_SECONDS)
    return (err + out).decode()


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def descendants(pid: int) -> set[int]:
    """The processes that ``pid`` started, and those that they started."""
    children = {int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()}
    return children.union(*(descendants(child) for child in children)) if children else set()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path, free_ports(3))
    yield made
    for node in made.started:
        if node.poll() is None:
            node.kill()
        node.communicate()


def one_line(ended: subprocess.CompletedProcess[str], code: int) -> str:
    """The error of a command that failed as it should: one line, no traceback."""
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    *log, line = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(" INFO " in each for each in log)
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_told_to_stop_ends_with_0_and_leaves_nothing(here, number):
    """Lost: an operator who must kill it, and the processes and the lock that stay behind."""
    node = here.start()
    second = here.run()
    assert f"(process {node.pid}); stop it first" in one_line(second, 1)
    left = descendants(node.pid)
    said = stop(node, number)
    assert node.returncode == 0, said
    assert said.splitlines()[-1:] == ["St. Anna stopped."]
    assert "Traceback" not in said
    assert [pid for pid in left if Path(f"/proc/{pid}").exists()] == []
    for port in here.ports:
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_port_in_use_is_named(here, which):
    with socket.create_server(("127.0.0.1", here.ports[which])):
        line = one_line(here.run(), 1)
    section = ("control", "bulk", "api")[which]
    port = here.ports[which]
    assert line == f"error: port {port} on 127.0.0.1 is in use; stop what uses it, or set another under [{section}]"


def test_a_node_that_was_killed_while_it_wrote_comes_up_with_all_that_it_promised(here):
    """Lost: an entry that the steward was told is written; or a node that a power cut keeps from starting."""
    node, written, enough = here.start(), [], threading.Event()

    def write() -> None:
        with Node.at(here.folder.path, here.steward()) as client, suppress(Unreachable):
            for price in range(10_000):
                written.append(client.set_offer(price))
                if price == 8:
                    enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(UP_SECONDS)
    node.kill()
    writer.join()
    node.communicate()
    node = here.start()
    with Node.at(here.folder.path, here.steward()) as client:
        [offer] = client.entries("offer")
        assert offer.index >= written[-1]
        again = client.set_offer(1)
        assert again == offer.index + 1
    assert "Traceback" not in stop(node)
    # As if it had been killed just before an entry came under a checkpoint: it was promised to nobody.
    folder = here.folder.catalog / "tile" / "entries" / "000.p"
    [last] = folder.iterdir()
    last.with_name(str(int(last.name) + 1)).write_bytes(last.read_bytes() + last.read_bytes()[:122])
    node = here.start()
    assert any(line.startswith("recovered: ") for line in here.said)
    with Node.at(here.folder.path, here.steward()) as client:
        client.set_offer(2)
    assert "Traceback" not in stop(node)
    assert node.returncode == 0


def test_what_a_killed_node_had_not_noted_is_noted_at_the_next_start(here):
    """Lost: a policy that counts, and of which no audit row tells."""
    folder, steward = here.folder, here.steward()
    site = read_config(folder).root
    body = encode(write_body("policy", PolicyFields(text=""), site=site, at=1, by=steward.key))
    node = read_identity(folder.node_key)

    async def append() -> None:
        origin = origin_of(site, LogName.CATALOG)
        async with await DiskLog.open(folder.catalog, origin, 0, node.key, SystemRandom()) as log:
            await log.append([("policy", body)])

    trio.run(append)
    for _ in range(2):
        stop(here.start())

    async def rows() -> list[tuple[str, object]]:
        origin = origin_of(site, LogName.AUDIT)
        async with await DiskLog.open(folder.audit, origin, 0, node.key, SystemRandom()) as log:
            stored = [each for _, each in await log.read(0, log.size) if each is not None]
        return [(each.kind, each.fields["entry"]) for each in (read_body(data) for _, data in stored)]

    assert trio.run(rows) == [("policy", 2)]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("checkpoint", 5),
        ("state", 5),
        ("no key", 1),
        ("open token", 2),
        ("open key", 2),
        ("half a key", 2),
        ("no token", 1),
        ("empty token", 2),
        ("no site", 1),
        ("settings", 2),
        ("another key", 5),
    ],
)
def test_what_is_damaged_is_named_and_nothing_runs(here, damage, code):
    """Lost: a node that runs on a broken log, or with a key that everybody read."""
    folder = here.folder
    place = {
        "checkpoint": folder.catalog / "checkpoint",
        "state": folder.state,
        "no token": folder.token,
        "empty token": folder.token,
        "open token": folder.token,
        "no site": folder.path,
        "settings": folder.config,
        "another key": folder.catalog / "checkpoint",
    }.get(damage, folder.node_key)
    match damage:
        case "checkpoint":
            data = place.read_bytes()
            place.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
        case "state":
            place.write_bytes(b"x" * 8192)
        case "no key" | "no token":
            place.unlink()
        case "open key" | "open token":
            place.chmod(0o644)
        case "half a key":
            place.write_bytes(place.read_bytes()[:100])
        case "empty token":
            place.write_text("")
        case "no site":
            place.rename(place.with_name("elsewhere"))
        case "settings":
            place.write_text(place.read_text().replace("port = ", "port = x", 1))
        case "another key":
            folder.node_key.unlink()
            write_identity(folder.node_key, Identity.new("somebody"))
    line = one_line(here.run(), code)
    assert str(place) in line


def test_a_restore_that_was_cut_off_is_finished_before_anything_is_signed(here):
    """Lost: a folder whose log was begun anew starts before it is halted, and delivers again what it delivered."""
    here.folder.restoring.mkdir()
    line = one_line(here.run(), 1)
    assert str(here.folder.path) in line
    assert "comity site restore" in line
