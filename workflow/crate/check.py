"""A crate checked from scratch, offline: every signature, order ⊆ submission, labels, releases, places in the logs.

Nothing is believed that the crate says of itself. What does not hold is told with the file that it stands in; what the
crate does not carry is told too, and is no fault. One thing no crate can show: that the consortium is the one that
its reader means. Its CID is told, to be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Denied, NotFound, VerificationFailed
from catalog.index import Index
from catalog.key import check
from catalog.member import Epoch
from catalog.origin import LogName, log_of, site_of
from catalog.plural import counted
from catalog.project import ProjectFields
from privacy.label import may_hold
from privacy.trust import Person, person_at
from workflow.argument import pieces_in
from workflow.crate.layout import (
    METADATA,
    README,
    SUBMISSION,
    WORKFLOW,
    Bundle,
    path_of,
    proofs_of,
    read_files,
    result_path,
    tool_path,
)
from workflow.crate.logs import LogCheck, chain_of, index_of
from workflow.crate.metadata import Told, derived
from workflow.crate.rows import Rows
from workflow.evidence import Evidence, check_released
from workflow.flow import parse_workflow
from workflow.graph import Workflow
from workflow.order import Order
from workflow.parse import parse_tool
from workflow.receipt import Receipt, Release, Status
from workflow.submission import Submission
from workflow.subset import check_subset
from workflow.tool import Tool

ToolLink = Callable[[bytes], Cid | None]
"""Of the dag-pb node of a block's folder: the CID of its ``tool.cwl``; None where another node of the folder has it."""

FileCid = Callable[[bytes], Cid]
"""The CID of a file with these bytes."""


@dataclass(slots=True)
class Report:
    """What a check came to: what is ``wrong`` and what was left ``unchecked``, a line each; and what was checked."""

    consortium: str = ""
    consortium_cid: Cid | None = None
    submission: Cid | None = None
    orders: int = 0
    receipts: int = 0
    releases: int = 0
    entries: int = 0
    rows: int = 0
    wrong: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @contextmanager
    def about(self, where: str) -> Iterator[None]:
        """What fails within is wrong in the file ``where``."""
        try:
            yield
        except ComityError as error:
            self.wrong.append(f"{where}: {error}")


def check_crate(files: Mapping[str, bytes], link: ToolLink, file_cid: FileCid) -> Report:
    """Check the files of a crate, by path; what came of it."""
    report = Report()
    bundle = read_files(files, report.wrong)
    submission = bundle.submission
    if submission is None:
        report.wrong.append(f"{SUBMISSION}: it is not there, so that nothing can be checked")
        return report
    report.submission, report.consortium_cid = cid_of(submission), submission.consortium
    try:
        chain = chain_of(bundle, submission.consortium)
    except VerificationFailed as error:
        report.wrong.append(str(error))
        return report
    report.consortium = chain[0].consortium
    _Checking(bundle, submission, chain, report, link, file_cid).run(files)
    return report


class _Checking:
    """The checks behind one another; each goes on where another failed, as far as it can."""

    def __init__(
        self,
        bundle: Bundle,
        submission: Submission,
        chain: tuple[Epoch, ...],
        report: Report,
        link: ToolLink,
        file_cid: FileCid,
    ) -> None:
        self._bundle = bundle
        self._submission = submission
        self._chain = chain
        self._report = report
        self._link = link
        self._file_cid = file_cid
        self._index: Index = index_of(chain, bundle.shown)
        self._tools: dict[Cid, Tool] = {}
        self._workflow: Workflow | None = None

    def run(self, files: Mapping[str, bytes]) -> None:
        """Check all of it."""
        self._logs()
        self._person()
        self._read_workflow()
        self._read_tools()
        for cid, order in self._bundle.orders.items():
            with self._report.about(path_of(order)):
                self._order(cid, order)
        for receipt in self._bundle.receipts.values():
            with self._report.about(path_of(receipt)):
                self._receipt(receipt)
        self._lacking()
        self._spending()
        self._labels()
        self._results()
        self._derived(files)

    def _logs(self) -> None:
        logs, rows = LogCheck(self._chain, self._index), Rows(self._bundle, self._index)
        weak: set[str] = set()
        for each in self._bundle.shown:
            with self._report.about(each.path):
                if logs.stands(each).cosigners < logs.quorum:
                    weak.add(site_of(each.log))
                if log_of(each.log, site_of(each.log)) is LogName.AUDIT:
                    rows.check(each)
                    self._report.rows += 1
                else:
                    self._report.entries += 1
        self._report.unchecked += [
            f"the log of {self._name(root)} stands under a checkpoint that fewer than {logs.quorum} members cosigned"
            for root in sorted(weak)
        ]
        unshown = {each.site for each in self._bundle.receipts.values()} - rows.shown
        if unshown:
            names = ", ".join(sorted(map(self._name, unshown)))
            self._report.unchecked.append(
                f"the places in audit logs that the receipts of {names} name: none of these rows is carried; an auditor"
                " adds them with «comity audit prove»"
            )

    def _person(self) -> None:
        asked = self._submission
        with self._report.about(SUBMISSION):
            check(asked, asked.person)
            if asked.epoch >= len(self._chain):
                raise VerificationFailed("it names an epoch that is not carried")
            nodes = self._index.site(asked.site).nodes()
            if not set(asked.buses) <= set(nodes):
                raise VerificationFailed("it names a bus that is no node of its person's home")
        try:
            person = person_at(self._index, asked.person, asked.site)
        except (Denied, NotFound):
            self._report.unchecked.append("who the person is: their home's entry of their key is not carried, or gone")
            return
        with self._report.about(SUBMISSION):
            self._project(person)

    def _project(self, person: Person) -> None:
        ref = self._submission.project
        project = self._index.site(ref.site).typed(ProjectFields, "project", ref.name)
        if project is None:
            self._report.unchecked.append(f"the project «{ref.name}»: its entry is not carried")
        elif person.did not in project.people:
            self._report.unchecked.append(
                f"that {person.name} was in the project «{ref.name}»: they are not, or no more"
            )

    def _read_workflow(self) -> None:
        text = self._bundle.workflow
        with self._report.about(WORKFLOW):
            if text is None or Cid.of(text.encode()) != self._submission.workflow:
                raise VerificationFailed("it is not the text that the person signed for, or not there")
            self._workflow = parse_workflow(text, WORKFLOW)

    def _read_tools(self) -> None:
        for block in dict.fromkeys(order.block for order in self._bundle.orders.values()):
            root, text = self._bundle.roots.get(block), self._bundle.tools.get(block)
            if root is None or text is None:
                self._report.unchecked.append(f"what the block {block} runs: it is not carried")
                continue
            with self._report.about(tool_path(block)):
                named = self._link(root)
                if named is not None and named != Cid.of(text):
                    raise VerificationFailed("it is not the tool of the block that it lies under")
                if named is None:
                    self._report.unchecked.append(f"that the tool carried for the block {block} is its own")
                self._tools[block] = parse_tool(text, "tool.cwl")

    def _order(self, cid: Cid, order: Order) -> None:
        asked = self._submission
        if order.submission != self._report.submission or order.consortium != asked.consortium:
            raise VerificationFailed("it belongs to another submission")
        if order.bus not in {*asked.buses, *self._index.site(asked.site).nodes()}:
            raise VerificationFailed("it is signed by no bus of the submission")
        check(order, order.bus)
        if not asked.epoch <= order.epoch < len(self._chain):
            raise VerificationFailed("it names an epoch that is not carried, or one before the submission's")
        if not set(order.proofs) <= set(self._bundle.receipts):
            raise VerificationFailed("a receipt that it names as proof is not carried")
        self._report.orders += 1
        if self._bundle.receipt_of(cid) is None:
            self._report.unchecked.append(f"how the order for {order.instance} ended: no receipt is carried")

    def _receipt(self, receipt: Receipt) -> None:
        order = self._bundle.orders.get(receipt.order)
        if order is None or receipt.site != order.site:
            raise VerificationFailed("it is for an order that is not carried, or by another site")
        if not receipt.final:
            raise VerificationFailed("it is not final")
        if self._bundle.receipt_of(receipt.order) is not receipt:
            raise VerificationFailed("its order has two final receipts")
        self._check_node(receipt)
        if receipt.cost > order.max_cost:
            raise VerificationFailed("it charges more than its order allowed")
        if not set(receipt.outputs) <= set(order.outputs):
            raise VerificationFailed("it names outputs that were not ordered")
        self._report.receipts += 1
        for name, output in receipt.outputs.items():
            for release in output.releases:
                if (release.order, release.output, release.handle) != (receipt.order, name, output.handle):
                    raise VerificationFailed("a release statement in it belongs to another value")
                self._release(release)

    def _check_node(self, receipt: Receipt) -> None:
        site, place = self._index.site(receipt.site), receipt.place
        if not (site.signs(receipt.node, LogName.AUDIT, place.index) if place else receipt.node in site.nodes()):
            raise VerificationFailed("its key did not speak for its site at the place that it names")
        check(receipt, receipt.node)

    def _release(self, release: Release) -> None:
        """A release is signed by its owner's node; the policy that it names is one, if the crate carries it."""
        check_released(self._index, release)
        found = self._index.site(release.owner).versions.found([release.policy]).get(release.policy)
        if found is None:
            where = f"entry {release.policy} of {self._name(release.owner)}"
            self._report.unchecked.append(f"the policy at {where}, under which «{release.output}» was released")
        elif found.counted.kind != "policy":
            raise VerificationFailed(f"the release of «{release.output}» names an entry that is no policy")
        self._report.releases += 1

    def _lacking(self) -> None:
        """What was left out, as far as what is there shows it: steps without an order, attempts before later ones."""
        attempts: dict[str, set[int]] = {}
        for order in self._bundle.orders.values():
            attempts.setdefault(str(order.instance), set()).add(order.attempt)
        gaps = sorted(name for name, had in attempts.items() if had != set(range(1, max(had) + 1)))
        ordered = {order.step for order in self._bundle.orders.values()}
        steps = self._workflow.steps if self._workflow is not None else ()
        self._report.unchecked += [
            *(f"an earlier attempt at {name}: its order is not carried" for name in gaps),
            *(f"the step «{each.id}»: no order for it is carried" for each in steps if each.id not in ordered),
        ]

    def _spending(self) -> None:
        spent = sum(receipt.cost for receipt in self._bundle.receipts.values())
        if spent > self._submission.budget:
            self._report.wrong.append("receipts/: together they charge more than the submission's budget")
        delivered: dict[str, int] = {}
        for receipt in self._bundle.receipts.values():
            order = self._bundle.orders.get(receipt.order)
            if order is not None and receipt.status in (Status.DONE, Status.HELD):
                delivered[str(order.instance)] = delivered.get(str(order.instance), 0) + 1
        twice = [instance for instance, times in delivered.items() if times > 1]
        self._report.wrong += [f"receipts/: {instance} was delivered more than once" for instance in sorted(twice)]

    def _labels(self) -> None:
        """Labels recomputed over the receipts, and by them that each order asked for what was signed for alone."""
        try:
            evidence = Evidence(self._index, cid_of(self._submission), proofs_of(self._bundle))
        except VerificationFailed as error:
            self._report.wrong.append(f"receipts/: {error}")
            return
        except Denied as error:
            self._report.unchecked.append(f"the labels, and that the orders ask for no more than was signed: {error}")
            return
        for order in self._bundle.orders.values():
            tool = self._tools.get(order.block)
            if self._workflow is None or tool is None:
                continue
            with self._report.about(path_of(order)):
                check_subset(order, self._submission, self._workflow, tool, evidence)
                for item in pieces_in(order.inputs):
                    if not may_hold(evidence.label(item), order.site):
                        raise VerificationFailed(f"its site was no reader of «{item.name}»")

    def _results(self) -> None:
        released = {each.cid for receipt in self._bundle.receipts.values() for each in receipt.outputs.values()}
        for cid, data in self._bundle.results.items():
            with self._report.about(result_path(cid)):
                if cid not in released:
                    raise VerificationFailed("no receipt names it")
                if self._file_cid(data) != cid:
                    raise VerificationFailed("it is not what its CID names")

    def _derived(self, files: Mapping[str, bytes]) -> None:
        """What the crate says to people and programs is what follows from its signed files, to the byte."""
        if self._report.wrong or self._workflow is None:
            self._report.unchecked.append(f"{METADATA} and {README}: what they are held against is not whole")
            return
        told = Told(self._submission, self._workflow, self._tools, self._bundle, self._chain, self._index)
        sizes = {path: len(data) for path, data in files.items() if path not in (METADATA, README)}
        for path, right in derived(told, sizes).items():
            if files.get(path) != right:
                self._report.wrong.append(f"{path}: it says something else than the signed files beside it, or lacks")

    def _name(self, root: str) -> str:
        names = {member.root: member.site for epoch in self._chain for member in epoch.members}
        return names.get(root, root)


def summary(report: Report) -> str:
    """What was checked, in words."""
    parts = (
        counted(report.orders, "order"),
        counted(report.receipts, "receipt"),
        counted(report.releases, "release"),
        counted(report.entries, "catalog entry"),
        counted(report.rows, "audit row"),
    )
    return ", ".join(parts)
