"""Where attacks are played: a consortium in one process with a member, Mallory, whose keys the test holds.

Two hospitals, an institute with its researcher, and Mallory, who has a root, a node, a steward and whatever the test
publishes for her. The nodes are the real core over the simulated ports of ``tests/simulation``; every question goes
to them as bytes, as it would over a connection. ``Stage.honest`` makes the order that is carried out; an attack is
that order with one thing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from msgspec import structs

from catalog.block import BlockFields
from catalog.body import read_body
from catalog.checkpoint import Checkpoint, cosign
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.dataset import DatasetFields, Level
from catalog.error import NotFound
from catalog.grant import Action, Grant, GrantFields
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.label import Label
from catalog.member import KeyFields, Role
from catalog.note import parse_note
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from node.message import AddCheckpoint, Added, Place, Proof, question_bytes, read_question, read_reply, reply_bytes
from privacy.label import OPEN, shared
from tests.simulation.consortium import (
    BLOCKS,
    CIDS,
    EPOCH_BEGAN,
    LATER,
    PRICE,
    PURPOSE,
    Consortium,
    Site,
    read_tool,
    workflow_text,
)
from tests.simulation.disk import StoredLog
from tests.simulation.network import Network, Weather
from tests.simulation.node import Node
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.vitals import USUAL
from tests.simulation.watch import Watch
from workflow.argument import Argument, Data, Many
from workflow.order import Order, Wanted
from workflow.receipt import Form, Output, Receipt, Status
from workflow.submission import Submission

T = TypeVar("T")
HOUR = 3_600_000
TEXT = workflow_text(0)


class Stage:
    """One consortium, from its founding to the end of a test. ``prepare`` publishes before the nodes start."""

    playing: ClassVar[list[Stage]] = []

    def __init__(self, prepare: Callable[[Stage], object] = lambda _: None, node: type[Node] = Node) -> None:
        self.playing.append(self)
        self.scheduler = Scheduler("adversary")
        self.consortium = Consortium("adversary", 2, liar=True, wholesome=True, skew=0)
        self.anna, self.bruno = self.consortium.hospitals
        self.institute = self.consortium.institute
        assert self.consortium.liar is not None
        self.mallory: Site = self.consortium.liar
        self.researcher = self.consortium.researcher
        self.crook = PrivateKey(b"mallory's researcher's own key!!")
        self.watch = Watch(self.consortium, USUAL.bounds, lambda: self.now)
        self.network = Network(self.scheduler, Weather(delay=5), lambda *_: None)
        self.attacker = Process("attacker")
        prepare(self)
        self.nodes = {site.did: self._node(site, node) for site in self.consortium.honest}
        hers = self._node(self.mallory, Node)
        for running in (*self.nodes.values(), hers):
            running.start()
        # What an attack fails of must not be that nobody has heard Mallory yet. From there on the test speaks for her.
        assert self.scheduler.run(self._all_heard, 120_000)
        self.scheduler.kill(hers.process)
        self.network.attach(self.mallory.did, Process("mallory"), self.serve)

    def _all_heard(self) -> bool:
        return all(
            node.ready and node.freshness.age(site.did) is not None
            for did, node in self.nodes.items()
            for site in self.consortium.sites
            if site.did != did
        )

    def _node(self, site: Site, kind: type[Node]) -> Node:
        for other in self.consortium.sites:
            if other is not site:
                site.disk.replicas[other.did] = _replica(other.disk.catalog, site.did)
        return kind(
            site,
            self.consortium,
            self.scheduler,
            self.network,
            self.watch,
            run=1,
            broken=0.0,
            once=True,
            pace=USUAL,
            mute=False,
        )

    async def serve(self, _channel: str, _asker: str, data: bytes) -> bytes:
        """What Mallory answers: she cosigns whatever she is shown, since else no quorum is reached, and no more."""
        question = read_question(data)
        if not isinstance(question, AddCheckpoint):
            return reply_bytes(NotFound("nothing"))
        line = cosign(question.note, self.mallory.did, self.mallory.node, self.now // 1000)
        return reply_bytes(Added(size=Checkpoint.parse(parse_note(question.note).text).size, line=line))

    @property
    def now(self) -> int:
        """Unix milliseconds, for all."""
        return EPOCH_BEGAN + self.scheduler.now

    # --- playing -----------------------------------------------------------------------------------------------------

    def play(self, work: Coroutine[Any, Any, T], millis: int = 24 * HOUR) -> T:
        """Run ``work`` to its end, the others meanwhile; what it returns or raises."""
        task = self.scheduler.spawn(self.attacker, "attack", work)
        task.watched = True
        assert self.scheduler.run(lambda: task.ended, self.scheduler.now + millis), "it never ended"
        if task.error is not None:
            raise task.error
        result: T = task.result
        return result

    def ask(self, asker: Site, target: Site, question: bytes) -> bytes:
        """What ``target`` answers to the bytes that the node of ``asker`` sends."""
        return self.play(self.network.ask("control", asker.did, target.did, question, 60.0))

    def place(self, message: Place, asker: Site | None = None, target: Site | None = None) -> Receipt:
        """The final receipt for an order; a refusal is raised as its own type."""
        target = target or next(each for each in self.consortium.sites if each.did == message.order.site)
        while True:
            receipt = read_reply(Receipt, self.ask(asker or self.institute, target, question_bytes(message)))
            if receipt.final:
                return receipt

    # --- what honest people would sign -------------------------------------------------------------------------------

    def data(self, site: Site) -> Data:
        """The first dataset of a hospital."""
        cid, name = next(iter(site.datasets.items()))
        return Data(site=site.did, cid=cid, name=name)

    def submission(self, by: PrivateKey | None = None, /, **changes: object) -> Submission:
        """The researcher's submission: count at both hospitals, pool at the institute."""
        whole = Submission(
            consortium=self.consortium.cid,
            epoch=0,
            person=self.researcher.did,
            site=self.institute.did,
            project=self.consortium.project,
            workflow=Cid.of(TEXT.encode()),
            inputs={"data": Many(items=(self.data(self.anna), self.data(self.bruno)))},
            grants=tuple(self.consortium.grants),
            destinations=(self.institute.did,),
            deadline=self.now + HOUR,
            budget=PRICE * 8,
            min_sites=1,
            not_before=self.now - HOUR,
            not_after=self.now + HOUR,
            buses=(self.institute.node.did,),
            nonce=bytes(16),
            sig=UNSIGNED,
        )
        return signed(structs.replace(whole, **changes), by or self.researcher)

    def order(self, submission: Submission, by: PrivateKey | None = None, /, **changes: object) -> Order:
        """The order for St. Anna's shard of ``count``."""
        bus = by or self.institute.node
        whole = Order(
            consortium=submission.consortium,
            epoch=submission.epoch,
            submission=cid_of(submission),
            step="count",
            shard=0,
            attempt=1,
            site=self.anna.did,
            bus=bus.did,
            block=CIDS["count"],
            inputs={"data": self.data(self.anna)},
            proofs=(),
            outputs={"result": Wanted(type="statistics", readers=(self.institute.did,))},
            max_cost=PRICE,
            not_after=submission.not_after,
            sig=UNSIGNED,
        )
        return signed(structs.replace(whole, **changes), bus)

    def pool(self, submission: Submission, parts: Sequence[Data], proofs: Sequence[Proof], **changes: object) -> Place:
        """The order that pools ``parts`` at the institute."""
        fields: dict[str, object] = {
            "step": "pool",
            "site": self.institute.did,
            "block": CIDS["pool"],
            "inputs": {"parts": Many(items=tuple(parts))},
            "proofs": tuple(cid_of(each.receipt) for each in proofs),
            "outputs": {"pooled": Wanted(type="statistics", readers=(self.institute.did,))},
        }
        return self.message(submission, self.order(submission, **(fields | changes)), proofs)

    def message(
        self, submission: Submission, order: Order, proofs: Sequence[Proof] = (), workflow: str = TEXT
    ) -> Place:
        """An order with what travels beside it."""
        return Place(order=order, submission=submission, workflow=workflow, proofs=tuple(proofs), seconds=20)

    def honest(self) -> Place:
        """The order that St. Anna carries out."""
        submission = self.submission()
        return self.message(submission, self.order(submission))

    def counted(self, submission: Submission, site: Site) -> tuple[Data, Proof]:
        """The count of a hospital, really made there, as what a later order is given."""
        shard = 0 if site is self.anna else 1
        order = self.order(submission, site=site.did, shard=shard, inputs={"data": self.data(site)})
        receipt = self.place(self.message(submission, order))
        output = receipt.outputs["result"]
        assert receipt.status is Status.DONE
        assert output.cid is not None
        return Data(site=site.did, cid=output.cid, name=output.name), Proof(order=order, receipt=receipt)

    # --- what Mallory publishes and signs ----------------------------------------------------------------------------

    def publish(self, site: Site, kind: str, subject: str, fields: Value, by: PrivateKey | None = None) -> None:
        """An entry in a site's catalog, before the nodes start."""
        self.consortium.publish(site, kind, subject, fields, by=by)
        if isinstance(fields, PolicyFields):
            self.watch.governs(site, site.subjects[kind, subject], fields.text)

    def enrol(self, site: Site, key: PrivateKey, role: Role, *, removed: bool = False) -> None:
        """A key in a site's catalog."""
        fields = KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32), removed=removed)
        self.publish(site, "key", key.did, fields)

    def mallorys_project(self) -> None:
        """Mallory enrols a researcher of hers and gives her a project."""
        self.enrol(self.mallory, self.crook, Role.RESEARCHER)
        fields = ProjectFields(
            name="heist", people={self.crook.did: bytes(32)}, purpose=PURPOSE, datasets=(), not_after=LATER
        )
        self.publish(self.mallory, "project", "heist", fields)
        # Even so, and approved, it gives access to nothing: that is what the attacks with it are about.
        self.consortium.approve(self.anna, ProjectRef(site=self.mallory.did, name="heist"), fields)

    def mallorys_submission(self, data: Data, grants: Sequence[Cid]) -> Submission:
        """Mallory's researcher asks to count ``data``, for Mallory, by Mallory's bus."""
        return self.submission(
            self.crook,
            person=self.crook.did,
            site=self.mallory.did,
            project=ProjectRef(site=self.mallory.did, name="heist"),
            inputs={"data": Many(items=(data,))},
            grants=tuple(grants),
            destinations=(self.mallory.did,),
            buses=(self.mallory.node.did,),
        )

    def mallorys_order(self, submission: Submission, data: Argument) -> Order:
        """Her order for it, at St. Anna."""
        wanted = {"result": Wanted(type="statistics", readers=(self.mallory.did,))}
        return self.order(submission, self.mallory.node, inputs={"data": data}, outputs=wanted)

    def dataset(self, site: Site, cid: Cid, label: Label = OPEN, name: str = "bait") -> None:
        """A site claims a dataset."""
        fields = DatasetFields(
            cid=cid,
            name=name,
            level=Level.OPEN,
            label=label,
            purposes=(PURPOSE,),
            description="",
            media_type="application/json",
            size=1,
        )
        self.publish(site, "dataset", str(cid), fields)

    def block(self, site: Site, name: str, label: Label | None = None) -> None:
        """A site shares one of the blocks."""
        tool = read_tool(BLOCKS[name])
        outputs = {each.name: str(each.disclosure) for each in tool.outputs}
        label = label or shared(site.did, [each.did for each in self.consortium.sites])
        fields = BlockFields(cid=CIDS[name], name=name, label=label, description="", outputs=outputs)
        self.publish(site, "block", str(CIDS[name]), fields)
        site.disk.blobs[CIDS[name]] = BLOCKS[name].encode()

    def grant(self, owner: Site, datasets: Sequence[Cid], by: PrivateKey | None = None, **changes: object) -> Cid:
        """A grant in the catalog of ``owner``; its CID."""
        key = by or owner.steward
        fields = GrantFields(grant=signed(self.whole_grant(owner, datasets, key, **changes), key))
        self.publish(owner, "grant", str(fields.cid), fields)
        return fields.cid

    def whole_grant(self, owner: Site, datasets: Sequence[Cid], key: PrivateKey, **changes: object) -> Grant:
        """A grant that ``key`` issues, not signed yet."""
        whole = Grant(
            consortium=self.consortium.cid,
            issuer=key.did,
            site=owner.did,
            subject=self.researcher.did,
            project=self.consortium.project,
            claims=(),
            datasets=tuple(datasets),
            purposes=(PURPOSE,),
            actions=(Action.SEE, Action.COMPUTE, Action.RELEASE),
            blocks=(),
            destinations=(),
            not_after=LATER,
            parent=None,
            sig=UNSIGNED,
        )
        return structs.replace(whole, **changes)


def forged(
    order: Order, by: Site, outputs: Mapping[str, Output], status: Status = Status.DONE, **changes: object
) -> Receipt:
    """A receipt that the node of ``by`` signs for ``order``, whatever it did."""
    whole = Receipt(
        order=cid_of(order),
        site=by.did,
        node=by.node.did,
        previous=None,
        status=status,
        decision=None,
        place=None,
        outputs=dict(outputs),
        spent=None,
        cost=0,
        reason="",
        at=EPOCH_BEGAN,
        sig=UNSIGNED,
    )
    return signed(structs.replace(whole, **changes), by.node)


def output(site: Site, cid: Cid | None, name: str = "result.json", **changes: object) -> Output:
    """An output that a receipt of ``site`` may name."""
    whole = Output(
        handle=f"held:{site.did}/{'0' * 32}",
        type="statistics",
        name=name,
        cid=cid,
        size=1,
        form=Form.FILE if cid is not None else None,
        release=None,
        reason="",
    )
    return structs.replace(whole, **changes)


def _replica(log: StoredLog, reader: str) -> StoredLog:
    """What replication would have brought ``reader`` of a log."""
    bodies = {at: kept for at, kept in log.bodies.items() if read_body(kept[1]).visible_to(reader)}
    return StoredLog(log.origin, log.did, log.note, list(log.leaves), list(log.hashes), bodies)


def size_of(value: Value) -> int:
    """The bytes of a value on the wire."""
    return len(encode(value))
