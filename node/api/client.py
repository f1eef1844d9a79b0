"""The typed client of a node, which the terminal and notebooks use: synchronous, and it signs here, not in the node.

with Node.at("st-anna", person="mara") as node:
    plan = node.plan(workflow, {"tables": node.datasets()}, project="pooling", deadline="10m", budget="2.50")
    run = node.wait(node.submit(plan)).check()
    table = node.result(run.submission)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from nacl.utils import random

from catalog.cid import RAW, Cid
from catalog.dagcbor import cid_of, decode, encode
from catalog.error import BadInput, Denied, NotFound, VerificationFailed
from catalog.key import UNSIGNED, Signer, signed
from catalog.member import Epoch, check_epoch0, consortium_cid, epoch_message
from catalog.project import ProjectRef
from node.api import operation
from node.api.agreed import Asked, check_agreed, job_value
from node.api.connection import Connection
from node.api.operation import MAX_WAIT
from node.api.person import Persons
from node.api.publish import Publisher, now
from node.api.quantity import Moment, Money, micros, moment
from node.api.schema import (
    AskWho,
    FoundingView,
    InviteView,
    Join,
    NewConsortium,
    PlanRequest,
    SignEpoch,
    Submit,
)
from node.api.trail import Trail
from node.api.view import Absent, AuditRow, AuditTable, Listing, Plan, Run
from node.keyfile import Identity
from node.message import Who
from workflow.submission import Submission


class Node(Publisher):
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
        return cls(Connection.to(site, identity.key if identity else None))

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Founding a consortium

    def founding(self) -> FoundingView:
        """How far the founding is.

        Raises:
            NotFound: none has begun here.
        """
        return self._connection.ask(operation.FOUNDING)

    def new_consortium(self, name: str, founders: int) -> FoundingView:
        """Begin a founding of ``founders`` sites, this one among them."""
        return self._connection.ask(operation.NEW_CONSORTIUM, NewConsortium(name=name, founders=founders))

    def invite(self) -> InviteView:
        """An invitation for one more founder; it is a secret until it is used."""
        return self._connection.ask(operation.INVITE)

    def join(self, invite: bytes) -> FoundingView:
        """Take an invitation up; taking the same one up again goes on."""
        return self._connection.ask(operation.JOIN, Join(invite=invite))

    def sign_founding(self, root: Signer) -> FoundingView:
        """Sign the founding document, once every founder is there, with this site's root key.

        Raises:
            VerificationFailed: what the node wants signed is not the document that it shows.
            Denied: the document does not have this root key, or names a founder twice.
            NotFound: there is nothing to sign yet.
        """
        view = self.founding()
        if view.to_sign is None or view.epoch is None:
            raise NotFound(f"there is nothing to sign yet: {len(view.joined)} of {view.expected} founders are there")
        epoch = view.epoch
        message = epoch_message(epoch)
        if message != view.to_sign:
            raise VerificationFailed("the node wants another text signed than the founding document that it shows")
        member = epoch.member(root.did)
        if member is None or len(epoch.roots()) != len(epoch.members) or epoch.number != 0:
            raise Denied("the founding document does not name this site's root key as a founder; it was not signed")
        return self._connection.ask(operation.SIGN_EPOCH, SignEpoch(signature=root.sign(message)))

    def founded(self) -> Epoch | None:
        """The founding document, verified with all its signatures; ``None`` while it lacks some.

        Raises:
            VerificationFailed: the consortium's name is not that document's CID, or a signature is false.
        """
        view = self.founding()
        if view.consortium is None or view.epoch is None:
            return None
        epoch = view.epoch
        check_epoch0(epoch)
        if consortium_cid(epoch) != view.consortium:
            raise VerificationFailed("the consortium's name is not the CID of its founding document")
        return epoch

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
    ) -> Plan:
        """Plan a workflow, given as CWL text or as a path to it; nothing runs.

        ``job`` gives each input its value: a CID or a listed dataset for a File, lists of these, text, numbers.
        ``deadline`` is a time or a span from now, ``budget`` in the consortium's unit, ``min_sites`` how many shards
        of a scatter must deliver (all, where nothing is said).

        Raises:
            Infeasible: deadline or budget cannot be kept; the message names which.
            Denied, NotFound: no standing in the project, or no such project or data. BadInput: the workflow or job.
        """
        text = _read(workflow) if isinstance(workflow, Path) else workflow
        values = {name: job_value(_plain(value)) for name, value in job.items()}
        where = self.project(project)
        asked = Asked(
            person=self.person,
            workflow=text,
            job=values,
            holders=self._holders(),
            project=ProjectRef(site=where.site, name=where.fields.name),
            deadline=moment(deadline, now()),
            budget=micros(budget),
            min_sites=min_sites,
        )
        request = PlanRequest(
            workflow=text,
            job=msgspec.Raw(json.dumps(values).encode()),
            project=asked.project.name,
            project_site=asked.project.site,
            deadline=asked.deadline,
            budget=asked.budget,
            min_sites=min_sites,
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

    def runs(self) -> tuple[Run, ...]:
        """This person's submissions, newest first."""
        return tuple(Run(view) for view in self._connection.ask(operation.SUBMISSIONS))

    def run(self, submission: Cid | str, seconds: float = 0) -> Run:
        """A submission as it stands, after at most ``seconds`` or as soon as something changes."""
        told = f"{min(seconds, MAX_WAIT):.3f}"
        return Run(self._connection.ask(operation.SUBMISSION, submission=str(submission), seconds=told))

    def watch(self, submission: Cid | str) -> Iterator[Run]:
        """A submission each time that something about it changes, until it has ended."""
        run = self.run(submission)
        yield run
        while not run.done:
            later = self.run(submission, 20)
            if later != run:
                run = later
                yield run

    def wait(self, submission: Cid | str, seconds: float | None = None) -> Run:
        """The submission once it has ended, or as it stands after ``seconds``; ``Run.check`` raises if it failed."""
        until = None if seconds is None else now() + int(seconds * 1000)
        run = self.run(submission)
        while not run.done and (until is None or now() < until):
            left = 20.0 if until is None else max(0.0, (until - now()) / 1000)
            run = self.run(submission, min(20.0, left))
        return run

    def result(self, submission: Cid | str, name: str | None = None) -> bytes:
        """One output of a submission, which may be left unnamed if there is one alone.

        Raises:
            NotFound: no such output, or not released to this person. BadInput: several, and none is named.
            VerificationFailed: the bytes are not what its CID names.
        """
        results = self.run(submission).results
        found = [each for each in results if name in (None, each.name)]
        if len(found) != 1:
            names = ", ".join(each.name for each in results) or "none"
            kind = BadInput if len(found) > 1 else NotFound
            raise kind(f"which output? {'«' + name + '» is not among them' if name else 'Name it'}: {names}")
        data = self._connection.ask(operation.RESULT, submission=str(submission), name=found[0].name)
        # A file of several chunks has a root that only a store computes; the node verified it as it arrived.
        if found[0].cid.codec == RAW and not found[0].cid.matches(data):
            raise VerificationFailed(f"the output «{found[0].name}» is not what its CID {found[0].cid} names")
        return data

    # Audit

    def audit_who(self, dataset: Cid | str) -> Iterator[AuditRow | Absent]:
        """Who accessed a dataset: every member is asked, each row is verified before it is yielded.

        Raises:
            VerificationFailed: a row is not what it claims to be; the message names its site and place.
            NotFound: no such dataset for this person.
        """
        status = self.status()
        cid = self.dataset(dataset).fields.cid
        question = Who(person=self.person, site=status.site, dataset=cid, at=now(), nonce=random(16), sig=UNSIGNED)
        people = {each.fields.did: each.fields.name for each in self.people()}
        blocks = {each.fields.cid: each.fields.name for each in self.blocks()}
        trail = Trail(cid, status.members, people, blocks)
        for answer in self._connection.stream(AskWho(question=encode(signed(question, self._signer())))):
            yield from trail.rows(answer)
        yield from trail.rest()

    def audit(self, dataset: Cid | str) -> AuditTable:
        """All that the sites answer about a dataset, verified, oldest first."""
        told = list(self.audit_who(dataset))
        rows = sorted((each for each in told if isinstance(each, AuditRow)), key=lambda row: (row.at, row.index))
        away = tuple(each for each in told if isinstance(each, Absent))
        return AuditTable(self.dataset(dataset).fields.cid, tuple(rows), away)

    def _holders(self) -> dict[Cid, frozenset[str]]:
        holders: dict[Cid, frozenset[str]] = {}
        for each in self.datasets():
            holders[each.fields.cid] = holders.get(each.fields.cid, frozenset()) | {each.site}
        return holders


def _plain(value: object) -> object:
    """A job's value with listed datasets replaced by their CIDs."""
    if isinstance(value, Listing):
        return Cid.parse(value.subject)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the workflow {path} cannot be read: {error}") from error
