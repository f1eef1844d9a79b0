"""A site's folder: where each thing lies, and the commented TOML that its operator edits."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from catalog.error import BadInput, Damaged, NotFound
from catalog.key import public_bytes
from node.clustersettings import ClusterSettings
from node.regular import read_regular
from node.runnersettings import DockerSettings, RunnerSettings, runner_settings, runners_toml
from node.sections import check_names, names_of
from node.stepsettings import StepSettings, step_settings, steps_toml
from node.swarmsettings import SwarmSettings, store_api, swarm_settings
from privacy.disease import Diseases, standard

MOST_SETTINGS = 64 << 10
"""Bytes of ``site.toml``."""

_HOST = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,252}|[0-9A-Fa-f:.]{2,45}")
_SECTIONS: Final = {
    "control": ("host", "port"),
    "bulk": ("host", "port", "most_mib_per_second"),
    "storage": ("most_gib", "store", "api"),
    "steps": names_of(StepSettings),
    "reach": ("inbound",),
    "api": ("host", "port"),
    "audit": ("keep_days",),
    "kubo": names_of(SwarmSettings),
    "docker": names_of(DockerSettings),
    "kubernetes": names_of(ClusterSettings),
}
"""The settings of each section of ``site.toml``."""

KEEP_DAYS = 730
LEAST_DAYS = 365
"""The European Health Data Space asks for logs of a year at least."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host (a name, an IPv4 or an IPv6 address) and a TCP port; 0 asks for any free one.

    Raises:
        BadInput: the host is none, which would end up in a file or in what other members are told.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise BadInput(f"«{ascii(self.host[:64])[1:-1]}» is no host name and no address")

    @property
    def multiaddr(self) -> str:
        """The address as libp2p writes it (multiformats multiaddr)."""
        try:
            kind = f"ip{ip_address(self.host).version}"
        except ValueError:
            kind = "dns"
        return f"/{kind}/{self.host}/tcp/{self.port}"

    @property
    def url(self) -> str:
        """The address as an HTTPS base."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Folder:
    """The places inside a site's folder."""

    path: Path

    @property
    def config(self) -> Path:
        """The operator's settings."""
        return self.path / "site.toml"

    @property
    def root_key(self) -> Path:
        """The root key, which belongs offline once the site has joined its consortium."""
        return self.path / "keys" / "root.key"

    @property
    def node_key(self) -> Path:
        """The node's key."""
        return self.path / "keys" / "node.key"

    @property
    def project_keys(self) -> Path:
        """The keys of the projects for which something is held, a file each; no backup has them."""
        return self.path / "keys" / "projects"

    @property
    def swarm_key(self) -> Path:
        """The key of the consortium's swarm of Kubos; need not be there."""
        return self.path / "keys" / "swarm.key"

    @property
    def kubo(self) -> Path:
        """The repository of the Kubo that the node runs: copies of what is open, made anew when it is lost."""
        return self.path / "kubo"

    @property
    def token(self) -> Path:
        """What admits to the local API's transport."""
        return self.path / "api.token"

    @property
    def diseases(self) -> Path:
        """The diseases that the operator adds to those that purposes may name; need not be there."""
        return self.path / "diseases.toml"

    @property
    def lock(self) -> Path:
        """Held while a node runs on this folder."""
        return self.path / "node.lock"

    @property
    def catalog(self) -> Path:
        """The site's own catalog log."""
        return self.path / "logs" / "catalog"

    @property
    def audit(self) -> Path:
        """The site's own audit log."""
        return self.path / "logs" / "audit"

    @property
    def restoring(self) -> Path:
        """What a restore works with; there until it has come to its end, and no node starts beside it."""
        return self.path / "restoring"

    @property
    def replicas(self) -> Path:
        """The other members' catalog logs."""
        return self.path / "replicas"

    @property
    def blobs(self) -> Path:
        """Content-addressed bytes."""
        return self.path / "blobs"

    @property
    def held(self) -> Path:
        """What is held for projects, a folder for each, sealed under its key; no backup has it."""
        return self.blobs / "held"

    @property
    def work(self) -> Path:
        """Steps that run now; emptied at every start."""
        return self.path / "work"

    @property
    def environment(self) -> Path:
        """The programs and libraries that steps see; made anew at every start."""
        return self.path / "environment"

    @property
    def environments(self) -> Path:
        """The environments of blocks, checked out for steps, and the base of those that are made here; made anew."""
        return self.path / "environments"

    @property
    def versions(self) -> Path:
        """What was read of the members' catalogs; made from the logs, and made anew when it is lost."""
        return self.path / "versions.db"

    @property
    def search(self) -> Path:
        """What is searched; made from the logs, and made anew when it is lost."""
        return self.path / "search.db"

    @property
    def ledger(self) -> Path:
        """Where what stands in the audit log; made anew from it if it is missing."""
        return self.path / "ledger.db"

    @property
    def state(self) -> Path:
        """Everything small: membership, resident data, held outputs, submissions."""
        return self.path / "state.db"


@dataclass(frozen=True, slots=True)
class Config:
    """A site's settings, as ``site.toml`` gives them.

    ``keep_days`` is how long the audit log's bodies are kept, ``bulk_rate`` the bytes a second that are sent at most,
    ``quota`` the bytes that are stored at most; 0 bounds nothing.
    ``store`` is the RPC of the Kubo that they lie in, none if they lie in the site's folder.
    ``inbound`` says whether members can connect to the site, ``steps`` what a step may use,
    ``runners`` what each of what executes them needs to know.
    """

    name: str
    root: str
    control: Address
    bulk: Address
    api: Address
    keep_days: int = KEEP_DAYS
    bulk_rate: int = 0
    quota: int = 0
    swarm: SwarmSettings = field(default_factory=SwarmSettings)
    store: str | None = None
    inbound: bool = True
    steps: StepSettings = field(default_factory=StepSettings)
    runners: RunnerSettings = field(default_factory=RunnerSettings)

    @property
    def shared(self) -> bool:
        """Whether control connections and bytes come in by one port."""
        return self.control == self.bulk

    @property
    def listens(self) -> bool:
        """Whether each of the two listens on a port of its own."""
        return self.inbound and not self.shared


def work_folder(folder: Folder, config: Config) -> Path:
    """Where the site's steps are staged, in the clear while they run; emptied at every start."""
    own = sha256(config.root.encode()).hexdigest()[:16]
    return folder.work if config.steps.staging is None else config.steps.staging / f"comity-{own}"


def site_diseases(folder: Folder) -> Diseases:
    """The diseases that this site knows: those that come with Comity, and those of its folder's ``diseases.toml``.

    Raises:
        BadInput: the file cannot be read, or has an unknown parent or a cycle; the message names it.
    """
    try:
        text = folder.diseases.read_text(encoding="utf-8")
    except FileNotFoundError:
        return standard()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{folder.diseases} cannot be read: {error}") from error
    return standard().extended(text, str(folder.diseases))


def site_toml(config: Config) -> str:
    """The commented text of ``site.toml``."""
    # A TOML string is a JSON string that leaves no DEL as it is.
    quoted = json.dumps(config.name, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"""\
# A Comity site. Restart the node after a change.

# The site's name as other members see it, and its root key (public half). Do not change these.
name = {quoted}
root = "{config.root}"

# Where other members reach this node: control messages (libp2p, Noise) and bytes (HTTPS, TLS 1.3).
# Both carry the node's own key; nobody outside the consortium gets an answer on either. They may share one port,
# such as 443: give both the same.
[control]
host = "{config.control.host}"
port = {config.control.port}

[bulk]
host = "{config.bulk.host}"
port = {config.bulk.port}
# How many MiB a second are sent at most, to all members together; 0 is as fast as it goes.
most_mib_per_second = {config.bulk_rate >> 20}

# How many GiB of data are stored here at most; 0 is as many as the disk takes.
[storage]
most_gib = {config.quota >> 30}

{steps_toml(config.steps)}
# Whether members can connect to this node. false: it only dials out, listens on none of the two above, and is reached
# over lines that it keeps open at the members that can be reached.
[reach]
inbound = {str(config.inbound).lower()}

# The local interface for the terminal and notebooks. Loopback only.
[api]
host = "{config.api.host}"
port = {config.api.port}

# How many days «comity audit prune» leaves of the audit log, at least {LEAST_DAYS}. The log itself stays, and verifies.
[audit]
keep_days = {config.keep_days}

# A Kubo in the consortium's private swarm, which gets what is open: «comity site run --with-kubo», or one of yours.
# [kubo]
# listen = ["/ip4/0.0.0.0/tcp/4104"]      # where the members' Kubos reach the node's; without it, it only calls them
# peers = ["/dns4/kubo.nordstad.example/tcp/4104/p2p/12D3KooW…"]
# api = "/ip4/127.0.0.1/tcp/5001"         # the RPC of one that you run

{runners_toml(config.runners)}"""


def read_config(folder: Folder) -> Config:
    """Read ``site.toml``.

    Raises:
        NotFound: the folder is no site.
        BadInput: malformed, too large or no regular file; the message names the setting.
    """
    try:
        table = tomllib.loads(read_regular(folder.config, MOST_SETTINGS).decode())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(
            f"{folder.path} is not a site; make one with «comity site init {folder.path} --name …»"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{folder.config} cannot be read: {error}; mend that line") from error
    except Damaged as error:
        raise BadInput(str(error)) from error
    swarm, store, steps, runners = _sections(folder, table)
    config = Config(
        name=_text(folder, table, "name"),
        root=_root(folder, table),
        control=_address(folder, table, "control"),
        bulk=_address(folder, table, "bulk"),
        api=_address(folder, table, "api"),
        keep_days=_keep_days(folder, table),
        bulk_rate=_number(folder, table, "bulk", "most_mib_per_second") << 20,
        quota=_number(folder, table, "storage", "most_gib") << 30,
        swarm=swarm,
        store=store,
        inbound=_inbound(folder, table),
        steps=steps,
        runners=runners,
    )
    if not config.api.loopback:
        raise BadInput(f"{folder.config}: [api] host must be a loopback address such as 127.0.0.1")
    return config


def check_known(table: Mapping[str, object]) -> None:
    """Check that all sections and settings of a file's ``table`` are some of ``site.toml``.

    Raises:
        BadInput: one is of no known name; the message names it.
    """
    check_names(table, ("name", "root"), _SECTIONS)


def _number(folder: Folder, table: dict[str, object], section: str, name: str) -> int:
    """A whole number that need not be there, 0 then."""
    found = table.get(section, {})
    number = found.get(name, 0) if isinstance(found, dict) else None
    if type(number) is not int or not 0 <= number < 1 << 30:
        raise BadInput(f"{folder.config}: [{section}] {name} must be a whole number, 0 for no bound")
    return number


def _sections(
    folder: Folder, table: dict[str, object]
) -> tuple[SwarmSettings, str | None, StepSettings, RunnerSettings]:
    try:
        check_known(table)
        return swarm_settings(table), store_api(table), step_settings(table), runner_settings(table)
    except BadInput as error:
        raise BadInput(f"{folder.config}: {error}") from error


def _inbound(folder: Folder, table: dict[str, object]) -> bool:
    section = table.get("reach", {})
    inbound = section.get("inbound", True) if isinstance(section, dict) else None
    if not isinstance(inbound, bool):
        raise BadInput(f"{folder.config}: [reach] inbound must be true or false")
    return inbound


def _keep_days(folder: Folder, table: dict[str, object]) -> int:
    section = table.get("audit", {})
    days = section.get("keep_days", KEEP_DAYS) if isinstance(section, dict) else None
    if type(days) is not int or days < LEAST_DAYS:
        raise BadInput(f"{folder.config}: [audit] keep_days must be a number of days, at least {LEAST_DAYS}")
    return days


def _text(folder: Folder, table: dict[str, object], name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise BadInput(f"{folder.config}: «{name}» must be text")
    return value


def _root(folder: Folder, table: dict[str, object]) -> str:
    root = _text(folder, table, "root")
    try:
        public_bytes(root)
    except BadInput as error:
        raise BadInput(f"{folder.config}: «root»: {error}") from error
    return root


def _address(folder: Folder, table: dict[str, object], name: str) -> Address:
    section = table.get(name)
    host = section.get("host") if isinstance(section, dict) else None
    port = section.get("port") if isinstance(section, dict) else None
    if not isinstance(host, str) or type(port) is not int or not 0 < port < 65536:
        raise BadInput(f"{folder.config}: [{name}] needs a host and a port from 1 to 65535")
    try:
        return Address(host, port)
    except BadInput as error:
        raise BadInput(f"{folder.config}: [{name}]: {error}") from error
