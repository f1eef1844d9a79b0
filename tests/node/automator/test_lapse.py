"""Whether what a grant let in may go on: each way in which a grant stands no more must be found, and told."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from catalog.cid import Cid
from catalog.grant import Action
from catalog.withdraw import WithdrawFields
from node.automator.case import Reliance
from node.automator.decide import Judge, Lapse
from privacy.decision import Action as Asked
from tests.privacy.test_grant import (
    ANNA,
    BLOCK,
    CONSORTIUM,
    DATA,
    HMB,
    HOME,
    LAST,
    MARA,
    NOW,
    OTHER,
    OWNER,
    OWNERS_STEWARD,
    PROJECT,
    World,
    below,
)


class Heard:
    """Everybody was heard just now; not of late enough to release anything, if that is ``silent``."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self.asked: set[str] = set()

    def refusal(self, action: Asked, sites: Iterable[str]) -> str:
        self.asked = set(sites)
        return "nothing fresh was heard" if self.silent and action == "release" else ""

    def now(self) -> int:
        return NOW


def lapse(
    world: World, let_in: Cid | None, *cited: Cid, action: Asked = "release", heard: Heard | None = None, now: int = NOW
) -> Lapse | None:
    """What the owner finds: ``let_in`` is the grant that let the data in, if one did; it was cited with the others."""
    granted = {} if let_in is None else {str(DATA): let_in}
    rests = Reliance(
        consortium=CONSORTIUM,
        person=ANNA.did,
        home=HOME.did,
        project=PROJECT,
        purpose=HMB,
        block=BLOCK,
        cited=(*granted.values(), *cited),
        readers=frozenset({HOME.did}),
        granted=granted,
    )
    judge = Judge(world.index.site(OWNER.did), world.index, "the owner", "", heard or Heard())
    return judge.lapse(rests, action, now)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("action", ["compute", "release"])
def test_what_a_standing_grant_let_in_goes_on(world: World, action: Asked) -> None:
    """Else nothing ever leaves."""
    heard = Heard()
    assert lapse(world, world.root(), action=action, heard=heard) is None
    assert heard.asked == {OWNER.did, HOME.did}, "who speaks for the person, the project and the grant must be heard"


def test_where_no_grant_let_anything_in_none_is_asked_for(world: World) -> None:
    """Else a policy that lets a site's own people in without one holds everything that they make."""
    assert lapse(world, None) is None
    assert lapse(world, None, world.root(actions=(Action.SEE,))) is None


def _revoked(world: World, grant: Cid) -> None:
    assert world.revoke(grant, OWNER, OWNERS_STEWARD)


def _erased(world: World, grant: Cid) -> None:
    own = world.index.site(OWNER.did)
    entry = own.latest("grant", str(grant))
    assert entry is not None
    fields = WithdrawFields(places=(entry.index,))
    assert world.add(OWNER, "withdraw", fields.subject, fields, OWNERS_STEWARD)


@pytest.mark.parametrize(
    ("undo", "reason"),
    [
        (_revoked, "the grant was revoked: «it is over»"),
        (_erased, "the grant that let the data in is not to be found any more"),
    ],
)
def test_what_a_grant_let_in_that_is_gone_does_not_go_on(
    world: World, undo: Callable[[World, Cid], None], reason: str
) -> None:
    """Else what a steward takes back leaves all the same, by a step that had begun."""
    grant = world.root()
    undo(world, grant)
    for action in ("compute", "release"):
        assert lapse(world, grant, action=action) == Lapse(reason, for_good=True)  # type: ignore[arg-type]


def test_an_expired_grant_lets_nothing_out(world: World) -> None:
    assert lapse(world, world.root(), now=LAST + 1) == Lapse("the grant has expired", for_good=True)


def test_one_link_that_is_revoked_ends_what_hangs_on_it(world: World) -> None:
    """Else whoever got a grant passed on keeps more than whoever passed it on."""
    first = world.root(subject=MARA.did)
    passed_on = world.grant(below(first, MARA, ANNA), MARA)
    assert lapse(world, passed_on) is None
    _revoked(world, first)
    found = lapse(world, passed_on)
    assert found is not None
    assert found.reason == "the grant was revoked: «it is over»"


def test_to_compute_is_not_to_release(world: World) -> None:
    """Else a grant says more than its actions do."""
    grant = world.root(actions=(Action.SEE, Action.COMPUTE))
    assert lapse(world, grant, action="compute") is None
    assert lapse(world, grant) == Lapse("the grant does not cover «release»", for_good=True)


def test_another_cited_grant_that_covers_it_is_as_good(world: World) -> None:
    """Else a grant cannot be renewed while work goes on; but only the owner's own counts."""
    first, second = world.root(), world.root(not_after=LAST - 1)
    _revoked(world, first)
    assert lapse(world, first, second) is None
    assert lapse(world, first, world.grant(below(first, ANNA, MARA), ANNA)) is not None


def test_readers_whom_the_grant_does_not_name_get_nothing(world: World) -> None:
    found = lapse(world, world.root(destinations=(OTHER.did,)))
    assert found == Lapse("the grant names other destinations", for_good=True)


def test_who_was_not_heard_within_the_bound_is_waited_for(world: World) -> None:
    """Else a site that is cut off holds for good what stands, or lets out what was taken back where it cannot see."""
    assert lapse(world, world.root(), heard=Heard(silent=True)) == Lapse("nothing fresh was heard", for_good=False)
