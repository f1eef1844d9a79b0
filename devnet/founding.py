"""Founding the consortium through the sites' own local interfaces: one gathers, all join, every root key signs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from catalog.member import Epoch
from devnet.patience import eventually
from devnet.topology import CONSORTIUM, Institution, Places, Topology
from node.api.client import Node
from node.rootkey import read_passphrase, read_root


def found(places: Places, known: Topology) -> Epoch:
    """Found the consortium, and wait until every node has the finished document and is connected to every other."""
    gatherer = known.institute
    with Node.at(places.site(gatherer).path) as node:
        node.new_consortium(CONSORTIUM, len(known.sites))
        for each in known.sites:
            if each != gatherer:
                with Node.at(places.site(each).path) as guest:
                    guest.join(node.invite().invite, witness_only=each.witness)
    with ThreadPoolExecutor(len(known.sites)) as threads:
        list(threads.map(lambda each: _sign(places, each), known.sites))
        epochs = list(threads.map(lambda each: _founded(places, each), known.sites))
        list(threads.map(lambda each: _connected(places, each), known.sites))
    return epochs[0]


def _sign(places: Places, institution: Institution) -> None:
    folder = places.site(institution)
    root = read_root(folder.root_key, read_passphrase(places.passphrase))
    with Node.at(folder.path) as node:
        eventually(lambda: node.sign_founding(root.key), f"the founding document at {institution.name}")


def _founded(places: Places, institution: Institution) -> Epoch:
    with Node.at(places.site(institution).path) as node:
        return eventually(node.founded, f"the other founders' signatures at {institution.name}")


def _connected(places: Places, institution: Institution) -> None:
    with Node.at(places.site(institution).path) as node:

        def all_there() -> bool | None:
            members = node.members()
            return all(each.here or each.connected for each in members) if len(members) > 1 else None

        eventually(lambda: all_there() or None, f"the connections of {institution.name}")
