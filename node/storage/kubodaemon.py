"""A Kubo of the node's own: a repository in the site's folder, closed to everybody but its swarm, ended with the node.

Its RPC is a Unix socket in a folder of mode 0700: on a loopback port every user of the machine could use it. Its
settings are written anew before each start, so that none that was changed meanwhile opens it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from catalog.error import BadInput, ComityError, Conflict, NotFound, Unreachable, shown
from node.storage.durable import write_files
from node.storage.kubo import Kubo, check_version, in_thread

READY_SECONDS: Final = 60.0
LEAVING_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.1
_SETTINGS: Final = 1 << 20
_TRANSPORTS: Final = ("QUIC", "Relay", "Websocket", "WebTransport", "WebRTCDirect")
"""All but TCP: none of them knows private swarms."""
_LOG_TAIL: Final = 4096


@dataclass(frozen=True, slots=True)
class OwnKubo:
    """What a Kubo is started with. ``program`` is its path or a name on PATH, ``repo`` the folder of its repository.

    ``listen`` are the multiaddrs where members' Kubos reach it, none if it only calls them; ``peers`` are theirs.
    """

    program: str
    repo: Path
    swarm_key: bytes
    listen: Sequence[str] = ()
    peers: Sequence[str] = ()

    async def run(self, up: Callable[[Kubo], None]) -> str:
        """Start it, tell ``up`` when it answers, and wait for its end; the last line that it wrote then.

        Cancelled, it ends the daemon.

        Raises:
            NotFound: there is no such program. BadInput: it is too old.
            Conflict: another process uses the repository. ComityError: it does not start; the message has its words.
        """
        program = await trio.to_thread.run_sync(self._prepare)
        with _socket_folder() as folder:
            await trio.to_thread.run_sync(self._configure, folder / "api")
            process = await self._start(program)
            try:
                kubo = Kubo(f"/unix{folder / 'api'}")
                await self._await_answer(process, kubo)
                up(kubo)
                await process.wait()
            finally:
                await _end(process)
        return self._last_words()

    def _prepare(self) -> str:
        """The program's path, its version checked, with a repository there that no earlier daemon uses."""
        program = shutil.which(self.program)
        if program is None:
            raise NotFound(
                f"there is no program «{self.program}» on PATH; install Kubo (https://dist.ipfs.tech/kubo), or name it:"
                " comity site run DIRECTORY --with-kubo PROGRAM"
            )
        check_version(self._ask(program, "version", "--number"))
        self.repo.mkdir(mode=0o700, exist_ok=True)
        self.repo.chmod(0o700)
        if not (self.repo / "config").exists():
            self._ask(program, "init", "--empty-repo", "--algorithm=ed25519")
        self._end_leftover()
        return program

    def _ask(self, program: str, *arguments: str) -> str:
        try:
            done = subprocess.run(
                [program, *arguments], env=self._environment(), capture_output=True, timeout=READY_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BadInput(f"{program} could not be run: {error}; name the program of Kubo") from error
        if done.returncode != 0:
            said = shown(done.stderr.decode(errors="replace").strip())
            raise ComityError(f"«{Path(program).name} {arguments[0]}» failed: {said}")
        return done.stdout.decode(errors="replace").strip()

    def _end_leftover(self) -> None:
        """End the daemon that a node which was killed has left running on this repository."""
        address = self.repo / "api"
        try:
            left = address.read_text()[:256].strip()
        except FileNotFoundError:
            return
        if left.startswith("/unix/"):
            with suppress(Unreachable):  # it is long gone: the file is what a daemon that was killed leaves
                Kubo(left).stop()
            self._await_free()
            with suppress(OSError):
                Path(left.removeprefix("/unix")).parent.rmdir()
        address.unlink(missing_ok=True)

    def _await_free(self) -> None:
        """Wait until no process holds the repository's lock, which goes with the process."""
        until = time.monotonic() + LEAVING_SECONDS
        with (self.repo / "repo.lock").open("ab") as lock:
            while True:
                try:
                    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    if time.monotonic() > until:
                        raise Conflict(f"another process uses {self.repo}; end it, and start the node again") from error
                    time.sleep(LOOK_SECONDS)
                else:
                    return

    def _configure(self, socket: Path) -> None:
        path = self.repo / "config"
        try:
            config = json.loads(path.read_bytes()[:_SETTINGS])
            settings = closed(config, socket, self.listen, self.peers)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{path} cannot be used ({type(error).__name__}); remove {self.repo}: all in it is made anew"
            ) from None
        files = {path: json.dumps(settings, indent=2).encode(), self.repo / "swarm.key": self.swarm_key}
        write_files(files)  # in a folder that nobody else can enter
        for each in files:
            each.chmod(0o600)

    async def _start(self, program: str) -> trio.Process:
        with self._log.open("wb") as log:
            self._log.chmod(0o600)
            command = [program, "daemon", "--migrate=false"]
            # A group of its own: Ctrl-C in a terminal is for the node, which then ends it.
            return await trio.lowlevel.open_process(
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _await_answer(self, process: trio.Process, kubo: Kubo) -> None:
        with trio.move_on_after(READY_SECONDS):
            while process.poll() is None:
                try:
                    await in_thread(kubo.look)
                except Unreachable:
                    await trio.sleep(LOOK_SECONDS)
                else:
                    return
        words = self._last_words()
        if "lock" in words:
            raise Conflict(f"another process uses {self.repo}; end it: {words}")
        raise ComityError(f"Kubo did not start: {words}; all it said is in {self._log}")

    @property
    def _log(self) -> Path:
        return self.repo / "daemon.log"

    def _last_words(self) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - _LOG_TAIL))
                lines = log.read().decode(errors="replace").split("\n")
        except OSError:
            return "nothing"
        return shown(next((line for line in reversed(lines) if line.strip()), "nothing").strip())

    def _environment(self) -> dict[str, str]:
        """Nothing of the node's own environment, in which there may be secrets and proxies."""
        return {
            "IPFS_PATH": str(self.repo),
            "LIBP2P_FORCE_PNET": "1",  # without the swarm's key it does not start
            "IPFS_TELEMETRY": "off",
            "GOLOG_LOG_LEVEL": "error",
            "HOME": str(self.repo),
            "PATH": os.defpath,
        }


def closed(config: dict[str, Any], socket: Path, listen: Sequence[str], peers: Sequence[str]) -> dict[str, Any]:
    """The settings of a daemon that speaks with its swarm alone, and looks for nobody else (Kubo 0.39, docs/config.md).

    ``Datastore`` and ``Identity`` stay as they were made, but that what is stored is flushed.
    """
    for mount in config["Datastore"]["Spec"].get("mounts", ()):
        if mount["type"] == "flatfs":
            mount["sync"] = True
    return {
        "Identity": config["Identity"],
        "Datastore": config["Datastore"],
        "Addresses": {
            "API": f"/unix{socket}",
            "Gateway": [],
            "Swarm": list(listen),
            "Announce": [],
            "AppendAnnounce": [],
            "NoAnnounce": [],
        },
        "AutoConf": {"Enabled": False},
        "AutoNAT": {"ServiceMode": "disabled"},
        "AutoTLS": {"Enabled": False},
        "Bitswap": {"ServerEnabled": True},
        "Bootstrap": [],
        "DNS": {"Resolvers": {}},
        "Discovery": {"MDNS": {"Enabled": False}},
        "Gateway": {"NoFetch": True},
        "HTTPRetrieval": {"Enabled": False},
        "Ipns": {"DelegatedPublishers": []},
        "Peering": {"Peers": [{"ID": each.rpartition("/")[2], "Addrs": [each]} for each in peers]},
        "Plugins": {"Plugins": {"telemetry": {"Disabled": True}}},
        "Provide": {"Enabled": False},
        "Pubsub": {"Enabled": False},
        "Routing": {"Type": "none", "DelegatedRouters": []},
        "Swarm": {
            "DisableNatPortMap": True,
            "EnableHolePunching": False,
            "RelayClient": {"Enabled": False},
            "RelayService": {"Enabled": False},
            "Transports": {"Network": dict.fromkeys(_TRANSPORTS, False)},
        },
        "Version": {"SwarmCheckEnabled": False},
    }


@contextmanager
def _socket_folder() -> Iterator[Path]:
    """A folder for the socket: its path must be short (108 bytes), which that of a site need not be."""
    folder = Path(tempfile.mkdtemp(prefix="comity-kubo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _end(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        if process.poll() is None:
            process.terminate()
            with trio.move_on_after(LEAVING_SECONDS):
                await process.wait()
        if process.poll() is None:
            process.kill()
        await process.wait()
