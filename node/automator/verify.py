"""Verifying an order: signatures, membership, order ⊆ submission, labels recomputed; nothing it claims is believed.

What comes out is a :class:`Verified`: everything that deciding needs, each fact checked against a log.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of, encode
from catalog.dataset import DatasetFields
from catalog.error import BadInput, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.key import check
from catalog.offer import OfferFields
from catalog.project import ProjectFields, ProjectRef
from node.automator.case import Case
from node.message import Complained, Place, Proof, Reporting
from node.step import Documents, Steps
from privacy.label import may_hold
from privacy.trust import OTHER_DATA, Person, approved, blocks_at, person_at, project_of
from workflow.account import MAX_REQUEST, AccessFields, datasets_of
from workflow.argument import pieces_in
from workflow.cancellation import Cancellation
from workflow.evidence import Evidence
from workflow.order import Order
from workflow.price import Terms, most, moved_to
from workflow.report import Report
from workflow.submission import Submission
from workflow.subset import check_subset

UNKNOWN: Final = "no such order came to this site"
NO_BUS: Final = "the order does not come from a bus node that its submission names"


@dataclass(frozen=True, slots=True)
class Consortium:
    """The epoch that orders must name. A site that only witnesses logs takes none."""

    cid: Cid
    epoch: int
    witness_only: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """An order that is what it claims to be. ``datasets`` are those it is accounted to.

    ``terms`` are by what this site charges it; none of another site's order.
    ``submission`` is what the person signed, ``owners`` those of its data.
    """

    order: Order
    order_cid: Cid
    case: Case
    bus_site: str
    datasets: Sequence[Cid]
    terms: Terms | None
    submission: Submission
    owners: frozenset[str]


def signed_request(submission: Submission) -> bytes:
    """The bytes that the person signed, as the audit log keeps them.

    Raises:
        VerificationFailed: they are more than it keeps.
    """
    data = encode(submission)
    if len(data) > MAX_REQUEST:
        raise VerificationFailed(f"a submission of {len(data):,} bytes is too large: at most {MAX_REQUEST:,}; split it")
    return data


class Verifier:
    """Checks orders for the site ``site``."""

    def __init__(self, site: str, consortium: Consortium, index: Index, documents: Documents, steps: Steps) -> None:
        self._site = site
        self.consortium = consortium
        self._index = index
        self._documents = documents
        self._steps = steps

    def person(self, message: Place, asker: str) -> Person:
        """Whose order the node of the site ``asker`` sent: they signed the submission, which names that bus node.

        Raises:
            VerificationFailed: a signature is not what it claims to be, the order is for another site or epoch, or the
                submission is larger than a row of the audit log holds: of such a one nothing more is said.
            Denied: they are no member's person, or this site takes no orders. NotFound: their site is no member.
            Conflict, Unreachable: the two sites go by different epochs.
        """
        order, submission = message.order, message.submission
        signed_request(submission)
        if order.site != self._site:
            raise VerificationFailed("the order is for another site")
        self._check_epoch(order, submission)
        self._check_sender(order, asker)
        self._check_signatures(order, submission, asker)
        return person_at(self._index, submission.person, submission.site)

    def foreseen(self, message: Place, asker: str) -> Person:
        """Whose order it would be that the node of ``asker`` asks about in advance: one of its own site's people.

        Nobody has signed it; all else is as with :meth:`person`, whose errors it raises too.
        """
        order, submission = message.order, message.submission
        signed_request(submission)
        if order.site != self._site:
            raise VerificationFailed("the order is for another site")
        self._check_epoch(order, submission)
        self._check_sender(order, asker)
        if submission.site != asker or order.bus not in submission.buses:
            raise VerificationFailed("a site asks in advance for its own people alone")
        if order.submission != cid_of(submission):
            raise VerificationFailed("the order belongs to another submission")
        return person_at(self._index, submission.person, submission.site)

    def reporter(self, message: Reporting, holder: str) -> tuple[Person, str]:
        """Whose order the node of the site ``holder`` reports of, which carried it out; and the site that brought it.

        It may be of an epoch that is over: what was made then is released now.

        Raises:
            VerificationFailed: a signature is not what it claims to be, or the order was for another site.
            Denied: they are no member's person. NotFound: their site is no member.
            Unreachable: the order is of an epoch that this site has not heard of yet.
        """
        report, order, submission = message.report, message.place.order, message.place.submission
        signed_request(submission)
        self._check_maker(report, order)
        if report.node != self._index.site(holder).node():
            raise VerificationFailed("the report is not by the node of the site that it is about")
        if report.site != holder:
            raise VerificationFailed("the report is brought by another site than signed it")
        check(report, report.node)
        ours = self.consortium
        if (order.consortium, submission.consortium) != (ours.cid, ours.cid) or submission.epoch > order.epoch:
            raise VerificationFailed("the order is for another consortium or epoch")
        if order.epoch > ours.epoch:
            raise Unreachable(f"this site has not heard of epoch {order.epoch} yet; ask again")
        bus = next((each.root for each in self._index.sites.values() if order.bus in each.nodes()), "")
        if not bus:
            raise VerificationFailed(NO_BUS)
        self._check_signatures(order, submission, bus)
        return person_at(self._index, submission.person, submission.site), bus

    def check_cancel(self, word: Cancellation, submission: Submission, asker: str) -> None:
        """Check that the node of ``asker`` brings the word of the person who signed ``submission``, to end it.

        It needs no standing: what ends opens nothing.

        Raises:
            NotFound: that node is no bus of the submission. VerificationFailed: it is not that person's word on it.
        """
        self.check_bus(submission, asker)
        check_word(word, submission)
        check(word, submission.person)

    def check_bus(self, submission: Submission, asker: str) -> None:
        """Check that the node of ``asker`` is a bus of ``submission``, by a key of now or of before.

        Raises:
            NotFound: it is none; what it asked about is as if it were not here.
        """
        if not set(self._index.site(asker).nodes()) & set(submission.buses):
            raise NotFound(UNKNOWN)

    def brought_again(self, question: Complained, asker: str) -> Evidence:
        """What labels follow from beside an order that came before, as the node of the site ``asker`` brings it again.

        Raises:
            NotFound: that node is no bus of its submission. VerificationFailed, Denied: a proof is not what it claims.
        """
        order, submission = question.order, question.submission
        if order.submission != cid_of(submission):
            raise VerificationFailed("the order belongs to another submission")
        self.check_bus(submission, asker)
        _check_proofs(order, question.proofs)
        return Evidence(self._index, order.submission, [(p.order, p.receipt) for p in question.proofs])

    async def verify(self, message: Place, asker: str, person: Person, now: int) -> Verified:
        """Check an order of :meth:`person` or of a :meth:`reporter`, brought by the node of the site ``asker``.

        Of another site's order it is checked, as of this one's own, that the site reads all that it was given.

        Raises:
            VerificationFailed: something is not what it claims to be. BadInput: its workflow cannot be read.
            Denied: somebody has no standing, the site of the order may not hold an input, or isolates no steps now.
            NotFound, Unreachable: the block is not shared with this site, or cannot be fetched now.
        """
        order, submission = message.order, message.submission
        self._check_times(order, submission, now)
        project = project_of(self._index, submission.project, person, now)
        if Cid.of(message.workflow.encode()) != submission.workflow:
            raise VerificationFailed("the workflow beside the order is not the one that was signed for")
        _check_proofs(order, message.proofs)
        buses = self._buses(submission, asker)
        if any(proof.order.bus not in buses for proof in message.proofs):
            raise VerificationFailed("a proof beside the order is of an order by no bus node of the submission")
        evidence = Evidence(self._index, order.submission, [(p.order, p.receipt) for p in message.proofs])
        self._check_block(order)
        if self._steps.fault:
            raise Denied(self._steps.fault)
        tool = await self._steps.tool(order.block)
        workflow = await self._documents.workflow(message.workflow)
        check_subset(order, submission, workflow, tool, evidence)
        data = pieces_in(order.inputs)
        for item in data:
            if not may_hold(evidence.label(item), order.site):
                which = "this site" if order.site == self._site else "the site of the order"
                raise Denied(f"{which} is no reader of «{item.name}», so it may not hold it")
        owners = frozenset(owner for item in data for owner in evidence.label(item).owners)
        self._check_approved(submission.project, owners)
        datasets = sorted({cid for item in data for cid in evidence.datasets(item)})
        if not project.covers(datasets):
            raise Denied(OTHER_DATA)
        return Verified(
            order=order,
            order_cid=cid_of(order),
            case=Case(
                consortium=submission.consortium,
                person=person,
                project=project,
                ref=submission.project,
                cited=submission.grants,
                block=order.block,
                output_types=frozenset(wanted.type for wanted in order.outputs.values()),
                readers=frozenset(reader for wanted in order.outputs.values() for reader in wanted.readers),
                data=data,
                evidence=evidence,
                runner=self._steps.runner,
                inputs=order.inputs,
                around=step.alone if (step := workflow.step(order.step)) is not None else None,
                altered=frozenset(each.id for each in workflow.steps if each.alone is not None),
            ),
            bus_site=asker,
            datasets=datasets,
            terms=self._terms(order) if order.site == self._site else None,
            submission=submission,
            owners=owners,
        )

    def named(self, order: Order, submission: Submission) -> list[Cid]:
        """The published datasets that an order and its submission both name, sorted.

        Of what its other inputs were made is not said, nor what its person never asked for.
        """
        cids = {item.cid for item in pieces_in(order.inputs)} & {item.cid for item in pieces_in(submission.inputs)}
        return sorted(cid for cid in cids if self._index.by_subject("dataset", str(cid)) is not None)

    async def is_of_workflow(self, message: Place) -> bool:
        """Whether the workflow that the person signed for has the order's step, with its block and its shard."""
        order = message.order
        if Cid.of(message.workflow.encode()) != message.submission.workflow:
            return False
        try:
            step = (await self._documents.workflow(message.workflow)).step(order.step)
        except BadInput:
            return False
        return step is not None and step.run == order.block and (bool(step.scatter) or order.shard == 0)

    def published(self) -> list[Cid]:
        """The datasets that this site publishes."""
        fields = (entry.fields for entry in self._index.site(self._site).entries("dataset"))
        return [each.cid for each in fields if isinstance(each, DatasetFields) and not each.withdrawn]

    def purpose(self, project: ProjectRef) -> str | None:
        """What a project is for; none if it is not known here."""
        fields = self._project(project)
        return fields.purpose if fields is not None else None

    def ended(self, project: ProjectRef, now: int) -> bool:
        """Whether a project is known to be over."""
        fields = self._project(project)
        return fields is not None and fields.over(now)

    def _project(self, project: ProjectRef) -> ProjectFields | None:
        site = self._index.sites.get(project.site)
        return site.typed(ProjectFields, "project", project.name) if site is not None else None

    def over(self, access: AccessFields, owners: Collection[str], now: int) -> str:
        """Why a step that was verified once may deliver nothing any more; empty if it may.

        Its project may have ended while it ran, its person have been removed, or one of the ``owners`` of its data
        have withdrawn the approval.
        """
        try:
            project_of(self._index, access.project, person_at(self._index, access.person, access.home), now)
            self._check_approved(access.project, owners)
        except Denied as error:
            return str(error)
        return ""

    def owners(self, access: AccessFields) -> set[str]:
        """The owners of the datasets that a step is accounted to, by the catalogs as they stand."""
        found = (self._index.by_subject("dataset", str(cid)) for cid in datasets_of(access.chain))
        labels = (entry.fields.label for entry in found if entry and isinstance(entry.fields, DatasetFields))
        return {owner for label in labels for owner in label.owners}

    def _check_approved(self, project: ProjectRef, owners: Collection[str]) -> None:
        """Every owner of what a step uses must have approved the project as it stands; open data have no owner."""
        for owner in sorted(owners):
            reason = approved(self._index, project, owner)
            if reason:
                raise Denied(reason)

    @staticmethod
    def _check_maker(report: Report, order: Order) -> None:
        if (report.site, report.order) != (order.site, cid_of(order)):
            raise VerificationFailed("the report is by another site than the order is for, or of another order")

    def _check_sender(self, order: Order, asker: str) -> None:
        if self._index.site(asker).node() != order.bus:
            raise VerificationFailed(NO_BUS)

    def _check_signatures(self, order: Order, submission: Submission, asker: str) -> None:
        if order.bus not in self._buses(submission, asker):
            raise VerificationFailed(NO_BUS)
        if order.submission != cid_of(submission):
            raise VerificationFailed("the order belongs to another submission")
        check(submission, submission.person)
        check(order, order.bus)

    def _buses(self, submission: Submission, asker: str) -> frozenset[str]:
        """The bus nodes that the submission names; the asker's under each key that it has had since."""
        nodes = self._index.site(asker).nodes()
        return frozenset(submission.buses).union(nodes if set(nodes) & set(submission.buses) else ())

    def _check_epoch(self, order: Order, submission: Submission) -> None:
        """An order is of the epoch that stands; what a person signed may be of any epoch before it."""
        ours = self.consortium
        if (order.consortium, submission.consortium) != (ours.cid, ours.cid) or submission.epoch > order.epoch:
            raise VerificationFailed("the order is for another consortium or epoch")
        if ours.witness_only:
            raise Denied("this member only witnesses logs; it takes no orders")
        if order.epoch > ours.epoch:
            raise Unreachable(f"this site has not heard of epoch {order.epoch} yet; ask again")
        if order.epoch < ours.epoch:
            raise Conflict(f"the order is of epoch {order.epoch}, and epoch {ours.epoch} has begun; sign it anew")

    def _check_times(self, order: Order, submission: Submission, now: int) -> None:
        if now < submission.not_before:
            raise Denied("the submission is not valid yet; compare the clocks of the two sites")
        if now > submission.not_after or now > order.not_after:
            raise Denied("the order's time is over; submit again with a later deadline")

    def _check_block(self, order: Order) -> None:
        """The block must be one that some member's catalog shares with this site, before it is fetched."""
        if not blocks_at(self._index, order.block, self._site):
            raise Denied("the block is not shared with this site; its author can share it")

    def _terms(self, order: Order) -> Terms:
        entry = self._index.site(self._site).latest("offer", "")
        if entry is None or not isinstance(entry.fields, OfferFields):
            raise Denied("this site offers no computation; its steward can publish an offer")
        moved = moved_to(self._index, self._site, order.inputs)
        if most(entry.fields, moved) > order.max_cost:
            raise Denied("a step costs more here than the order allows; plan again")
        return Terms(entry.fields, entry.index, moved)


def _check_proofs(order: Order, proofs: Sequence[Proof]) -> None:
    if tuple(cid_of(proof.receipt) for proof in proofs) != order.proofs:
        raise VerificationFailed("the proofs beside the order are not those that it names")


def check_word(word: Cancellation, submission: Submission) -> None:
    """Check that ``word`` is on that very submission, and by whom it is.

    Raises:
        VerificationFailed: it is on another, or another person's.
    """
    if (word.submission, word.person) != (cid_of(submission), submission.person):
        raise VerificationFailed("only who signed a submission cancels it, and that one alone")
