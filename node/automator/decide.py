"""Deciding an order: the facts as this site established them, put to its own policy once for each input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

from msgspec import structs

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.dataset import DatasetFields
from catalog.error import Damaged
from catalog.grant import Action
from catalog.index import Index, SiteIndex
from catalog.key import short
from catalog.label import Label
from catalog.member import Role
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from node.automator.case import Case, Reliance, Sought, relied
from node.automator.endorsing import Endorsing
from node.automator.fulfil import fulfilled
from privacy import decision as deciding
from privacy.claim import claim_facts
from privacy.decision import Decision
from privacy.disease import Diseases, standard
from privacy.duty import NO_DUTIES, Duties, strictest
from privacy.fault import PolicyFaults
from privacy.grant import DAMAGED, Chain, Logs, Wanted, covering, named_by
from privacy.label import effective_readers, may_hold
from privacy.modifier import Use
from privacy.nearest import hint
from privacy.policy import Policy, told
from privacy.purpose import mismatch
from privacy.request import (
    BlockRef,
    Compute,
    DatasetRef,
    Fetch,
    PersonAsker,
    Release,
    Report,
    Request,
    SiteAsker,
    ValueRef,
)
from privacy.schema import plain
from privacy.trust import OTHER_DATA, Person, approved
from workflow.argument import Data


@dataclass(frozen=True, slots=True)
class Lapse:
    """Why what a step rests on does not stand; if not ``for_good``, more has to be heard of who speaks for it."""

    reason: str
    for_good: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and what of it the asker may be shown: no facts, and a rule's name only if policy lets it be seen.

    ``granted`` names the grants that it rests on (:class:`Reliance`).
    """

    decision: Decision
    shown: Decision
    granted: Mapping[str, Cid] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """Whether the policy allows it."""
        return self.decision.allowed

    @property
    def stewards(self) -> int:
        """How many stewards must say so too."""
        return self.decision.duties.approvals if self.decision.allowed else 0

    def under(self, duties: Duties) -> Verdict:
        """The same under these duties: those of all inputs."""
        decision, shown = (structs.replace(each, duties=duties) for each in (self.decision, self.shown))
        return replace(self, decision=decision, shown=shown)

    def denied(self, reason: str) -> Verdict:
        """The same, denied after all."""
        said = {"allowed": False, "reason": reason, "duties": NO_DUTIES}
        return Verdict(structs.replace(self.decision, **said), structs.replace(self.shown, **said))


class Recency(Protocol):
    """Says whether what is known of other sites is recent enough (:class:`node.replicate.freshness.Freshness`)."""

    def refusal(self, action: deciding.Action, sites: Iterable[str]) -> str:
        """Why ``action`` may not rely on ``sites`` now; empty if it may."""

    def now(self) -> int:
        """Unix milliseconds, which never go back."""


class Judge:
    """Decides at the site ``here`` with the policy that stands in its own catalog."""

    def __init__(
        self,
        here: SiteIndex,
        index: Index,
        name: str,
        floor: str,
        recency: Recency,
        diseases: Diseases | None = None,
        aggregator: Cid | None = None,
    ) -> None:
        self.endorsing = Endorsing(here, index, aggregator)
        self._here = here
        self._index = index
        self._name = name
        self._floor = floor
        self.recency = recency
        self._diseases = diseases or standard()
        self._parsed: tuple[str, Policy] | None = None
        self.faults = PolicyFaults(recency.now)

    def govern(self, floor: str) -> None:
        """The consortium's floor is ``floor`` from now on."""
        if floor != self._floor:
            self._floor, self._parsed = floor, None

    def policy(self) -> Policy:
        """The policy in force today; its version is its index in the catalog log, and none permits nothing.

        Raises:
            BadInput: the published text is not a policy of this version.
        """
        entry = self._here.latest("policy", "")
        text = entry.fields.text if entry is not None and isinstance(entry.fields, PolicyFields) else ""
        version = str(entry.index) if entry is not None else "none"
        if self._parsed is None or self._parsed[0] != version:
            self._parsed = version, Policy.parse(text, site=self._name, version=version, floor=self._floor)
        self._parsed = version, self._parsed[1].on(self.recency.now())
        return self._parsed[1]

    def is_steward(self, did: str) -> bool:
        """Whether that key is one of a steward of this site, now."""
        enrolled = self._here.key(did)
        return enrolled is not None and enrolled.role is Role.STEWARD

    def compute(self, case: Case, now: int) -> Verdict:
        """May the step run here? The first input that is refused decides; a step without data is asked about too."""
        rests, granted = case.reliance, dict(case.granted)
        lapse = self.lapse(rests, "compute", now) if rests.granted else None
        verdicts = []
        for data in case.data or (None,):
            chain, ungranted = self._granting(rests, data, now)
            request, overdue = self._compute(case, data, chain, ungranted, now)
            refusal = lapse.reason if lapse is not None else overdue
            verdict = self._verdict(request, refusal)
            verdicts.append(verdict if refusal else self._hinted(request, verdict))
            if data is not None and chain is not None:
                granted[str(data.cid)] = cid_of(chain.grant)
        refused = next((verdict for verdict in verdicts if not verdict.allowed), None)
        decided = refused or verdicts[-1].under(strictest(each.decision.duties for each in verdicts))
        return replace(decided, granted=granted)

    def lapse(self, rests: Reliance, action: deciding.Action, now: int) -> Lapse | None:
        """Why nothing made of what grants let in goes on to ``action`` now; none if each is covered by one still.

        Asked whatever policy says: a grant that was taken back takes all with it that was not released before.
        """
        sites, logs = {rests.home, rests.project.site}, Logs(self._index)
        for dataset, grant in rests.granted.items():
            try:
                held = logs.held(grant)
            except Damaged:
                return Lapse(DAMAGED, for_good=False)
            if not held:
                return Lapse("the grant that let the data in is not to be found any more", for_good=True)
            chain, why = self._covering(rests, held[0].grant.site, Cid.parse(dataset), Action(action), now)
            if chain is None:
                return Lapse(why, for_good=why != DAMAGED)
            sites |= {held[0].grant.site, *chain.logs}
        overdue = self.recency.refusal(action, sites)
        return Lapse(overdue, for_good=False) if overdue else None

    def fetch(
        self,
        root: Cid,
        asker: str,
        owners: frozenset[str],
        project: ProjectRef | None,
        publisher: str | None = None,
    ) -> Decision:
        """May the node of the site ``asker`` have the bytes under ``root``, whose label names it?

        ``owners`` are the sites that own a part of it, ``project`` is the one that it is held for; none if a catalog
        publishes it: that of ``publisher``, or the one here. A node that asks for itself has no grant, and no purpose
        but the project's.
        """
        catalog = self._here if publisher is None else self._index.site(publisher)
        published = catalog.typed(DatasetFields, "dataset", str(root)) if project is None else None
        unfit = "it is fetched for no project" if published is not None and published.purposes else ""
        overdue = self.recency.refusal("fetch", {asker, *owners})
        runs = self._index.sites.get(project.site) if project is not None else None
        terms = runs.typed(ProjectFields, "project", project.name) if runs is not None and project is not None else None
        request = Fetch(
            asker=SiteAsker(asker),
            here=self._here.root,
            granted=False,
            fresh=not overdue,
            resource=self._fetched(root, publisher or self._here.root, published, owners, project),
            reader=True,
            project=project.name if project is not None else "",
            purpose=terms.purpose if terms is not None else "",
            purpose_matches=not unfit,
            mismatch=unfit,
        )
        return self._verdict(request, overdue).decision

    def header(self, sought: Sought, now: int) -> Verdict:
        """May the reader have the key of a shared dataset of this site?

        A key that is given is not taken back. So whatever policy says, the label must name the reader, the owner have
        approved the project, a grant cover it, and the purpose fit.
        """
        fields, home = sought.dataset, sought.person.site
        chain, ungranted = self._granted(sought, now)
        named = named_by(chain.grant, home) if chain is not None else frozenset[str]()
        use = Use(purpose=sought.project.purpose, undertakings=sought.project.undertakings, named=named, now=now)
        unfit = mismatch(fields.purposes, use, self._diseases)
        reader = sought.reader in (effective_readers(fields.label) or ())
        logs = chain.logs if chain is not None else frozenset[str]()
        overdue = self.recency.refusal("fetch", {home, sought.ref.site, *logs})
        request = Fetch(
            asker=SiteAsker(sought.asker)
            if sought.asker
            else self._asker(sought.person, self._here.root, [chain], now),
            here=self._here.root,
            granted=chain is not None,
            ungranted=ungranted,
            fresh=not overdue,
            resource=DatasetRef(str(fields.cid), self._here.root, str(fields.level), fields.purposes),
            reader=reader,
            project=sought.ref.name,
            purpose=sought.project.purpose,
            purpose_matches=not unfit,
            mismatch=unfit,
        )
        unnamed = "" if reader else "the label names no such reader"
        unlisted = "" if sought.project.covers([fields.cid]) else OTHER_DATA
        unapproved = approved(self._index, sought.ref, self._here.root)
        return self._verdict(request, overdue or unnamed or unlisted or unapproved or ungranted or unfit)

    def _granted(self, sought: Sought, now: int) -> tuple[Chain | None, str]:
        """The cited grant that covers it: «compute» for a step, «fetch» for the person, at whose site it arrives."""
        rests = Reliance(
            consortium=sought.consortium,
            person=sought.person.did,
            home=sought.person.site,
            project=sought.ref,
            purpose=sought.project.purpose,
            block=sought.block,
            cited=sought.cited,
            readers=frozenset() if sought.asker else frozenset({sought.reader}),
            granted={},
        )
        owner, cid = self._here.root, sought.dataset.cid
        if sought.asker:
            return self._covering(rests, owner, cid, Action.COMPUTE, now)
        chain, why = self._covering(rests, owner, cid, Action.FETCH, now)
        if chain is None:
            rests = replace(rests, readers=frozenset({sought.person.site}))
            chain, why = self._covering(rests, owner, cid, Action.FETCH, now)
        return chain, why

    @staticmethod
    def _fetched(
        root: Cid, publisher: str, published: DatasetFields | None, owners: frozenset[str], project: ProjectRef | None
    ) -> DatasetRef | BlockRef | ValueRef:
        if published is not None:
            return DatasetRef(str(root), publisher, str(published.level), published.purposes)
        return BlockRef(str(root), publisher) if project is None else ValueRef(str(root), owners, "")

    def release(self, case: Case, label: Label, handle: str, output_type: str, now: int) -> Verdict:
        """May the output gain the readers that the order wants?"""
        return self._verdict(*self._release(case, label, handle, output_type, now))

    def report(self, case: Case, label: Label, handle: str, output_type: str, holder: str, now: int) -> Verdict:
        """Does this site go by what ``holder`` reports of an output that it made? Whether that leaves is not asked."""
        asked, overdue = self._release(case, label, handle, output_type, now)
        told = {each.name: getattr(asked, each.name) for each in fields(asked)}
        return self._verdict(Report(**told | {"asker": SiteAsker(holder)}), overdue)

    def _release(self, case: Case, label: Label, handle: str, output_type: str, now: int) -> tuple[Release, str]:
        """The question, and why what it relies on is too old; empty if it is not."""
        found = {
            cid: self._covering(case.reliance, self._here.root, cid, Action.RELEASE, now) for cid in self._own(case)
        }
        ungranted = next((why for _, why in found.values() if why), "")
        unfit = [
            self._mismatch(case, data, found[data.cid][0] if data.cid in found else None, now) for data in case.data
        ]
        overdue = self.recency.refusal("release", relied(case, case.data, [chain for chain, _ in found.values()]))
        endorsed = self.endorsing.vouched(case, {output_type})
        request = Release(
            asker=self._asker(case.person, self._here.root, [chain for chain, _ in found.values()], now),
            here=self._here.root,
            granted=not ungranted,
            ungranted=ungranted,
            fresh=not overdue,
            resource=ValueRef(handle, frozenset(label.owners), output_type),
            project=case.project.name,
            purpose=case.project.purpose,
            purpose_matches=not any(unfit),
            mismatch=next(filter(None, unfit), ""),
            block=str(case.block),
            block_signer=self._signer(case.block),
            endorsed=endorsed,
            endorsements=self.endorsing.endorsements(case, {output_type}),
            readers=case.readers,
            runner=case.runner,
        )
        return request, overdue

    def _verdict(self, request: Request, refusal: str) -> Verdict:
        """What policy says; and a denial, whatever it says, if what is relied on is too old or does not stand."""
        policy = self.policy()
        decision = fulfilled(self.faults.decide(policy, request))
        if refusal:
            decision = structs.replace(decision, allowed=False, rules=(), reason=refusal, duties=NO_DUTIES)
            return Verdict(decision, structs.replace(decision, facts={}))
        line = told(policy, decision, request)
        rules = decision.rules if line == decision.reason else ()
        return Verdict(decision, structs.replace(decision, facts={}, rules=rules, reason=line))

    def _hinted(self, request: Request, verdict: Verdict) -> Verdict:
        """The same; a denial whose reason its asker is told says what would allow it too, as far as they see."""
        if verdict.allowed or verdict.shown.reason != verdict.decision.reason:
            return verdict
        told = hint(self.policy(), request, lambda site: self._name if site == self._here.root else short(site))
        reason = f"{verdict.shown.reason}; {told}" if told else verdict.shown.reason
        return replace(verdict, shown=structs.replace(verdict.shown, reason=plain(reason, 1000)))

    def _granting(self, rests: Reliance, data: Data | None, now: int) -> tuple[Chain | None, str]:
        """The grant that lets ``data`` in, which count from its owner alone, or why none does."""
        return (None, "") if data is None else self._covering(rests, data.site, data.cid, Action.COMPUTE, now)

    def _compute(
        self, case: Case, data: Data | None, chain: Chain | None, ungranted: str, now: int
    ) -> tuple[Compute, str]:
        """The question, and why what it relies on is too old; empty if it is not."""
        unfit = self._mismatch(case, data, chain, now) if data is not None else ""
        overdue = self.recency.refusal("compute", relied(case, [] if data is None else [data], [chain]))
        request = Compute(
            asker=self._asker(case.person, data.site if data is not None else self._here.root, [chain], now),
            here=self._here.root,
            granted=chain is not None,
            ungranted=ungranted,
            fresh=not overdue,
            resource=self._resource(case, data),
            reader=data is None or may_hold(case.evidence.label(data), self._here.root),
            project=case.project.name,
            purpose=case.project.purpose,
            purpose_matches=not unfit,
            mismatch=unfit,
            block=str(case.block),
            block_signer=self._signer(case.block),
            endorsed=self.endorsing.vouched(case, case.output_types),
            endorsements=self.endorsing.endorsements(case, case.output_types),
            readers=case.readers,
            runner=case.runner,
            output_types=case.output_types,
        )
        return request, overdue

    def _resource(self, case: Case, data: Data | None) -> DatasetRef | ValueRef:
        if data is None:
            return ValueRef("", frozenset(), "")
        dataset = case.evidence.dataset(data)
        if dataset is not None:
            return DatasetRef(str(data.cid), data.site, str(dataset.level), dataset.purposes)
        made = case.evidence.made(data)
        kind = made[-1].output.type if made else ""
        return ValueRef(str(data.cid), frozenset(case.evidence.label(data).owners), kind)

    def _own(self, case: Case) -> list[Cid]:
        """The datasets of this site that the data were made from."""
        return sorted({cid for data in case.data for cid in case.evidence.owned(data, self._here.root)})

    def _covering(
        self, rests: Reliance, owner: str, dataset: Cid, action: Action, now: int
    ) -> tuple[Chain | None, str]:
        """The cited grant that covers ``action`` on a dataset of ``owner``, or why none does."""
        wanted = Wanted(
            owner=owner,
            subject=rests.person,
            project=rests.project,
            dataset=dataset,
            purpose=rests.purpose,
            action=action,
            block=rests.block,
            destinations=rests.readers,
        )
        return covering(
            self._index,
            rests.cited,
            wanted,
            consortium=rests.consortium,
            home=rests.home,
            diseases=self._diseases,
            now=now,
        )

    def _mismatch(self, case: Case, data: Data, chain: Chain | None, now: int) -> str:
        """Why the project's purpose does not fit ``data``; empty if it does."""
        dataset: DatasetFields | None = case.evidence.dataset(data)
        if dataset is None:
            return ""  # a value computed under this very submission carries its datasets' purposes with it
        use = Use(
            purpose=case.project.purpose,
            undertakings=case.project.undertakings,
            named=named_by(chain.grant, case.person.site) if chain is not None else frozenset(),
            now=now,
        )
        return mismatch(dataset.purposes, use, self._diseases)

    def _asker(self, person: Person, owner: str, chains: Iterable[Chain | None], now: int) -> PersonAsker:
        """The person, with the claims that count before the owner of what is asked for."""
        granted = [claim for chain in chains if chain is not None for claim in chain.grant.claims]
        claims = claim_facts(self._index.site(person.site), self._index.site(owner), person.did, now, granted)
        return PersonAsker(person.did, person.site, frozenset({str(person.role)}), claims)

    def _signer(self, block: Cid) -> str:
        entry = self._index.by_subject("block", str(block))
        return entry.site if entry is not None and isinstance(entry.fields, BlockFields) else ""
