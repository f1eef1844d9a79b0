"""A catalog that forked, for real: proven, relied on no more, begun anew by its root, and forked once more."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from catalog.cid import Cid
from catalog.error import Infeasible
from devnet.founding import found
from devnet.launch import await_node, free_ports, make_sites, start_node, start_nodes
from devnet.patience import eventually
from devnet.process import Process, end
from devnet.publication import as_researcher, as_steward, open_projects, publish_sites, write_tables
from devnet.topology import PROJECT, RESEARCHER, Institution, Places, topology
from node.api.client import Node
from node.api.granting import State
from node.api.person import Persons
from node.api.schema import LogView, MemberView
from node.config import Address
from node.rootkey import Passphrase, read_passphrase
from node.setup import init_site
from privacy.purpose import GRU
from tests.devnet.consortium import comity, publish_workflow, run

NEWCOMER = Institution("eichen", "Eichen Clinic", "0.20", True)


class Net:
    """Three hospitals, an institute and a witness, of which one may be away. The first hospital's catalog forks."""

    def __init__(self, path: Path) -> None:
        self.path, self.places, self.known = path, Places(path), topology(4)
        make_sites(self.places, self.known)
        write_tables(self.places, self.known)
        self.processes: dict[str, Process] = dict(start_nodes(self.places, self.known).processes)
        found(self.places, self.known)
        publish_sites(self.places, self.known)
        open_projects(self.places, self.known)
        self.workflow = publish_workflow(self.places, self.known, "reopening")
        self.anna, self.nordstad, self.holm = self.known.hospitals
        self.institute, self.trust = self.known.institute, self.known.sites[-1]

    def folder(self, at: Institution) -> Path:
        return self.places.site(at).path

    def stop(self, *which: Institution) -> None:
        end([self.processes.pop(each.handle) for each in which])

    def start(self, *which: Institution) -> None:
        for each in which:
            self.processes[each.handle] = start_node(self.places, each)
        for each in which:
            await_node(self.places, each, self.processes[each.handle])

    def steward(self, at: Institution) -> Node:
        return as_steward(self.places, at)

    def act(self, at: Institution, *words: str, code: int = 0) -> str:
        """What a command printed, as the steward of a site; it must end with ``code``."""
        environment = {
            "COMITY_HOME": str(self.places.home),
            "COMITY_SITE": str(self.folder(at)),
            "COMITY_PERSON": at.steward,
        }
        done = comity(*words, environment=environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def as_root(self, at: Institution, *words: str) -> str:
        return self.act(at, *words, "--passphrase-file", str(self.places.passphrase))

    def member(self, at: Institution) -> MemberView:
        """The first hospital as the node of ``at`` sees it."""
        with Node.at(self.folder(at)) as node:
            return node.member(self.anna.name)

    def catalog(self) -> LogView:
        """How the first hospital's catalog fares."""
        with Node.at(self.folder(self.anna)) as node:
            return next(log for log in node.status().logs if "/catalog/" in log.origin)

    def publish(self, name: str) -> Cid:
        """A dataset of the first hospital's."""
        path = self.path / f"{name}.csv"
        path.write_text(f"visits\n{name}\n")
        with self.steward(self.anna) as steward:
            return steward.publish_dataset(path, name, purposes=(GRU,)).cid

    def granted(self) -> Cid:
        """A grant of the first hospital's to the researcher."""
        with self.steward(self.anna) as steward:
            return steward.grant(RESEARCHER, PROJECT, [self.anna.dataset], until="2d").cid

    def revoke(self, grant: Cid, reason: str) -> None:
        with self.steward(self.anna) as steward:
            steward.revoke(grant, reason)

    def covered(self, *witnesses: Institution) -> None:
        """Wait until these have cosigned all of the first hospital's catalog, and index it."""
        for each in witnesses:

            def there(each: Institution = each) -> bool | None:
                seen, log = self.member(each), self.catalog()
                return seen.entries == seen.cosigned == log.size or None

            eventually(there, f"the catalog at {each.name}")


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path / "net")
    try:
        yield made
    finally:
        end(made.processes.values())


def datasets(net: Net, at: Institution) -> set[str]:
    """The names of the first hospital's datasets as a site sees them."""
    with net.steward(at) as node:
        return {each.fields.name for each in node.datasets() if each.site_name == net.anna.name}


def test_a_forked_catalog_is_stopped_and_begun_anew_by_its_root_and_once_more(net: Net) -> None:
    """Lost: a hospital whose disk was brought back is out for good; or what its steward took back stands again."""
    anna, nordstad, holm, institute, trust = net.anna, net.nordstad, net.holm, net.institute, net.trust
    there = (nordstad, institute, trust)
    in_time, taken_back = net.granted(), net.granted()
    net.covered(*there, holm)
    net.stop(anna)
    backup = net.path / "backup"
    shutil.copytree(net.folder(anna), backup)
    net.start(anna)
    # What members hold: a dataset, an offer, a policy for this site alone, and that a grant was taken back.
    net.publish("held-by-members")
    net.act(anna, "offer", "set", "--price", "0.30")
    net.act(anna, "policy", "set", str(_policy(net)))
    net.revoke(taken_back, "in the history that members hold")
    net.covered(*there, holm)

    # With nobody there to ask, the old copy starts, and signs another history: more of the same, and less.
    net.stop(*net.known.sites)
    _bring_back(net, backup)
    net.start(anna)
    net.publish("beside-it")
    net.act(anna, "offer", "set", "--price", "0.10")
    net.start(*there)  # Holm University Hospital is away until all is over
    _forked(net, there)
    _stopped(net, in_time)

    # The root begins it anew. What the members hold counts, and of the rest what can.
    net.stop(anna)
    told = net.as_root(anna, "site", "restore")
    assert "Most members hold another history of the catalog" in told
    assert "opened epoch 1 of the catalog log" in told
    assert "2 entries of another history of the catalog count in this one" in told, told
    assert re.search(r"are left: \d+ \(offer\)\.", told), told
    assert re.search(r"for this site alone is lost; see to them first: \d+ \(policy\)\.", told), told
    _anew(net, 1, there)
    assert {"held-by-members", "beside-it"} <= datasets(net, anna)
    assert net.member(nordstad).price == 300_000
    _relied_on(net, in_time, taken_back)

    # Who was away, who starts again and who joins only now come to the same.
    net.start(holm)
    net.covered(holm)
    net.stop(nordstad)
    net.start(nordstad)
    net.covered(nordstad)
    newcomer = _admit(net)
    everywhere = (*there, holm, newcomer)
    for each in everywhere:
        eventually(lambda each=each: datasets(net, each) == datasets(net, anna) or None, f"all of it at {each.name}")
        assert net.member(each).stopped == ""
    net.covered(*everywhere)

    # A second fork, after the reopening: two copies, and this time the root goes on from the one that members hold.
    net.stop(*net.known.sites, newcomer)
    shutil.rmtree(backup)
    shutil.copytree(net.folder(anna), backup)
    net.start(anna)
    net.publish("of-the-second-copy")
    net.stop(anna)
    second = net.path / "second"
    shutil.move(net.folder(anna), second)
    _bring_back(net, backup)
    net.start(anna, *there, holm, newcomer)
    net.publish("of-the-first-copy")
    net.covered(*everywhere)
    net.stop(anna)
    first = net.path / "first"
    shutil.move(net.folder(anna), first)
    net.stop(*everywhere)
    shutil.move(second, net.folder(anna))
    net.start(anna)
    net.publish("more-of-the-second-copy")
    net.start(*everywhere)
    _forked(net, everywhere)
    net.stop(anna)
    shutil.rmtree(net.folder(anna))
    shutil.move(first, net.folder(anna))
    told = net.as_root(anna, "site", "restore")
    assert "Members have proof of two histories of the catalog log" in told
    assert "opened epoch 2 of the catalog log" in told
    _anew(net, 2, everywhere)
    _relied_on(net, in_time, taken_back)
    for each in everywhere:
        eventually(lambda each=each: datasets(net, each) == datasets(net, anna) or None, f"all of it at {each.name}")
    assert "of-the-first-copy" in datasets(net, newcomer)

    net.stop(*net.known.sites, newcomer)
    for each in (*net.known.sites, newcomer):
        checked = net.act(each, "audit", "verify", str(net.folder(each)))
        assert checked.endswith("no fault\n"), checked
        assert anna.name in checked or each == anna


def _policy(net: Net) -> Path:
    """The policy that is in force, with a remark."""
    path = net.path / "policy.cedar"
    path.write_text("// a remark\n" + net.act(net.anna, "policy", "show"))
    return path


def _bring_back(net: Net, backup: Path) -> None:
    shutil.rmtree(net.folder(net.anna), ignore_errors=True)
    shutil.copytree(backup, net.folder(net.anna))


def _forked(net: Net, members: Sequence[Institution]) -> None:
    """Each member has the proof, and it holds offline."""
    for each in members:
        stopped = eventually(lambda each=each: net.member(each).stopped or None, f"the proof at {each.name}")
        assert "two histories of its catalog log" in stopped
    proofs = net.path / "proofs"
    shutil.rmtree(proofs, ignore_errors=True)
    net.act(members[0], "catalog", "forks", "--save", str(proofs))
    told = [net.act(members[0], "catalog", "verify-fork", str(each)) for each in proofs.iterdir()]
    assert any("catalog log" in each for each in told)


def _stopped(net: Net, grant: Cid) -> None:
    """Nothing is decided on the word of the first hospital; it can still be halted, take back, and be asked."""
    anna = net.anna
    with as_researcher(net.places, net.known) as mara:
        with pytest.raises(Infeasible, match=f"{anna.name}: it signed two histories"):
            run(mara, net.workflow, [anna.dataset])
        assert mara.standing(grant).state is State.STALE
        run(mara, net.workflow, [net.nordstad.dataset]).check()
    assert "is halted" in net.act(anna, "site", "halt", "it forked")
    assert "halted is: nothing" in net.act(anna, "site", "resume")
    net.revoke(grant, "while it was stopped")
    asked = net.act(anna, "audit", "who", anna.dataset)
    assert f"{net.holm.name} gave no answer" in asked


def _anew(net: Net, number: int, members: Sequence[Institution]) -> None:
    """The restored node starts halted, and the members cosign the new epoch."""
    net.start(net.anna)
    assert "HALTED" in net.act(net.anna, "site", "status")
    net.covered(*members)
    for each in members:
        eventually(lambda each=each: (net.member(each).stopped == "") or None, f"reliance again at {each.name}")
    assert net.catalog().origin.endswith(f"/catalog/{number}")
    eventually(lambda: net.catalog().covered == net.catalog().size or None, "the quorum")
    if number == 1:  # the newest policy was for this site alone: it is written anew, or an older one decides unseen
        assert "of the catalog was lost" in net.act(net.anna, "site", "resume", code=1)
        net.act(net.anna, "policy", "set", str(net.path / "policy.cedar"))
    assert "halted is: nothing" in net.act(net.anna, "site", "resume")


def _relied_on(net: Net, *revoked: Cid) -> None:
    """Grants work again; those that were taken back, in whichever history, do not."""
    with as_researcher(net.places, net.known) as mara:
        for grant in revoked:  # the leaves of a catalog may be here before what only few may see of it
            eventually(lambda grant=grant: _is_revoked(mara, grant) or None, f"that {grant} was taken back")
        ended = run(mara, net.workflow, [net.anna.dataset, net.nordstad.dataset]).check()
        assert len(ended.took_part) == 2


def _is_revoked(mara: Node, grant: Cid) -> bool:
    return any(each.cid == grant and each.state is State.REVOKED for each in mara.standings())


def _admit(net: Net) -> Institution:
    """A site that joins only now."""
    passphrase = Passphrase(read_passphrase(net.places.passphrase))
    control, bulk, api = (Address("127.0.0.1", port) for port in free_ports(3))
    made = init_site(net.places.site(NEWCOMER), NEWCOMER.name, NEWCOMER.steward, control, bulk, api, passphrase)
    Persons(net.places.home).add(made.steward)
    net.start(NEWCOMER)
    invitation = net.path / "invitation"
    net.act(net.institute, "consortium", "invite", "--out", str(invitation))
    with Node.at(net.folder(NEWCOMER)) as node:
        node.join(invitation.read_bytes())
    net.as_root(net.institute, "consortium", "admit", NEWCOMER.name, "--yes")
    for each in (net.nordstad, net.holm):
        with Node.at(net.folder(each)) as node:
            eventually(lambda node=node: [p for p in node.epochs().pending if not p.mine] or None, "the proposal")
        net.as_root(each, "consortium", "sign", "--yes")
    for each in (*net.known.sites, NEWCOMER):
        with Node.at(net.folder(each)) as node:
            eventually(lambda node=node: node.status().epoch == 1 or None, f"epoch 1 at {each.name}")
    return NEWCOMER
