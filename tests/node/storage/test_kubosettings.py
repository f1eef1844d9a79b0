"""A Kubo's settings, read: one door that is taken for closed is all that a hospital holds."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from catalog.error import BadInput, Conflict, NotFound, Unreachable
from node.storage.kubo import Kubo, check_version
from node.storage.kubodaemon import closed
from node.storage.kubosettings import durable, open_doors, serves
from node.storage.swarmkey import new_swarm_key, read_swarm_key, take_swarm_key

STORE: dict[str, Any] = {
    "Addresses": {"API": "/unix/run/kubo/api", "Gateway": []},
    "Bitswap": {"ServerEnabled": False},
    "Provide": {"Enabled": False},
    "Datastore": {"Spec": {"mounts": [{"type": "flatfs", "sync": True}, {"type": "levelds"}]}},
}


@pytest.mark.parametrize(
    ("changed", "door"),
    [
        ({}, None),
        ({"Addresses": {"API": ["/unix/a", "/unix/b"], "Gateway": ""}}, None),
        ({"Addresses": {"API": "/ip4/127.0.0.1/tcp/5001", "Gateway": []}}, "Addresses.API=/unix/…"),
        ({"Addresses": {"API": ["/unix/a", "/ip4/127.0.0.1/tcp/1"], "Gateway": []}}, "Addresses.API=/unix/…"),
        ({"Addresses": {"API": "/unix/a", "Gateway": "/ip4/127.0.0.1/tcp/8080"}}, "Addresses.Gateway=[]"),
        ({"Bitswap": {}}, "Bitswap.ServerEnabled=false"),
        ({"Bitswap": {"ServerEnabled": True}}, "Bitswap.ServerEnabled=false"),
        ({"Bitswap": {"Libp2pEnabled": False}}, None),
        ({"Bitswap": None}, "Bitswap.ServerEnabled=false"),
        ({"Provide": {}}, "Provide.Enabled=false"),
        ({"Experimental": {"GatewayOverLibp2p": True}}, "Experimental.GatewayOverLibp2p=false"),
    ],
)
def test_each_open_door_of_a_store_is_named(changed: dict[str, Any], door: str | None) -> None:
    assert open_doors(STORE | changed) == (() if door is None else (door,))


def test_settings_that_are_not_there_are_open() -> None:
    """Lost: a Kubo whose settings are of another shape passes for a closed one."""
    assert "Bitswap.ServerEnabled=false" in open_doors({})
    assert "Provide.Enabled=false" in open_doors({})
    assert not durable({})
    assert serves({})


@pytest.mark.parametrize(
    "spec",
    [
        {"mounts": [{"type": "flatfs"}]},
        {"mounts": [{"type": "flatfs", "sync": False}]},
        {"mounts": [{"type": "flatfs", "sync": True}, {"type": "flatfs", "sync": "true"}]},
        {"mounts": [{"type": "levelds"}]},
        {"type": "pebbleds"},
        "flatfs",
    ],
)
def test_a_datastore_that_may_not_flush_is_not_durable(spec: object) -> None:
    assert not durable({"Datastore": {"Spec": spec}})
    assert durable(STORE)


def test_our_own_kubo_speaks_with_its_swarm_alone() -> None:
    """Lost: a setting that calls home, finds strangers or hands out more, and that nobody looks at again."""
    made = {"Identity": {"PeerID": "P"}, "Datastore": {"Spec": {"mounts": [{"type": "flatfs", "sync": False}]}}}
    peer = "/ip4/10.0.0.2/tcp/4104/p2p/12D3KooWA"
    opened = {"Bootstrap": ["auto"], "Routing": {"Type": "auto"}, "Pubsub": {"Enabled": True}}
    config = closed(made | opened, Path("/run/k/api"), ["/ip4/0.0.0.0/tcp/4104"], [peer])
    assert config["Addresses"]["API"] == "/unix/run/k/api"
    assert config["Addresses"]["Gateway"] == []
    assert config["Addresses"]["Swarm"] == ["/ip4/0.0.0.0/tcp/4104"]
    assert config["Peering"]["Peers"] == [{"ID": "12D3KooWA", "Addrs": [peer]}]
    assert config["Bootstrap"] == []
    assert config["Routing"]["Type"] == "none"
    for section in ("AutoConf", "AutoTLS", "HTTPRetrieval", "Provide", "Pubsub"):
        assert config[section]["Enabled"] is False, section
    assert config["Discovery"]["MDNS"]["Enabled"] is False
    assert config["Swarm"]["RelayClient"]["Enabled"] is False
    assert config["Swarm"]["RelayService"]["Enabled"] is False
    assert config["Plugins"]["Plugins"]["telemetry"]["Disabled"] is True
    assert durable(config)


@pytest.mark.parametrize("version", ["0.39.0", "0.39.0-rc1", "0.40.2", "1.0.0"])
def test_versions_that_are_used(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize("version", ["0.38.2", "0.4.23", "0.9.0", "", "ipfs", "0", "v0.39.0", "\x1b[2J0.1"])
def test_versions_that_are_not(version: str) -> None:
    """Lost: an older Kubo passes settings over that close it, and says nothing."""
    with pytest.raises(BadInput, match=r"install Kubo 0\.39 or newer") as refusal:
        check_version(version)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("api", ["/ip4/127.0.0.999/tcp/5001", "/ip4/127.0.0.1/tcp/99999"])
def test_an_address_that_is_none_is_no_traceback(api: str) -> None:
    with pytest.raises(BadInput, match="no address of a Kubo"):
        Kubo(api).look()


def test_what_answers_and_is_no_kubo_is_named() -> None:
    """Lost: a node that hangs or dies by whatever else listens at the port of its settings."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        closing = threading.Thread(target=lambda: silent.accept()[0].close())
        closing.start()
        with pytest.raises(Unreachable, match="does not answer"):
            Kubo(f"/ip4/127.0.0.1/tcp/{port}").look()
        closing.join()
    with pytest.raises(Unreachable, match="does not answer"):
        Kubo(f"/ip4/127.0.0.1/tcp/{port}").look()


def test_a_swarms_key_is_made_taken_and_replaces_the_one_before(tmp_path: Path) -> None:
    """Lost: a key that others can read, or a typing error that leaves a site with none."""
    first, second, ours = tmp_path / "first", tmp_path / "second", tmp_path / "ours"
    new_swarm_key(first)
    new_swarm_key(second)
    take_swarm_key(first, ours)
    assert ours.stat().st_mode & 0o777 == 0o600
    assert read_swarm_key(ours) == first.read_bytes() != second.read_bytes()
    take_swarm_key(second, ours)
    assert read_swarm_key(ours) == second.read_bytes()
    with pytest.raises(Conflict):
        new_swarm_key(first)
    for wrong in (b"", b"key", second.read_bytes()[:-8], second.read_bytes() + b"more"):
        (tmp_path / "wrong").write_bytes(wrong)
        (tmp_path / "wrong").chmod(0o600)
        with pytest.raises(BadInput, match="no key of a swarm"):
            take_swarm_key(tmp_path / "wrong", ours)
    with pytest.raises(NotFound, match="--new"):
        take_swarm_key(tmp_path / "none", ours)
    second.chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        take_swarm_key(second, ours)
    assert len(read_swarm_key(ours)) == len(first.read_bytes())
