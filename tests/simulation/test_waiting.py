"""A release that no quorum can cosign waits, names for whom, over a restart too, and then takes effect."""

from __future__ import annotations

import pytest

from catalog.error import NotFound
from node.automator.ledger import Attempt
from node.bus.journal import WAITING, State
from tests.simulation.node import Node
from tests.simulation.world import MINUTE, Troubles, World
from workflow.receipt import Status

HOURS = 60 * MINUTE


def waiting(world: World, node: Node) -> Attempt:
    """The attempt that is done at a site, by its log, and was not told of yet."""
    (attempt,) = (each for each in node.ledger.ended() if each.result is not None)
    assert attempt.result is not None
    assert attempt.result.status is Status.DONE
    return attempt


def pass_time(world: World, minutes: int) -> None:
    until = world.scheduler.now + minutes * MINUTE
    world.scheduler.run(lambda: world.scheduler.now >= until, until + MINUTE)


def test_a_release_waits_for_its_quorum_over_a_restart_and_then_takes_effect() -> None:
    """Lost: a hospital that forks has released to one half of the consortium before the other half can say so."""
    world = World(5, Troubles(wholesome=True, stewards=0))
    world._begin()
    anna, bruno = world.consortium.hospitals
    institute = world.consortium.institute
    assert world.scheduler.run(lambda: anna.did in world.nodes and bool(world.watch.accounts[anna.did].intents), HOURS)
    world.network.weather.cut.add(frozenset((anna.did, bruno.did)))
    pass_time(world, 3)
    for run in range(2):
        node = world.nodes[anna.did]
        attempt = waiting(world, node)
        receipt = node.automator.standing(attempt.access.order)
        assert receipt is not None
        assert receipt.status is Status.ACCEPTED
        assert receipt.reason.startswith("done; its release waits for cosignatures by ")
        assert "St. Bruno" in receipt.reason
        assert receipt.outputs == {}
        assert attempt.result is not None
        (kept,) = attempt.result.kept.values()
        with pytest.raises(NotFound):
            node.holdings.for_site(kept.cid, institute.did)
        if run == 0:
            world.scheduler.kill(node.process)
            world._start(anna)
            pass_time(world, 2)
    (record,) = institute.disk.journal.kept.values()
    assert WAITING in {refusal.kind for refusal in record.refusals if "St. Bruno" in refusal.reason}
    world.network.weather.cut.clear()
    assert world.scheduler.run(world._all_ended, 2 * HOURS)
    (record,) = institute.disk.journal.kept.values()
    assert (record.state, record.reason) == (State.DONE, "")
    world.nodes[anna.did].holdings.for_site(kept.cid, institute.did)
    world.scheduler.close()
