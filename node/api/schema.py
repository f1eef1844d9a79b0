"""What travels over a node's local interface, as JSON: CIDs as text, bytes as base64, money in millionths, time in ms.

Signed values (bodies, submissions, questions) travel as the base64 of their canonical DAG-CBOR, so that what was
signed is what arrives.
"""

from __future__ import annotations

import msgspec

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.member import Epoch


class MemberView(Value, frozen=True, kw_only=True):
    """A member as this node sees it. ``behind`` says why its catalog is not followed; empty when it is."""

    name: str
    site: str
    node: str | None
    here: bool
    connected: bool
    entries: int
    cosigned: int
    behind: str
    price: int | None
    runner: str | None


class LogView(Value, frozen=True, kw_only=True):
    """One of this site's logs: its leaves, and up to which size how many witnesses have cosigned it."""

    origin: str
    size: int
    cosigned_size: int
    cosigners: tuple[str, ...]


class StatusView(Value, frozen=True, kw_only=True):
    """What this node is and how it fares. ``runner_fault`` is why no step runs here; empty when one can."""

    name: str
    site: str
    node: str
    version: str
    pid: int
    consortium: str | None
    consortium_cid: str | None
    epoch: int | None
    members: tuple[MemberView, ...]
    logs: tuple[LogView, ...]
    runner: str
    runner_fault: str
    recovered: tuple[str, ...]


class WriteEntry(Value, frozen=True, kw_only=True):
    """A signed body for this site's catalog."""

    body: bytes


class Written(Value, frozen=True, kw_only=True):
    """The place that an entry got in this site's catalog."""

    index: int


class EntryView(Value, frozen=True, kw_only=True):
    """An entry that counts now: its place, who signed it, and its fields as JSON."""

    site: str
    site_name: str
    index: int
    kind: str
    subject: str
    actor: str
    at: int
    audience: tuple[str, ...] | None
    fields: msgspec.Raw


class ImportDataset(Value, frozen=True, kw_only=True):
    """A path on the node's machine to make a dataset of, and the level ``open`` or ``resident``."""

    path: str
    level: str


class Imported(Value, frozen=True, kw_only=True):
    """What an import gave: the CID to publish (keyed for resident data) and the size in bytes."""

    cid: Cid
    size: int
    media_type: str


class ImportBlock(Value, frozen=True, kw_only=True):
    """A block's files by their relative paths; one of them is ``tool.cwl``."""

    files: dict[str, bytes]


class BlockImported(Value, frozen=True, kw_only=True):
    """What packing a block gave: its CID, what it is called, and its outputs with their disclosure types."""

    cid: Cid
    label: str
    doc: str
    outputs: dict[str, str]


class BlockView(Value, frozen=True, kw_only=True):
    """A block that the asker may see, with the text of its tool and who endorsed it for what."""

    entry: EntryView
    tool: str
    files: dict[str, int]
    endorsed: dict[str, tuple[str, ...]]


class PlanRequest(Value, frozen=True, kw_only=True):
    """What to plan: CWL text, the job as JSON (Files as ``comity:CID``), limits, and what a shortage may cost.

    ``deadline`` is Unix milliseconds, ``budget`` millionths, ``min_sites`` how many shards must deliver (``None``:
    all of them). ``project_site`` is the root key of the project's site.
    """

    workflow: str
    job: msgspec.Raw
    project: str
    project_site: str
    deadline: int
    budget: int
    min_sites: int | None


class ElsewhereView(Value, frozen=True, kw_only=True):
    """Why a step does not run at a site."""

    site: str
    reason: str


class PlannedView(Value, frozen=True, kw_only=True):
    """One step instance of a plan: where it runs, when (ms from the start), at what cost, and why not elsewhere."""

    step: str
    shard: int
    site: str
    site_name: str
    data: tuple[str, ...]
    start: int
    finish: int
    cost: int
    elsewhere: tuple[ElsewhereView, ...]


class PlanView(Value, frozen=True, kw_only=True):
    """A plan: its instances, its cost and its finish against budget and deadline."""

    steps: tuple[PlannedView, ...]
    cost: int
    budget: int
    finish: int
    deadline: int


class Prepared(Value, frozen=True, kw_only=True):
    """A plan, and the submission that would carry it out, not yet signed (its ``sig`` is zero)."""

    plan: PlanView
    submission: bytes


class Submit(Value, frozen=True, kw_only=True):
    """A signed submission with the text of its workflow."""

    submission: bytes
    workflow: str


class Submitted(Value, frozen=True, kw_only=True):
    """The submission's CID, by which it is asked for."""

    submission: Cid


class InstanceView(Value, frozen=True, kw_only=True):
    """One step instance of a submission. ``status`` is a receipt's, or ``waiting``, ``running``, ``unreachable``."""

    step: str
    shard: int
    site: str
    site_name: str
    status: str
    reason: str
    rules: tuple[str, ...]
    cost: int
    data: tuple[str, ...]


class ResultView(Value, frozen=True, kw_only=True):
    """One workflow output that was released to the asker."""

    name: str
    file: str
    cid: Cid
    size: int


class SubmissionView(Value, frozen=True, kw_only=True):
    """A submission as its bus knows it.

    ``state`` is ``running``, ``done``, ``denied``, ``failed`` or ``unreachable``; ``took_part`` names the sites
    whose data stand in the result, ``absent`` those that were asked and do not, with the reason.
    """

    submission: Cid
    project: str
    person: str
    state: str
    reason: str
    began: int
    ended: int | None
    deadline: int
    budget: int
    spent: int
    instances: tuple[InstanceView, ...]
    results: tuple[ResultView, ...]
    took_part: tuple[str, ...]
    absent: tuple[ElsewhereView, ...]


class AskWho(Value, frozen=True, kw_only=True):
    """A person's signed question who accessed a dataset (``node.message.Who``)."""

    question: bytes


class SiteRows(Value, frozen=True, kw_only=True):
    """One site's answer to ``audit who``, as it arrives: rows with proofs (``node.message.WhoAnswer``), or why not.

    ``node`` is the site's node key, against which the client verifies every row.
    """

    site: str
    site_name: str
    node: str | None
    answer: bytes | None
    absent: str


class NewConsortium(Value, frozen=True, kw_only=True):
    """Begins the founding of a consortium of ``founders`` sites."""

    name: str
    founders: int


class InviteView(Value, frozen=True, kw_only=True):
    """An invitation for one site, to be written to a file of mode 0600 and handed over out of band."""

    invite: bytes
    not_after: int


class Join(Value, frozen=True, kw_only=True):
    """An invitation that this site takes up."""

    invite: bytes


class FoundingView(Value, frozen=True, kw_only=True):
    """How far a founding is: who has joined and who has signed.

    ``to_sign`` is the message that this site's root key signs, once every founder is there; ``epoch`` the whole
    document for the signer to read.
    """

    name: str
    expected: int
    joined: tuple[str, ...]
    signed: tuple[str, ...]
    to_sign: bytes | None
    epoch: Epoch | None
    consortium: Cid | None


class SignEpoch(Value, frozen=True, kw_only=True):
    """The root key's signature of the founding document."""

    signature: bytes


class ErrorView(Value, frozen=True, kw_only=True):
    """An error as the client raises it again: its kind, a class of ``catalog.error``, and its one line."""

    kind: str
    message: str
