"""The Kubos that site.toml names: what would open one to others is refused, and named."""

from __future__ import annotations

import pytest

from catalog.error import BadInput
from node.swarmsettings import SwarmSettings, store_api, swarm_settings

PEER = "/dns4/kubo.nordstad.example/tcp/4104/p2p/12D3KooWA5pLWntqimiLYN1opHXKV2vNXFfdbWDzfgSrRijwXvdG"


def test_without_a_section_there_is_no_kubo() -> None:
    assert swarm_settings({}) == SwarmSettings()
    assert store_api({}) is None
    assert store_api({"storage": {"store": "disk"}}) is None


def test_a_kubo_of_the_operators() -> None:
    table = {"kubo": {"api": "/ip4/127.0.0.1/tcp/5001", "peers": [PEER]}}
    assert swarm_settings(table) == SwarmSettings("/ip4/127.0.0.1/tcp/5001", (), (PEER,))


@pytest.mark.parametrize(
    "api",
    [
        "/ip4/10.0.0.1/tcp/5001",
        "/ip4/0.0.0.0/tcp/5001",
        "/dns4/localhost/tcp/5001",
        "/ip4/127.0.0.1/tcp/5001/p2p/x",
        "/ip6/::2/tcp/5001",
        "http://127.0.0.1:5001",
        "/unix",
        "/unix/a b",
        "",
        5001,
        ["/ip4/127.0.0.1/tcp/5001"],
    ],
)
def test_an_rpc_on_the_network_is_refused(api: object) -> None:
    """Lost: whoever reaches it does with the Kubo what they like, and reads what goes by."""
    with pytest.raises(BadInput, match=r"\[kubo\] api must be on this machine"):
        swarm_settings({"kubo": {"api": api}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", ["/ip4/0.0.0.0/udp/4104/quic-v1"]),
        ("listen", "/ip4/0.0.0.0/tcp/4104"),
        ("listen", [PEER]),
        ("peers", ["/ip4/10.0.0.1/tcp/4104"]),
        ("peers", [PEER + "/p2p-circuit"]),
        ("peers", ["--help"]),
        ("peers", [5]),
        ("peers", [PEER] * 257),
        ("peers", {"a": PEER}),
    ],
)
def test_what_is_no_address_is_refused(name: str, value: object) -> None:
    with pytest.raises(BadInput, match=rf"\[kubo\] {name} must be"):
        swarm_settings({"kubo": {name: value}})


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"storage": {"store": "s3"}}, "store must be"),
        ({"storage": {"store": "kubo"}}, "api must be"),
        ({"storage": 5}, "must be a section"),
        ({"kubo": "ipfs"}, "must be a section"),
        (
            {"storage": {"store": "kubo", "api": "/unix/run/k"}, "kubo": {"api": "/unix/run/k"}},
            "name one Kubo",
        ),
    ],
)
def test_a_store_is_one_of_two_and_not_what_publishes(table: dict[str, object], named: str) -> None:
    """Lost: one Kubo for both, whose swarm may ask for all that the hospital has."""
    with pytest.raises(BadInput, match=named):
        (store_api(table), swarm_settings(table))
