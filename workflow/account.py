"""What a site writes into its audit log about an order: the intent or denial before, the result after, each release.

The chain of a dataset runs backwards through these bodies: each names the index of the one before it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.block import OutputName
from catalog.body import Index
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.dataset import DuoTerm, Text
from catalog.key import Did
from catalog.label import Label, Reader
from catalog.offer import Micros
from catalog.project import ProjectRef
from privacy.decision import Decision
from workflow.argument import Handle
from workflow.order import Instance
from workflow.receipt import Output, Spent, Status
from workflow.submission import Count

Chain = Annotated[dict[str, Index | None], msgspec.Meta(max_length=256)]
"""For each dataset by its CID's text: the index of the previous leaf about it."""


class AccessFields(Value, frozen=True, kw_only=True):
    """The fields of an ``intent`` (written before data open) and of a ``decision`` (a denial).

    ``decision`` is the whole of it, for the steward; ``shown`` is what of it the asker may see.
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
    chain: Chain


class Kept(Value, frozen=True, kw_only=True):
    """An output as the site that holds it knows it: the receipt shows less until it is released."""

    output: Output
    cid: Cid
    size: Index
    label: Label
    name: Annotated[str, msgspec.Meta(max_length=255)]


class ResultFields(Value, frozen=True, kw_only=True):
    """The fields of a ``result``: how the intent at ``intent`` ended, and what is held of it.

    ``reason`` is what the receipt says; ``detail`` says more (an exit code) and stays in the body.
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


class ReleaseFields(Value, frozen=True, kw_only=True):
    """The fields of a ``release``: ``value`` gains ``added``, under the policy at ``policy`` in the catalog log."""

    order: Cid
    output: OutputName
    handle: Handle
    value: Cid
    added: Annotated[tuple[Reader, ...], msgspec.Meta(max_length=256)]
    policy: Index
    decision: Decision
    report: Text
    chain: Chain


class FetchFields(Value, frozen=True, kw_only=True):
    """The fields of a ``fetch``: the node of ``site``, or ``person`` here, was given bytes under ``root``."""

    root: Cid
    site: Did
    person: Did | None
    chain: Chain


class ReadFields(Value, frozen=True, kw_only=True):
    """The fields of a ``read``: a person asked the audit log about ``dataset`` and was given ``rows`` rows."""

    person: Did
    home: Did
    dataset: Cid
    rows: Index
    chain: Chain


AccountFields = AccessFields | ResultFields | ReleaseFields | FetchFields | ReadFields

ACCOUNTS: dict[str, type[AccountFields]] = {
    "intent": AccessFields,
    "decision": AccessFields,
    "result": ResultFields,
    "release": ReleaseFields,
    "fetch": FetchFields,
    "read": ReadFields,
}
"""The kinds of audit leaf that this version writes."""
