"""Many small differing queries brought to a node as steps bring their outputs: what leaves tells of no small group.

The attacker knows all values that columns have, and solves all linear equations in what left.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from random import Random

import pytest

from catalog.dataset import DatasetFields, Level
from node.automator.disclosing import Disclosing
from privacy.disclosure.ledger import Past
from privacy.label import resident
from tests.adversary.test_disclosure import (
    COLUMNS,
    QUERIES,
    VALUES,
    Equations,
    Where,
    count,
    people,
    queries,
    rows_of,
    small_groups,
)
from tests.node.automator.office import DATA, Office, at_anna
from tests.node.site.house import ANNA


def form(where: Where, by: tuple[str, ...], each: list[int]) -> bytes:
    """The table that an endorsed block makes."""
    cells = [
        {"key": list(key), "count": count(where | {c: frozenset({v}) for c, v in zip(by, key, strict=True)}, each)}
        for key in product(VALUES, repeat=len(by))
    ]
    whole = {
        "disclosure": 1,
        "type": "table",
        "where": {column: sorted(values) for column, values in where.items()},
        "dimensions": [{"name": column, "categories": list(VALUES)} for column in by],
        "cells": cells,
    }
    return json.dumps(whole).encode()


async def attack(office: Office, each: list[int], random: Random, many: int) -> tuple[int, Equations]:
    """How many of the queries are answered, and what follows."""
    fields = DatasetFields(
        cid=DATA, name="visits", level=Level.RESIDENT, label=resident(ANNA.did), purposes=(), description="",
        media_type="text/csv", size=1, columns=dict.fromkeys(COLUMNS, VALUES),
    )  # fmt: skip
    office.house.entry(ANNA, "dataset", fields)
    equations, let = Equations(), 0
    for where, by in list(queries(random, "one value at a time"))[:many]:
        ruling = await office.bring(form(where, by, each))
        if ruling.leaves:
            let += 1
            for cell in json.loads(await office.text(ruling))["cells"]:
                chosen = {c: frozenset({v}) for c, v in zip(by, cell["key"], strict=True)}
                equations.add(rows_of({**where, **chosen}))
    return let, equations


@pytest.mark.parametrize("guarded", [True, False], ids=["with the ledger", "without it"])
def test_a_thousand_small_differing_queries(tmp_path: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: who asks often enough is told of a few people; without the ledger they are."""
    random = Random(5)
    each = people(random)
    if not guarded:

        async def forgets(_self: Disclosing, datasets: frozenset[str]) -> Past:
            return Past(datasets, ())

        monkeypatch.setattr(Disclosing, "_past", forgets)

    async def story(office: Office) -> None:
        let, equations = await attack(office, each, random, QUERIES)
        assert let > 100, "next to nothing left, so nothing was shown"
        assert bool(small_groups(equations, each)) is not guarded

    at_anna(tmp_path, story)
