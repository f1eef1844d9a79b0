"""A release that no quorum can cosign waits, names for whom, over a restart too, and then takes effect."""

from __future__ import annotations

import pytest

from catalog.beat import BeatFields
from catalog.dagcbor import cid_of
from catalog.error import NotFound
from catalog.revoke import RevokeFields
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


PEACE = Troubles(wholesome=True, stewards=0)


def parted(troubles: Troubles = PEACE) -> tuple[World, Node, Attempt]:
    """St. Anna has released to the institute, and St. Bruno, whose cosignature that needs, is cut off from her."""
    world = World(5, troubles)
    world._begin()
    anna, bruno = world.consortium.hospitals
    assert world.scheduler.run(lambda: anna.did in world.nodes and bool(world.watch.accounts[anna.did].intents), HOURS)
    world.network.weather.cut.add(frozenset((anna.did, bruno.did)))
    pass_time(world, 3)
    node = world.nodes[anna.did]
    return world, node, waiting(world, node)


def revoke(world: World, node: Node) -> None:
    """St. Anna's steward takes the researcher's grant back."""
    grant = node.site.grant
    assert grant is not None
    fields = RevokeFields(grant=cid_of(grant), reason="the vote was withdrawn")
    world.scheduler.spawn(node.process, "revoke", node.publish("revoke", str(cid_of(grant)), fields))
    pass_time(world, 1)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_release_whose_grant_is_revoked_while_it_waits_is_held(restarted: bool) -> None:
    """Lost: what a steward took back on Tuesday leaves on Thursday, because a witness was away on Wednesday."""
    world, node, attempt = parted()
    if restarted:
        world.scheduler.kill(node.process)
        world._start(node.site)
        pass_time(world, 2)
        node = world.nodes[node.site.did]
    order = attempt.access.order
    revoke(world, node)
    held = node.automator.standing(order)
    assert held is not None
    assert held.status is Status.HELD  # nobody needs to cosign that nothing leaves
    assert held.outputs["result"].cid is None
    assert "the grant was revoked: «the vote was withdrawn»" in held.outputs["result"].reason
    world.network.weather.cut.clear()
    assert world.scheduler.run(world._all_ended, 2 * HOURS)
    (record,) = world.consortium.institute.disk.journal.kept.values()
    assert "the vote was withdrawn" in record.reason
    (kept,) = node.ledger.attempt(order).result.kept.values()  # type: ignore[union-attr]
    with pytest.raises(NotFound):
        node.holdings.for_site(kept.cid, world.consortium.institute.did)
    assert node.site.disk.memory.releases == {}
    world.scheduler.close()


def test_what_took_effect_stays_released_whatever_is_revoked_later() -> None:
    """Lost: a site says of one order today that it was done and tomorrow that it was held, which proves it a liar."""
    world, node, attempt = parted()
    world.network.weather.cut.clear()
    assert world.scheduler.run(world._all_ended, 2 * HOURS)
    revoke(world, node)
    world.scheduler.kill(node.process)
    world._start(node.site)
    pass_time(world, 2)
    node = world.nodes[node.site.did]
    receipt = node.automator.standing(attempt.access.order)
    assert receipt is not None
    assert receipt.status is Status.DONE
    (kept,) = attempt.result.kept.values()  # type: ignore[union-attr]
    node.holdings.for_site(kept.cid, world.consortium.institute.did)
    world.scheduler.close()


def test_a_release_waits_on_until_it_is_known_again_that_its_grant_stands() -> None:
    """Lost: a site that was cut off lets out what was taken back meanwhile, or holds for good what was not."""
    world, node, attempt = parted(Troubles(wholesome=True, stewards=0, tight=True, mute=True))
    pass_time(world, 6)
    world.network.weather.cut.clear()
    pass_time(world, 2)
    receipt = node.automator.standing(attempt.access.order)
    assert receipt is not None
    assert receipt.status is Status.ACCEPTED
    assert receipt.reason.startswith("done; its release waits: nothing fresh was heard from Institute for")
    institute = world.nodes[world.consortium.institute.did]
    world.scheduler.spawn(institute.process, "beat", institute.say("beat", "", BeatFields()))
    pass_time(world, 2)
    receipt = node.automator.standing(attempt.access.order)
    assert receipt is not None
    assert receipt.status is Status.DONE
    world.scheduler.close()
