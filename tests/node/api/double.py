"""A site in memory that answers the local interface: its index, its signatures and its proofs are the real ones."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import msgspec
import trio

from catalog.body import Body, fields_of, read_body, write_body
from catalog.checkpoint import Checkpoint, add_line, cosign, sign_checkpoint
from catalog.cid import DAG_PB, RAW, Cid
from catalog.dagcbor import Value, cid_of, decode, encode, to_json
from catalog.entry import KINDS, read_entry
from catalog.error import Conflict, Denied, NotFound
from catalog.headmap import Head, HeadMap, subject_hash
from catalog.httpsig import SignedRequest
from catalog.index import SiteIndex
from catalog.key import UNSIGNED, PrivateKey, check, signed
from catalog.leaf import encode_leaf, seal
from catalog.member import Epoch, KeyFields, Member, Role, quorum_for
from catalog.merkle import Frontier, leaf_hash, node_hash
from catalog.multiproof import prove_many
from catalog.origin import LogName, origin_of
from catalog.project import ProjectRef
from node.api import plans, schema
from node.api.blocks import BlockExported, BlockImported, BlockView, ExportBlock, ImportBlock, PackingView
from node.api.copies import BringCopy, Copied, HoldersView, StorageView, TransferView
from node.api.disclosed import ExaminationView
from node.api.epochs import EpochsView
from node.api.evidence import EvidencePage
from node.api.faults import FaultsView
from node.api.founding import FoundingView, InviteView, Join, NewConsortium, SignEpoch
from node.api.inquiries import AnswerRequest, InquiryView
from node.api.logs import LogView
from node.api.running import StepsView
from node.api.steering import CancelRequest, PauseRequest, Requested
from node.api.tree import FolderView, TreePage
from node.api.watched import EventsPage, EventView, GraphView, StepView
from node.keyfile import Identity
from node.message import Halt, Opening, Row, Who, WhoAnswer
from node.site.job import write_job
from node.site.views import faults_view
from privacy.decision import Decision
from workflow.account import AccessFields, HeadsFields, Link, ReadFields, ResultFields
from workflow.argument import Argument, Data, Literal, Many
from workflow.cancellation import Cancellation
from workflow.inquiry import Answer
from workflow.order import Instance
from workflow.receipt import Form, Status
from workflow.submission import Submission

CONSORTIUM = Cid.of(b"a consortium")
AWAY = PrivateKey(b"\x09" * 32)
"""Another member, which never answers."""


class MemorySite:
    """One member of two. ``tamper`` changes an audit answer on its way; ``twist`` a submission before it is signed."""

    def __init__(self, name: str, root: PrivateKey, node: PrivateKey, steward: Identity, researcher: Identity) -> None:
        self.name = name
        self.root = root
        self.node = node
        self.index = SiteIndex(root.did)
        self.bodies: list[Body] = []
        self.calls: list[str] = []
        self.logged: tuple[LogView, ...] = ()
        self.asked: tuple[InquiryView, ...] = ()
        self.examined: tuple[ExaminationView, ...] = ()
        self.submitted: list[Submission] = []
        self.texts: dict[Cid, str] = {}
        self.researcher = researcher.key
        self.tamper: Callable[[WhoAnswer], WhoAnswer] = lambda answer: answer
        self.twist: Callable[[Submission], Submission] = lambda submission: submission
        self.fault: Exception | None = None
        self.after_rows: Exception | None = None
        self.quorum = 0
        self.former: tuple[schema.FormerView, ...] = ()
        self.policy_faults: schema.PolicyFaultsView | None = None
        self.reach = schema.ReachView(inbound=True)
        self.steps: StepsView | None = None
        self.runner_fault = ""
        self.witnesses: frozenset[str] = frozenset()
        self.answers = self._answers
        self.added = b""
        self.state = "done"
        self.results: dict[str, bytes] = {"table": b"a,b\n1,2\n"}
        self.changed = trio.Event()
        self.pages: list[TreePage] = []
        self.forms: dict[str, Form] = {}
        self.unforeseen: tuple[str, ...] = ()
        self.held: tuple[HoldersView, ...] = ()
        self._enrol(Identity("node", node, steward.encryption), Role.NODE)
        self._enrol(steward, Role.STEWARD)
        self._enrol(researcher, Role.RESEARCHER, steward.key)

    def _enrol(self, who: Identity, role: Role, by: PrivateKey | None = None) -> None:
        fields = KeyFields(did=who.did, role=role, name=who.name, x25519=who.x25519)
        self._take(write_body("key", fields, site=self.root.did, at=1, by=by or self.root))

    def _take(self, body: Body) -> int:
        self.index.authorise(read_entry(self.root.did, len(self.bodies), body.kind, body))
        self.index.add(len(self.bodies), body.kind, body)
        self.bodies.append(body)
        return len(self.bodies) - 1

    def says(self, kind: str, fields: Value) -> int:
        """An entry that the node writes itself."""
        return self._take(write_body(kind, fields, site=self.root.did, at=1, by=self.node))

    def _known(self, person: str) -> None:
        if self.index.key(person) is None:
            raise Denied("this key is not enrolled here")

    async def forks(self) -> tuple[schema.ForkView, ...]:
        return ()

    async def status(self) -> schema.StatusView:
        members = (
            self._member(self.name, self.root.did, self.node.did),
            self._member("Away", AWAY.did, AWAY.did),
        )
        return schema.StatusView(
            name=self.name,
            site=self.root.did,
            node=self.node.did,
            version="0.1.0",
            pid=1,
            consortium="Test",
            consortium_cid=str(CONSORTIUM),
            epoch=0,
            members=members,
            logs=(),
            quorum=self.quorum,
            reach=self.reach,
            runner="sandbox",
            runner_fault=self.runner_fault,
            recovered=(),
            former=self.former,
            policy_faults=self.policy_faults,
            storage=StorageView(bytes=0, most=0, kubo="", lacking=()),
            steps=self.steps,
        )

    def _member(self, name: str, site: str, node: str) -> schema.MemberView:
        return schema.MemberView(
            name=name,
            site=site,
            node=node,
            here=site == self.root.did,
            connected=False,
            entries=len(self.bodies),
            cosigned=0,
            behind="",
            price=100_000,
            runner="sandbox",
            witness_only=site in self.witnesses,
        )

    async def founding(self) -> FoundingView:
        raise NotFound("no founding has begun here; begin one with: comity consortium new NAME --sites N")

    async def new_consortium(self, request: NewConsortium) -> FoundingView:
        raise Denied(f"«{request.name}» cannot be founded by this double")

    async def invite(self) -> InviteView:
        return InviteView(invite=b"an invitation", not_after=1)

    async def join(self, request: Join) -> FoundingView:
        raise Denied("this double joins nothing")

    async def sign_epoch(self, request: SignEpoch) -> FoundingView:
        raise Denied("this double signs nothing")

    async def epochs(self) -> EpochsView:
        members = (Member(site=self.name, root=self.root.did), Member(site="Away", root=AWAY.did))
        epoch = Epoch(
            consortium="Test",
            number=0,
            previous=None,
            members=members,
            quorum=quorum_for(len(members)),
            floor="",
            duties={},
            protocol=(1, 1),
            signatures={},
        )
        return EpochsView(
            epoch=epoch,
            consortium=CONSORTIUM,
            pending=(),
            candidates=(),
            twice={},
            sizes={self.root.did: len(self.bodies)},
        )

    async def keys(self) -> schema.KeysView:
        keys = tuple(
            schema.KeyView(index=entry.index, fields=fields_of(entry.body, KeyFields))
            for entry in self.index.entries("key")
        )
        return schema.KeysView(
            root=self.root.did,
            acting=self.root.did,
            node=self.node.did,
            keys=keys,
            catalog=len(self.bodies),
            audit=0,
            epoch=0,
        )

    async def restart(self) -> schema.Restarting:
        raise Conflict("nothing lies ready for this double")

    async def write_entry(self, request: schema.WriteEntry) -> schema.Written:
        self.calls.append("write_entry")
        return schema.Written(index=self._take(read_body(request.body)))

    async def entries(self, person: str, kind: str) -> tuple[schema.EntryView, ...]:
        if self.fault is not None:
            raise self.fault
        self._known(person)
        return tuple(
            schema.EntryView(
                site=self.root.did,
                site_name=self.name,
                index=entry.index,
                kind=kind,
                subject=entry.subject,
                actor=entry.body.actor,
                at=entry.body.at,
                audience=entry.body.audience,
                fields=msgspec.Raw(to_json(entry.fields)),
            )
            for entry in self.index.entries(kind)
        )

    async def faults(self, person: str, site: str) -> FaultsView:
        self._known(person)
        if site != self.root.did:
            raise NotFound("no member has that root key")
        return faults_view(self.index)

    async def halt(self, person: str, request: schema.HaltRequest) -> schema.Written:
        self._known(person)
        word = decode(Halt, request.statement)
        check(word, person)
        self.calls.append(f"{'resume' if word.resume else 'halt'} {word.reason}")
        return schema.Written(index=7)

    async def inquiries(self, person: str) -> tuple[InquiryView, ...]:
        self._known(person)
        return self.asked

    async def examinations(self, person: str) -> tuple[ExaminationView, ...]:
        self._known(person)
        return self.examined

    async def answer(self, person: str, request: AnswerRequest) -> schema.Written:
        self._known(person)
        word = decode(Answer, request.statement)
        check(word, person)
        self.calls.append(f"{'yes' if word.granted else 'no'} {word.inquiry} {word.reason}")
        return schema.Written(index=8)

    async def preview(self, person: str, signed: SignedRequest, cid: Cid) -> bytes:
        self._known(person)
        return b"count,n\nall,12\n"

    async def look(self, person: str, signed: SignedRequest, cid: Cid) -> bytes:
        self._known(person)
        self.calls.append(f"look {cid}")
        return b"Traceback\nKeyError: 'age'\n"

    async def search(self, person: str, request: schema.SearchRequest) -> schema.FoundView:
        self.calls.append(f"search {request.words} {request.chosen}")
        kinds = request.chosen.get("kind", ("dataset",))
        found = [entry for kind in kinds for entry in await self.entries(person, kind)]
        fitting = tuple(entry for entry in found if request.words.encode() in bytes(entry.fields) or not request.words)
        count = schema.FacetView(value="dataset", name="dataset", count=len(fitting))
        return schema.FoundView(total=len(fitting), entries=fitting, facets={"kind": (count,)})

    async def mentions(self, person: str, request: schema.Mentions) -> tuple[schema.MentionView, ...]:
        self._known(person)
        return tuple(
            schema.MentionView(
                site=self.root.did,
                site_name=self.name,
                index=index,
                kind=body.kind,
                subject=KINDS[body.kind].subject(fields_of(body, KINDS[body.kind].fields)),
                name="",
                actor=body.actor,
                counts=any(each.index == index for each in self.index.entries(body.kind)),
            )
            for index, body in enumerate(self.bodies)
            if request.needle in encode(body)
        )

    async def import_dataset(self, person: str, request: schema.ImportDataset) -> schema.Imported:
        self._known(person)
        self.calls.append("import_dataset")
        cid = Cid.of(request.path.encode())
        resident = request.level == "resident"
        return schema.Imported(cid=cid.keyed(b"k") if resident else cid, size=12, media_type="text/csv")

    async def bring_copy(self, person: str, request: BringCopy) -> Copied:
        self._known(person)
        self.calls.append("bring_copy")
        return Copied(owner=person)

    async def holders(self, person: str) -> tuple[HoldersView, ...]:
        self._known(person)
        return self.held

    async def transfers(self) -> tuple[TransferView, ...]:
        return ()

    async def rekey(self, person: str, request: schema.Rekey) -> schema.Imported:
        self._known(person)
        self.calls.append(f"rekey {request.cid}")
        return schema.Imported(cid=Cid.of(bytes(request.cid)), size=12, media_type="text/csv")

    async def open_shared(
        self, person: str, signed: SignedRequest, cid: Cid, project: str, project_site: str
    ) -> schema.SharedView:
        self._known(person)
        self.calls.append(f"open_shared {cid} {project} {project_site}")
        raise NotFound("nothing is shared here")

    async def shared_piece(self, person: str, cid: Cid, name: str, start: str) -> bytes:
        self._known(person)
        self.calls.append(f"shared_piece {cid} {name} {start}")
        raise NotFound("nothing is shared here")

    async def import_block(self, person: str, request: ImportBlock) -> BlockImported:
        self._known(person)
        self.calls.append(f"import_block {sorted(request.files)}")
        cid = Cid.of(b"".join(request.files.values()))
        return BlockImported(cid=cid, label="count", doc="Counts.", outputs={"out": "statistics"})

    async def export_block(self, person: str, request: ExportBlock) -> BlockExported:
        self._known(person)
        self.calls.append(f"export_block {request.cid} {request.path}")
        return BlockExported(name="comity.local/count:1", digest=f"sha256:{'0' * 64}", bytes=1)

    async def packing(self) -> tuple[PackingView, ...]:
        return (PackingView(doing="unpacking numpy 2.1.0"),)

    async def block(self, person: str, cid: Cid) -> BlockView:
        for entry in await self.entries(person, "block"):
            if entry.subject == str(cid):
                return BlockView(entry=entry, tool="class: CommandLineTool\n", files={}, endorsed={})
        raise NotFound(f"no block {cid} is shared with this site")

    async def fetch(self, person: str, signed: object, cid: Cid, path: str, part: str) -> bytes:
        self.calls.append(f"fetch {path}")
        return path.encode() * 3

    async def tree(self, person: str, signed: object, cid: Cid, path: str, after: str) -> TreePage:
        self.calls.append(f"tree {path} {after}")
        return self.pages.pop(0)

    async def folder(self, person: str, signed: object, cid: Cid) -> FolderView:
        return FolderView(names=("a.csv", "images"), count=1002)

    async def plan(self, person: str, request: plans.PlanRequest) -> plans.Prepared:
        self._known(person)
        job = json.loads(bytes(request.job))
        submission = Submission(
            consortium=CONSORTIUM,
            epoch=0,
            person=person,
            site=self.root.did,
            project=ProjectRef(site=request.project_site, name=request.project),
            workflow=Cid.of(request.workflow.encode(), RAW),
            inputs={name: self._argument(value) for name, value in job.items()},
            grants=(),
            destinations=(self.root.did,),
            deadline=request.deadline,
            budget=request.budget,
            min_sites=request.min_sites or (4096 if self.unforeseen else 1),
            not_before=0,
            not_after=request.deadline,
            buses=(self.node.did,),
            nonce=bytes(16),
            sig=UNSIGNED,
        )
        step = plans.PlannedView(
            step="count",
            shard=0,
            site=self.root.did,
            site_name=self.name,
            data=("<table>.csv",),
            start=0,
            finish=1000,
            cost=100_000,
            elsewhere=(schema.ElsewhereView(site="Away", reason="the data are resident"),),
            moved=0,
            receipts=3,
            spread=2.5,
            basis="this block there",
        )
        view = plans.PlanView(
            steps=(step,),
            cost=100_000,
            budget=request.budget,
            finish=1000,
            deadline=request.deadline,
            least_finish=1000,
            least_cost=80_000,
            front=(plans.PointView(finish=1000, cost=100_000), plans.PointView(finish=3000, cost=80_000))
            if request.objective == "both"
            else (),
            unforeseen=self.unforeseen,
        )
        return plans.Prepared(plan=view, submission=encode(self.twist(submission)))

    def _argument(self, value: object) -> Argument:
        if isinstance(value, list):
            items = [self._argument(each) for each in value]
            return Many(items=tuple(each for each in items if not isinstance(each, Many)))
        if isinstance(value, dict):
            cid = Cid.parse(str(value["location"]).removeprefix("comity:"))
            return Data(site=self.root.did, cid=cid, name="table.csv")
        return Literal(json=json.dumps(value))

    async def submit(self, person: str, request: schema.Submit) -> schema.Submitted:
        submission = decode(Submission, request.submission)
        check(submission, person)
        self.submitted.append(submission)
        self.texts[submission.workflow] = request.workflow
        return schema.Submitted(submission=cid_of(submission))

    async def submissions(self, person: str) -> tuple[schema.SubmissionView, ...]:
        return tuple(self._view(each) for each in self.submitted)

    async def submission(self, person: str, submission: Cid, seconds: float) -> schema.SubmissionView:
        if seconds:
            with trio.move_on_after(seconds):
                await self.changed.wait()
        for each in self.submitted:
            if cid_of(each) == submission:
                return self._view(each)
        raise NotFound(f"there is no submission {submission}")

    async def cancel(self, person: str, request: CancelRequest) -> schema.SubmissionView:
        word = decode(Cancellation, request.statement)
        check(word, person)
        self.state = "cancelled"
        return await self.submission(person, word.submission, 0)

    async def pause(self, person: str, request: PauseRequest) -> schema.SubmissionView:
        self.state = "paused" if request.paused else "running"
        return await self.submission(person, request.submission, 0)

    async def requested(self, person: str, submission: Cid) -> Requested:
        found = next((each for each in self.submitted if cid_of(each) == submission), None)
        if found is None:
            raise NotFound(f"there is no submission {submission}")
        return Requested(
            workflow=self.texts[found.workflow],
            job=msgspec.Raw(write_job(found.inputs)),
            project=found.project,
            span=600_000,
            budget=found.budget,
            min_sites=found.min_sites,
        )

    def _view(self, submission: Submission) -> schema.SubmissionView:
        results = [
            schema.ResultView(
                name=name,
                file="out.csv",
                cid=Cid.of(data, DAG_PB if self.pages else RAW),
                size=len(data),
                form=self.forms.get(name, Form.FILE),
            )
            for name, data in self.results.items()
        ]
        return schema.SubmissionView(
            submission=cid_of(submission),
            project=submission.project.name,
            person=submission.person,
            state=self.state,
            reason="rule «no-export» refused it" if self.state == "denied" else "",
            began=1,
            ended=2,
            deadline=submission.deadline,
            budget=submission.budget,
            spent=100_000,
            instances=(
                schema.InstanceView(
                    step="count",
                    shard=0,
                    site=self.root.did,
                    site_name=self.name,
                    status=self.state,
                    reason="",
                    rules=("researchers",),
                    cost=100_000,
                    data=("table.csv",),
                ),
            ),
            results=tuple(results) if self.state == "done" else (),
            took_part=(self.name,),
            absent=(),
        )

    async def result(self, person: str, signed: object, submission: Cid, name: str, path: str, part: str) -> bytes:
        first, _, last = part.partition("-")
        data = self.results[name] + self.added
        return data[int(first) : int(last) + 1] if part else data

    async def result_tree(
        self, person: str, signed: object, submission: Cid, name: str, path: str, after: str
    ) -> TreePage:
        if self.pages:
            return self.pages[1 if after else 0]
        return TreePage(folder=False, size=len(self.results[name]), items=(), more=False)

    async def events(self, person: str, submission: Cid, after: str, seconds: float) -> EventsPage:
        view = await self.submission(person, submission, 0)
        step = {"step": "count", "attempt": 1, "site": self.root.did, "site_name": self.name}
        told = (
            EventView(number=1, at=view.began, kind="state", status="running", reason=""),
            EventView(number=2, at=view.began + 1, kind="step", status="running", reason="", **step),  # type: ignore[arg-type]
            EventView(number=3, at=2_000, kind="step", status=self.state, reason="", cost=100_000, **step),  # type: ignore[arg-type]
            EventView(number=4, at=2_001, kind="state", status=self.state, reason=view.reason),
        )[int(after) :]
        return EventsPage(events=told[:2], after=int(after) + len(told[:2]), ended=len(told) <= 2)

    async def graph(self, person: str, submission: Cid) -> GraphView:
        await self.submission(person, submission, 0)
        count = StepView(step="count", label="count <rows>", after=(), scattered=True)
        return GraphView(
            label="", steps=(count, StepView(step="pool", label="pool", after=("count",), scattered=False))
        )

    async def logs(self, person: str, signed: SignedRequest, submission: Cid, step: str) -> tuple[LogView, ...]:
        self._known(person)
        self.calls.append(f"logs {step}")
        return self.logged

    async def evidence(self, person: str, submission: Cid, after: str) -> EvidencePage:
        return EvidencePage(files=(), after=None)

    async def who(self, person: str, request: schema.AskWho) -> AsyncIterator[schema.SiteRows]:
        async with aclosing(self.answers(person, request)) as answers:
            async for rows in answers:
                yield rows

    async def _answers(self, person: str, request: schema.AskWho) -> AsyncGenerator[schema.SiteRows, None]:
        question = decode(Who, request.question)
        check(question, person)
        answer = self.tamper(self.told(question))
        yield schema.SiteRows(
            site=self.root.did, site_name=self.name, node=self.node.did, answer=encode(answer), absent=""
        )
        if self.after_rows is not None:
            raise self.after_rows
        yield schema.SiteRows(site=AWAY.did, site_name="Away", node=None, answer=None, absent="it does not answer")

    def told(self, question: Who) -> WhoAnswer:
        """An audit log of an intent, a line about other data, its result, the heads and the question."""
        about, other, person = str(question.dataset), str(Cid.of(b"other data")), self.researcher.did
        first, second = Link(before=None, count=1), Link(before=0, count=2)
        submission = self._asked()
        decision = Decision(
            allowed=True, action="compute", rules=("researchers",), reason="allowed", facts={}, policy="3"
        )
        instance = Instance(submission=cid_of(submission), step="count", shard=0)
        access = AccessFields(
            order=Cid.of(b"order"),
            instance=instance,
            attempt=1,
            person=person,
            home=self.root.did,
            project=submission.project,
            purpose="DUO:0000006",
            block=Cid.of(b"block"),
            decision=decision,
            shown=decision,
            max_cost=1,
            submission=encode(submission),
            chain={about: first, person: first},
        )
        result = ResultFields(
            order=Cid.of(b"order"),
            instance=instance,
            intent=0,
            status=Status.DONE,
            kept={},
            spent=None,
            cost=1,
            reason="",
            detail="",
            chain={about: second, person: Link(before=1, count=3)},
        )
        heads = HeadMap.of(
            Head(subject=subject_hash(subject), index=index, count=count)
            for subject, index, count in ((about, 2, 2), (other, 1, 1), (person, 2, 3))
        )
        asked = ReadFields(
            person=question.person,
            home=self.root.did,
            question=encode(question),
            rows=2,
            reason="",
            chain={about: Link(before=2, count=3), question.person: Link(before=2, count=4)},
        )
        lines: list[tuple[str, Value]] = [
            ("intent", access),
            ("intent", msgspec.structs.replace(access, chain={other: first, person: second})),
            ("result", result),
            ("heads", HeadsFields(root=heads.root, count=3, upto=3, chain={})),
            ("read", asked),
        ]
        rows, note, proof = self.prove(lines, [0, 2, 3, 4])
        opening = Opening(heads=rows[2], asked=rows[3], proof=heads.prove(about))
        return WhoAnswer(note=note, rows=tuple(rows[:2]), proof=proof, opening=opening, more=False)

    def _asked(self) -> Submission:
        whole = Submission(
            consortium=CONSORTIUM,
            epoch=0,
            person=self.researcher.did,
            site=self.root.did,
            project=ProjectRef(site=self.root.did, name="pooling"),
            workflow=Cid.of(b"workflow"),
            inputs={},
            grants=(),
            destinations=(),
            deadline=1,
            budget=1,
            min_sites=1,
            not_before=0,
            not_after=1,
            buses=(self.node.did,),
            nonce=bytes(16),
            sig=UNSIGNED,
        )
        return signed(whole, self.researcher)

    def prove(self, lines: list[tuple[str, Value]], shown: list[int]) -> tuple[list[Row], str, bytes]:
        """A log of these lines: the rows of it that are shown, its cosigned checkpoint, and the proof of them all."""
        origin = origin_of(self.root.did, LogName.AUDIT)
        bodies = [
            encode(write_body(kind, fields, site=self.root.did, at=5 + at, by=self.node, audience=()))
            for at, (kind, fields) in enumerate(lines)
        ]
        salts = [bytes([at]) * 32 for at in range(len(lines))]
        leaves = [
            encode_leaf(seal(origin, 0, kind, body, salt))
            for (kind, _), body, salt in zip(lines, bodies, salts, strict=True)
        ]
        hashes = [leaf_hash(leaf) for leaf in leaves]

        def subtree(height: int, at: int) -> bytes:
            if height == 0:
                return hashes[at]
            return node_hash(subtree(height - 1, 2 * at), subtree(height - 1, 2 * at + 1))

        checkpoint = Checkpoint(origin, len(leaves), Frontier().extend(hashes).root)
        note = sign_checkpoint(checkpoint, self.node)
        note = add_line(note, cosign(note, AWAY.did, AWAY, 77))
        rows = [Row(index=at, leaf=leaves[at], salt=salts[at], body=bodies[at]) for at in shown]
        return rows, note, prove_many(shown, len(leaves), subtree)
