"""Plans made better by OR-tools, beside the event loop."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings

from catalog.error import BadInput
from node.planning.linear import relaxed
from node.planning.pipe import Found, Wanted, line, read_found, read_wanted
from node.planning.rounding import rounded
from node.planning.solver import Solver
from tests.workflow.plan.problems import limited, problems, seeded, tiny
from tests.workflow.plan.test_heft import orders
from workflow.plan.heft import attempts, best, heft
from workflow.plan.problem import Candidate, Objective, Place, Problem, Task, faults

SECONDS = 8.0


def optimum(problem: Problem) -> int | None:
    """The best of every schedule that there is to choose from; none if none keeps the limits."""
    found = [
        made.worth(problem.objective)[0]
        for chosen in product(*(task.candidates for task in problem.tasks))
        for made in orders(problem, chosen)
        if not faults(problem, made)
    ]
    return min(found, default=None)


@given(problems)
def test_no_schedule_is_better_than_the_linear_programs_bound(problem: Problem) -> None:
    """Lost: a gap of 2 % is told of a plan that is 10 % from the best, or a plan better than the best is told."""
    tried = [*attempts(problem), *attempts(problem.limited(problem.deadline, problem.budget, Objective.COST))]
    for objective in Objective:
        for made in tried:
            limits = problem.limited(made.finish, made.cost, objective)
            solution = relaxed(limits, 10)
            assert solution is not None
            assert solution.bound <= made.worth(objective)[0]


@given(tiny)
@settings(max_examples=40)
def test_the_best_schedule_of_all_is_not_better_than_the_bound(problem: Problem) -> None:
    """Lost: a bound that our own schedules keep and another one breaks."""
    for objective in Objective:
        asked = problem.limited(None, None, objective)
        solution, least = relaxed(asked, 10), optimum(asked)
        assert solution is not None
        assert least is not None
        assert solution.bound <= least


@given(limited())
@settings(max_examples=40)
def test_what_is_made_of_the_linear_program_keeps_the_limits(problem: Problem) -> None:
    """Lost: what the program packs in parts is taken for a plan."""
    for made in rounded(problem.limited(problem.deadline, problem.budget, Objective.COST), lambda: 1.0):
        assert faults(problem, made) == []


@pytest.mark.parametrize(("seed", "objective"), [(3, Objective.FINISH), (4, Objective.COST), (11, Objective.FINISH)])
def test_small_problems_are_solved_to_the_optimum_and_proven(seed: int, objective: Objective) -> None:
    """Lost: the model is not the problem, so that its proofs prove nothing."""
    problem = seeded(seed, tasks=4, sites=2).limited(60, None, objective)
    least = optimum(problem)
    found = trio.run(Solver().improve, problem, best(problem), SECONDS)
    assert found.schedule is not None
    assert found.schedule.worth(objective)[0] == least == found.bound


def test_that_nothing_keeps_the_limits_is_proven() -> None:
    """Lost: what cannot be is looked for until the time is over, and nobody is told why."""
    one = (Candidate(0, 10, 1),)
    problem = Problem((Task("a", (), one), Task("b", (), one)), (Place("x", 1),), deadline=19)
    found = trio.run(Solver().improve, problem, None, SECONDS)
    assert found.impossible
    assert found.schedule is None


def test_it_takes_no_longer_than_it_is_given_and_leaves_no_process() -> None:
    """Lost: a person who gave five seconds waits for a minute, or the node fills with processes."""
    problem = seeded(1, tasks=200, sites=8).limited(2_000, None, Objective.COST)
    first = heft(problem)

    async def timed() -> float:
        began = trio.current_time()
        found = await Solver().improve(problem, first, 1.0)
        assert found.schedule is not None
        return trio.current_time() - began

    assert trio.run(timed) < 1.6
    assert children() == set()


def test_whoever_stops_waiting_ends_the_process() -> None:
    """Lost: a cancelled plan goes on computing."""
    problem = seeded(1, tasks=200, sites=8).limited(2_000, None, Objective.COST)

    async def stopped() -> None:
        with trio.move_on_after(0.7):
            await Solver().improve(problem, None, 60.0)

    trio.run(stopped)
    assert children() == set()


def test_a_process_that_has_no_memory_left_loses_nothing_that_was_there(caplog: pytest.LogCaptureFixture) -> None:
    """Lost: a large plan takes the node's memory, or its end takes the plan."""
    problem = seeded(2, tasks=60, sites=4).limited(None, None, Objective.FINISH)
    first = heft(problem)
    found = trio.run(Solver(memory_mib=300).improve, problem, first, SECONDS)
    assert found.schedule is not None
    assert faults(problem, found.schedule) == []
    assert "the solver ended with" in caplog.text


def test_a_plan_waits_for_its_turn_within_its_own_time() -> None:
    """Lost: a hundred people who plan at once start a hundred solvers."""
    problem = seeded(1, tasks=100, sites=4).limited(2_000, None, Objective.COST)
    counted: list[int] = []

    async def looking() -> None:
        while True:
            counted.append(len(children()))
            await trio.sleep(0.01)

    async def many() -> None:
        solver = Solver()
        async with trio.open_nursery() as watching:
            watching.start_soon(looking)
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(solver.improve, problem, None, 2.0)
            watching.cancel_scope.cancel()

    trio.run(many)
    assert max(counted) == 2


@given(limited())
def test_what_goes_through_the_pipe_comes_back_the_same(problem: Problem) -> None:
    """Lost: the process solves another problem than was asked."""
    wanted = Wanted(problem, best(problem), 1.5, 100, 2)
    assert read_wanted(line(wanted)) == wanted
    found = Found(7, best(problem), impossible=True)
    assert read_found(line(found)) == found


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"bound":"x"}'])
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        read_found(data)
    with pytest.raises(BadInput):
        read_wanted(data)


def children() -> set[int]:
    """The solvers that this process started and that still are; other tests may have left it others of its own."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
        if "node.planning" in _command(pid)
    }


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
