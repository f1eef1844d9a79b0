"""What is planned once a member is relied on no more, or has left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from catalog.cid import Cid
from catalog.error import Denied, Infeasible
from catalog.keyring import Charter
from privacy.trust import blocks_at
from tests.adversary.stage import TEXT, Stage
from tests.simulation.consortium import CIDS
from workflow.argument import Many
from workflow.plan import Plan


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    Stage.playing.remove(made)
    made.scheduler.close()


def planned(stage: Stage) -> Plan:
    """The institute's plan for the data of both hospitals."""
    data = Many(items=(stage.data(stage.anna), stage.data(stage.bruno)))
    bus = stage.nodes[stage.institute.did].bus
    return stage.play(bus.plan(TEXT, {"data": data}, stage.consortium.names))[1]


def leave(stage: Stage, root: str) -> None:
    """As the institute's node goes by an epoch without that member."""
    index = stage.nodes[stage.institute.did].index.site(root)
    index.govern(Charter(((0, root),), left=index.size))
    index.stop("it left the consortium in epoch 1", "epoch")


def test_no_order_is_planned_over_the_data_of_a_site_that_left(stage: Stage) -> None:
    """Lost: a submission waits for a site that nobody talks to any more, and says that it does not answer."""
    assert {each.site for each in planned(stage).steps} >= {stage.anna.did, stage.bruno.did}
    leave(stage, stage.bruno.did)
    name = stage.consortium.names[stage.bruno.did]
    with pytest.raises(Denied, match=f"is not offered any more: its site, {name}, left the consortium"):
        planned(stage)


def test_a_site_that_left_or_is_suspended_is_chosen_for_nothing_and_the_plan_says_why(stage: Stage) -> None:
    leave(stage, stage.mallory.did)
    why = {(each.site, each.reason) for step in planned(stage).steps for each in step.elsewhere}
    assert (stage.mallory.did, "it left the consortium in epoch 1") in why
    stage.nodes[stage.institute.did].index.site(stage.bruno.did).stop("its members suspended it in epoch 2", "epoch")
    name = stage.consortium.names[stage.bruno.did]
    with pytest.raises(Infeasible, match=f"{name}: its members suspended it in epoch 2"):
        planned(stage)


def test_a_block_that_only_a_site_that_left_shares_is_offered_to_nobody_but_itself(stage: Stage) -> None:
    """Lost: an order is made for code that nobody can fetch; or a site that left cannot read its own blocks."""
    index = stage.nodes[stage.institute.did].index
    block: Cid = CIDS["count"]
    sharing = {entry.site for entry in blocks_at(index, block, stage.anna.did)}
    assert sharing
    for root in sharing:
        leave(stage, root)
    assert blocks_at(index, block, stage.anna.did) == [
        entry for entry in blocks_at(index, block, stage.anna.did) if entry.site == stage.anna.did
    ]
    assert {entry.site for root in sharing for entry in blocks_at(index, block, root)} == sharing
