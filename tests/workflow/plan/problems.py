"""Problems to plan: drawn by Hypothesis, and by a seed where many tasks are needed."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from workflow.plan.problem import Barred, Candidate, Edge, Objective, Place, Problem, Rule, Task


def seeded(seed: int, tasks: int = 8, sites: int = 3, barred: float = 0.2) -> Problem:
    """A problem without limits, of small numbers."""
    random = Random(seed)
    places = tuple(Place(f"site {number}", random.choice((1, 1, 2, 3))) for number in range(sites))
    rules = tuple(Rule(number, f"data may not go to site {number}", f"ask site {number}") for number in range(sites))
    made = []
    for number in range(tasks):
        options = [Candidate(site, random.randint(1, 30), random.randint(0, 20)) for site in range(sites)]
        kept = [each for each in options if random.random() > barred]
        kept = kept or options[:1]
        befores = random.sample(range(number), min(number, random.choice((0, 1, 1, 2))))
        made.append(
            Task(
                f"task {number}",
                tuple(Edge(before, random.choice((0, 10, 40))) for before in sorted(befores)),
                tuple(kept),
                tuple(Barred(each.site, each) for each in options if each not in kept),
            )
        )
    return Problem(tuple(made), places, rules, rate=random.choice((0, 1, 5)))


problems = st.builds(
    seeded, st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 4), st.sampled_from((0.0, 0.3, 0.7))
)
tiny = st.builds(seeded, st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 2), st.sampled_from((0.0, 0.4)))
limits = st.one_of(st.none(), st.integers(-5, 200))


@st.composite
def limited(draw: st.DrawFn) -> Problem:
    """A problem with drawn limits, which may be beyond reach."""
    return draw(problems).limited(draw(limits), draw(limits), draw(st.sampled_from(Objective)))
