"""How ``site.toml`` names Kubos: one that open data are published in, or one that is the site's store. Never one both.

Addresses are multiaddrs, as Kubo's own settings have them (multiformats.io/multiaddr).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from catalog.error import BadInput
from node.sections import section

MOST_ADDRESSES: Final = 256

_API: Final = re.compile(r"/ip4/127(\.\d{1,3}){3}/tcp/\d{1,5}|/ip6/::1/tcp/\d{1,5}|/unix(/[^/\x00-\x20]+)+")
_LISTEN: Final = re.compile(r"/ip4/[0-9.]{7,15}/tcp/\d{1,5}|/ip6/[0-9a-fA-F:.]{2,45}/tcp/\d{1,5}")
_PEER: Final = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/[0-9A-Za-z:.-]{1,253}/tcp/\d{1,5}/p2p/[1-9A-HJ-NP-Za-km-z]{46,62}")


@dataclass(frozen=True, slots=True)
class SwarmSettings:
    """The Kubo in the consortium's swarm: ``api`` is the RPC of one that the operator runs, none if the node does.

    ``listen`` is where one that the node runs is reached by the members'; ``peers`` are these.
    """

    api: str | None = None
    listen: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()


def swarm_settings(table: Mapping[str, object]) -> SwarmSettings:
    """The section ``[kubo]`` of a file's ``table``.

    Raises:
        BadInput: a setting is none; the message names it.
    """
    kubo = section(table, "kubo")
    api = kubo.get("api")
    return SwarmSettings(
        None if api is None else _api("kubo", api),
        _addresses(kubo, "listen", _LISTEN, "/ip4/0.0.0.0/tcp/4104"),
        _addresses(kubo, "peers", _PEER, "/dns4/kubo.example/tcp/4104/p2p/12D3KooW…"),
    )


def store_api(table: Mapping[str, object]) -> str | None:
    """The RPC of the Kubo that ``[storage]`` makes the site's store; none where that is its folder.

    Raises:
        BadInput: a setting is none, or that Kubo is the one that publishes.
    """
    storage = section(table, "storage")
    store = storage.get("store", "disk")
    if store == "disk":
        return None
    if store != "kubo":
        raise BadInput("[storage] store must be «disk» or «kubo»")
    api = _api("storage", storage.get("api"))
    if api == swarm_settings(table).api:
        raise BadInput("[storage] and [kubo] name one Kubo: its swarm could ask for all that the site has")
    return api


def _api(name: str, value: object) -> str:
    # Whoever reaches an RPC does with its Kubo whatever they like, and what goes over it is not encrypted.
    if not isinstance(value, str) or not _API.fullmatch(value):
        raise BadInput(f"[{name}] api must be on this machine, such as /ip4/127.0.0.1/tcp/5001 or /unix/run/kubo.sock")
    return value


def _addresses(section: Mapping[str, object], name: str, form: re.Pattern[str], example: str) -> tuple[str, ...]:
    values = section.get(name, [])
    if not isinstance(values, list) or len(values) > MOST_ADDRESSES:
        raise BadInput(f"[kubo] {name} must be a list of addresses")
    if not all(isinstance(each, str) and form.fullmatch(each) for each in values):
        raise BadInput(f"[kubo] {name} must be addresses such as {example}")
    return tuple(values)
