"""What travels over a node's local interface, as JSON: CIDs as text, bytes as base64, money in millionths, time in ms.

Signed values (bodies, submissions, questions) travel as the base64 of their canonical DAG-CBOR, so that what was
signed is what arrives.
"""

from __future__ import annotations

import msgspec

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.member import KeyFields
from node.api.copies import StorageView
from node.api.running import StepsView
from node.api.swarm import SwarmView
from workflow.receipt import Form


class MemberView(Value, frozen=True, kw_only=True):
    """A member as this node sees it. ``behind`` says why its catalog is not followed; empty when it is.

    ``keys`` are all node keys that it ever had, ``node`` the one that it has. ``stopped`` is why nothing is decided on
    its word, ``refuses`` why it does not cosign; both empty as a rule. ``heard`` is how many milliseconds old what is
    known of it is, by its beats; none if nothing is. ``faults`` entries of it do not count, for ``fault`` the first.
    One that is ``witness_only`` holds no data: it cosigns logs and takes no orders.
    """

    name: str
    site: str
    node: str | None
    keys: tuple[str, ...] = ()
    here: bool
    connected: bool
    entries: int
    cosigned: int
    behind: str
    price: int | None
    runner: str | None
    stopped: str = ""
    heard: int | None = None
    refuses: str = ""
    faults: int = 0
    fault: str = ""
    witness_only: bool = False


class LogView(Value, frozen=True, kw_only=True):
    """One of this site's logs: its leaves, and up to which size how many witnesses have cosigned it.

    ``covered`` leaves have the quorum's cosignatures; while there are more, ``waiting`` names who could give theirs.
    """

    origin: str
    size: int
    cosigned_size: int
    cosigners: tuple[str, ...]
    covered: int = 0
    waiting: tuple[str, ...] = ()


class ForkView(Value, frozen=True, kw_only=True):
    """A member that keeps two histories of a log, in plain words, and the proof (``catalog.fork.ForkFile``)."""

    site: str
    site_name: str
    origin: str
    reason: str
    proof: bytes


class FormerView(Value, frozen=True, kw_only=True):
    """A site that left the consortium: its root key, and the number of the first ``epoch`` without it."""

    name: str
    site: str
    epoch: int


class ReachView(Value, frozen=True, kw_only=True):
    """How this node and the others come to each other.

    A node that is not ``inbound`` only dials out; ``waits_at`` are the members at which lines of it are open, and
    ``lines_of`` those that have lines here. ``carried`` is how many bytes were passed on for others since the node
    started. ``proxy`` is what connections go through, empty for none; ``intercepted`` says on the way to whom something
    opened TLS.
    """

    inbound: bool
    proxy: str = ""
    waits_at: tuple[str, ...] = ()
    lines_of: tuple[str, ...] = ()
    carried: int = 0
    intercepted: tuple[str, ...] = ()


class PolicyFaultsView(Value, frozen=True, kw_only=True):
    """How many decisions a failing rule of this site's policy denied since the node started, and the last of them:
    its rules by name, for which action, when, and what Cedar says of it.
    """

    count: int
    rules: tuple[str, ...]
    action: str
    at: int
    reason: str


class StatusView(Value, frozen=True, kw_only=True):
    """What this node is and how it fares. ``runner_fault`` is why no step runs here; empty when one can.

    ``quorum`` is how many members must cosign a log before it counts as witnessed. ``left`` is the epoch in which this
    site left the consortium, none if it did not; ``former`` are the others that did. ``swarm`` is there with a Kubo.
    ``policy_faults`` are there once a rule has failed.
    """

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
    quorum: int = 0
    reach: ReachView
    runner: str
    runner_fault: str
    recovered: tuple[str, ...]
    halted: tuple[str, ...] = ()
    left: int | None = None
    former: tuple[FormerView, ...] = ()
    swarm: SwarmView | None = None
    policy_faults: PolicyFaultsView | None = None
    storage: StorageView
    steps: StepsView | None = None


class WriteEntry(Value, frozen=True, kw_only=True):
    """A signed body for this site's catalog."""

    body: bytes


class Written(Value, frozen=True, kw_only=True):
    """The place that an entry got in this site's catalog."""

    index: int


class EntryView(Value, frozen=True, kw_only=True):
    """An entry that counts now: its place, who signed it, and its fields as JSON.

    ``left``: its site left the consortium, so nobody is offered what it publishes.
    """

    site: str
    site_name: str
    index: int
    kind: str
    subject: str
    actor: str
    at: int
    audience: tuple[str, ...] | None
    fields: msgspec.Raw
    left: bool = False


class Mentions(Value, frozen=True, kw_only=True):
    """What is looked for in the bodies of all catalogs: the bytes of a key's name or of a CID."""

    needle: bytes


class MentionView(Value, frozen=True, kw_only=True):
    """A body that contains what was looked for: its place, what it is about, and whether it counts now.

    ``subject`` and ``name`` are empty where its content never counted.
    """

    site: str
    site_name: str
    index: int
    kind: str
    subject: str
    name: str
    actor: str
    counts: bool


class HaltRequest(Value, frozen=True, kw_only=True):
    """A steward's signed word to halt, or to go on (``node.message.Halt``)."""

    statement: bytes


class SearchRequest(Value, frozen=True, kw_only=True):
    """What to find: words, and for each facet the values of which one must hold; hits from ``offset`` on."""

    words: str
    chosen: dict[str, tuple[str, ...]]
    offset: int
    limit: int


class FacetView(Value, frozen=True, kw_only=True):
    """A value of a facet, how people call it, and how many hits there are with it, other facets kept."""

    value: str
    name: str
    count: int


class FoundView(Value, frozen=True, kw_only=True):
    """What a search found of what the asker may see: how many, those of the page, and the counts of each facet."""

    total: int
    entries: tuple[EntryView, ...]
    facets: dict[str, tuple[FacetView, ...]]


class ImportDataset(Value, frozen=True, kw_only=True):
    """A path on the node's machine to make a dataset of, the level ``open``, ``shared`` or ``resident``, and its name.

    Data under a name that other data of the site have are not read.
    """

    path: str
    level: str
    name: str = ""


class Imported(Value, frozen=True, kw_only=True):
    """What an import gave: the CID to publish (keyed for resident data) and the size in bytes."""

    cid: Cid
    size: int
    media_type: str


class Rekey(Value, frozen=True, kw_only=True):
    """A shared dataset of this site that is to be encrypted anew, under a new key."""

    cid: Cid


class SharedView(Value, frozen=True, kw_only=True):
    """What opens a shared dataset: the Crypt4GH ``header``, sealed for the person. ``manifest`` is the size of the
    encrypted manifest, in bytes, which comes in pieces as the files do.
    """

    header: bytes
    manifest: int


class ElsewhereView(Value, frozen=True, kw_only=True):
    """Why a step does not run at a site."""

    site: str
    reason: str


class Submit(Value, frozen=True, kw_only=True):
    """A signed submission with the text of its workflow."""

    submission: bytes
    workflow: str


class Submitted(Value, frozen=True, kw_only=True):
    """The submission's CID, by which it is asked for."""

    submission: Cid


class InstanceView(Value, frozen=True, kw_only=True):
    """One step instance of a submission.

    ``status`` is a receipt's, or ``waiting``, ``running``, ``unreachable``, ``skipped``; ``cancelled`` if its person
    cancelled it. ``reason`` is why it ended so.
    """

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
    """One workflow output that was released to the asker, and what its CID names."""

    name: str
    file: str
    cid: Cid
    size: int
    form: Form


class SubmissionView(Value, frozen=True, kw_only=True):
    """A submission as its bus knows it.

    ``state`` is ``running``, ``paused``, ``cancelling``, or how it ended: ``done``, ``denied``, ``failed``,
    ``unreachable`` or ``cancelled``; ``took_part`` names the sites whose data stand in the result, ``absent`` those
    that were asked and do not, with the reason.
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
    """A person's signed question to audit logs (``node.message.Who``), for the logs of ``sites``, or of all members."""

    question: bytes
    sites: tuple[str, ...] = ()


class SiteRows(Value, frozen=True, kw_only=True):
    """One site's answer to ``audit who``, as it arrives: rows with proofs (``node.message.WhoAnswer``), or why not.

    ``node`` is the site's node key, against which the client verifies every row. ``denied``: the site refuses.
    """

    site: str
    site_name: str
    node: str | None
    answer: bytes | None
    absent: str
    denied: bool = False


class KeyView(Value, frozen=True, kw_only=True):
    """A key entry of this site that counts now, and its place."""

    index: int
    fields: KeyFields


class KeysView(Value, frozen=True, kw_only=True):
    """This site's keys: the one that acts as root, every enrolled one, and how long its two logs are."""

    root: str
    acting: str
    node: str
    keys: tuple[KeyView, ...]
    catalog: int
    audit: int
    epoch: int


class Restarting(Value, frozen=True, kw_only=True):
    """The node ends what it does and starts anew in the same process; ``pid`` is that process."""

    pid: int


class ErrorView(Value, frozen=True, kw_only=True):
    """An error as the client raises it again: its kind, a class of ``catalog.error``, and its one line."""

    kind: str
    message: str
