"""Many runs of a whole consortium, each from a seed that decides everything; see world.py for what goes wrong.

Every day those of the first 300 are run that have each pair of troubles; ``COMITY_SEEDS=1000`` runs so many, all of
them, and ``COMITY_SEED=17`` one alone, as the message of a failing one says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.fork import check_fork
from tests.simulation.covering import covering
from tests.simulation.world import Troubles, World

ROOT = Path(__file__).parents[2]
REPLAY = "COMITY_SEED={} python -m pytest tests/simulation/test_seeds.py -k every_invariant"


def seeds() -> Sequence[int]:
    """Those to run now."""
    if "COMITY_SEED" in os.environ:
        return [int(os.environ["COMITY_SEED"])]
    if "COMITY_SEEDS" in os.environ:
        return range(int(os.environ["COMITY_SEEDS"]))
    return covering(range(300))


@pytest.mark.parametrize("seed", seeds())
def test_every_invariant_holds(seed: int) -> None:
    """Else some order of messages and crashes opens data unrecorded, pays twice, or tells what is not released."""
    world = World(seed)
    try:
        world.run()
    except Exception as error:
        error.add_note("\n".join([str(world.troubles), *world.scheduler.trace.last, f"replay: {REPLAY.format(seed)}"]))
        raise


def test_the_runs_do_something() -> None:
    """Else the invariants hold because nothing happens: in peace a willing consortium delivers every shard."""
    world = World(3, Troubles(hospitals=3, wholesome=True, copies=1, stewards=3))
    world.run()
    (record,) = world.consortium.institute.disk.journal.kept.values()
    seen = world.watch.seen
    assert (record.state.value, record.reason) == ("done", "")
    assert seen["opened"] == seen["intent"] == seen["result done"] >= 2 * 3 + 1
    assert seen["release"] >= 3
    assert seen["cosigned"] > 12


@pytest.mark.parametrize("once", [True, False])
def test_messages_that_come_twice_alone_fail_nothing(once: bool) -> None:
    """Else a copy of an order, verified beside its twin, is answered with a refusal that ends the submission."""
    for seed in range(4):
        world = World(seed, Troubles(wholesome=True, doubled=0.9, delay=20, once=once, copies=1, stewards=0))
        world.run()
        (record,) = world.consortium.institute.disk.journal.kept.values()
        assert (record.state.value, record.reason) == ("done", "")


@pytest.mark.parametrize("seed", range(8))
def test_a_bus_that_was_killed_goes_on_where_it_stood(seed: int) -> None:
    """Else a hospital that comes back meanwhile shifts the shards, and a result is pooled twice or not at all."""
    troubles = Troubles(hospitals=3, wholesome=True, lost=0.4, delay=500, kills=8, danger="journal", copies=1)
    World(seed, replace(troubles, submissions=3, stewards=0)).run()


def test_a_fork_is_proven_to_all_and_stops_its_owner_and_nobody_else() -> None:
    """Else a member that keeps two histories goes on with whoever has met one of them alone."""
    world = World(1, Troubles(hospitals=3, wholesome=True, liar=True, submissions=2))
    world.run()
    liar = world.consortium.liar
    assert liar is not None
    for site in world.consortium.honest:
        forks = site.disk.memory.accused.values()
        assert {fork.origin.partition("/")[0] for fork in forks} == {liar.did}
        for fork in forks:
            check_fork(fork, [liar.node.did])
        index = world.nodes[site.did].index
        assert [other.root for other in index.sites.values() if other.stale] == [liar.did]
    assert [each.state.value for each in world.consortium.institute.disk.journal.kept.values()] == ["done", "done"]


def test_what_was_not_heard_of_for_too_long_is_denied_with_the_reason() -> None:
    """Else a hospital that is cut off from whoever vouches for a researcher never knows that it no longer does."""
    world = World(0, Troubles(wholesome=True, tight=True, mute=True, submissions=18))
    world.run()
    reasons = [record.reason for record in world.consortium.institute.disk.journal.kept.values()]
    assert reasons[0] == ""
    assert "nothing fresh was heard from Institute for" in reasons[-1]
    assert world.watch.seen["decision"]


def test_a_seed_replays_exactly_in_another_process() -> None:
    """Else a failure that was found once is never seen again; Python's own hashing may not decide anything."""
    program = "from tests.simulation.world import World; print(World(7).run())"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hashing},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hashing in ("1", "2")
    }
    assert hashes == {World(7).run() + "\n"}
    assert World(8).run() + "\n" not in hashes
