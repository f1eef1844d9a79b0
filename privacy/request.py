"""The question that is put to a policy: who asks for what, and the facts that were checked before.

Every fact here was established by the node that decides; a policy never sees a claim. Sites and persons are
``did:key`` text. A step with several inputs asks once for each, and runs if all are allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from privacy.decision import Action


@dataclass(frozen=True, slots=True)
class PersonAsker:
    """A person enrolled by ``site`` in some of the roles researcher, steward, auditor.

    ``claims`` are what counts of them (:func:`privacy.claim.claim_facts`), each as ``TYPE VALUE``.
    """

    did: str
    site: str
    roles: frozenset[str]
    claims: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SiteAsker:
    """A site's node that asks for itself; its one role is «node»."""

    site: str


Asker = PersonAsker | SiteAsker


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A dataset by its name outside (a CID). ``level`` is open, shared or resident; ``purposes`` are DUO terms."""

    name: str
    owner: str
    level: str
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block by its CID, and the site whose catalog shares it."""

    cid: str
    owner: str


@dataclass(frozen=True, slots=True)
class ValueRef:
    """A step's output by its handle, the sites that own a part of it, and its declared type."""

    handle: str
    owners: frozenset[str]
    output_type: str


@dataclass(frozen=True, slots=True)
class AuditRef:
    """The record of who accessed a dataset, by the dataset's name."""

    dataset: str
    owner: str


@dataclass(frozen=True, slots=True)
class RuleRef:
    """A rule of a site's policy by its ``@id``, when the question is who may be told of it."""

    rule: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What every request has.

    ``here`` is the site whose policy decides. ``granted``: a grant of the owner covers asker, thing and action; for a
    value it covers every dataset of ``here`` that the value was made from.
    ``fresh``: what is known of the issuers relied on is recent enough for the action. ``ungranted`` is why there is
    no such grant, for the reason that people read; no rule sees it.
    """

    asker: Asker
    here: str
    granted: bool
    fresh: bool
    ungranted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class See(Question):
    """May the asker know of it? ``reader``: the thing's label names the asker."""

    action: ClassVar[Action] = "see"

    resource: DatasetRef | BlockRef | ValueRef | AuditRef | RuleRef
    reader: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectQuestion(Question):
    """What a request made under a project adds; empty text where there is none (a node that fetches a block).

    ``purpose_matches``: the data may be used for the project's purpose (:func:`privacy.purpose.matches`), and
    ``mismatch`` is why not, for people.
    """

    project: str
    purpose: str
    purpose_matches: bool
    mismatch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch(ProjectQuestion):
    """May the asker have the bytes? ``reader``: the thing's label names the asker."""

    action: ClassVar[Action] = "fetch"

    resource: DatasetRef | BlockRef | ValueRef
    reader: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepQuestion(ProjectQuestion):
    """What a request about a step adds.

    ``block`` is its CID and ``block_signer`` the site that signed it into its catalog. ``endorsed``: the steward
    of the owner endorsed the block for every output type concerned; ``endorsements`` counts the sites whose
    stewards did. ``readers`` are those that the step's outputs should gain. ``runner`` is the runner's name.
    """

    block: str
    block_signer: str
    endorsed: bool
    endorsements: int
    readers: frozenset[str]
    runner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute(StepQuestion):
    """May the step run here on this input? ``reader``: the input's label lets this site hold it."""

    action: ClassVar[Action] = "compute"

    resource: DatasetRef | ValueRef
    reader: bool
    output_types: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(StepQuestion):
    """May the output gain the ``readers``? Its type is the resource's."""

    action: ClassVar[Action] = "release"

    resource: ValueRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(StepQuestion):
    """May this site go by what the asker, a site, reports of an output that it made, and that is this one's in part?

    It says nothing of whether the output may leave: that is asked as :class:`Release`.
    """

    action: ClassVar[Action] = "report"

    resource: ValueRef


Request = See | Fetch | Compute | Release | Report
"""The five questions, one for each action."""
