"""What the stewards sign before anything can run: policies, offers, people, datasets, projects, grants."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from devnet.patience import eventually
from devnet.table import parts, whole_table, write_part
from devnet.topology import ANCESTRY, PROJECT, RESEARCHER, Institution, Places, Topology
from node.api.client import Node
from node.api.person import Persons, card_of
from node.api.view import Published
from privacy.purpose import GRU, POA
from privacy.starters import HOSPITAL, INSTITUTE

UNTIL: Final = "30d"
_ACTIONS: Final = ("see", "compute", "release")


def as_steward(places: Places, institution: Institution) -> Node:
    """The client of a site's steward."""
    return Node.at(places.site(institution).path, Persons(places.home).load(institution.steward))


def as_researcher(places: Places, known: Topology) -> Node:
    """The client of the researcher, at the institute."""
    return Node.at(places.site(known.institute).path, Persons(places.home).load(RESEARCHER))


def write_tables(places: Places, known: Topology) -> dict[str, int]:
    """Write the hospitals' tables of patients; how many rows each has, by handle."""
    shares = parts(whole_table(), len(known.hospitals))
    for each, rows in zip(known.hospitals, shares, strict=True):
        write_part(places.table(each), rows)
    return {each.handle: len(rows) for each, rows in zip(known.hospitals, shares, strict=True)}


def publish_sites(places: Places, known: Topology) -> dict[str, Published]:
    """Policy and offer of each site, the hospitals' datasets (returned by handle), the institute's researcher."""
    sites = known.publishers
    with ThreadPoolExecutor(len(sites)) as threads:
        published = threads.map(lambda each: _publish_site(places, each), sites)
        return {each.handle: made for each, made in zip(sites, published, strict=True) if made}


def open_projects(places: Places, known: Topology) -> None:
    """The institute's projects, each hospital's approval of them, and its grants to the researcher."""
    with as_steward(places, known.institute) as steward:
        wanted = [each.dataset for each in known.hospitals]
        eventually(lambda: [steward.dataset(name) for name in wanted], "the hospitals' datasets at the institute")
        steward.new_project(PROJECT, [RESEARCHER], GRU, wanted, until=UNTIL)
        steward.new_project(ANCESTRY, [RESEARCHER], POA, wanted, until=UNTIL)
    with ThreadPoolExecutor(len(known.hospitals)) as threads:
        granted = list(threads.map(lambda each: _grant(places, each), known.hospitals))
    with as_researcher(places, known) as researcher:

        def arrived() -> bool | None:
            seen = {grant.fields.cid for grant in researcher.grants()}
            return seen.issuperset(made.cid for pair in granted for made in pair) or None

        eventually(arrived, "the hospitals' grants at the institute")


def approve(steward: Node, project: str) -> int:
    """A steward approves a project as it stands, once it has come here."""
    return eventually(lambda: steward.approve_project(project), f"the project «{project}»")


def endorse(places: Places, known: Topology, institution: Institution, block: str) -> int:
    """A steward vouches for a block, named by its CID; waits until it has come and until the researcher sees it."""
    with as_steward(places, institution) as steward:
        index = eventually(lambda: steward.endorse(block), f"the block at {institution.name}")
        site = steward.site
    with as_researcher(places, known) as researcher:

        def seen() -> bool | None:
            return any(entry.site == site and entry.subject == block for entry in researcher.entries("endorse")) or None

        eventually(seen, f"{institution.name}'s endorsement at the institute")
    return index


def _publish_site(places: Places, institution: Institution) -> Published | None:
    with as_steward(places, institution) as steward:
        steward.set_policy(HOSPITAL if institution.hospital else INSTITUTE)
        steward.set_offer(institution.price)
        if institution.hospital:
            return steward.publish_dataset(
                places.table(institution),
                institution.dataset,
                purposes=(GRU,),
                description=f"Fine-needle aspirates seen at {institution.name}: 30 measures and the diagnosis",
            )
        card = card_of(Persons(places.home).load(RESEARCHER))
        steward.enrol(card.name, card.did, card.x25519)
        return None


def _grant(places: Places, institution: Institution) -> tuple[Published, ...]:
    with as_steward(places, institution) as steward:
        for project in (PROJECT, ANCESTRY):
            approve(steward, project)

        def granted(project: str) -> Published | None:
            return steward.grant(RESEARCHER, project, [institution.dataset], until=UNTIL, actions=_ACTIONS)

        return tuple(
            eventually(lambda project=project: granted(project), f"the project «{project}» at {institution.name}")  # type: ignore[misc]
            for project in (PROJECT, ANCESTRY)
        )
