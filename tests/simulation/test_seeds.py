"""Many runs of a whole consortium, each from a seed that decides everything; see world.py for what goes wrong.

``COMITY_SEEDS=500`` runs more of them, ``COMITY_SEED=17`` one alone, as the message of a failing one says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.world import Troubles, World

SEEDS = (
    [int(os.environ["COMITY_SEED"])] if "COMITY_SEED" in os.environ else range(int(os.environ.get("COMITY_SEEDS", 50)))
)
ROOT = Path(__file__).parents[2]
REPLAY = "COMITY_SEED={} python -m pytest tests/simulation/test_seeds.py -k every_invariant"


@pytest.mark.parametrize("seed", SEEDS)
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
        world = World(seed, Troubles(wholesome=True, doubled=0.9, delay=20, once=once, copies=1))
        world.run()
        (record,) = world.consortium.institute.disk.journal.kept.values()
        assert (record.state.value, record.reason) == ("done", "")


@pytest.mark.parametrize("seed", range(8))
def test_a_bus_that_was_killed_goes_on_where_it_stood(seed: int) -> None:
    """Else a hospital that comes back meanwhile shifts the shards, and a result is pooled twice or not at all."""
    troubles = Troubles(hospitals=3, wholesome=True, lost=0.4, delay=500, kills=8, danger="journal", copies=1)
    World(seed, replace(troubles, submissions=3, stewards=0)).run()


def test_a_fork_leaves_evidence_with_the_others() -> None:
    """Else a member that keeps two histories is refused, and nobody can prove why."""
    world = World(1, Troubles(hospitals=3, liar=True, submissions=2))
    world.run()
    accused = [origin for site in world.consortium.honest for origin, _ in site.disk.memory.accused]
    assert accused
    assert world.consortium.liar is not None
    assert all(origin.startswith(world.consortium.liar.did) for origin in accused)


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
