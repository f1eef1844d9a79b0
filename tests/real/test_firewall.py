"""Hospitals behind firewalls: real nodes in network namespaces, whose filters let nobody in. Needs root.

The institute can be reached, control and bytes on port 443. St. Anna and Nordstad only dial out, and the third hospital
does so through a proxy, which is all that its firewall lets it reach. The data trust can be reached, on two ports.
"""

from __future__ import annotations

import base64
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.cid import Cid
from catalog.error import Unreachable
from devnet.founding import found
from devnet.launch import free_ports
from devnet.patience import eventually
from devnet.publication import as_researcher, as_steward, open_projects, publish_sites, write_tables
from devnet.topology import RESEARCHER, Institution, Places, topology
from node.api.client import Node
from node.api.person import Persons
from node.config import Address, read_config
from node.keyfile import Identity, write_secret
from node.rootkey import new_passphrase
from node.setup import init_site
from privacy.purpose import GRU
from tests.devnet.consortium import publish_workflow, run
from tests.infra.firewall.forward import forwarded
from tests.infra.firewall.internet import Place, internet

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

KNOWN = topology(4)
PASSWORD = "let us out"
PROXY_PORT = 3128
ANNA, NORDSTAD, HOLM = KNOWN.hospitals
ONLY_OUT = (ANNA, NORDSTAD, HOLM)
RELAYS = tuple(each for each in KNOWN.sites if each not in ONLY_OUT)


@dataclass(frozen=True)
class Net:
    """The consortium as it runs: its folders, where each site is, what the proxy and the relays wrote down."""

    places: Places
    machines: dict[str, Place]
    workflow: str
    seen_by_proxy: Path
    seen_by_relay: Path

    def steward(self, institution: Institution) -> Node:
        return as_steward(self.places, institution)

    def publish(self, at: Institution, path: Path, data: bytes) -> Cid:
        """Publish open data."""
        path.write_bytes(data)
        with self.steward(at) as steward:
            return steward.publish_dataset(path, path.stem, level="open", purposes=(GRU,)).cid

    def fetch(self, at: Institution, dataset: Cid) -> bytes:
        """Fetch open data, once the site has heard of them."""
        with self.steward(at) as steward:
            eventually(lambda: steward.dataset(dataset), f"the dataset at {at.name}", 60)
            return steward.fetch(dataset)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    path = tmp_path_factory.mktemp("firewall")
    places, proxy, relay = Places(path / "net"), path / "proxy.txt", path / "relayed"
    names = [each.handle for each in KNOWN.sites]
    with internet([*names, "proxy"]) as machines, ExitStack() as stack:
        for each in (ANNA, NORDSTAD):
            machines[each.handle].let_nobody_in()
        machines[HOLM.handle].let_nobody_in(out_to=[machines["proxy"].address])
        _make_sites(places, machines)
        write_tables(places, KNOWN)
        stack.enter_context(_process(machines["proxy"], _proxy(machines["proxy"], proxy), {}, path / "proxy.log"))
        through = f"http://holm:{PASSWORD.replace(' ', '%20')}@{machines['proxy'].address}:{PROXY_PORT}"
        for each in KNOWN.sites:
            folder = str(places.site(each).path)
            program = [sys.executable, "-m", "cli.main", "site", "run", folder]
            if each not in ONLY_OUT:
                program = [sys.executable, "-m", "tests.infra.firewall.tapped_node", folder, str(relay)]
            environment = {"HTTPS_PROXY": through} if each == HOLM else {}
            place = machines[each.handle]
            stack.enter_context(_process(place, program, environment, places.log(each)))
            stack.enter_context(forwarded(place, _api_port(places, each)))
        for each in KNOWN.sites:
            eventually(lambda each=each: _answers(places, each), f"the answer of {each.name}", 60)  # type: ignore[misc]
        found(places, KNOWN)
        publish_sites(places, KNOWN)
        open_projects(places, KNOWN)
        yield Net(places, machines, publish_workflow(places, KNOWN, "quick"), proxy, relay)


def _make_sites(places: Places, machines: dict[str, Place]) -> None:
    people = Persons(places.home)
    people.add(Identity.new(RESEARCHER))
    passphrase = new_passphrase()
    write_secret(places.passphrase, passphrase.text + b"\n")
    ports = iter(free_ports(len(KNOWN.sites)))
    for each in KNOWN.sites:
        host = machines[each.handle].address
        control, bulk = Address(host, 4101), Address(host, 4102)
        if each == KNOWN.institute:
            control = bulk = Address(host, 443)
        api = Address("127.0.0.1", next(ports))
        made = init_site(
            places.site(each), each.name, each.steward, control, bulk, api, passphrase, inbound=each not in ONLY_OUT
        )
        people.add(made.steward)


def _api_port(places: Places, institution: Institution) -> int:
    return read_config(places.site(institution)).api.port


def _answers(places: Places, institution: Institution) -> int | None:
    try:
        with Node.at(places.site(institution).path) as node:
            return node.status().pid
    except Unreachable:
        return None


def _proxy(place: Place, notes: Path) -> list[str]:
    wanted = "Basic " + base64.b64encode(f"holm:{PASSWORD}".encode()).decode()
    address = f"{place.address}:{PROXY_PORT}"
    return [sys.executable, "-m", "tests.infra.firewall.connect_proxy", address, wanted, str(notes)]


@contextmanager
def _process(place: Place, program: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """A process at a place, which ends with the block."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            place.command(*program),
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def test_sites_that_only_dial_out_compute_and_are_fetched_from(net: Net) -> None:
    """A hospital whose firewall lets nobody in could hold data and yet take no part."""
    with as_researcher(net.places, KNOWN) as mara:
        tables = [each.dataset for each in KNOWN.hospitals]
        done = run(mara, net.workflow, tables)
        assert done.state == "done", done
        assert b"mean" in mara.result(done.submission)
    for each in ONLY_OUT:
        with net.steward(each) as steward:
            reach = steward.status().reach
        assert (reach.inbound, reach.waits_at) == (False, tuple(sorted(relay.name for relay in RELAYS)))
    for each in RELAYS:
        with net.steward(each) as steward:
            assert steward.status().reach.lines_of == tuple(sorted(site.name for site in ONLY_OUT))


def test_two_that_only_dial_out_exchange_data_through_a_third_that_cannot_read_them(net: Net, tmp_path: Path) -> None:
    """Whoever carries bytes between two hospitals could read or change them."""
    secret = secrets.token_hex(16).encode()
    data = b"".join(secret + secrets.token_bytes(1024) for _ in range(2048))
    dataset = net.publish(ANNA, tmp_path / "anna-open.txt", data)
    assert net.fetch(NORDSTAD, dataset) == data
    passed = net.seen_by_relay.read_bytes()
    assert len(passed) > len(data)
    for word in (secret, b"HTTP/1.1", b"GET /", b"/blob/", b"Signature", str(dataset).encode()):
        assert word not in passed
    carried = 0
    for each in RELAYS:
        with net.steward(each) as steward:
            carried += steward.status().reach.carried
    assert carried > len(data)


def test_a_site_takes_part_through_a_proxy_that_sees_connect_alone(net: Net, tmp_path: Path) -> None:
    """A hospital whose only way out is its proxy could not be a member, or would show the proxy what it says."""
    data = secrets.token_bytes(1 << 20)
    dataset = net.publish(HOLM, tmp_path / "holm-open.bin", data)
    assert net.fetch(KNOWN.institute, dataset) == data
    assert net.fetch(ANNA, dataset) == data
    held = secrets.token_bytes(1 << 20)
    assert net.fetch(HOLM, net.publish(KNOWN.institute, tmp_path / "institute-holds.bin", held)) == held
    institute, trust = (net.machines[each.handle].address for each in (KNOWN.institute, KNOWN.sites[-1]))

    def seen() -> list[str]:
        return net.seen_by_proxy.read_text().splitlines()

    # It waits at both for callers. It dials control connections, or gets them over those lines: who is first is chance.
    always, perhaps = {f"CONNECT {institute}:443", f"CONNECT {trust}:4102"}, {f"CONNECT {trust}:4101"}
    eventually(lambda: always <= {line.partition(" HTTP/")[0] for line in seen()} or None, "each way out", 60)
    assert {line.partition(" HTTP/")[0] for line in seen()} <= always | perhaps
    # TLS and libp2p, and nothing in the clear.
    assert {"16"} <= {line.rpartition(" ")[2] for line in seen()} <= {"16", "13"}
    with net.steward(HOLM) as steward:
        assert steward.status().reach.proxy == f"{net.machines['proxy'].address}:{PROXY_PORT}"
    printed = net.places.log(HOLM).read_text() + str(net.places.site(HOLM).config.read_text())
    assert PASSWORD not in printed


def test_nothing_is_lost_on_a_slow_link_that_loses_packets(net: Net, tmp_path: Path) -> None:
    """A hospital on a bad link would see transfers given up that only take long, or get damaged ones."""
    data = secrets.token_bytes(4 << 20)
    with net.machines[NORDSTAD.handle].bad_link("8mbit", 5):
        dataset = net.publish(NORDSTAD, tmp_path / "nordstad-open.bin", data)
        assert net.fetch(KNOWN.institute, dataset) == data
        back = net.publish(KNOWN.institute, tmp_path / "institute-open.bin", data[::-1])
        assert net.fetch(NORDSTAD, back) == data[::-1]


def test_a_firewall_that_lets_nobody_in_is_what_the_tests_say_it_is(net: Net) -> None:
    """The other tests would show nothing if the filters let connections in."""
    target = net.machines[ANNA.handle].address
    with pytest.raises(TimeoutError):
        net.machines[KNOWN.institute.handle].inside(lambda: socket.create_connection((target, 4102), 3))
