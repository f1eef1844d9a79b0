"""Grants given, passed on, widened, taken back and outlived in any order, beside a model that walks chains itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from catalog.cid import Cid
from catalog.grant import Action
from tests.machine import runs
from tests.privacy.test_grant import (
    ANNA,
    DATA,
    HOME,
    HOMES_STEWARD,
    LAST,
    LATER,
    MARA,
    MORE,
    NILS,
    NOW,
    OLGA,
    OWNER,
    OWNERS_STEWARD,
    PIET,
    ROOT,
    World,
    below,
)

PEOPLE = (ANNA, MARA, NILS, OLGA, PIET)
ACTIONS = (Action.SEE, Action.COMPUTE, Action.RELEASE)
SOME_DATA = st.sampled_from(((DATA,), (MORE,), (DATA, MORE)))
SOME_ACTIONS = st.lists(st.sampled_from(ACTIONS), min_size=1, unique=True).map(tuple)
ENDS = st.sampled_from((NOW, LATER, LAST))


@dataclass(eq=False)
class Given:
    """What the model knows of one grant."""

    cid: Cid
    issuer: str
    subject: str
    datasets: frozenset[Cid]
    actions: frozenset[Action]
    not_after: int
    parent: Given | None
    stands: bool
    at_home: bool
    revoked: bool = field(default=False)

    def chain(self) -> list[Given]:
        return [self, *(self.parent.chain() if self.parent else [])]

    def holds(self, subject: str, dataset: Cid, action: Action, now: int) -> bool:
        chain = self.chain()
        whole = len(chain) <= 4 and all(each.stands and not each.revoked for each in chain)
        narrowing = all(
            lower.issuer == upper.subject
            and lower.datasets <= upper.datasets
            and lower.actions <= upper.actions
            and lower.not_after <= upper.not_after
            for lower, upper in pairwise(chain)
        )
        asked = subject == self.subject and dataset in self.datasets and action in self.actions
        return whole and narrowing and asked and now <= self.not_after


class GrantMachine(RuleBasedStateMachine):
    """One owner, one home site with five people, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.given: dict[Cid, Given] = {}
        self.now = NOW

    def keep(self, cid: Cid, **known: object) -> None:
        """The same grant written once more is the same grant; it stands if it ever did."""
        made = Given(cid, **known)
        before = self.given.setdefault(cid, made)
        before.stands |= made.stands

    @rule(subject=st.sampled_from(PEOPLE), datasets=SOME_DATA, actions=SOME_ACTIONS, end=ENDS, own=st.booleans())
    def give(self, subject, datasets, actions, end, own) -> None:
        """By the owner's steward in the owner's log, or by the home's in the home's, who has nothing to give."""
        steward, site = (OWNERS_STEWARD, OWNER) if own else (HOMES_STEWARD, HOME)
        root = structs.replace(
            ROOT, issuer=steward.did, subject=subject.did, datasets=datasets, actions=actions, not_after=end, claims=()
        )
        cid = self.world.grant(root, steward, site)
        self.keep(
            cid,
            issuer=steward.did,
            subject=subject.did,
            datasets=frozenset(datasets),
            actions=frozenset(actions),
            not_after=end,
            parent=None,
            stands=own,
            at_home=not own,
        )

    @precondition(lambda self: self.given)
    @rule(
        data=st.data(),
        issuer=st.sampled_from(PEOPLE),
        subject=st.sampled_from(PEOPLE),
        datasets=SOME_DATA,
        actions=SOME_ACTIONS,
        end=ENDS,
        right=st.booleans(),
    )
    def pass_on(self, data, issuer, subject, datasets, actions, end, right) -> None:
        """Of any grant, by anybody, with anything in it; half of the time what its holder may."""
        parent = self.given[data.draw(st.sampled_from(list(self.given)))]
        if right:
            issuer = next(each for each in PEOPLE if each.did == parent.subject)
            datasets = tuple(each for each in datasets if each in parent.datasets) or tuple(sorted(parent.datasets))
            actions = tuple(each for each in actions if each in parent.actions) or tuple(sorted(parent.actions))
            end = min(end, parent.not_after)
        grant = below(parent.cid, issuer, subject, datasets=datasets, actions=actions, not_after=end, claims=())
        cid = self.world.grant(grant, issuer, HOME)
        self.keep(
            cid,
            issuer=issuer.did,
            subject=subject.did,
            datasets=frozenset(datasets),
            actions=frozenset(actions),
            not_after=end,
            parent=parent,
            stands=True,
            at_home=True,
        )

    @precondition(lambda self: self.given)
    @rule(data=st.data(), by=st.sampled_from((OWNERS_STEWARD, HOMES_STEWARD, *PEOPLE)))
    def revoke(self, data, by) -> None:
        """By the owner's steward any grant, by a person what that person issued; nobody else's word ends one."""
        grant = self.given[data.draw(st.sampled_from(list(self.given)))]
        if by is OWNERS_STEWARD:
            counts = self.world.revoke(grant.cid, OWNER, by)
            assert counts
            grant.revoked = True
        elif by is HOMES_STEWARD:
            # A home's steward ends what stands in the home's own log, and no grant of the owner.
            assert self.world.revoke(grant.cid, HOME, by)
            grant.revoked |= grant.at_home and grant.parent is not None
        else:
            assert not self.world.revoke(grant.cid, HOME, by)  # that is a steward's word
            assert self.world.revoke(grant.cid, HOME, by, issuer=by)
            grant.revoked |= by.did == grant.issuer

    @rule(now=ENDS)
    def time_passes(self, now) -> None:
        self.now = max(self.now, now + 1 if now == NOW else now)

    @precondition(lambda self: self.given)
    @rule(
        data=st.data(),
        subject=st.sampled_from(PEOPLE),
        dataset=st.sampled_from((DATA, MORE)),
        action=st.sampled_from(ACTIONS),
    )
    def ask(self, data, subject, dataset, action) -> None:
        grant = self.given[data.draw(st.sampled_from(list(self.given)))]
        reason = self.world.reason(grant.cid, subject, dataset=dataset, action=action, now=self.now)
        assert (not reason) == grant.holds(subject.did, dataset, action, self.now), reason

    @invariant()
    def every_grant_gives_its_subject_what_the_model_says(self) -> None:
        """Lost: an owner's data to somebody whom no steward of theirs, through whatever hands, gave them."""
        for grant in self.given.values():
            subject = next(each for each in PEOPLE if each.did == grant.subject)
            dataset, action = min(grant.datasets), min(grant.actions)
            reason = self.world.reason(grant.cid, subject, dataset=dataset, action=action, now=self.now)
            assert (not reason) == grant.holds(grant.subject, dataset, action, self.now), reason


GrantMachine.TestCase.settings = runs(15, 20)
TestGrantMachine = GrantMachine.TestCase
