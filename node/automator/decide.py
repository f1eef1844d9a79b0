"""Deciding an order: the facts as this site established them, put to its own policy once for each input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import structs

from catalog.block import BlockFields, EndorseFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.grant import Action, Grant
from catalog.index import Index, SiteIndex
from catalog.label import Label
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from privacy.decision import Decision
from privacy.grant import covers, issued
from privacy.label import may_hold
from privacy.policy import Policy, decide, told
from privacy.purpose import matches
from privacy.request import Compute, DatasetRef, PersonAsker, Release, Request, ValueRef
from privacy.trust import Person
from workflow.argument import Data
from workflow.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of this site, checked: who, for what, with which block, on which data."""

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


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and what of it the asker may be shown: no facts, and a rule's name only if policy lets it be seen."""

    decision: Decision
    shown: Decision

    @property
    def allowed(self) -> bool:
        """Whether the policy allows it."""
        return self.decision.allowed


class Judge:
    """Decides at the site ``here`` with the policy that stands in its own catalog."""

    def __init__(self, here: SiteIndex, index: Index, name: str, floor: str) -> None:
        self._here = here
        self._index = index
        self._name = name
        self._floor = floor
        self._parsed: tuple[str, Policy] | None = None

    def policy(self) -> Policy:
        """The policy now in force; its version is its index in the catalog log, and none permits nothing.

        Raises:
            BadInput: the published text is not a policy of this version.
        """
        entry = self._here.latest("policy", "")
        text = entry.fields.text if entry is not None and isinstance(entry.fields, PolicyFields) else ""
        version = str(entry.index) if entry is not None else "none"
        if self._parsed is None or self._parsed[0] != version:
            self._parsed = version, Policy.parse(text, site=self._name, version=version, floor=self._floor)
        return self._parsed[1]

    def compute(self, case: Case, now: int) -> Verdict:
        """May the step run here? The first input that is refused decides; a step without data is asked about too."""
        verdicts = [self._verdict(self._compute(case, data, now)) for data in case.data or (None,)]
        return next((verdict for verdict in verdicts if not verdict.allowed), verdicts[-1])

    def release(self, case: Case, label: Label, handle: str, output_type: str, now: int) -> Verdict:
        """May the output gain the readers that the order wants?"""
        reasons = [self._refusal(case, data, Action.RELEASE, now) for data in self._own(case.data)]
        endorsed = self.endorsed(case.block, {output_type})
        request = Release(
            asker=_asker(case.person),
            here=self._here.root,
            granted=not any(reasons),
            fresh=True,
            resource=ValueRef(handle, frozenset(label.owners), output_type),
            project=case.project.name,
            purpose=case.project.purpose,
            purpose_matches=all(self._purpose_matches(case, data) for data in case.data),
            block=str(case.block),
            block_signer=self._signer(case.block),
            endorsed=endorsed,
            endorsements=self._endorsements(case.block, {output_type}),
            readers=case.readers,
            runner=case.runner,
        )
        return self._verdict(request)

    def _verdict(self, request: Request) -> Verdict:
        policy = self.policy()
        decision = decide(policy, request)
        line = told(policy, decision, request)
        rules = decision.rules if line == decision.reason else ()
        return Verdict(decision, structs.replace(decision, facts={}, rules=rules, reason=line))

    def endorsed(self, block: Cid, types: Iterable[str], by: SiteIndex | None = None) -> bool:
        """Whether a steward of this site (or of ``by``) endorsed ``block`` for all of these output types."""
        endorsement = (by or self._here).typed(EndorseFields, "endorse", str(block))
        return endorsement is not None and not endorsement.withdrawn and set(types) <= set(endorsement.output_types)

    def _compute(self, case: Case, data: Data | None, now: int) -> Compute:
        return Compute(
            asker=_asker(case.person),
            here=self._here.root,
            granted=data is not None and not self._refusal(case, data, Action.COMPUTE, now),
            # What is relied on here is this site's own log; freshness of other issuers comes with revocation.
            fresh=True,
            resource=self._resource(case, data),
            reader=data is None or may_hold(case.evidence.label(data), self._here.root),
            project=case.project.name,
            purpose=case.project.purpose,
            purpose_matches=data is None or self._purpose_matches(case, data),
            block=str(case.block),
            block_signer=self._signer(case.block),
            endorsed=self.endorsed(case.block, case.output_types),
            endorsements=self._endorsements(case.block, case.output_types),
            readers=case.readers,
            runner=case.runner,
            output_types=case.output_types,
        )

    def _resource(self, case: Case, data: Data | None) -> DatasetRef | ValueRef:
        if data is None:
            return ValueRef("", frozenset(), "")
        dataset = case.evidence.dataset(data)
        if dataset is not None:
            return DatasetRef(str(data.cid), data.site, str(dataset.level), dataset.purposes)
        made = case.evidence.made(data)
        kind = made[-1].output.type if made else ""
        return ValueRef(str(data.cid), frozenset(case.evidence.label(data).owners), kind)

    def _own(self, data: Iterable[Data]) -> list[Data]:
        return [item for item in data if item.site == self._here.root]

    def _refusal(self, case: Case, data: Data, action: Action, now: int) -> str:
        """Why no grant covers ``action`` on ``data``; empty if one does. Grants count from the data's owner alone."""
        owner = self._index.site(data.site)
        grants: list[Grant] = issued(owner, case.cited)
        reasons = [
            covers(
                grant,
                subject=case.person.did,
                project=case.ref,
                dataset=data.cid,
                purpose=case.project.purpose,
                action=action,
                block=case.block,
                destinations=case.readers,
                now=now,
            )
            for grant in grants
        ]
        return "no grant was cited" if not reasons else "" if "" in reasons else reasons[0]

    def _purpose_matches(self, case: Case, data: Data) -> bool:
        dataset: DatasetFields | None = case.evidence.dataset(data)
        # A value computed under this very submission carries its datasets' purposes with it.
        return dataset is None or matches(dataset.purposes, case.project.purpose)

    def _signer(self, block: Cid) -> str:
        entry = self._index.by_subject("block", str(block))
        return entry.site if entry is not None and isinstance(entry.fields, BlockFields) else ""

    def _endorsements(self, block: Cid, types: Iterable[str]) -> int:
        wanted = set(types)
        return sum(self.endorsed(block, wanted, site) for site in self._index.sites.values())


def _asker(person: Person) -> PersonAsker:
    return PersonAsker(person.did, person.site, frozenset({str(person.role)}))
