"""Workflows in the shape of six published ones, of a wanted size, on ten sites: what planning is measured on.

Which kinds of step there are and which wait for which follows the published descriptions (Bharathi et al. 2008,
«Characterization of scientific workflows»; Juve et al. 2013, «Characterizing and profiling scientific workflows»;
Coleman et al. 2022, «WfCommons»). Durations and sizes are drawn: lognormal around a mean for each kind, the means in
the proportions that those describe (a wide step is short, a merge is long). Nothing of the packages' code or data is
used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from workflow.plan.problem import Barred, Candidate, Edge, Objective, Place, Problem, Rule, Task

SITES: Final = 10
RESIDENT: Final = 0.2
"""The share of steps that read data which may not leave their site."""
RATE: Final = 12_500
"""Bytes in a millisecond between two sites: 100 Mbit a second."""
SPREAD: Final = 0.4
"""Of the logarithm of a duration and of a size, within one kind of step."""


@dataclass
class Graph:
    """Steps in the making: each a kind with its mean seconds and mean megabytes of output, after others."""

    random: Random
    seconds: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    after: list[list[int]] = field(default_factory=list)

    def step(self, seconds: float, megabytes: float, *after: int) -> int:
        """Add a step; its number."""
        self.seconds.append(self._drawn(seconds))
        self.sizes.append(int(self._drawn(megabytes) * 1e6))
        self.after.append(sorted(set(after)))
        return len(self.after) - 1

    def _drawn(self, mean: float) -> float:
        return self.random.lognormvariate(math.log(mean) - SPREAD * SPREAD / 2, SPREAD)


def genome(graph: Graph, steps: int) -> None:
    """1000genome: for each chromosome many parts, their merge, a sifting beside, then overlaps and frequencies."""
    for _ in range(max(1, steps // 50)):
        parts = [graph.step(60, 5) for _ in range(steps // max(1, steps // 50) - 16)]
        merged, sifted = graph.step(90, 40, *parts), graph.step(20, 5)
        for _ in range(7):
            graph.step(50, 1, merged, sifted)
            graph.step(120, 1, merged, sifted)


def montage(graph: Graph, steps: int) -> None:
    """Montage: images projected, their overlaps fitted, one model of the background, corrected, added up."""
    width = (steps - 5) // 5
    images = [graph.step(20, 8) for _ in range(width)]
    overlaps = [
        graph.step(8, 1, images[number], images[(number + step) % width])
        for step in (1, 2, 3)
        for number in range(width)
    ]
    model = graph.step(60, 1, graph.step(30, 1, *overlaps))
    corrected = [graph.step(10, 8, image, model) for image in images]
    graph.step(20, 20, graph.step(120, 60, graph.step(15, 1, *corrected), *corrected))


def epigenomics(graph: Graph, steps: int) -> None:
    """Epigenomics: lanes that are split, each part through four steps, merged, merged again, indexed."""
    lanes = 4
    merges = []
    for _ in range(lanes):
        split = graph.step(40, 20)
        parts = []
        for _ in range((steps - 3 - 2 * lanes) // (4 * lanes)):
            clean = graph.step(15, 4, split)
            parts.append(graph.step(90, 1, graph.step(5, 2, graph.step(5, 3, clean))))
        merges.append(graph.step(30, 10, *parts))
    graph.step(60, 20, graph.step(50, 10, graph.step(40, 30, *merges)))


def seismology(graph: Graph, steps: int) -> None:
    """Seismology: as many deconvolutions as there are signals, and one step that takes all."""
    graph.step(60, 5, *(graph.step(40, 1) for _ in range(steps - 1)))


def blast(graph: Graph, steps: int) -> None:
    """BLAST: a list split, each part searched, two steps that join what was found."""
    split = graph.step(10, 2)
    found = [graph.step(120, 2, split) for _ in range(steps - 3)]
    graph.step(20, 10, *found)
    graph.step(20, 10, *found)


def srasearch(graph: Graph, steps: int) -> None:
    """SRA search: an index, and for each accession fetching, unpacking and aligning; merged by 25 and once more."""
    index = graph.step(60, 30)
    count = (steps - 2) * 25 // 76
    aligned = [graph.step(90, 8, index, graph.step(40, 20, graph.step(30, 15))) for _ in range(count)]
    merges = [graph.step(20, 20, *aligned[at : at + 25]) for at in range(0, count, 25)]
    graph.step(40, 40, *merges)


SHAPES: Final[Mapping[str, Callable[[Graph, int], None]]] = {
    "1000genome": genome,
    "montage": montage,
    "epigenomics": epigenomics,
    "seismology": seismology,
    "blast": blast,
    "srasearch": srasearch,
}


def instance(shape: str, steps: int, seed: int) -> Problem:
    """A workflow of about so many steps on :data:`SITES` sites, without limits, the same for the same seed.

    Sites differ fourfold in speed and run 2 to 8 steps at once; a fast one is dearer by the second, more than by its
    speed, as offers are. A step reads its inputs' bytes; one that reads resident data may run beside them alone.
    """
    random = Random(f"{shape} {seed}")
    graph = Graph(random)
    SHAPES[shape](graph, steps)
    speeds = [2 ** random.uniform(-1, 1) for _ in range(SITES)]
    prices = [100 * speed**1.5 * random.uniform(0.8, 1.25) for speed in speeds]
    rules = tuple(
        Rule(site, "the data are resident elsewhere", f"ask the owner to allow site {site} to read the data")
        for site in range(SITES)
    )
    tasks = []
    for number, (seconds, after) in enumerate(zip(graph.seconds, graph.after, strict=True)):
        candidates = tuple(
            Candidate(site, max(1, round(seconds * 1000 / speeds[site])), round(seconds / speeds[site] * prices[site]))
            for site in range(SITES)
        )
        home = random.randrange(SITES) if random.random() < RESIDENT else None
        free = tuple(each for each in candidates if home in (None, each.site))
        barred = tuple(Barred(each.site, each) for each in candidates if each not in free)
        tasks.append(Task(str(number), tuple(Edge(at, graph.sizes[at]) for at in after), free, barred))
    places = tuple(Place(f"site {site}", random.randint(2, 8)) for site in range(SITES))
    return Problem(tuple(tasks), places, rules, RATE, objective=Objective.COST)
