"""Why there is no plan."""

from __future__ import annotations

from hypothesis import given

from tests.workflow.plan.problems import limited, seeded
from workflow.plan.conflict import Ask, Budget, Conflict, Deadline, Lift, Stuck, conflicts
from workflow.plan.heft import attempts, feasible
from workflow.plan.problem import Barred, Candidate, Objective, Place, Problem, Rule, Task, never, within


def found_in(problem: Problem) -> bool:
    """Whether a plan is found, by the heuristics of either objective."""
    return not never(problem) and any(
        feasible(problem.limited(problem.deadline, problem.budget, objective)) for objective in Objective
    )


def lifted(problem: Problem, lifts: tuple[Lift, ...]) -> Problem:
    deadline, budget = problem.deadline, problem.budget
    for lift in lifts:
        match lift:
            case Deadline(millis):
                deadline = (deadline or 0) + millis
            case Budget(micros):
                budget = (budget or 0) + micros
            case Ask():
                rules = frozenset(number for number, rule in enumerate(problem.rules) if rule.ask == lift.ask)
                problem = problem.without(rules)
    return problem.limited(deadline, budget, problem.objective)


def only(problem: Problem, lifts: tuple[Lift, ...]) -> Problem:
    """The problem under the constraints of a conflict alone, all others away."""
    kept = {lift.ask for lift in lifts if isinstance(lift, Ask)}
    dropped = frozenset(number for number, rule in enumerate(problem.rules) if rule.ask not in kept)
    return problem.without(dropped).limited(
        problem.deadline if any(isinstance(lift, Deadline) for lift in lifts) else None,
        problem.budget if any(isinstance(lift, Budget) for lift in lifts) else None,
        problem.objective,
    )


@given(limited())
def test_a_conflict_is_one_and_none_of_its_members_can_be_left_out(problem: Problem) -> None:
    """Lost: a person is told to ask for what changes nothing, or is not told all that stands in the way."""
    told = conflicts(problem)
    assert not isinstance(told, Stuck)
    if not told:
        assert found_in(problem)
        return
    for conflict in told:
        assert not found_in(only(problem, conflict.lifts))
        for number in range(len(conflict.lifts)):
            rest = (*conflict.lifts[:number], *conflict.lifts[number + 1 :])
            # Sets that were found without more constraints prove it for those with fewer.
            assert reachable(problem, rest)


@given(limited())
def test_one_lift_lifts_the_conflict_if_it_is_the_only_one(problem: Problem) -> None:
    """Lost: the deadline that a person is told to give is refused as well."""
    told = conflicts(problem)
    assert not isinstance(told, Stuck)
    for lift in told[0].lifts if len(told) == 1 else ():
        assert reachable(lifted(problem, (lift,)), told[0].lifts)


def reachable(problem: Problem, lifts: tuple[Lift, ...]) -> bool:
    """Whether a schedule keeps these constraints: of any problem that has fewer candidates, or stricter limits."""
    relaxed = only(problem, lifts)
    if found_in(relaxed):
        return True
    rules = range(len(problem.rules))
    subsets = [frozenset(n for n in rules if mask >> n & 1) for mask in range(1 << len(problem.rules))]
    budgets = {relaxed.budget, problem.budget}
    for subset in subsets:
        part = problem.without(subset)
        if never(part):
            continue
        kept = {rule.ask for n, rule in enumerate(problem.rules) if n not in subset}
        if not {lift.ask for lift in lifts if isinstance(lift, Ask)} <= kept:
            continue
        for deadline in {relaxed.deadline, problem.deadline}:
            for budget in budgets:
                for objective in Objective:
                    if any(within(relaxed, each) for each in attempts(part.limited(deadline, budget, objective))):
                        return True
    return False


def simple(deadline: int | None, budget: int | None) -> Problem:
    """One task of 10 ms for 5 at a, of 4 ms for 9 at b, where it may not run unless c, who is asked, allows it."""
    rule = Rule(1, "the data are resident at c", "ask c to allow b to read the data")
    task = Task("one", (), (Candidate(0, 10, 5),), (Barred(0, Candidate(1, 4, 9)),))
    return Problem((task,), (Place("a", 1), Place("b", 1)), (rule,), deadline=deadline, budget=budget)


ASKED = Ask("b", "the data are resident at c", "ask c to allow b to read the data")


def test_a_deadline_that_another_site_would_keep_is_a_conflict_with_its_rule() -> None:
    """Lost: nobody learns that a steward's word would do."""
    assert conflicts(simple(6, 20)) == (Conflict((Deadline(4), ASKED), proven=True),)


def test_a_deadline_that_no_site_keeps_stands_alone() -> None:
    assert conflicts(simple(3, 20)) == (Conflict((Deadline(7),), proven=True),)


def test_a_deadline_that_has_passed_says_how_much_later_it_must_be() -> None:
    """Lost: a deadline in the past is a crash, or a plan."""
    assert conflicts(simple(-60_000, 20)) == (Conflict((Deadline(60_010),), proven=True),)


def test_a_budget_of_nothing_says_what_is_needed() -> None:
    """Lost: a budget of 0 is taken for no budget."""
    assert conflicts(simple(100, 0)) == (Conflict((Budget(5),), proven=True),)


def test_deadline_and_budget_that_both_bind_are_two_conflicts() -> None:
    """Lost: a person lifts the one and is refused for the other, which was known before."""
    assert set(conflicts(simple(3, 2))) == {
        Conflict((Deadline(7),), proven=True),
        Conflict((Budget(3),), proven=True),
    }


def test_a_task_that_may_run_nowhere_names_each_steward_who_could_allow_it() -> None:
    task = Task("one", (), (), (Barred(0, Candidate(0, 10, 5)), Barred(1, Candidate(1, 10, 5))))
    rules = (Rule(0, "not shared", "ask x"), Rule(1, "not shared", "ask y"))
    problem = Problem((task,), (Place("a", 1), Place("b", 1)), rules)
    (conflict,) = conflicts(problem) if not isinstance(conflicts(problem), Stuck) else ()
    assert {lift.ask for lift in conflict.lifts if isinstance(lift, Ask)} == {"ask x", "ask y"}
    assert conflict.proven


def test_what_nobody_can_allow_is_told_as_that() -> None:
    """Lost: a person asks for what cannot be given."""
    task = Task("one", (), (), (Barred(0),))
    rule = Rule(0, "it left the consortium in epoch 1")
    assert conflicts(Problem((task,), (Place("a", 1),), (rule,))) == Stuck(("one",))


def test_what_can_be_planned_has_no_conflict() -> None:
    assert conflicts(simple(10, 5)) == ()
    assert conflicts(seeded(1)) == ()
