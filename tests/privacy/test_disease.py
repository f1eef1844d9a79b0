"""Diseases: if one of these fails, data given for one disease serve another, or a file says what it likes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from catalog.error import BadInput
from privacy.disease import MAX_TEXT, standard

CANCER, BREAST, CARCINOMA, OWN = "MONDO:0004992", "MONDO:0007254", "MONDO:0004989", "MONDO:0000001"


def entry(disease: str, *parents: str, name: str = "a disease") -> str:
    return f'["{disease}"]\nname = "{name}"\nparents = [{", ".join(map(repr, parents))}]\n'


def test_a_disease_is_a_kind_of_all_above_it_and_of_nothing_else() -> None:
    known = standard()
    assert known.is_kind_of(CARCINOMA, CANCER)
    assert known.is_kind_of(BREAST, BREAST)
    assert not known.is_kind_of(CANCER, BREAST)
    assert not known.is_kind_of("MONDO:0005015", CANCER)
    assert not known.is_kind_of(OWN, OWN)
    assert len(known.known) > 60


def test_an_operator_adds_diseases_below_those_that_there_are() -> None:
    known = standard().extended(entry(OWN, "MONDO:0000002") + entry("MONDO:0000002", BREAST), "diseases.toml")
    assert known.is_kind_of(OWN, CANCER)
    assert not known.is_kind_of(BREAST, OWN)
    assert OWN not in standard().known


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (entry(OWN, OWN), "a kind of itself"),
        (entry(OWN, "MONDO:0000002") + entry("MONDO:0000002", "MONDO:0000003") + entry("MONDO:0000003", OWN), "itself"),
        (entry(OWN, "MONDO:0000009"), "not known"),
        (entry(CANCER), "known already"),
        (entry("DOID:1612"), "no MONDO id"),
        (entry(OWN, name="\\u001b[2J"), "printable"),
        (f'["{OWN}"]\nname = "x"\n', "a name and parents"),
        (f'["{OWN}"]\nname = "x"\nparents = ["{CANCER}", 1]\n', "list"),
        (f'["{OWN}"]\nname = "x"\nparents = [{", ".join([repr(CANCER)] * 33)}]\n', "list"),
        (f'"{OWN}" = 1', "a name and parents"),
        (entry(OWN) + entry(OWN), r"diseases\.toml"),
        ("[" * 100_000, r"diseases\.toml"),
        ("#" * (MAX_TEXT + 1), "refused"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_and_says_where(text: str, why: str) -> None:
    """Else an operator's slip widens what data serve, or stops the node at the first match instead of at its start."""
    with pytest.raises(BadInput, match=why):
        standard().extended(text, "diseases.toml")


def test_a_long_line_of_descent_is_followed() -> None:
    names = [f"MONDO:{number:07d}" for number in range(200_001, 201_001)]
    text = entry(names[0], CANCER) + "".join(entry(each, above) for above, each in pairwise(names))
    assert standard().extended(text, "x").is_kind_of(names[-1], CANCER)
