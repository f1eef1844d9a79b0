"""One site, put together from its folder: state, core and adapters, each made once and handed to the others.

What it has in a consortium is put together in ``node/site/consorting.py``; ``node/site/serving.py`` runs it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from platform import python_version

import trio

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.entry import Entry
from catalog.error import Unreachable, VerificationFailed
from catalog.key import short
from catalog.member import Member
from catalog.offer import Most, OfferFields
from catalog.origin import LogName
from node.admission import Announcement
from node.automator.counterpart import Received
from node.automator.decide import Judge
from node.automator.hold import Holdings
from node.automator.steady import SteadyClock
from node.config import Folder, read_config, site_diseases, work_folder
from node.execute.allowed import limits_of
from node.execute.cwl.evaluator import Evaluator
from node.execute.environment.checkouts import Checkouts
from node.execute.environment.python import Base
from node.execute.step import StepExecutor
from node.founding import Founder
from node.message import reply_bytes
from node.network.bulk import BulkClient
from node.network.control import ControlNetwork, ControlSettings
from node.replicate.freshness import Freshness
from node.replicate.indexing import Feeding
from node.site.aggregator import aggregator
from node.site.attesting import quorum_of
from node.site.consorting import Consorting
from node.site.custody import Custody, check_newest
from node.site.documents import ParsedDocuments
from node.site.entrance import Entrance
from node.site.headers import Headers
from node.site.keyholders import KeyHolders
from node.site.locating import mirrors_of
from node.site.materials import Materials
from node.site.membership import Membership
from node.site.packing import Packing
from node.site.parts import Reading
from node.site.reach import Introducing, Reach
from node.site.recollection import Recollection
from node.site.rekeying import Rekeying
from node.site.replicas import Replicas
from node.site.runners import runner_of
from node.site.shelf import Shelf
from node.site.standing import ASK_SECONDS, Heard, ask_members
from node.site.state import State, read_state
from node.site.swarm import swarm_of
from node.site.together import Turns
from node.site.told import Told
from node.site.ways import Ways
from node.site.withholding import Withholding
from node.site.writing import Writer
from node.storage.brought import Brought
from node.storage.datakeys import DataKeys
from node.storage.disclosures import Records
from node.storage.disk import DiskBlobs
from node.storage.events import Events
from node.storage.journal import SubmissionJournal
from node.storage.kubo import in_thread
from node.storage.kubostore import open_store
from node.storage.log import DiskLog
from node.storage.memo import Memos
from node.storage.pooled import checkout_pooled, drop_unused
from node.storage.releases import WaitingReleases
from node.storage.resident import Residents
from node.storage.shared import SharedData
from node.storage.witness import WitnessMemory
from node.system import SystemClock, SystemRandom
from privacy.fault import PolicyFault

log = logging.getLogger("comity.policy")


class Site:
    """A site on this machine: made by :meth:`open`, closed by :meth:`aclose`.

    ``nursery`` is there while the site is served, ``consorting`` once it is in a consortium and served.
    """

    nursery: trio.Nursery

    def __init__(self, state: State, blobs: DiskBlobs, clock: SystemClock, kubo: str | None = None) -> None:
        self._state = state
        self.folder, self.config, self.node = state.folder, state.config, state.node
        self.catalog, self.audit, self.ledger, self.book = state.catalog, state.audit, state.ledger, state.book
        self.index, self.finding, self.keeping = state.index, state.finding, state.keeping
        self.provers = state.provers
        self.reopened, self.recovered = state.reopened, state.recovered
        self.clock, self.random = clock, SystemRandom()
        self.changed = trio.Event()
        self.leaving = trio.Event()
        self.consorting: Consorting | None = None
        self.told = Told()
        self.told.parts.append(self.finding)
        self.feeding = Feeding(self.provers, self.keeping, self.told, Turns())
        self.diseases = site_diseases(self.folder)
        self.blobs = blobs
        self.holdings = Holdings(self.blobs.named)
        self.residents = Residents(state.database)
        self.brought = Brought(state.database)
        self.records = Records(state.database)
        self.journal = SubmissionJournal(state.database, self.notify)
        self.events = Events(state.database)
        self.releases = WaitingReleases(state.facts)
        self.received = Received(self.root, self.book)
        self.ways = Ways(self.config, self.node, self.clock, self.random, lambda: self.membership, os.environ)
        self.bulk = BulkClient(self.node.key, self.clock, self.random, self.ways.dialer, self.ways.interceptions)
        self.membership = Membership(self._me(), state.facts, self.bulk, self.index)
        self.book.halts.name = self._name
        self.entrance = Entrance(
            self.membership, self.node, state.facts, self.bulk, self.clock, self.random, self.index
        )
        self.replicas = Replicas(
            self.folder.replicas,
            self.membership.directory.keys_of,
            lambda site: self.reopened.origin(site, LogName.CATALOG),
            state.replicas,
        )
        self.witness_memory = WitnessMemory(state.database)
        self.freshness = Freshness(
            self.root,
            self.index,
            self.witness_memory,
            self.clock,
            lambda owner: quorum_of(self.membership, owner),
            lambda root: self.membership.names.get(root, root),
        )
        here, name = self.index.site(self.root), self.config.name
        self.judge = Judge(here, self.index, name, "", self.freshness, self.diseases, aggregator())
        self.judge.faults.tell = _tell_fault
        self.shared, self.datakeys = SharedData(self.blobs, self.random.token), DataKeys(state.database)
        self.withholding = Withholding(self.book, self.clock.now)
        self.rekeying = Rekeying(lambda: self.index.site(self.root))
        self.headers = Headers(
            self.root,
            self.index,
            self.membership,
            self.datakeys,
            self.judge_of,
            self.book,
            self.withholding,
            SteadyClock(self.clock, self.freshness),
            self.random,
        )
        self.shelf = Shelf(
            self.root,
            self.membership,
            self.entrance,
            self.catalog,
            self.replicas,
            self.blobs,
            self.holdings,
            self.book,
            self.judge,
            self.withholding,
            Recollection(self.witness_memory, self.reopened, self.replicas, self.journal),
            self.headers,
        )
        self.network = ControlNetwork(
            self.node.key,
            ControlSettings(self.config.control.host if self.config.listens else None, self.config.control.port),
            admits=lambda node: self.membership.site_of(node) is not None,
            answer=self._answer,
            heard=self._heard,
            known=self._known,
            dialer=self.ways.dialer,
            incoming=self.ways.front.control,
        )
        self.writer = Writer(self.root, self.catalog, self.index, self.holdings, self.book, self.feeding)
        self.reach = Reach(self.membership, self.network, self.bulk)
        self.keyholders = KeyHolders(
            self.root, self.node.encryption, self.datakeys, self.headers, self.reach, self.book, self.membership
        )
        self.custody = Custody(self.root, self.index, self.datakeys, self.keyholders)
        self.told.parts.append(self.custody)
        self.materials = Materials(
            self.root,
            self.index,
            self.blobs,
            self.residents,
            self.brought,
            self.reach,
            lambda owner, root: mirrors_of(self.index, owner, root),
            self.arrived,
            self.shared,
            self.keyholders,
            self._name,
        )
        self.reading = Reading()
        self.documents = ParsedDocuments()
        self.swarm = swarm_of(self, state.facts, kubo)
        runner = runner_of(self.config, self.folder)
        self.memos = Memos(self.blobs, f"{runner.name} {python_version()}")
        work, bounds = work_folder(self.folder, self.config), self.config.steps
        self.packing = Packing(self.folder.environments / "packing", Base(self.folder.environments / "base"))
        self.checkouts = Checkouts(self.folder.environments, partial(checkout_pooled, self.blobs.get), drop_unused)
        self.evaluator = Evaluator()
        self.steps = StepExecutor(
            runner,
            self.evaluator,
            self.materials,
            self.blobs,
            work,
            limits_of(bounds),
            self.memos,
            bounds.at_once,
            self.checkouts,
            self._offered,
        )

    @classmethod
    async def open(cls, folder: Folder, kubo: str | None = None) -> Site:
        """Read a site's folder and rebuild everything that is a projection of its logs.

        ``kubo`` is the program of a Kubo to run beside it; none to run none.

        Raises:
            NotFound: no site there. VerificationFailed: a file is damaged, named. Conflict: another node holds it.
            BadInput, Conflict, Unreachable: of the Kubo that is its store, or of the one that it is to publish in.
        """
        clock = SystemClock()
        config = read_config(folder)
        blobs = await in_thread(
            partial(open_store, folder.blobs, config.store, config.root, config.quota, folder.project_keys)
        )
        site = cls(await read_state(folder, clock), blobs, clock, kubo)
        await site.membership.load()
        if site.membership.epoch is not None:
            site.judge.govern(site.membership.epoch.floor)
        await site.entrance.load()
        own = site.index.site(site.root)
        for entry in (*own.entries("dataset"), *own.entries("block")):
            site.holdings.publish(entry)
        return site

    async def aclose(self) -> None:
        """Close logs and state."""
        await self.evaluator.aclose()
        await self.replicas.aclose()
        self.bulk.close()
        await self._state.aclose()

    @property
    def root(self) -> str:
        """The site's root key, which is its name among machines."""
        return self.config.root

    @property
    def logs(self) -> dict[LogName, DiskLog]:
        """This site's own two logs."""
        return {LogName.CATALOG: self.catalog, LogName.AUDIT: self.audit}

    async def judge_of(self, owner: str) -> Judge:
        """The judge by the policy of ``owner``: of this site itself, or of one whose custodian it is.

        Raises:
            Denied: the newest policy of the owner is not for this site to see, or has not come.
        """
        if owner == self.root:
            return self.judge
        await check_newest(self.replicas.known, self.index.site(owner), "policy")
        epoch, name = self.membership.epoch, self._name(owner)
        floor = epoch.floor if epoch is not None else ""
        return Judge(self.index.site(owner), self.index, name, floor, self.freshness, self.diseases, aggregator())

    def _name(self, root: str) -> str:
        return self.membership.names.get(root, short(root))

    def _offered(self) -> Most | None:
        """What this site's steward lets a step use at most."""
        offer = self.index.site(self.root).typed(OfferFields, "offer")
        return offer.most if offer is not None else None

    def start(self, work: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Run ``work`` beside everything else, until the node stops."""
        self.nursery.start_soon(work, *arguments)

    def _me(self) -> Announcement:
        """This site as others are told of it: the enrolment of its node's key, and the removals of those before it."""
        own = self.index.site(self.root)
        enrolled = own.latest("key", self.node.did)
        if enrolled is None or own.node() != self.node.did:
            raise VerificationFailed(
                f"{self.folder.node_key} is not the node key that the root key of this site enrolled last;"
                " restore it, or make a new one with «comity site rotate --lost»"
            )
        gone: list[Entry] = [entry for did in own.nodes() if did != self.node.did and (entry := own.latest("key", did))]
        me = Founder(
            member=Member(site=self.config.name, root=self.root),
            enrolment=encode(enrolled.body),
            control=self.config.control.multiaddr if self.config.inbound else "",
            bulk=self.config.bulk.url if self.config.inbound else "",
        )
        return Announcement(founder=me, removals=tuple(encode(entry.body) for entry in gone[-8:]))

    # --- what others have seen of this site, and it of them ----------------------------------------------------------

    async def hear(self, seconds: float = ASK_SECONDS) -> Heard:
        """Ask the members what they have seen of this site's logs."""
        others = [root for root in self.membership.nodes if root != self.root]
        bulk = Introducing(self.reach, self.membership.directory)
        return await ask_members(bulk, self.root, others, list(self.logs.values()), self.enough, seconds)

    @property
    def enough(self) -> int:
        """How many members must be asked so that one of every quorum is among them."""
        quorum = quorum_of(self.membership, self.root)
        return max(0, len(quorum.witnesses) - quorum.needed + 1) if quorum.needed else 0

    async def witnessed(self, root: str) -> int:
        """Up to which size this site has cosigned the catalog of ``root``."""
        seen = await self.witness_memory.seen(self.reopened.origin(root, LogName.CATALOG))
        return seen.size if seen else 0

    # --- what comes from outside -------------------------------------------------------------------------------------

    async def arrived(self, owner: str, source: str, root: Cid) -> None:
        """Bytes that ``owner`` published have come from another site: written down here as they are there."""
        there = self.index.site(owner)
        published = there.latest("dataset", str(root)) is not None
        for_nobody = published or there.latest("block", str(root)) is not None
        await self.received.fetched(
            source,
            root,
            {*self.holdings.accounted(root), *([root] if published else [])},
            None if for_nobody else self.holdings.needed_for(root),
        )

    async def _answer(self, node: str, question: bytes) -> bytes:
        asker = self.membership.site_of(node)
        if self.consorting is None or asker is None:
            return reply_bytes(Unreachable("its node is just starting; ask again"))
        return await self.consorting.questions.answer(asker, question)

    async def _heard(self, node: str, message: bytes) -> None:
        asker = self.membership.site_of(node)
        if self.consorting is None or asker is None:
            return
        self.consorting.witnessing.back(asker)
        held = self.replicas.known.get(asker)
        if held is None or message != held.note.encode():
            self.consorting.follower.wake(asker)

    def _known(self) -> dict[str, list[str]]:
        return {
            node: [self.membership.founders[root].control]
            for root, node in self.membership.nodes.items()
            if root != self.root
        }

    def notify(self) -> None:
        """Something about submissions changed: wake whoever watches."""
        self.changed.set()
        self.changed = trio.Event()


def _tell_fault(fault: PolicyFault, times: int) -> None:
    log.error("policy fault (%d times since the start): %s", times, fault.reason)
