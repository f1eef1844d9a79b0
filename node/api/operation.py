"""The local interface as one table: what can be asked, under which path, with what, and what comes back.

The server's routes, the OpenAPI document and the client are all made from this table; each operation is named as
the method of :class:`node.api.service.Service` that it reaches, whose parameters stand here in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from catalog.cid import Cid
from catalog.dagcbor import Value
from node.api import plans, schema
from node.api.blocks import BlockExported, BlockImported, BlockView, ExportBlock, ImportBlock, PackingView
from node.api.copies import BringCopy, Copied, HoldersView, TransferView
from node.api.disclosed import ExaminationView
from node.api.epochs import EpochsView
from node.api.evidence import EvidencePage
from node.api.faults import FaultsView
from node.api.founding import FoundingView, InviteView, Join, NewConsortium, SignEpoch
from node.api.inquiries import AnswerRequest, InquiryView
from node.api.logs import LogView
from node.api.steering import CancelRequest, PauseRequest, Requested
from node.api.tree import FolderView, TreePage
from node.api.watched import EventsPage, GraphView

A = TypeVar("A", covariant=True)

MAX_BODY: Final = 1 << 20
"""Bytes of a request's body, where the table says nothing else."""

MAX_BLOCK: Final = 16 << 20
"""Bytes of a request that carries a block's files."""

MAX_WAIT: Final = 30.0
"""Seconds for which a question may wait for a change."""

ANSWER_SECONDS: Final = 60.0


class Streamed(Value, frozen=True, kw_only=True):
    """One line of a streamed answer: a site's rows, or the error that ended it."""

    rows: schema.SiteRows | None
    error: schema.ErrorView | None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the path or the query; a number of seconds lies between 0 and :data:`MAX_WAIT`."""

    name: str
    type: type[str] | type[float] | type[Cid]
    place: Literal["path", "query"] = "path"
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """One thing that can be asked.

    ``answer`` is the type that comes back as JSON, or ``bytes`` as they are; ``person`` says whether the request must
    carry a person's signature, ``keeps`` that the service is handed the signed request too; ``streams`` that the
    answer is lines of JSON, each of type ``answer``. ``limit`` bounds the request's body; ``seconds`` is how long a
    client waits for the answer, ``None`` for as long as it takes.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    answer: type[A]
    request: type[Value] | None = None
    parameters: tuple[Parameter, ...] = ()
    person: bool = False
    keeps: bool = False
    streams: bool = False
    limit: int = MAX_BODY
    seconds: float | None = ANSWER_SECONDS


_CID: Final = Parameter("cid", Cid)
_SUBMISSION: Final = Parameter("submission", Cid)

STATUS: Final = Operation("status", "GET", "/v1/status", schema.StatusView)
FOUNDING: Final = Operation("founding", "GET", "/v1/consortium", FoundingView)
NEW_CONSORTIUM: Final = Operation("new_consortium", "POST", "/v1/consortium", FoundingView, NewConsortium)
INVITE: Final = Operation("invite", "POST", "/v1/consortium/invites", InviteView)
JOIN: Final = Operation("join", "POST", "/v1/consortium/join", FoundingView, Join)
SIGN_EPOCH: Final = Operation("sign_epoch", "POST", "/v1/consortium/signature", FoundingView, SignEpoch)
EPOCHS: Final = Operation("epochs", "GET", "/v1/consortium/epochs", EpochsView)
KEYS: Final = Operation("keys", "GET", "/v1/keys", schema.KeysView)
RESTART: Final = Operation("restart", "POST", "/v1/restart", schema.Restarting)
FORKS: Final = Operation("forks", "GET", "/v1/forks", tuple[schema.ForkView, ...])
WRITE_ENTRY: Final = Operation("write_entry", "POST", "/v1/entries", schema.Written, schema.WriteEntry)
ENTRIES: Final = Operation(
    "entries",
    "GET",
    "/v1/entries/{kind}",
    tuple[schema.EntryView, ...],
    parameters=(Parameter("kind", str),),
    person=True,
)
FAULTS: Final = Operation(
    "faults",
    "GET",
    "/v1/faults/{site}",
    FaultsView,
    parameters=(Parameter("site", str),),
    person=True,
)
MENTIONS: Final = Operation(
    "mentions", "POST", "/v1/mentions", tuple[schema.MentionView, ...], schema.Mentions, person=True, seconds=None
)
HALT: Final = Operation("halt", "POST", "/v1/halts", schema.Written, schema.HaltRequest, person=True)
INQUIRIES: Final = Operation("inquiries", "GET", "/v1/inquiries", tuple[InquiryView, ...], person=True)
EXAMINATIONS: Final = Operation("examinations", "GET", "/v1/examinations", tuple[ExaminationView, ...], person=True)
ANSWER: Final = Operation("answer", "POST", "/v1/inquiries", schema.Written, AnswerRequest, person=True)
PREVIEW: Final = Operation(
    "preview", "GET", "/v1/inquiries/{cid}/value", bytes, parameters=(_CID,), person=True, keeps=True
)
LOOK: Final = Operation("look", "GET", "/v1/held/{cid}", bytes, parameters=(_CID,), person=True, keeps=True)
SEARCH: Final = Operation("search", "POST", "/v1/search", schema.FoundView, schema.SearchRequest, person=True)
IMPORT_DATASET: Final = Operation(
    "import_dataset", "POST", "/v1/datasets", schema.Imported, schema.ImportDataset, person=True, seconds=None
)
REKEY: Final = Operation("rekey", "POST", "/v1/rekeyed", schema.Imported, schema.Rekey, person=True, seconds=None)
OPEN_SHARED: Final = Operation(
    "open_shared",
    "GET",
    "/v1/shared/{cid}",
    schema.SharedView,
    parameters=(_CID, Parameter("project", str, "query"), Parameter("project_site", str, "query")),
    person=True,
    keeps=True,
    seconds=None,
)
SHARED_PIECE: Final = Operation(
    "shared_piece",
    "GET",
    "/v1/shared/{cid}/{name}",
    bytes,
    parameters=(_CID, Parameter("name", str), Parameter("start", str, "query", "0")),
    person=True,
    seconds=None,
)
IMPORT_BLOCK: Final = Operation(
    "import_block", "POST", "/v1/blocks", BlockImported, ImportBlock, person=True, limit=MAX_BLOCK, seconds=None
)
EXPORT_BLOCK: Final = Operation(
    "export_block", "POST", "/v1/exports", BlockExported, ExportBlock, person=True, seconds=None
)
PACKING: Final = Operation("packing", "GET", "/v1/packing", tuple[PackingView, ...])
BRING_COPY: Final = Operation("bring_copy", "POST", "/v1/copies", Copied, BringCopy, person=True, seconds=None)
HOLDERS: Final = Operation("holders", "GET", "/v1/holders", tuple[HoldersView, ...], person=True)
TRANSFERS: Final = Operation("transfers", "GET", "/v1/transfers", tuple[TransferView, ...])
BLOCK: Final = Operation("block", "GET", "/v1/blocks/{cid}", BlockView, parameters=(_CID,), person=True)
FETCH: Final = Operation(
    "fetch",
    "GET",
    "/v1/files/{cid}",
    bytes,
    parameters=(_CID, Parameter("path", str, "query", ""), Parameter("part", str, "query", "")),
    person=True,
    keeps=True,
    seconds=None,
)
TREE: Final = Operation(
    "tree",
    "GET",
    "/v1/trees/{cid}",
    TreePage,
    parameters=(_CID, Parameter("path", str, "query", ""), Parameter("after", str, "query", "")),
    person=True,
    keeps=True,
    seconds=None,
)
FOLDER: Final = Operation("folder", "GET", "/v1/folders/{cid}", FolderView, parameters=(_CID,), person=True, keeps=True)
PLAN: Final = Operation("plan", "POST", "/v1/plans", plans.Prepared, plans.PlanRequest, person=True, seconds=None)
SUBMIT: Final = Operation("submit", "POST", "/v1/submissions", schema.Submitted, schema.Submit, person=True)
SUBMISSIONS: Final = Operation("submissions", "GET", "/v1/submissions", tuple[schema.SubmissionView, ...], person=True)
SUBMISSION: Final = Operation(
    "submission",
    "GET",
    "/v1/submissions/{submission}",
    schema.SubmissionView,
    parameters=(_SUBMISSION, Parameter("seconds", float, "query", "0")),
    person=True,
)
CANCEL: Final = Operation("cancel", "POST", "/v1/cancellations", schema.SubmissionView, CancelRequest, person=True)
PAUSE: Final = Operation("pause", "POST", "/v1/pauses", schema.SubmissionView, PauseRequest, person=True)
REQUESTED: Final = Operation(
    "requested", "GET", "/v1/submissions/{submission}/request", Requested, parameters=(_SUBMISSION,), person=True
)
RESULT: Final = Operation(
    "result",
    "GET",
    "/v1/submissions/{submission}/results/{name}",
    bytes,
    parameters=(
        _SUBMISSION,
        Parameter("name", str),
        Parameter("path", str, "query", ""),
        Parameter("part", str, "query", ""),
    ),
    person=True,
    keeps=True,
    seconds=None,
)
RESULT_TREE: Final = Operation(
    "result_tree",
    "GET",
    "/v1/submissions/{submission}/results/{name}/tree",
    TreePage,
    parameters=(
        _SUBMISSION,
        Parameter("name", str),
        Parameter("path", str, "query", ""),
        Parameter("after", str, "query", ""),
    ),
    person=True,
    keeps=True,
    seconds=None,
)
EVENTS: Final = Operation(
    "events",
    "GET",
    "/v1/submissions/{submission}/events",
    EventsPage,
    parameters=(_SUBMISSION, Parameter("after", str, "query", "0"), Parameter("seconds", float, "query", "0")),
    person=True,
)
GRAPH: Final = Operation(
    "graph", "GET", "/v1/submissions/{submission}/graph", GraphView, parameters=(_SUBMISSION,), person=True
)
LOGS: Final = Operation(
    "logs",
    "GET",
    "/v1/submissions/{submission}/logs",
    tuple[LogView, ...],
    parameters=(_SUBMISSION, Parameter("step", str, "query", "")),
    person=True,
    keeps=True,
)
EVIDENCE: Final = Operation(
    "evidence",
    "GET",
    "/v1/submissions/{submission}/evidence",
    EvidencePage,
    parameters=(_SUBMISSION, Parameter("after", str, "query", "0")),
    person=True,
    seconds=None,
)
WHO: Final = Operation("who", "POST", "/v1/audit/who", Streamed, schema.AskWho, person=True, streams=True, seconds=None)

OPERATIONS: Final[tuple[Operation[object], ...]] = (
    STATUS,
    BRING_COPY,
    HOLDERS,
    TRANSFERS,
    FOUNDING,
    NEW_CONSORTIUM,
    INVITE,
    JOIN,
    SIGN_EPOCH,
    EPOCHS,
    KEYS,
    RESTART,
    FORKS,
    WRITE_ENTRY,
    ENTRIES,
    FAULTS,
    SEARCH,
    HALT,
    INQUIRIES,
    EXAMINATIONS,
    ANSWER,
    PREVIEW,
    LOOK,
    MENTIONS,
    IMPORT_DATASET,
    REKEY,
    OPEN_SHARED,
    SHARED_PIECE,
    IMPORT_BLOCK,
    EXPORT_BLOCK,
    PACKING,
    BLOCK,
    FETCH,
    TREE,
    FOLDER,
    PLAN,
    SUBMIT,
    SUBMISSIONS,
    SUBMISSION,
    CANCEL,
    PAUSE,
    REQUESTED,
    RESULT,
    RESULT_TREE,
    EVENTS,
    GRAPH,
    LOGS,
    EVIDENCE,
    WHO,
)
