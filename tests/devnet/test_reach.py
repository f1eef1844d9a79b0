"""Sites that open no port, real processes on loopback; ``tests/real/test_firewall.py`` has them behind real filters."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet.founding import found
from devnet.launch import await_node, make_sites, start_node, start_nodes
from devnet.patience import eventually
from devnet.process import Process, end
from devnet.publication import as_steward, publish_sites, write_tables
from devnet.topology import Institution, Places, topology
from node.api.client import Node
from node.config import read_config
from privacy.purpose import GRU
from tests.devnet.consortium import comity

KNOWN = topology(3)
ANNA, NORDSTAD = KNOWN.hospitals
PROCESSES: dict[str, Process] = {}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Two hospitals that only dial out, and an institute with one port for both of its servers."""
    places = Places(tmp_path_factory.mktemp("reach") / "net")
    make_sites(places, KNOWN)
    write_tables(places, KNOWN)
    for each in KNOWN.hospitals:
        _change(places, each, "inbound = true", "inbound = false")
    config = read_config(places.site(KNOWN.institute))
    _change(places, KNOWN.institute, f"port = {config.control.port}", f"port = {config.bulk.port}")
    PROCESSES.update(start_nodes(places, KNOWN).processes)
    try:
        found(places, KNOWN)
        publish_sites(places, KNOWN)
        yield places
    finally:
        end(PROCESSES.values())


def _change(places: Places, institution: Institution, old: str, new: str) -> None:
    file = places.site(institution).config
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_two_sites_without_a_port_exchange_data_through_a_third(places: Places, tmp_path: Path) -> None:
    """Two hospitals behind firewalls could not share what they want to share."""
    data = secrets.token_bytes(1 << 20)
    (tmp_path / "open.bin").write_bytes(data)
    with as_steward(places, ANNA) as steward:
        dataset = steward.publish_dataset(tmp_path / "open.bin", "open", level="open", purposes=(GRU,)).cid
    with as_steward(places, NORDSTAD) as steward:
        eventually(lambda: steward.dataset(dataset), "the dataset at Nordstad")
        assert steward.fetch(dataset) == data
    with as_steward(places, KNOWN.institute) as steward:
        reach = steward.status().reach
        assert reach.lines_of == (NORDSTAD.name, ANNA.name)
        assert reach.carried > len(data)


def test_a_site_that_only_dials_out_listens_on_no_port_and_says_so(places: Places) -> None:
    """A port would be open although the operator said that there is none."""
    for each in KNOWN.hospitals:
        config = read_config(places.site(each))
        for port in (config.control.port, config.bulk.port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
        # The member at which it waits may just have been started again.
        said, environment = f"waits at {KNOWN.institute.name}", {"COMITY_SITE": str(places.site(each).path)}

        def waits(said: str = said, environment: dict[str, str] = environment) -> bool | None:
            status = comity("site", "status", environment=environment).stdout
            return f"only dials out; {said}" in status or None

        eventually(waits, said, 60)


def test_a_site_that_only_dials_out_invites_nobody_and_is_told_why(places: Places) -> None:
    environment = {
        "COMITY_SITE": str(places.site(ANNA).path),
        "COMITY_HOME": str(places.home),
        "COMITY_PERSON": ANNA.steward,
    }
    done = comity("consortium", "invite", "--out", "never.invite", environment=environment)
    assert done.returncode == 1
    assert "only dials out" in done.stderr


def test_when_the_member_that_relays_starts_again_it_hears_the_others_and_they_go_on(
    places: Places, tmp_path: Path
) -> None:
    """A restart would part all others for good; and the node could sign although the others have seen more of it."""
    institute = KNOWN.institute
    end([PROCESSES[institute.handle]])
    PROCESSES[institute.handle] = start_node(places, institute)
    await_node(places, institute, PROCESSES[institute.handle])
    with as_steward(places, institute) as steward:
        assert not [line for line in steward.status().recovered if "without having asked" in line]
    (tmp_path / "later.txt").write_text("after the restart")
    with as_steward(places, NORDSTAD) as steward:
        dataset = steward.publish_dataset(tmp_path / "later.txt", "later", level="open", purposes=(GRU,)).cid
        # A catalog may come before the first cosigned beat does, without which nothing is given or taken.
        eventually(lambda: _heard(steward, ANNA), "a beat of St. Anna's", 60)
    with as_steward(places, ANNA) as steward:
        eventually(lambda: _heard(steward, NORDSTAD), "a beat of Nordstad's", 60)
        eventually(lambda: steward.dataset(dataset), "the dataset at St. Anna", 60)
        assert steward.fetch(dataset) == b"after the restart"


def _heard(steward: Node, institution: Institution) -> int | None:
    """How old in milliseconds what that node last heard of the institution is."""
    return next(member.heard for member in steward.members() if member.name == institution.name)


def test_the_member_that_relays_is_restored_with_what_those_have_seen_that_only_dial_out(places: Places) -> None:
    """Its root could not bring it back: nobody would answer, for nobody can be dialled."""
    institute = KNOWN.institute
    environment = {"COMITY_SITE": str(places.site(institute).path)}
    end([PROCESSES[institute.handle]])
    done = comity("site", "restore", "--passphrase-file", str(places.passphrase), environment=environment)
    assert done.returncode == 0, done.stderr
    asked = next(line for line in done.stdout.splitlines() if line.startswith("Asked"))
    assert asked.endswith(f"{NORDSTAD.name}, {ANNA.name}.")
    PROCESSES[institute.handle] = start_node(places, institute)
    await_node(places, institute, PROCESSES[institute.handle])
    with as_steward(places, institute) as steward:
        steward.halt("looked at", resume=True)
