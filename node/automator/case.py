"""What is asked of a site, and what it rests on: the grants that let data in.

The intent in the audit log names these, so that whoever asks for them again, be it after a restart, asks for the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode
from catalog.dataset import DatasetFields
from catalog.error import Denied, VerificationFailed
from catalog.project import ProjectFields, ProjectRef
from node.automator.ledger import Projection
from node.message import Proof
from node.step import Work
from privacy.grant import Chain
from privacy.trust import Person
from workflow.account import MAX_REQUEST, AccessFields
from workflow.alone import Alone
from workflow.argument import Argument, Data
from workflow.evidence import Evidence
from workflow.submission import Submission


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of this site, checked: who, for what, with which block and inputs, on which data, and where.

    ``granted`` names the grants that let in what steps here made the data of (:class:`Reliance`). ``around`` is what
    the signed text has around the block, ``altered`` are all steps of that text that have something around theirs.
    """

    consortium: Cid
    person: Person
    project: ProjectFields
    ref: ProjectRef
    cited: Sequence[Cid]
    block: Cid
    output_types: frozenset[str]
    readers: frozenset[str]
    data: Sequence[Data]
    evidence: Evidence
    runner: str
    inputs: Mapping[str, Argument] = field(default_factory=dict)
    granted: Mapping[str, Cid] = field(default_factory=dict)
    around: Alone | None = None
    altered: frozenset[str] = frozenset()

    @property
    def work(self) -> Work:
        """What is to be done."""
        return Work(self.block, self.inputs, self.around)

    @property
    def reliance(self) -> Reliance:
        """Who relies on which grants."""
        return Reliance(
            consortium=self.consortium,
            person=self.person.did,
            home=self.person.site,
            project=self.ref,
            purpose=self.project.purpose,
            block=self.block,
            cited=self.cited,
            readers=self.readers,
            granted=self.granted,
        )


def relied(case: Case, data: Iterable[Data], chains: Iterable[Chain | None]) -> set[str]:
    """The sites on whose word a decision rests: those that speak for the person, the project, the data, the grants."""
    owners = {owner for item in data for owner in (item.site, *case.evidence.label(item).owners)}
    granting = {site for chain in chains if chain is not None for site in chain.logs}
    return {case.person.site, case.ref.site, *owners, *granting}


def let_in(ledger: Projection, site: str, proofs: Sequence[Proof]) -> dict[str, Cid]:
    """The grants that let in what the steps at ``site`` that are proven beside an order were given.

    Raises:
        Denied: ``site`` has no account of such a step any more.
    """
    granted: dict[str, Cid] = {}
    for proof in proofs:
        if proof.order.site == site:
            attempt = ledger.attempt(cid_of(proof.order))
            if attempt is None:
                raise Denied("this site has no account any more of a step that it shall go on from; submit again")
            granted |= attempt.access.granted
    return granted


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """The key of a shared ``dataset``, sought for ``reader`` by a person's word, in a project that stands.

    ``asker`` is the site whose node gets it if it is for that node, to run ``block``; none if it is for the person.
    """

    consortium: Cid
    person: Person
    project: ProjectFields
    ref: ProjectRef
    dataset: DatasetFields
    reader: str
    asker: str | None
    block: Cid | None
    cited: Sequence[Cid]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliance:
    """Who relies on the ``cited`` grants, and for what: a project with its purpose, a block, the readers wanted.

    ``granted`` names, for each dataset (its CID as text) that a grant let in, that grant.
    """

    consortium: Cid
    person: str
    home: str
    project: ProjectRef
    purpose: str
    block: Cid | None
    cited: Sequence[Cid]
    readers: frozenset[str]
    granted: Mapping[str, Cid]

    @classmethod
    def of(cls, access: AccessFields, readers: Iterable[str]) -> Reliance:
        """What an intent in the audit log rests on, now that its outputs shall have ``readers``.

        Raises:
            VerificationFailed: it is no intent, which has a purpose.
        """
        if access.purpose is None:
            raise VerificationFailed("a step without a purpose was written down as begun")
        submission = decode(Submission, access.submission, MAX_REQUEST)
        return cls(
            consortium=submission.consortium,
            person=access.person,
            home=access.home,
            project=access.project,
            purpose=access.purpose,
            block=access.block,
            cited=submission.grants,
            readers=frozenset(readers),
            granted=access.granted,
        )
