"""What a site has once it is in a consortium, put together: orders, submissions, replication, and what ends them."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from catalog.error import ComityError
from node.automator.automator import Automator
from node.automator.complaining import Complaining
from node.automator.decide import Judge
from node.automator.disclosing import Disclosing
from node.automator.foresee import Foreseeing
from node.automator.owners import Owners
from node.automator.verify import Consortium, Verifier
from node.bus.bus import Bus
from node.bus.dispatch import Dispatcher
from node.bus.foresight import Foresight
from node.bus.journal import State
from node.planning.solver import Solver
from node.ports import Control
from node.replicate.cosign import Witness
from node.replicate.indexing import Feeding, index_anew, index_log
from node.replicate.replicator import Means, Replicator
from node.replication import Covering
from node.site.attesting import Attesting, attesting
from node.site.auditdesk import AuditDesk
from node.site.capacity import Capacity, told_to_all
from node.site.epochs import Epochs
from node.site.erasure import Erasure
from node.site.follower import Follower
from node.site.local import LocalFirst
from node.site.locating import Mirrors
from node.site.orders import Orders
from node.site.planning import Planning
from node.site.projects import Ending, Projects
from node.site.questions import Questions
from node.site.releasedvalues import ReleasedValues
from node.site.repair import Repair
from node.site.together import Turns, aside, side_by_side
from node.site.witnessing import Witnessing
from node.storage.reopened import read_reopenings

if TYPE_CHECKING:
    from node.site.site import Site

GOSSIP = "comity/checkpoints/1/"


@dataclass(frozen=True, slots=True)
class Consorting:
    """What a site has once it is in a consortium."""

    automator: Automator
    bus: Bus
    foresight: Foresight
    planning: Planning
    follower: Follower
    questions: Questions
    control: LocalFirst
    witness: Witness
    witnessing: Witnessing
    judge: Judge
    projects: Projects
    orders: Orders
    repair: Repair
    capacity: Capacity


async def consort(site: Site) -> None:
    """Put together what needs a consortium, recover what was under way, and go on beside what runs already.

    The replicas are open (:func:`open_replicas`).

    Raises:
        ComityError: the site is in no consortium yet.
    """
    membership = site.membership
    if membership.consortium is None or membership.epoch is None:
        raise ComityError("this site is in no consortium yet")
    attests = attesting(site, lambda: orders.wake())
    await attests.load()
    await site.freshness.load()
    judge = site.judge
    judge.govern(membership.epoch.floor)
    consortium = Consortium(membership.consortium, membership.epoch.number)
    verifier = Verifier(site.root, consortium, site.index, site.documents, site.steps)
    control = LocalFirst(site.root, lambda asker, data: questions.answer(asker, data), site.reach)
    automator = automator_of(site, verifier, judge, attests.witnessing, control)
    site.recovered.extend(await automator.recover())
    orders = Orders(automator, site.nursery, attests.witnessing.reach)
    projects = _projects(site, orders)
    erasure = _erasure(site, projects)
    mirrors = site.holdings.mirrored = Mirrors(site.root, site.index)
    site.told.parts += [projects, erasure, mirrors]
    replicator = _replicator(site, attests.witness)
    follower = Follower(site.root, membership, replicator)
    questions = _questions(site, orders, verifier, judge, attests, follower)
    dispatcher = Dispatcher(
        site.node.key, site.index, site.journal, control, site.received, site.book.halts, site.clock
    )
    bus = Bus(
        site.root,
        site.index,
        site.journal,
        dispatcher,
        site.documents,
        site.steps,
        ReleasedValues(site.index, site.materials, site.blobs, site.holdings, site.clock, projects.litter),
        side_by_side,
        aside,
        site.clock,
    )
    repair = _repair(site)
    capacity = Capacity(
        lambda: site.index.site(site.root), site.steps, attests.statements.say, site.clock, lambda: told_to_all(site)
    )
    epochs = Epochs(
        membership,
        site.index,
        (site.catalog, site.audit),
        judge,
        verifier,
        dispatcher,
        replicator,
        site.writer.index_anew,
        site.reach,
        lambda: not site.network.connected(),
    )
    site.consorting = Consorting(
        automator,
        bus,
        Foresight(dispatcher, control, site.steps, side_by_side, site.clock),
        Planning(Solver()),
        follower,
        questions,
        control,
        attests.witness,
        attests.witnessing,
        judge,
        projects,
        orders,
        repair,
        capacity,
    )
    site.network.join(GOSSIP + str(membership.consortium))
    for part in (
        epochs.run,
        follower.run,
        attests.witnessing.run,
        attests.statements.run,
        capacity.run,
        orders.watch,
        orders.ask_owners,
        projects.run,
        erasure.run,
        site.custody.run,
        site.withholding.run,
        repair.run,
    ):
        site.start(part)
    await _resume(site, bus)


async def open_replicas(site: Site) -> None:
    """The replicas of the members whose keys are known, indexed and found in."""
    for root in site.index.sites.keys() - {site.root}:
        if site.membership.directory.keys_of(root):
            replica = await site.replicas.of(root)
            index, feeding = site.index.admit(root), Feeding(site.provers, site.keeping, turns=Turns())
            await site.keeping.take_up(replica, index)
            await index_log(replica, index, feeding)
            if index.due:
                await index_anew(replica, site.index, root, feeding)
            await site.finding.renew(root)


def automator_of(site: Site, verifier: Verifier, judge: Judge, covering: Covering, control: Control) -> Automator:
    """What carries orders out at ``site``; ``covering`` says what others have cosigned of its audit log."""
    return Automator(
        site.root,
        site.node.key,
        verifier,
        judge,
        site.book,
        site.steps,
        site.holdings,
        covering,
        site.releases,
        _owners(site, control),
        _disclosing(site),
        site.clock,
        site.random,
    )


def _owners(site: Site, control: Control) -> Owners:
    return Owners(
        site.root,
        site.node.key,
        site.index,
        site.book,
        control,
        side_by_side,
        site.releases,
        site.clock,
        site.random,
    )


def _disclosing(site: Site) -> Disclosing:
    here = site.index.site(site.root)
    # What is alive when the ledger is built is no garbage; the collector would walk through it at every few tables.
    return Disclosing(here, site.book, site.blobs, site.records, aside, trio.Lock(), site.random, gc.freeze)


def _projects(site: Site, orders: Orders) -> Projects:
    """What ends projects; the ended ones are closed before anything is handed out."""
    ending = Ending(
        site.index,
        site.holdings,
        site.blobs,
        site.brought,
        site.memos,
        site.journal,
        site.book,
        site.writer.write,
        site.node.key,
        site.clock,
    )
    projects = Projects(site.root, ending, orders)
    projects.close()
    return projects


def _repair(site: Site) -> Repair:
    def refusal(owner: str) -> str | None:
        if halted := site.book.halts.refusal(None, (site.root, owner)):
            return halted
        return site.freshness.refusal("fetch", {owner}) if owner != site.root else None

    return Repair(site.root, site.index, site.blobs, site.materials, refusal)


def _erasure(site: Site, projects: Projects) -> Erasure:
    async def expunge(root: str) -> None:
        await site.finding.expunge(root)
        await site.keeping.expunge(site.index.site(root))

    return Erasure(
        site.root,
        site.index,
        lambda: {site.root: site.catalog, **site.replicas.known},
        site.holdings,
        site.residents,
        site.datakeys,
        site.journal,
        site.book,
        site.clock,
        projects.litter,
        expunge,
    )


def _questions(
    site: Site, orders: Orders, verifier: Verifier, judge: Judge, attests: Attesting, follower: Follower
) -> Questions:
    desk = AuditDesk(
        site.root, site.node.did, site.index, judge, site.audit, site.book, site.clock, attests.witnessing.cover
    )
    return Questions(
        site.root,
        site.membership,
        site.catalog,
        site.audit,
        site.replicas,
        orders,
        Foreseeing(verifier, judge, site.book, site.clock),
        Complaining(verifier, judge, site.book, site.clock),
        desk,
        site.index,
        attests.witness,
        attests.witnessing,
        follower,
        (*read_reopenings(site.folder.catalog), *read_reopenings(site.folder.audit)),
    )


def _replicator(site: Site, witness: Witness) -> Replicator:
    means = Means(site.reach, site.reach, site.clock, aside, side_by_side)
    return Replicator(
        site.root, site.membership, means, witness, site.freshness, site.index, site.replicas, site.feeding
    )


async def _resume(site: Site, bus: Bus) -> None:
    """Go on with the submissions that a run before did not end."""
    for record in await site.journal.records():
        if record.state is State.CANCELLING:
            site.recovered.append(f"the submission {record.cid} is cancelled where it stood")
            site.start(bus.end, record.cid)
        elif record.ended == 0:
            site.recovered.append(f"the submission {record.cid} goes on where it stood")
            site.start(bus.carry, record.cid, site.membership.names)
