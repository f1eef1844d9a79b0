"""acro (AI-SDC) finds the same cells as our rules. Lost: that a rule here is the rule that output checkers know."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pandas
import pytest

from privacy.disclosure.rules import Reason, Rules, findings
from privacy.disclosure.table import Cell, Dimension, Magnitude, Table

TABLES = 120
RULES = Rules()
CHECKS = {"MinimumThresholdCheck": Reason.SMALL, "NKCheck": Reason.DOMINANT, "PPercentCheck": Reason.PERCENT}
pytestmark = pytest.mark.filterwarnings("ignore")


def rows(random: Random) -> list[tuple[str, str, int]]:
    """Rows of a company of cells: few or many people in each, alike or one far above the others."""
    found = []
    for row in range(random.randint(2, 22)):
        for column in range(random.randint(2, 4)):
            tail = random.choice((0.3, 1.0, 2.5))
            for _ in range(random.choice((1, 2, 3, 8, 9, 10, 11, 30))):
                value = round(10 * random.paretovariate(tail)) % 10**9 + 1
                found.append((f"r{row}", f"c{column}", value))
    return found


def ours(data: list[tuple[str, str, int]]) -> Table:
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, column, value in data:
        groups.setdefault((row, column), []).append(value)
    cells = {}
    for key, values in groups.items():
        largest = tuple(map(Fraction, sorted(values, reverse=True)[:2]))
        cells[key] = Cell(len(values), (Magnitude(Fraction(sum(values)), Fraction(sum(values)), largest),))
    dimensions = tuple(Dimension(name, tuple(sorted({key[at] for key in groups}))) for at, name in enumerate("rc"))
    return Table(dimensions, cells, ("value",))


def theirs(data: list[tuple[str, str, int]]) -> dict[str, set[tuple[str, ...]]]:
    from acro.sdcchecks import SDCChecks, SDCEvidence
    from acro.tablemodeldetails import TableModelDetails

    frame = pandas.DataFrame(data, columns=["r", "c", "value"])
    appetite = {
        "safe_threshold": RULES.threshold,
        "safe_nk_n": RULES.largest,
        "safe_nk_k": float(RULES.share),
        "safe_pratio_p": float(RULES.percent),
        "check_missing_values": False,
        "zeros_are_disclosive": True,
    }
    model = TableModelDetails([frame.r], [frame.c], frame.value, "crosstab", {"aggfunc": "sum"}, appetite)
    checks = SDCChecks(appetite)
    evidence = SDCEvidence()
    evidence.populate_from_list(set().union(*(checks.checks[name]["evidence"] for name in CHECKS)), model)
    found = {}
    for name in CHECKS:
        mask = checks.check_to_method[name]("BarGraph", evidence, model)[2]
        found[name] = {(row, column) for row in mask.index for column in mask.columns if bool(mask.loc[row, column])}
    return found


def test_threshold_dominance_and_p_percent_find_what_acro_finds() -> None:
    """On some 4,000 cells; a cell without anybody is below acro's threshold, and has a finding of its own here.

    Most of acro's time goes by the table and not by the cell: large tables beside small ones compare as much for less.
    """
    told = dict.fromkeys(CHECKS, 0)
    for seed in range(TABLES):
        data = rows(Random(seed))
        table, expected = ours(data), theirs(data)
        found = findings(table, RULES)
        for name, reason in CHECKS.items():
            reasons = {reason, Reason.ZERO} if reason is Reason.SMALL else {reason}
            assert {each.key for each in found if each.reason in reasons} == expected[name], (seed, name)
            told[name] += len(expected[name])
    assert min(told.values()) > 100, "the tables hardly ever disclosed anything, so nothing was compared"
