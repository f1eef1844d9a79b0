"""What a person may ``see`` of the catalogs: the home node's policy, asked once for each class of alike things."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.entry import Entry
from catalog.error import Damaged, Denied, VerificationFailed
from catalog.grant import Action, Grant
from catalog.index import Index
from catalog.label import Label
from catalog.project import ProjectFields
from privacy import decision as deciding
from privacy.claim import claim_facts
from privacy.grant import Logs, chain_of
from privacy.label import effective_readers, person_at
from privacy.policy import Policy, decide
from privacy.request import BlockRef, DatasetRef, PersonAsker, Request, See
from privacy.trust import Person, approved, has_left


class Recency(Protocol):
    """Says whether what is known of a site is recent enough."""

    def refusal(self, action: deciding.Action, sites: Iterable[str]) -> str:
        """Why ``action`` may not rely on ``sites`` now; empty if it may."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """The facts about a thing that an answer can depend on; ``label`` is none where no policy is asked."""

    kind: str
    owner: str
    level: str
    purposes: tuple[str, ...]
    label: Label | None


def likeness(entry: Entry) -> Likeness:
    """What ``entry`` is like."""
    fields = entry.fields
    if isinstance(fields, DatasetFields):
        return Likeness("dataset", entry.site, str(fields.level), fields.purposes, fields.label)
    label = fields.label if isinstance(fields, BlockFields) else None
    return Likeness(entry.body.kind, entry.site, "", (), label)


@dataclass(frozen=True, slots=True)
class Sight:
    """Who looks, under which policy.

    ``askers`` is the person as each owner knows them (claims count from some owners only), ``granted`` the owner and
    CID of each dataset that a grant lets them see, ``unheard`` the owners of whom nothing fresh was heard for too
    long. ``ask`` is how the policy is asked.
    """

    policy: Policy
    here: str
    askers: Mapping[str, PersonAsker]
    granted: frozenset[tuple[str, str]]
    unheard: frozenset[str]
    ask: Callable[[Policy, Request], deciding.Decision] = field(default=decide, compare=False)

    @property
    def person(self) -> str:
        """The key of whoever looks."""
        return self.askers[self.here].did

    def like(self, other: Sight) -> bool:
        """Whether ``other`` sees the same."""
        ours = (self.here, self.askers, self.granted, self.unheard)
        return self.policy is other.policy and ours == (other.here, other.askers, other.granted, other.unheard)


def sight_of(
    person: Person,
    policy: Policy,
    index: Index,
    recency: Recency,
    consortium: Cid,
    grants: Mapping[Cid, Grant],
    now: int,
    ask: Callable[[Policy, Request], deciding.Decision] = decide,
) -> Sight:
    """How ``person`` looks at the catalogs in ``index`` at ``now`` (Unix milliseconds), holding ``grants``."""
    home = index.site(person.site)
    roles = frozenset({str(person.role)})
    askers = {
        root: PersonAsker(person.did, person.site, roles, claim_facts(home, owner, person.did, now))
        for root, owner in index.sites.items()
        if root == person.site or not has_left(index, root)
    }
    # Who left hears nobody any more: what it holds stays readable to it.
    apart = has_left(index, person.site)
    unheard = frozenset(root for root in index.sites if not apart and recency.refusal("see", [root]))
    granted = frozenset(
        (grant.site, str(dataset))
        for cid, grant in grants.items()
        for dataset in _shown_by(index, cid, grant, consortium, now)
    )
    return Sight(policy, person.site, askers, granted, unheard, ask)


def _shown_by(index: Index, cid: Cid, grant: Grant, consortium: Cid, now: int) -> Collection[Cid]:
    """The datasets that a grant shows to its person: those of its project while that goes on with them in it."""
    if Action.SEE not in grant.actions or now > grant.not_after:
        return ()
    ref = grant.project
    try:
        runs = index.sites.get(ref.site)
        project = runs.typed(ProjectFields, "project", ref.name) if runs is not None else None
        if project is None or project.over(now) or grant.subject not in project.people:
            return ()
        if approved(index, ref, grant.site):
            return ()
        chain_of(Logs(index), cid, consortium)
    except (Damaged, Denied, VerificationFailed):
        return ()
    return set(grant.datasets) & set(project.datasets)


class Eye:
    """Answers for one sight; each class of alike things is put to the policy once."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._answers: dict[tuple[object, ...], bool] = {}

    def sees(self, like: Likeness, name: str = "") -> bool:
        """Whether it may see what is like this; ``name`` is there if policy or a grant may tell it from others."""
        sight = self._sight
        asker = sight.askers.get(like.owner)
        if asker is None:
            return False  # no member's, any more
        if like.owner == sight.here and asker.roles & {"steward", "auditor"}:
            return True  # what their own site publishes is theirs to look after
        if like.owner in sight.unheard:
            return False
        if like.label is None:
            return True  # a project: who of the members may know of it is its entry's audience
        readers = effective_readers(like.label)
        reader = readers is None or sight.here in readers or person_at(asker.did, sight.here) in readers
        granted = (like.owner, name) in sight.granted
        facts = (like.kind, like.owner, like.level, like.purposes, reader, name, granted)
        if facts not in self._answers:
            dataset = like.kind == "dataset"
            question = See(
                asker=asker,
                here=sight.here,
                granted=granted,
                fresh=True,
                resource=DatasetRef(name, like.owner, like.level, like.purposes)
                if dataset
                else BlockRef(name, like.owner),
                reader=reader,
            )
            self._answers[facts] = sight.ask(sight.policy, question).allowed
        return self._answers[facts]
