"""The typed client of a node, which the terminal and notebooks use: synchronous, and it signs here, not in the node.

with Node.at("st-anna", person="mara") as node:
    plan = node.plan(workflow, {"tables": node.datasets()}, project="pooling", deadline="10m", budget="2.50")
    run = node.wait(node.submit(plan)).check()
    table = node.result(run.submission)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from nacl.utils import random

from catalog.cid import RAW, Cid
from catalog.dagcbor import cid_of, decode, encode
from catalog.error import BadInput, Infeasible, NotFound, VerificationFailed
from catalog.key import UNSIGNED, signed
from catalog.project import ProjectRef
from node.api import operation
from node.api.agreed import Asked, check_agreed, job_value
from node.api.answering import Answerer
from node.api.approving import Approver
from node.api.auditing import Auditor
from node.api.authoring import Author
from node.api.connection import Connection
from node.api.following import Follower
from node.api.forgetting import Forgetter
from node.api.governing import Governor
from node.api.granting import Granter
from node.api.offering import Offerer
from node.api.person import Persons
from node.api.plans import PlanRequest
from node.api.publish import now
from node.api.quantity import Moment, Money, clock_text, micros, moment
from node.api.saving import Fetched, Tree, Written
from node.api.schema import (
    HaltRequest,
    ResultView,
    Submit,
)
from node.api.sharing import Sharer
from node.api.steering import CancelRequest, PauseRequest
from node.api.view import Listing, Plan, Run
from node.keyfile import Identity
from node.message import Halt
from workflow.cancellation import Cancellation
from workflow.receipt import Form
from workflow.submission import Submission

DATASET: Final = "dataset:"
"""Before the name of a dataset, where a job has a location."""


class Node(Author, Granter, Approver, Answerer, Follower, Forgetter, Governor, Auditor, Sharer, Offerer):
    """One node, asked as one person."""

    @classmethod
    def at(cls, site: str | Path | None = None, person: Identity | str | None = None) -> Node:
        """The node of a site's folder, or at ``http://127.0.0.1:PORT`` with its token in ``COMITY_TOKEN_FILE``.

        Without ``site`` and ``person``, ``COMITY_SITE`` and ``COMITY_PERSON`` say which. A person's name stands for
        the key in this user's configuration folder.

        Raises:
            BadInput: no site is named. NotFound: no such site or person. Unreachable: no node ever ran there.
        """
        named = person or os.environ.get("COMITY_PERSON") or None
        identity = Persons.here().load(named) if isinstance(named, str) else named
        node = cls(Connection.to(site, identity.key if identity else None))
        node.encryption = identity.encryption if identity else None
        return node

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Workflows

    def plan(
        self,
        workflow: str | Path,
        job: Mapping[str, object],
        *,
        project: str,
        deadline: Moment,
        budget: Money,
        min_sites: int | None = None,
        objective: str = "finish",
        improve: float = 0.0,
        ask: bool = True,
    ) -> Plan:
        """Plan a workflow, given as CWL text or as a path to it; nothing runs.

        ``job`` gives each input its value: a CID or a listed dataset for a File, lists of these, text, numbers. A File
        whose ``location`` is ``dataset:NAME@SITE`` is looked up; with ``*`` in it, it is all datasets that are like it
        (:meth:`datasets_like`), a list of one at least.
        ``deadline`` is a time or a span from now, ``budget`` in the consortium's unit, ``min_sites`` how many shards
        of a scatter must deliver (all, where nothing is said). Within these limits the plan ends as early
        (``objective`` is ``finish``) or costs as little (``cost``) as is found at once, or in ``improve`` seconds;
        ``both`` lists the plans between which a person may choose, by deadline or budget. Each site is asked in
        advance what its policy says, unless ``ask`` is false: then it says so when the step comes.

        Raises:
            Infeasible: deadline or budget cannot be kept; the message names which.
            Denied, NotFound: no standing in the project, or no such project or data. BadInput: the workflow or job.
        """
        where = self.project(project)
        asked = Asked(
            person=self.person,
            workflow=_read(workflow) if isinstance(workflow, Path) else workflow,
            job={name: job_value(self._meant(value)) for name, value in job.items()},
            holders=self._holders(),
            project=ProjectRef(site=where.site, name=where.fields.name),
            deadline=moment(deadline, now()),
            budget=micros(budget),
            min_sites=min_sites,
        )
        return self._planned(asked, objective, improve, ask=ask)

    def _meant(self, value: object) -> object:
        """A job's value with its datasets replaced by their CIDs: those that are listed, named, or described."""
        match value:
            case Listing():
                return Cid.parse(value.subject)
            case list() | tuple():
                found: list[object] = []
                for each in value:
                    meant = self._meant(each)
                    found += meant if _is_query(each) and isinstance(meant, list) else [meant]
                return found
            case {"class": "File" | "Directory", "location": str(where)} if where.startswith(DATASET):
                name = where.removeprefix(DATASET)
                if "*" in name:
                    return [each.fields.cid for each in self.datasets_like(name)]
                return self.dataset(name).fields.cid
            case _:
                return value

    def again(self, submission: Cid | str, *, deadline: Moment | None = None, budget: Money | None = None) -> Plan:
        """Plan what a submission of this person asked for once more; nothing runs.

        Steps that delivered stay at their sites, which remember what they made: it is not run or charged again, but
        decided on anew. Without a ``deadline`` it has as long as it had, without a ``budget`` as much.

        Raises:
            NotFound: this person made no such submission. What else :meth:`plan` raises.
        """
        before = self._submission(submission)
        found = self._connection.ask(operation.REQUESTED, submission=str(before))
        asked = Asked(
            person=self.person,
            workflow=found.workflow,
            job=json.loads(bytes(found.job)),
            holders=self._holders(),
            project=found.project,
            deadline=now() + found.span if deadline is None else moment(deadline, now()),
            budget=found.budget if budget is None else micros(budget),
            min_sites=found.min_sites,
        )
        return self._planned(asked, after=before)

    def _planned(
        self,
        asked: Asked,
        objective: str = "finish",
        improve: float = 0.0,
        *,
        ask: bool = True,
        after: Cid | None = None,
    ) -> Plan:
        if asked.deadline <= now():
            over = clock_text(asked.deadline)
            raise Infeasible(f"no feasible plan: the deadline {over} has passed; give a later one. Nothing was run")
        request = PlanRequest(
            workflow=asked.workflow,
            job=msgspec.Raw(json.dumps(asked.job).encode()),
            project=asked.project.name,
            project_site=asked.project.site,
            deadline=asked.deadline,
            budget=asked.budget,
            min_sites=asked.min_sites,
            objective=objective,
            improve=improve,
            ask=ask,
            after=after,
        )
        prepared = self._connection.ask(operation.PLAN, request)
        return Plan(prepared.plan, decode(Submission, prepared.submission), asked)

    def submit(self, plan: Plan) -> Cid:
        """Sign the plan's submission and hand it to this node; the laptop may then close. The submission's CID.

        Raises:
            VerificationFailed: the node prepared something else than was asked for; nothing was signed.
        """
        check_agreed(plan.asked, plan.submission, plan.view, self.status())
        submission = signed(plan.submission, self._signer())
        taken = self._connection.ask(operation.SUBMIT, Submit(submission=encode(submission), workflow=plan.workflow))
        if taken.submission != cid_of(submission):
            raise VerificationFailed("the node names another submission than the one that was signed")
        return taken.submission

    def cancel(self, submission: Cid | str) -> Run:
        """End a submission of this person's: no further step is ordered, and what runs is ended; as it stands then.

        It is ``cancelling`` until each site was told, and ``cancelled`` then. What was delivered stays delivered.

        Raises:
            NotFound: this person made no such submission. Conflict: it has ended.
        """
        word = Cancellation(person=self.person, submission=self._submission(submission), at=now(), sig=UNSIGNED)
        request = CancelRequest(statement=encode(signed(word, self._signer())))
        return Run(self._connection.ask(operation.CANCEL, request))

    def pause(self, submission: Cid | str) -> Run:
        """Order no further step of a submission of this person's until it is resumed; what runs goes on.

        Raises:
            NotFound: this person made no such submission. Conflict: it does not run.
        """
        request = PauseRequest(submission=self._submission(submission), paused=True)
        return Run(self._connection.ask(operation.PAUSE, request))

    def resume(self, submission: Cid | str) -> Run:
        """Go on with a submission that is paused.

        Raises:
            NotFound: this person made no such submission. Conflict: it is not paused.
        """
        request = PauseRequest(submission=self._submission(submission), paused=False)
        return Run(self._connection.ask(operation.PAUSE, request))

    def result(self, submission: Cid | str, name: str | None = None) -> bytes:
        """One output of a submission, which may be left unnamed if there is one alone: a file, or a value's JSON.

        Raises:
            NotFound: no such output, or not released to this person. BadInput: several, and none is named; or a folder.
            VerificationFailed: the bytes are not what its CID names.
        """
        run, found = self._result(submission, name)
        data = self._connection.ask(operation.RESULT, submission=str(run.submission), name=found.name)
        # A file of several chunks has a root that only a store computes; the node verified it as it arrived.
        if found.cid.codec == RAW and not found.cid.matches(data):
            raise VerificationFailed(f"the output «{found.name}» is not what its CID {found.cid} names")
        return data

    def result_value(self, submission: Cid | str, name: str | None = None) -> object:
        """One output that is a value of CWL without files: a number, a text, a list, a record, or ``None``.

        Raises:
            BadInput: it is a file or a folder, or a value that has files (:meth:`save_result`). As :meth:`result`.
        """
        from workflow.value import read_value

        run, found = self._result(submission, name)
        if found.form is not Form.VALUE:
            raise BadInput(f"the output «{found.name}» is a {found.form}, no value; fetch it with its name")
        if self.is_folder(run.submission, found.name):
            raise BadInput(f"the output «{found.name}» has files; save it to a new folder (--out FOLDER)")
        return read_value(self.result(run.submission, found.name))

    def is_folder(self, submission: Cid | str, name: str | None = None) -> bool:
        """Whether an output is a folder, as a value with files is one; raises as :meth:`result`."""
        run, found = self._result(submission, name)
        # A file of one chunk is known by its name.
        return found.cid.codec != RAW and self._result_tree(run, found).page("", "").folder

    def save_result(
        self, submission: Cid | str, name: str | None, target: str | Path, *, written: Written = lambda _: None
    ) -> Fetched:
        """One output into the new file or folder ``target``: whole or not at all.

        A value is a file of JSON; one that has files a folder, with the JSON in ``value.json`` and the files where that
        says that they lie.

        Raises:
            BadInput: ``target`` is there. VerificationFailed: names in the folder lead elsewhere. As :meth:`result`.
        """
        run, found = self._result(submission, name)
        return self._result_tree(run, found).write("", Path(target), written)

    def _result(self, submission: Cid | str, name: str | None) -> tuple[Run, ResultView]:
        run = self.run(submission)
        found = [each for each in run.results if name in (None, each.name)]
        if len(found) != 1:
            names = ", ".join(each.name for each in run.results) or "none"
            kind = BadInput if len(found) > 1 else NotFound
            raise kind(f"which output? {'«' + name + '» is not among them' if name else 'Name it'}: {names}")
        return run, found[0]

    def _result_tree(self, run: Run, found: ResultView) -> Tree:
        ask, cid, name = self._connection.ask, str(run.submission), found.name
        return Tree(
            found.cid,
            lambda path, after: ask(operation.RESULT_TREE, submission=cid, name=name, path=path, after=after),
            lambda path, first, last: ask(
                operation.RESULT, submission=cid, name=name, path=path, part=f"{first}-{last}"
            ),
        )

    def evidence(self, submission: Cid | str) -> dict[str, bytes]:
        """What shows to others what became of a submission that has ended: the files of a crate, by path.

        Raises:
            NotFound: this person made no such submission. Conflict: it has not ended.
            VerificationFailed: the node's pages do not end.
        """
        cid, files, after = str(self._submission(submission)), dict[str, bytes](), 0
        while True:
            page = self._connection.ask(operation.EVIDENCE, submission=cid, after=str(after))
            files |= {each.path: each.data for each in page.files}
            if page.after is None:
                return files
            if page.after <= after:
                raise VerificationFailed(
                    "the node tells the same of the submission again and again; is it of this version?"
                )
            after = page.after

    def halt(self, reason: str, project: str | None = None, member: str | None = None, *, resume: bool = False) -> int:
        """Halt this site for one project, one member or all, or with ``resume`` let it go on; the audit row's index.

        Raises:
            Denied: this person is no steward here. Conflict: nothing of that kind is halted. NotFound: no such thing.
        """
        where = self.project(project) if project is not None else None
        word = Halt(
            site=self.site,
            person=self.person,
            resume=resume,
            project=ProjectRef(site=where.site, name=where.fields.name) if where is not None else None,
            member=self.member(member).site if member is not None else None,
            reason=reason,
            at=now(),
            nonce=random(16),
            sig=UNSIGNED,
        )
        request = HaltRequest(statement=encode(signed(word, self._signer())))
        return self._connection.ask(operation.HALT, request).index

    def _holders(self) -> dict[Cid, frozenset[str]]:
        holders: dict[Cid, frozenset[str]] = {}
        for each in self.datasets():
            holders[each.fields.cid] = holders.get(each.fields.cid, frozenset()) | {each.site}
        return holders


def _is_query(value: object) -> bool:
    """Whether it stands for several datasets, which stand in the list that it stands in."""
    location = value.get("location") if isinstance(value, Mapping) else None
    return isinstance(location, str) and location.startswith(DATASET) and "*" in location


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the workflow {path} cannot be read: {error}") from error
