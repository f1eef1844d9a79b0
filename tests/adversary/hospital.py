"""A real site on a real disk, put together as the node does it, with nobody connected: what a peer or a local user
asks is handed to it as the network or the local interface would, after their own checks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from msgspec import structs

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.dataset import DatasetFields, Level
from catalog.index import SiteIndex
from catalog.key import PrivateKey
from catalog.label import Label
from catalog.member import KeyFields, Member, Role
from catalog.policy import PolicyFields
from node.automator.complaining import Complaining
from node.automator.decide import Judge
from node.automator.foresee import Foreseeing
from node.automator.verify import Consortium, Verifier
from node.config import Address, Folder
from node.founding import Founder
from node.replicate.replicator import Means, Replicator
from node.rootkey import new_passphrase
from node.setup import init_site
from node.site.attesting import attesting
from node.site.auditdesk import AuditDesk
from node.site.consorting import automator_of
from node.site.follower import Follower
from node.site.orders import Orders
from node.site.questions import Questions
from node.site.site import Site
from node.site.together import aside, side_by_side
from privacy.label import OPEN
from tests.node.site.house import Covered, Recent

PURPOSE = "DUO:0000006"
NOW = 1_700_000_000_000


class Neighbour:
    """Another member, of whom the hospital has what its index took."""

    def __init__(self, name: str) -> None:
        self.root, self.node, self.steward, self.person = (
            PrivateKey((name + what).encode().ljust(32, b".")[:32]) for what in ("root", "node", "steward", "person")
        )
        self.name = name
        self.index = SiteIndex(self.root.did)
        self.add("key", _key(self.node, Role.NODE), self.root)
        self.add("key", _key(self.steward, Role.STEWARD), self.root)
        self.add("key", _key(self.person, Role.AUDITOR))

    def add(self, kind: str, fields: Value, by: PrivateKey | None = None) -> None:
        """An entry that counts."""
        body = write_body(kind, fields, site=self.root.did, at=NOW, by=by or self.steward)
        entry = self.index.add(self.index.size, kind, body)
        assert entry is not None, self.index.faults

    def dataset(self, cid: Cid, label: Label = OPEN) -> None:
        """A dataset that this member says is its own."""
        self.add("dataset", dataset(cid, label))


def _key(key: PrivateKey, role: Role) -> KeyFields:
    return KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32))


def dataset(cid: Cid, label: Label = OPEN, level: Level = Level.OPEN) -> DatasetFields:
    """A dataset's entry."""
    return DatasetFields(
        cid=cid,
        name="data",
        level=level,
        label=label,
        purposes=(PURPOSE,),
        description="",
        media_type="text/csv",
        size=1,
    )


class Hospital:
    """The site, its steward's key, a researcher of it, and one member beside it."""

    def __init__(self, site: Site, steward: PrivateKey, nursery: trio.Nursery) -> None:
        self.site = site
        self.steward = steward
        self.mara = PrivateKey(b"mara's own key, which is hers...")
        self.paul = PrivateKey(b"paul's own key, which is his....")
        self.mallory = Neighbour("mallory")
        self.other = Neighbour("other")
        site.index.replace(self.mallory.index)
        site.index.replace(self.other.index)
        site.membership.nodes = {
            site.root: site.node.did,
            self.mallory.root.did: self.mallory.node.did,
            self.other.root.did: self.other.node.did,
        }
        site.membership.names = {member.root.did: member.name for member in (self.mallory, self.other)}
        for member in (self.mallory, self.other):
            site.membership.founders[member.root.did] = Founder(
                member=Member(site=member.name, root=member.root.did),
                enrolment=b"",
                control="/ip4/127.0.0.1/tcp/1",
                bulk="https://127.0.0.1:1",
            )
            # They were heard: what their attacks fail of must not be their silence.
            site.freshness._heard[member.root.did] = site.clock.now()
        here = site.index.site(site.root)
        self.judge = Judge(here, site.index, "St. Anna", "", Recent())
        verifier = Verifier(site.root, Consortium(Cid.of(b"c"), 0), site.index, site.documents, site.steps)
        self.automator = automator_of(site, verifier, self.judge, Covered(), site.reach)
        self.orders = Orders(self.automator, nursery, Covered().reach)
        self.desk = AuditDesk(site.root, site.node.did, site.index, self.judge, site.audit, site.book, site.clock)
        attests = attesting(site, lambda: None)
        self.witness, witnessing = attests.witness, attests.witnessing
        means = Means(site.reach, site.reach, site.clock, aside, side_by_side)
        replicator = Replicator(
            site.root, site.membership, means, self.witness, site.freshness, site.index, site.replicas, site.feeding
        )
        self.questions = Questions(
            site.root,
            site.membership,
            site.catalog,
            site.audit,
            site.replicas,
            self.orders,
            Foreseeing(verifier, self.judge, site.book, site.clock),
            Complaining(verifier, self.judge, site.book, site.clock),
            self.desk,
            site.index,
            self.witness,
            witnessing,
            Follower(site.root, site.membership, replicator),
        )

    async def write(self, kind: str, fields: Value, by: PrivateKey | None = None) -> None:
        """An entry in the hospital's catalog, as its steward signs it."""
        await self.site.writer.write(write_body(kind, fields, site=self.site.root, at=NOW, by=by or self.steward))

    async def enrol(self, key: PrivateKey, role: Role = Role.RESEARCHER) -> None:
        """A person of the hospital."""
        await self.write("key", _key(key, role))

    async def remove(self, key: PrivateKey) -> None:
        """A researcher of the hospital is one no more."""
        first = self.site.index.site(self.site.root).latest("key", key.did)
        gone = structs.replace(_key(key, Role.RESEARCHER), removed=True)
        by = self.steward
        previous = None if first is None else first.index
        await self.site.writer.write(write_body("key", gone, site=self.site.root, at=NOW, by=by, previous=previous))

    async def policy(self, text: str) -> None:
        """The hospital's first policy."""
        await self.write("policy", PolicyFields(text=text))


@asynccontextmanager
async def hospital(folder: Path) -> AsyncIterator[Hospital]:
    """A hospital in ``folder``."""
    place = Folder(folder / "st-anna")
    nowhere = Address("127.0.0.1", 1)
    made = await trio.to_thread.run_sync(
        init_site, place, "St. Anna", "Ada", nowhere, nowhere, nowhere, new_passphrase()
    )
    site = await Site.open(place)
    site.network.hint = _no_hint  # type: ignore[method-assign, assignment]
    try:
        async with trio.open_nursery() as nursery:
            yield Hospital(site, made.steward.key, nursery)
            nursery.cancel_scope.cancel()
    finally:
        await site.aclose()


async def _no_hint(_message: bytes) -> None:
    """Nobody is connected."""


def at_a_hospital(folder: Path, test: Callable[[Hospital], Awaitable[None]]) -> None:
    """Run ``test`` at a hospital."""

    async def play() -> None:
        async with hospital(folder) as there:
            await test(there)

    trio.run(play)
