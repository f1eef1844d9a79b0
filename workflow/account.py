"""What a site writes into its audit log about an order: the intent or denial before, the result after, each release.

A chain runs backwards through these bodies for each subject, a dataset or a person: each body names the index of the
one before it about the same subject and how many there are up to it, so that none can be left out in between, and
erased ones can be counted.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from catalog.block import OutputName
from catalog.body import Index, Millis
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.dataset import DuoTerm, Text
from catalog.httpsig import SignedRequest
from catalog.key import Did
from catalog.label import Label, Reader
from catalog.offer import Micros
from catalog.project import ProjectRef
from privacy.decision import Decision
from workflow.argument import Handle
from workflow.inquiry import MOST_STEWARDS, Inquiry
from workflow.order import Instance
from workflow.receipt import Form, Output, Release, Spent, Status
from workflow.submission import Count

MAX_REQUEST: Final = 32 << 10
"""Bytes of a person's signed request in an audit body."""

Request = Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_REQUEST)]
"""The canonical bytes of a value that a person signed."""


class Link(Value, frozen=True, kw_only=True):
    """A body's place in a chain: the index of the one before it, and how many the chain has up to this one."""

    before: Index | None
    count: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]


Subject = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
"""What a chain is about: a dataset by its CID's text, or a person by the did:key."""

Chain = Annotated[dict[Subject, Link], msgspec.Meta(max_length=512)]
"""For each subject of a body its link backwards."""


Granted = Annotated[dict[Subject, Cid], msgspec.Meta(max_length=512)]
"""By datasets (CIDs as text), the grants that let them in."""


def datasets_of(chain: Chain) -> list[Cid]:
    """The datasets among the subjects of a chain."""
    return [Cid.parse(subject) for subject in chain if not subject.startswith("did:")]


class Side(StrEnum):
    """Which of the two sites of a transfer wrote a row: the one that gave, or the one that got."""

    SOURCE = "source"
    RECIPIENT = "recipient"


class AccessFields(Value, frozen=True, kw_only=True):
    """The fields of an ``intent`` (written before data open) and of a ``decision`` (a denial by policy).

    ``decision`` is the whole of it, for the steward; ``shown`` is what of it the asker may see. ``submission`` is the
    signed value that the person asked with: a node cannot invent an access. ``consent`` is the inquiry that stewards
    answered before. ``copies`` are the roots of other sites'
    values that the step has brought here: they go when the project ends. ``granted`` names, for each dataset that a
    grant let in, that grant: what is made of it leaves only while a cited grant stands.
    """

    order: Cid
    instance: Instance
    attempt: Count
    person: Did
    home: Did
    project: ProjectRef
    purpose: DuoTerm
    block: Cid
    decision: Decision
    shown: Decision
    max_cost: Micros
    submission: Request
    chain: Chain
    copies: Annotated[tuple[Cid, ...], msgspec.Meta(max_length=512)] = ()
    granted: Granted = msgspec.field(default_factory=dict)
    consent: Cid | None = None


class InquiryFields(AccessFields, frozen=True, kw_only=True):
    """The fields of an ``inquiry``: so many ``stewards`` of this site are asked before the order goes on.

    ``decision`` is the one that waits for them: to compute, or of an output to release. Without an answer until
    ``not_after`` the order goes on no more. ``bus`` is the site whose node brought it. ``examined`` is the record of
    what disclosure control found in the output (:class:`privacy.disclosure.record.Record`), kept at the owner's alone.
    """

    inquiry: Inquiry
    stewards: Annotated[int, msgspec.Meta(ge=1, le=MOST_STEWARDS)]
    not_after: Millis
    bus: Did
    examined: Cid | None = None


class ApprovalFields(Value, frozen=True, kw_only=True):
    """The fields of an ``approval``: what a steward answered to an ``inquiry``, as the signed ``statement`` says.

    Its chain has the datasets of the inquiry, the person who asked and the steward.
    """

    inquiry: Cid
    granted: bool
    until: Millis
    person: Did
    statement: Request
    chain: Chain


class RefusalFields(Value, frozen=True, kw_only=True):
    """The fields of a ``refusal``: an order was refused before policy was asked. It begins no attempt.

    ``order`` was brought and signed by ``bus``, a node of ``site``, which the person's ``submission`` names. What
    stands here of it the person signed for: in the chain are those of its datasets that are inputs of the submission,
    and ``instance`` and ``block`` are null unless they are of its workflow. ``purpose`` is null if the project is not
    known here.
    """

    order: Cid
    site: Did
    bus: Did
    person: Did
    home: Did
    project: ProjectRef
    purpose: DuoTerm | None
    instance: Instance | None
    block: Cid | None
    reason: Text
    submission: Request
    chain: Chain


class UnwrittenFields(Value, frozen=True, kw_only=True):
    """The fields of ``unwritten``: from here on what the node of ``site`` asked for was refused without a row."""

    site: Did
    chain: Chain


class Kept(Value, frozen=True, kw_only=True):
    """An output as the site that holds it knows it: the receipt shows less until it is released."""

    output: Output
    cid: Cid
    size: Index
    form: Form
    label: Label
    name: Annotated[str, msgspec.Meta(max_length=255)]


class Complaint(Value, frozen=True, kw_only=True):
    """The end of what a command that failed wrote to standard error, held as an output would be."""

    cid: Cid
    size: Index
    label: Label


class ResultFields(Value, frozen=True, kw_only=True):
    """The fields of a ``result``: how the intent at ``intent`` ended, and what is held of it.

    ``reason`` is what the receipt says; ``detail`` says more (an exit code) and stays in the body. Where stewards are
    asked whether outputs may leave, those are in ``waits``, and a second result follows their answers. Where nothing
    ran, for the same was made before in the same project, ``memo`` is the order that it was made for. ``errors`` is
    there where a command failed and said anything. ``offer`` is the entry of the catalog here by which it was charged.
    """

    order: Cid
    instance: Instance
    intent: Index
    status: Status
    kept: Annotated[dict[OutputName, Kept], msgspec.Meta(max_length=256)]
    spent: Spent | None
    cost: Micros
    reason: Text
    detail: Text
    chain: Chain
    waits: Annotated[tuple[OutputName, ...], msgspec.Meta(max_length=256)] = ()
    memo: Cid | None = None
    errors: Complaint | None = None
    offer: Index | None = None

    @property
    def held(self) -> list[tuple[Cid, Label]]:
        """All that this site holds of the order, each with its label."""
        held = [(kept.cid, kept.label) for kept in self.kept.values()]
        return held if self.errors is None else [*held, (self.errors.cid, self.errors.label)]


class ReleaseFields(Value, frozen=True, kw_only=True):
    """The fields of a ``release``: ``value`` gains ``added``, under the policy at ``policy`` in the owner's catalog.

    The owner writes it before its receipt leaves (``source``), the site whose bus got the receipt when it arrives
    (``recipient``), with the owner's signed ``statement``, the ``place`` of the order in the owner's audit log and the
    ``project``, which at the owner's stands in the order's intent. ``site`` is the other of the two. ``consent`` is the
    inquiry that stewards of the owner answered before, ``examined`` a record as in an inquiry: of what the value tells.

    Where another site made the value, the owner released it on that site's signed report: then both of them have the
    bytes of that in ``reported``, both have the ``statement`` and name the ``project``, and there is no ``place``, for
    the order was none to the owner.
    """

    order: Cid
    output: OutputName
    handle: Handle
    value: Cid
    added: Annotated[tuple[Reader, ...], msgspec.Meta(max_length=256)]
    policy: Index
    decision: Decision | None
    report: Text
    chain: Chain
    side: Side
    site: Did
    statement: Release | None = None
    place: Index | None = None
    project: ProjectRef | None = None
    consent: Cid | None = None
    reported: Request | None = None
    examined: Cid | None = None


class FetchFields(Value, frozen=True, kw_only=True):
    """The fields of a ``fetch``: bytes under ``root`` went to the node of ``site``, or to ``person`` here.

    ``request`` is what they signed to get them: the other site's node, or the person. A site that got bytes from
    ``site`` writes the same as ``recipient``, without it. ``project`` is the one that the bytes are held or brought
    for; none where they are for nobody's alone: data and blocks that a catalog publishes.
    """

    root: Cid
    site: Did
    person: Did | None
    chain: Chain
    side: Side = Side.SOURCE
    request: SignedRequest | None = None
    project: ProjectRef | None = None


class KeyReleaseFields(Value, frozen=True, kw_only=True):
    """The fields of a ``key-release``: the header of the shared dataset ``root``, sealed for ``reader``.

    ``reader`` is a site's node, or ``PERSON@SITE``. ``person`` is on whose word: who opens the data, or whose
    submission a step carries out; none where a custodian gets the key. It went to the node of ``site``, whose signed
    ``request`` had the body ``asked``; or to a person of this very site, who signed ``request``. A site that got one
    from ``site`` writes the same as ``recipient``, without ``request`` and ``decision``, before it is used.
    """

    root: Cid
    reader: Reader
    site: Did
    person: Did | None
    project: ProjectRef | None
    chain: Chain
    side: Side = Side.SOURCE
    asked: Annotated[bytes, msgspec.Meta(min_length=1, max_length=48 << 10)] | None = None
    request: SignedRequest | None = None
    decision: Decision | None = None


class WithheldFields(Value, frozen=True, kw_only=True):
    """The fields of ``withheld``: ``site``, or ``person`` there, asked for the bytes under ``root`` and got none.

    With ``key`` it was the data key of a shared dataset. ``request`` and ``asked`` are as in ``fetch`` and
    ``key-release``; ``reason`` says why, which whoever asked was not told. The row is written after the answer.
    """

    root: Cid
    site: Did
    person: Did | None
    project: ProjectRef | None
    key: bool
    reason: Text
    chain: Chain
    asked: Annotated[bytes, msgspec.Meta(min_length=1, max_length=48 << 10)] | None = None
    request: SignedRequest | None = None


class ReadFields(Value, frozen=True, kw_only=True):
    """The fields of a ``read``: ``person`` asked the audit log the signed ``question``, which ``rows`` rows answer.

    ``reason`` says why none do where the person may not ask it; else it is empty.
    """

    person: Did
    home: Did
    question: Request
    rows: Index
    reason: Text
    chain: Chain


class HeadsFields(Value, frozen=True, kw_only=True):
    """The fields of ``heads``: the last row of every chain below ``upto``, as the root of a map of ``count`` subjects.

    The map is :class:`catalog.headmap.HeadMap`. ``chain`` is empty.
    """

    root: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    count: Index
    upto: Index
    chain: Chain


class EntryFields(Value, frozen=True, kw_only=True):
    """The fields of a row about an entry (:data:`NOTED`): ``actor`` wrote one of that kind into this site's catalog.

    ``entry`` is its index there, ``body`` the CID of its signed body. ``grant`` is the grant that was given or revoked,
    ``project`` the one that it is for, or that was approved; an approval that is ``withdrawn`` is none any more. Its
    chain has the datasets of the grant, or of an approval those of the project that this site publishes. Of a grant
    that this site cannot see, or not any more, neither project nor datasets are known.
    """

    entry: Index
    body: Cid
    actor: Did
    chain: Chain
    grant: Cid | None = None
    project: ProjectRef | None = None
    withdrawn: bool = False


class DestroyFields(Value, frozen=True, kw_only=True):
    """The fields of a ``destroy``: what was held for a project that ended is gone from this site.

    ``values`` counts outputs and copies, ``nodes`` and ``bytes`` what was removed from disk with them.
    """

    project: ProjectRef
    values: Index
    nodes: Index
    bytes: Index
    chain: Chain


class EraseFields(Value, frozen=True, kw_only=True):
    """The fields of an ``erase``, written before it is done: the entry at ``withdraw`` in the catalog of ``site``
    took back ``places`` bodies.
    """

    site: Did
    withdraw: Index
    places: Index
    chain: Chain


class HaltFields(Value, frozen=True, kw_only=True):
    """The fields of ``halt`` and ``resume``: nothing is begun, released or handed out for what is halted.

    It is ``project``, or everything that concerns the member ``member``, or, with neither, all. ``statement`` is what
    the steward signed. A site that was restored has none: it starts halted under its root's ``reopening``, if its
    audit log needed one, and ``delivered`` are instances whose results only others still have the receipts of.
    """

    project: ProjectRef | None
    member: Did | None
    reason: Text
    statement: Request | None
    chain: Chain
    reopening: Request | None = None
    delivered: Annotated[tuple[Instance, ...], msgspec.Meta(max_length=256)] = ()


def halted(project: ProjectRef | None, member: Did | None, name: Callable[[str], str]) -> str:
    """What a halt is about, for people, who know members by what ``name`` gives for a root key."""
    scopes = [f"the project «{project.name}»"] if project is not None else []
    scopes += [f"everything of {name(member)}"] if member is not None else []
    return " and ".join(scopes) or "everything"


AccountFields = (
    AccessFields
    | InquiryFields
    | ApprovalFields
    | RefusalFields
    | UnwrittenFields
    | ResultFields
    | ReleaseFields
    | FetchFields
    | KeyReleaseFields
    | WithheldFields
    | ReadFields
    | HeadsFields
    | EntryFields
    | DestroyFields
    | EraseFields
    | HaltFields
)

ACCOUNTS: dict[str, type[AccountFields]] = {
    "intent": AccessFields,
    "decision": AccessFields,
    "inquiry": InquiryFields,
    "approval": ApprovalFields,
    "refusal": RefusalFields,
    "unwritten": UnwrittenFields,
    "result": ResultFields,
    "release": ReleaseFields,
    "fetch": FetchFields,
    "key-release": KeyReleaseFields,
    "withheld": WithheldFields,
    "read": ReadFields,
    "heads": HeadsFields,
    "grant": EntryFields,
    "revoke": EntryFields,
    "policy": EntryFields,
    "approve": EntryFields,
    "destroy": DestroyFields,
    "erase": EraseFields,
    "halt": HaltFields,
    "resume": HaltFields,
}
"""The kinds of audit leaf that this version writes."""

NOTED: Final = frozenset({"grant", "revoke", "policy", "approve"})
"""Kinds of catalog entry that the node notes in its audit log when it writes them."""
