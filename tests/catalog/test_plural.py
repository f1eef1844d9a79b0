"""Numbers with their nouns: what people read must not say «1 entries»."""

import pytest

from catalog.plural import counted


@pytest.mark.parametrize(
    ("number", "noun", "told"),
    [
        (1, "row", "1 row"),
        (0, "row", "0 rows"),
        (2000, "row", "2,000 rows"),
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
        (3, "leaf", "3 leaves"),
        (2, "body", "2 bodies"),
        (2, "process", "2 processes"),
        (1, "further row", "1 further row"),
        (5, "other site", "5 other sites"),
    ],
)
def test_one_is_singular_and_all_else_is_not(number: int, noun: str, told: str) -> None:
    assert counted(number, noun) == told
