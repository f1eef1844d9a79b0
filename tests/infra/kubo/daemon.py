"""A private Kubo on loopback, in a folder of its own, that knows and asks nobody but whom a test connects it to."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 60
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


class Kubo:
    """A daemon that runs; ``api`` is the address of its RPC."""

    def __init__(self, program: Path, repo: Path, api: str) -> None:
        self.repo = repo
        self.api = api
        self._program = program

    def __call__(self, *arguments: str | Path, given: bytes = b"") -> bytes:
        """What ``ipfs`` prints, asked through the daemon.

        Raises:
            AssertionError: it failed, with what it said.
        """
        asked = [self._program, "--api", self.api, *arguments]
        done = subprocess.run(asked, input=given, capture_output=True, env=_environment(self.repo), timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def asks(self, cid: str, seconds: float) -> bytes | None:
        """The bytes of one node, from here or from whoever has it; none if nobody gave it within ``seconds``."""
        asked = [self._program, "--api", self.api, f"--timeout={seconds}s", "block", "get", cid]
        done = subprocess.run(asked, capture_output=True, env=_environment(self.repo), timeout=seconds + 60)
        assert done.returncode == 0 or b"deadline" in done.stderr, done.stderr.decode()
        return done.stdout if done.returncode == 0 else None

    def has(self, cid: str) -> bool:
        """Whether the node lies here, asking nobody."""
        asked = [self._program, "--api", self.api, "--offline", "block", "stat", cid]
        return subprocess.run(asked, capture_output=True, env=_environment(self.repo), timeout=60).returncode == 0

    @property
    def address(self) -> str:
        """Where others connect to."""
        return str(json.loads(self("id"))["Addresses"][0])

    @property
    def gateway(self) -> str:
        """The base of its HTTP gateway."""
        return (self.repo / "gateway").read_text().strip()


class Started(Kubo):
    """A daemon that was started here; ``process`` is its id."""

    def __init__(self, program: Path, repo: Path, api: str, process: int) -> None:
        super().__init__(program, repo, api)
        self._process = process

    @property
    def processor_seconds(self) -> float:
        """What the daemon has used of the processor so far."""
        fields = Path(f"/proc/{self._process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    program: Path, repo: Path, swarm_key: bytes | None = None, settings: Mapping[str, object] | None = None
) -> Iterator[Started]:
    """A new repository, or one that is there, with a daemon on it, which ends with the block.

    With ``swarm_key`` it talks to those alone that have it; ``settings`` replace sections of its configuration, and
    ``sync`` says whether it flushes what it stores.
    """
    if not (repo / "config").exists():
        subprocess.run([program, "init", "--profile=test"], env=_environment(repo), check=True, capture_output=True)
    path = repo / "config"
    changed = dict(settings or {})
    sync = changed.pop("sync", False)
    config = _private(json.loads(path.read_text())) | changed
    config["Datastore"]["Spec"]["mounts"][0]["sync"] = sync  # type: ignore[index]
    path.write_text(json.dumps(config))
    if swarm_key is not None:
        (repo / "swarm.key").write_bytes(swarm_key)
    (repo / "api").unlink(missing_ok=True)
    with (repo / "daemon.log").open("wb") as log:
        command = [program, "daemon", "--migrate=false"]
        process = subprocess.Popen(command, env=_environment(repo), stdout=log, stderr=log)
        try:
            yield Started(program, repo, _address(process, repo), process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _private(config: dict[str, object]) -> dict[str, object]:
    """A configuration that speaks with nobody that it was not told of."""
    return config | {
        "Addresses": {"API": LOOPBACK, "Gateway": LOOPBACK, "Swarm": [LOOPBACK], "Announce": [], "NoAnnounce": []},
        "Bootstrap": [],
        "Routing": {"Type": "none", "DelegatedRouters": []},
        "AutoConf": {"Enabled": False},
        "AutoNAT": {"ServiceMode": "disabled"},
        "AutoTLS": {"Enabled": False},
        "DNS": {"Resolvers": {}},
        "Discovery": {"MDNS": {"Enabled": False}},
        "HTTPRetrieval": {"Enabled": False},
        "Ipns": {"DelegatedPublishers": []},
        "Plugins": {"Plugins": {"telemetry": {"Disabled": True}}},
        "Provide": {"Enabled": False},
        "Swarm": {"RelayClient": {"Enabled": False}, "DisableNatPortMap": True},
        "Version": {"SwarmCheckEnabled": False},
    }


def _address(process: subprocess.Popen[bytes], repo: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        log = (repo / "daemon.log").read_text(errors="replace")
        if "Daemon is ready" in log:
            return (repo / "api").read_text().strip()
        time.sleep(0.1)
    raise AssertionError(f"Kubo did not start: {(repo / 'daemon.log').read_text(errors='replace')[-2000:]}")


def _environment(repo: Path) -> dict[str, str]:
    return {**os.environ, "IPFS_PATH": str(repo), "IPFS_TELEMETRY": "off", "GOLOG_LOG_LEVEL": "error"}
