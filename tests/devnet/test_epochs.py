"""Who is a member changes while the nodes run: real processes, the command as operators use it, nobody restarts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devnet import faults
from devnet.launch import await_node, free_ports, start_node
from devnet.patience import eventually
from devnet.process import end
from devnet.state import read_state
from devnet.topology import Institution, Places, topology
from node.api.client import Node
from node.api.person import Persons
from node.api.schema import StatusView
from node.config import Address
from node.rootkey import Passphrase, read_passphrase
from node.setup import init_site
from privacy.purpose import GRU
from tests.devnet.consortium import comity, processes_of

NEWCOMER = Institution("eichen", "Eichen Clinic", "0.20", True)


@dataclass(frozen=True)
class Net:
    """A devnet of this test's own, which it changes."""

    path: Path

    @property
    def places(self) -> Places:
        return Places(self.path)

    @property
    def members(self) -> tuple[Institution, ...]:
        return topology(3).sites

    def act(self, at: Institution, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command as the operator of a site, whose root key it may use."""
        environment = {"COMITY_SITE": str(self.places.site(at).path), "COMITY_HOME": str(self.places.home)}
        return comity(*arguments, environment=environment)

    def as_root(self, at: Institution, *arguments: str, root_key: Path | None = None) -> str:
        """Run a command that signs with the root key; it must succeed."""
        more = ("--root-key", str(root_key)) if root_key else ()
        told = self.act(at, *arguments, "--passphrase-file", str(self.places.passphrase), *more)
        assert told.returncode == 0, told.stderr
        return told.stdout

    def node(self, at: Institution) -> Node:
        """A site's node, asked by nobody."""
        return Node.at(self.places.site(at).path)

    def steward(self, at: Institution) -> Node:
        """A site's node, asked by its steward."""
        return Node.at(self.places.site(at).path, Persons(self.places.home).load(at.steward))

    def status(self, at: Institution) -> StatusView:
        """How a site's node fares."""
        with self.node(at) as node:
            return node.status()

    def root(self, at: Institution) -> str:
        """A site's root key."""
        return self.status(at).site

    def epoch(self, at: Institution, number: int) -> None:
        """Wait until a node goes by that epoch."""
        with self.node(at) as node:
            eventually(lambda: node.status().epoch == number or None, f"epoch {number} at {at.name}")

    def decide(self, change: tuple[str, ...], by: Institution, *others: Institution, number: int) -> None:
        """One member proposes, others sign once they have heard of it, and all of these go by the new epoch."""
        self.as_root(by, "consortium", *change, "--yes")
        for each in others:
            with self.node(each) as node:
                eventually(lambda: [p for p in node.epochs().pending if not p.mine] or None, "the proposal")
            assert change[1] in self.as_root(each, "consortium", "sign", "--yes")
        for each in (by, *others):
            self.epoch(each, number)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    """Two hospitals and the institute."""
    path = tmp_path / "net"
    environment = {"COMITY_DEVNET": str(path)}
    up = comity("devnet", "up", "--sites", "3", environment=environment)
    assert up.returncode == 0, up.stderr
    try:
        yield Net(path)
    finally:
        down = comity("devnet", "down", environment=environment)
    assert down.returncode == 0, down.stderr
    assert processes_of(path) == []


def test_a_newcomer_is_admitted_by_the_members_and_follows_them_and_a_removed_one_is_cut_off(net: Net) -> None:
    """Lost: a consortium that must be stopped, or founded anew, to take somebody in or to put somebody out."""
    anna, nordstad, institute = net.members
    pids = {each: net.status(each).pid for each in net.members}
    passphrase = Passphrase(read_passphrase(net.places.passphrase))
    control, bulk, api = (Address("127.0.0.1", port) for port in free_ports(3))
    made = init_site(net.places.site(NEWCOMER), NEWCOMER.name, NEWCOMER.steward, control, bulk, api, passphrase)
    Persons(net.places.home).add(made.steward)
    process = start_node(net.places, NEWCOMER)
    try:
        await_node(net.places, NEWCOMER, process)
        invitation = net.path / "invitation"
        assert net.act(institute, "consortium", "invite", "--out", str(invitation)).returncode == 0
        with net.node(NEWCOMER) as node:
            view = node.join(invitation.read_bytes())
            assert view.consortium is None
        net.decide(("admit", NEWCOMER.name), institute, anna, number=1)
        net.epoch(nordstad, 1)
        net.epoch(NEWCOMER, 1)
        with net.node(NEWCOMER) as node, net.node(nordstad) as other:
            eventually(lambda: all(m.here or m.connected for m in node.members()) or None, "the newcomer's connections")
            sizes = {each.site: each.entries for each in other.members() if each.site != made.root}
            eventually(lambda: _sizes(node, sizes) or None, "all logs at the newcomer")
        with net.steward(NEWCOMER) as steward:
            steward.set_offer("0.10")
            with net.node(nordstad) as other:
                eventually(lambda: _member(other, made.root).price or None, "the newcomer's offer at another member")
        data = net.path / "births.csv"
        data.write_text("year,births\n2025,12\n")
        with net.steward(NEWCOMER) as steward:
            left_behind = steward.publish_dataset(data, "births", level="open", purposes=(GRU,))
        with net.steward(anna) as other:
            eventually(lambda: left_behind.cid in [each.fields.cid for each in other.datasets()] or None, "the dataset")
        # It is put out while its node does not run, and so hears of it from nobody's log.
        end([process])
        net.decide(("remove", NEWCOMER.name), nordstad, institute, anna, number=2)
        with net.node(anna) as node:
            assert made.root not in {each.site for each in node.members()}
        _is_offered_no_more(net, anna, str(left_behind.cid))
        process = start_node(net.places, NEWCOMER)
        await_node(net.places, NEWCOMER, process)
        with net.node(NEWCOMER) as node:
            eventually(lambda: node.status().left == 2 or None, "that the one that left has heard of it")
        _is_told_that_it_left(net, str(left_behind.cid))
        with net.node(institute) as node:
            eventually(lambda: all(m.here or m.connected for m in node.members()) or None, "the others' connections")
    finally:
        end([process])
    assert {each: net.status(each).pid for each in net.members} == pids


def test_a_node_gets_a_new_key_while_it_runs_and_after_it_was_lost(net: Net) -> None:
    """Lost: one stolen or broken disk takes a site out of its consortium for good."""
    anna, nordstad, institute = net.members
    keys = [net.status(anna).node]
    told = json.loads(net.as_root(anna, "site", "rotate", "--json"))
    keys.append(told["node"])
    _reached(net, anna, (nordstad, institute), keys[-1])
    faults.strike(net.places, "stop", anna.handle)
    net.places.site(anna).node_key.unlink()
    told = json.loads(net.as_root(anna, "site", "rotate", "--lost", "--json"))
    keys.append(told["node"])
    faults.strike(net.places, "resume", anna.handle)
    _reached(net, anna, (nordstad, institute), keys[-1])
    assert len(set(keys)) == 3
    log = net.places.log(anna).read_text(encoding="utf-8")
    assert "the node has a new key" in log
    assert "started without having asked" not in log, "members are told of the key before they are asked"
    with net.steward(anna) as steward:
        steward.set_offer("0.42")
        for each in (nordstad, institute):
            with net.node(each) as node:
                eventually(lambda: _member(node, steward.site).price == 420_000 or None, "an entry under the new key")
        eventually(lambda: all(log.cosigned_size == log.size for log in steward.status().logs) or None, "cosignatures")
    # What the two others' logs were cosigned with before is told from what nobody's key signed.
    for each in net.members:
        told = json.loads(net.act(each, "audit", "verify", str(net.places.site(each).path), "--json").stdout)
        assert told["faults"] == []
        assert sum(one["cosignatures"] for one in told["logs"]) > 0
        assert sum(one["unchecked"] for one in told["logs"]) == 0


def test_a_suspended_member_is_relied_on_no_more_and_comes_back_and_a_stolen_root_is_replaced(net: Net) -> None:
    """Lost: a member in doubt can only be put out for ever; a thief of its root key speaks for it for ever."""
    anna, nordstad, institute = net.members
    net.decide(("suspend", anna.name), nordstad, institute, number=1)
    net.epoch(anna, 1)
    with net.node(nordstad) as node:
        assert "suspended" in _member(node, net.root(anna)).stopped
        assert eventually(lambda: _member(node, net.root(anna)).connected or None, "the suspended member's connection")
    net.as_root(nordstad, "consortium", "suspend", anna.name, "--end", "--yes")
    with net.node(anna) as node:
        eventually(lambda: [p for p in node.epochs().pending if not p.mine] or None, "the proposal")
    net.as_root(anna, "consortium", "sign", "--yes")
    for each in net.members:
        net.epoch(each, 2)
    with net.node(nordstad) as node:
        assert not _member(node, net.root(anna)).stopped
    fresh = net.path / "new-root.key"
    made = json.loads(net.as_root(anna, "site", "new-root", str(fresh), "--json"))
    net.decide(("replace-root", anna.name, made["did"]), nordstad, institute, number=3)
    net.epoch(anna, 3)
    old = net.act(anna, "site", "rotate", "--passphrase-file", str(net.places.passphrase))
    assert (old.returncode, "does not act as the root" in old.stderr) == (3, True), old.stderr
    told = json.loads(net.as_root(anna, "site", "rotate", "--json", root_key=fresh))
    _reached(net, anna, (nordstad, institute), told["node"])


def _member(node: Node, root: str):  # type: ignore[no-untyped-def]
    return next(each for each in node.members() if each.site == root)


def _sizes(node: Node, least: dict[str, int]) -> bool:
    found = {each.site: each.entries for each in node.members()}
    return all(found.get(site, 0) >= size for site, size in least.items())


def _is_offered_no_more(net: Net, at: Institution, cid: str) -> None:
    """What the one that left published stands in no list, and whoever names it is told why."""
    gone = f"left the consortium: what was published by {NEWCOMER.name} (since epoch 2)\n"
    for words in (("dataset", "list"), ("block", "list"), ("catalog", "search", "births")):
        told = net.act(at, *words, "--as", at.steward)
        assert (told.returncode, told.stdout.endswith(gone), cid in told.stdout) == (0, True, False), told.stdout
    shown = net.act(at, "dataset", "show", "births", "--as", at.steward)
    assert (shown.returncode, "no: its site left" in shown.stdout) == (0, True)
    told = net.act(at, "dataset", "fetch", cid, "--as", at.steward)
    assert told.returncode == 1
    assert "is not offered any more: its site" in told.stderr
    assert "left the consortium" in told.stderr


def _is_told_that_it_left(net: Net, cid: str) -> None:
    """The one that left says so, asks nobody any more, and reads what it has."""
    status = net.act(NEWCOMER, "site", "status").stdout
    assert "LEFT" in status
    assert "this site is no member of" in status
    for words in (("dataset", "list"), ("catalog", "search", "births")):
        told = net.act(NEWCOMER, *words, "--as", NEWCOMER.steward)
        assert (told.returncode, cid in told.stdout) == (0, True), told.stdout + told.stderr
    with net.steward(NEWCOMER) as steward:
        assert {each.fields.name for each in steward.datasets()} == {"births"} | {
            each.dataset for each in net.members if each.hospital
        }
    log = net.places.log(NEWCOMER).read_text()
    assert log.count("this site left «") == 1


def _reached(net: Net, changed: Institution, others: tuple[Institution, ...], key: str) -> None:
    root = net.root(changed)
    for each in others:
        with net.node(each) as node:

            def known() -> bool | None:
                member = _member(node, root)
                return (member.node == key and member.connected) or None

            eventually(known, f"the new key of {changed.name} at {each.name}")
    assert read_state(net.places).processes
