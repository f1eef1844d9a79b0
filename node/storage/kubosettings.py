"""What a Kubo's settings mean for what it holds (Kubo 0.39, docs/config.md): who gets it, and whether it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def serves(config: Mapping[str, Any]) -> bool:
    """Whether its bitswap answers whoever is connected, which it does unless it is told otherwise."""
    bitswap = _table(config, "Bitswap")
    return bitswap.get("ServerEnabled") is not False and bitswap.get("Libp2pEnabled") is not False


def open_doors(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What must be set before it may hold what is for its site alone, a setting each; none if it is closed."""
    addresses = _table(config, "Addresses")
    doors = []
    if serves(config):
        doors.append("Bitswap.ServerEnabled=false")
    if _table(config, "Provide").get("Enabled") is not False:
        doors.append("Provide.Enabled=false")
    if _listed(addresses.get("Gateway")):
        doors.append("Addresses.Gateway=[]")
    if not all(each.startswith("/unix/") for each in _listed(addresses.get("API"))):
        doors.append("Addresses.API=/unix/…")
    if _table(config, "Experimental").get("GatewayOverLibp2p"):
        doors.append("Experimental.GatewayOverLibp2p=false")
    return tuple(doors)


def durable(config: Mapping[str, Any]) -> bool:
    """Whether every datastore that takes nodes flushes them: of flatfs, Kubo's default, that is a setting."""
    spec = _table(config, "Datastore").get("Spec")
    mounts = spec.get("mounts", [spec]) if isinstance(spec, dict) else []
    flat = [each for each in mounts if isinstance(each, dict) and each.get("type") == "flatfs"]
    return bool(flat) and all(each.get("sync") is True for each in flat)


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = config.get(name)
    return table if isinstance(table, dict) else {}


def _listed(value: object) -> tuple[str, ...]:
    """A setting that is one text or a list of them."""
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, str) and each)
