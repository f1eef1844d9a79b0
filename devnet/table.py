"""The Wisconsin diagnostic breast-cancer table (569 tumours, 30 measures), as scikit-learn ships it, in parts.

Only the file is read: importing scikit-learn would take longer than starting four nodes.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final

from catalog.error import NotFound

DIAGNOSIS: Final = "diagnosis"
_MEASURES: Final = (
    *("radius", "texture", "perimeter", "area", "smoothness"),
    *("compactness", "concavity", "concave_points", "symmetry", "fractal_dimension"),
)
FEATURES: Final = tuple(f"{form}_{measure}" for form in ("mean", "error", "worst") for measure in _MEASURES)
_SHARES: Final = (103, 234, 232)
"""How many tumours each of three hospitals has: uneven, as hospitals are, and enough of each kind for 30 measures."""

Row = tuple[str, ...]


def whole_table() -> tuple[Row, ...]:
    """Every row: the 30 measures as the file writes them, then the diagnosis in words.

    Raises:
        NotFound: scikit-learn is not installed.
    """
    found = find_spec("sklearn")
    places = found.submodule_search_locations if found else None
    if not places:
        raise NotFound(
            "the demonstration's data come with scikit-learn, which is not installed: pip install scikit-learn"
        )
    with (Path(places[0]) / "datasets" / "data" / "breast_cancer.csv").open(newline="") as file:
        rows = csv.reader(file)
        names = next(rows)[2:]
        return tuple((*row[:-1], names[int(row[-1])]) for row in rows)


def parts(rows: Sequence[Row], hospitals: int) -> tuple[tuple[Row, ...], ...]:
    """The rows in order, one run of them for each hospital; the same each time."""
    if hospitals == len(_SHARES):
        sizes = list(_SHARES)
    else:
        weights = range(1, hospitals + 1)
        sizes = [len(rows) * weight // sum(weights) for weight in weights]
        sizes[-1] += len(rows) - sum(sizes)
    return tuple(tuple(rows[start:end]) for start, end in pairwise(accumulate(sizes, initial=0)))


def write_part(path: Path, rows: Sequence[Row]) -> None:
    """Write a hospital's table: a header, then one line per tumour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*FEATURES, DIAGNOSIS))
        writer.writerows(rows)
