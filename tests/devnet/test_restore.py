"""A site that comes back from an old copy of its folder signs no second history, and a second copy is found out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from catalog.error import NotFound, Unreachable
from devnet.founding import found
from devnet.launch import await_node, free_ports, make_sites, start_node, start_nodes
from devnet.patience import eventually
from devnet.process import Process, end, start
from devnet.publication import as_researcher, as_steward, open_projects, publish_sites, write_tables
from devnet.topology import Institution, Places, Topology, topology
from node.api.client import Node
from node.api.person import Persons
from node.keyfile import Identity
from tests.devnet.consortium import publish_workflow, run


class Net:
    """Three sites with their nodes; the first hospital is the one that is brought back."""

    def __init__(self, path: Path) -> None:
        self.places, self.known = Places(path), topology(3)
        make_sites(self.places, self.known)
        self.processes: dict[str, Process] = dict(start_nodes(self.places, self.known).processes)
        found(self.places, self.known)

    @property
    def anna(self) -> Institution:
        return self.known.hospitals[0]

    @property
    def folder(self) -> Path:
        return self.places.site(self.anna).path

    def stop(self, institution: Institution | None = None) -> None:
        end([self.processes.pop((institution or self.anna).handle)])

    def start(self, institution: Institution | None = None) -> None:
        which = institution or self.anna
        self.processes[which.handle] = start_node(self.places, which)
        await_node(self.places, which, self.processes[which.handle])

    def back_up(self) -> None:
        """Stop the first hospital's node, make a copy of its folder, and start it again."""
        self.stop()
        backup = self.comity("site", "backup", str(self.folder.parent / "backup.tar"))
        assert backup.returncode == 0, backup.stderr
        self.start()

    def lose(self) -> None:
        """Stop the first hospital's node, lose its folder and put the copy in its place."""
        self.stop()
        shutil.rmtree(self.folder)
        shutil.unpack_archive(self.folder.parent / "backup.tar", self.folder, filter="fully_trusted")

    def publish(self) -> str:
        """Publish data and blocks, with all that it takes to compute; the workflow."""
        write_tables(self.places, self.known)
        publish_sites(self.places, self.known)
        open_projects(self.places, self.known)
        return publish_workflow(self.places, self.known, "restored")

    def comity(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COMITY_HOME": str(self.places.home), "COMITY_SITE": str(self.folder)}
        command = [sys.executable, "-m", "cli.main", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path / "net")
    try:
        yield made
    finally:
        end(made.processes.values())


def cosigned(node: Node) -> bool | None:
    return all(log.cosigned_size >= log.size > 0 for log in node.status().logs) or None


def other_view(net: Net, known: Topology) -> str:
    """What the second hospital holds against the first."""
    with as_steward(net.places, known.hospitals[1]) as node:
        return node.member(net.anna.name).stopped


def test_a_site_that_comes_back_from_a_backup_signs_no_second_history(net: Net) -> None:
    """The restored node would fork its logs with its first beat, and lose its authority over it."""
    workflow = net.publish()
    net.back_up()
    with as_researcher(net.places, net.known) as mara:
        eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "the node that came back")
        assert run(mara, workflow, [net.anna.dataset]).state == "done"
    with as_steward(net.places, net.anna) as node:
        node.halt("after the backup")
        node.halt("after the backup", resume=True)
        eventually(lambda: cosigned(node), "the others' cosignatures")
        before = {log.origin: log.size for log in node.status().logs}
    net.lose()

    refused = net.comity("site", "run", str(net.folder))
    assert refused.returncode == 1
    assert "has seen" in refused.stderr
    assert "comity site restore" in refused.stderr

    restored = net.comity("site", "restore", "--passphrase-file", str(net.places.passphrase))
    assert restored.returncode == 0, restored.stderr
    assert "entries came back" in restored.stdout
    assert "epoch 1" in restored.stdout
    assert "The log has lost 1 delivered step, which will not be delivered again." in restored.stdout

    net.start()
    with as_steward(net.places, net.anna) as node:
        assert [line for line in node.status().halted if "restored" in line]
        eventually(lambda: cosigned(node), "the cosignatures on the new epoch")
        after = {log.origin.split("/", 1)[1]: log.size for log in node.status().logs}
        assert set(after) == {"catalog/0", "audit/1"}
        assert after["catalog/0"] >= before[f"{node.site}/catalog/0"]
        node.halt("looked at", resume=True)
        assert node.status().halted == ()
    assert other_view(net, net.known) == ""


def test_who_is_away_at_a_restore_is_shown_no_second_history(net: Net) -> None:
    """Lost: who alone has seen the newest rows proves a fork, and an honest site loses its authority everywhere."""
    with as_steward(net.places, net.anna) as node:
        node.halt("before the backup")
        node.halt("before the backup", resume=True)
        eventually(lambda: cosigned(node), "the others' cosignatures")
    net.back_up()
    other, witness = net.known.institute, net.known.hospitals[1]
    with as_steward(net.places, net.anna) as node:
        eventually(lambda: cosigned(node), "the others' cosignatures")
        net.stop(other)
        node.halt("seen by one alone")
        eventually(lambda: cosigned(node), "the cosignatures of the one that is there")
    net.lose()
    net.stop(witness)
    net.start(other)
    restored = net.comity("site", "restore", "--passphrase-file", str(net.places.passphrase))
    assert restored.returncode == 0, restored.stderr
    assert f"did not answer may have seen more of them ({witness.name}" in restored.stdout
    net.start(witness)
    net.start()
    with as_steward(net.places, net.anna) as node:
        eventually(lambda: cosigned(node), "the cosignatures on the new epochs")
        assert {log.origin.split("/", 1)[1] for log in node.status().logs} == {"catalog/1", "audit/1"}
    assert other_view(net, net.known) == ""


def second_copy(net: Net) -> Path:
    """A copy of the stopped site's folder that would listen elsewhere."""
    copy = net.folder.with_name("copy")
    shutil.copytree(net.folder, copy)
    settings, ports = (copy / "site.toml").read_text(), iter(free_ports(3))
    (copy / "site.toml").write_text(re.sub(r"port = \d+", lambda _: f"port = {next(ports)}", settings))
    return copy


def test_a_node_on_an_older_copy_of_a_folder_does_not_start(net: Net) -> None:
    """Two nodes of one key would answer with two histories, and each would believe itself."""
    net.stop()
    copy = second_copy(net)
    net.start()
    with as_steward(net.places, net.anna) as node:
        node.halt("goes on")
        eventually(lambda: cosigned(node), "the others' cosignatures")
    second = net.comity("site", "run", str(copy))
    assert second.returncode == 1
    assert "a second node runs on another copy" in second.stderr


def test_two_nodes_on_copies_of_one_folder_are_found_out_and_told(net: Net) -> None:
    """A fork that nobody names looks like a network that does not work."""
    end(net.processes.values())
    copy = second_copy(net)
    # With nobody there to ask, neither can be refused before it signs.
    steward = Persons(net.places.home).load(net.anna.steward)
    for folder, name in ((net.folder, "first"), (copy, "second")):
        net.processes[name] = start(("-m", "cli.main", "site", "run", str(folder)), net.folder.parent / f"{name}.log")
    for folder in (net.folder, copy):
        eventually(partial(halted, folder, steward), "a halt at each of the two")
    for each in net.known.sites:
        if each != net.anna:
            net.processes[each.handle] = start_node(net.places, each)
    for folder in (net.folder, copy):
        told = eventually(partial(refusals, folder, steward), "the members' refusal")
        assert told
    with as_steward(net.places, net.known.hospitals[1]) as node:
        stopped = eventually(lambda: node.member(net.anna.name).stopped or None, "the proof at another member")
    assert "two histories" in stopped


def halted(folder: Path, steward: Identity) -> bool | None:
    try:
        with Node.at(folder, steward) as node:
            return node.halt(f"at {folder.name}") >= 0
    except (Unreachable, NotFound):
        return None


def refusals(folder: Path, steward: Identity) -> str | None:
    """Why members do not cosign what the node on ``folder`` signed, or stop relying on it; none if nobody says."""
    with Node.at(folder, steward) as node:
        told = "; ".join(f"{member.refuses} {member.stopped}" for member in node.status().members)
    return told if "two histories" in told or "forked" in told else None
