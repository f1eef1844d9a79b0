"""Who may look at what a step left: not whoever looks after the machine on which it lies."""

from __future__ import annotations

import pytest

from catalog.key import PrivateKey
from node.automator.release import may_look
from privacy.label import label_of, may_hold, person_at, resident

ANNA, BRUNO, STEWARD, MARA = (PrivateKey(f"{name:.<32}".encode()).did for name in ("anna", "bruno", "agnes", "mara"))


def test_what_is_of_this_sites_data_alone_is_for_its_stewards() -> None:
    """Lost: nobody can see why a block fails on their own data."""
    assert may_look(ANNA, STEWARD, resident(ANNA))


@pytest.mark.parametrize("reader", [MARA, STEWARD])
def test_what_another_owner_let_one_person_here_read_is_for_that_person(reader: str) -> None:
    """Lost: another hospital lets Mara read a value, which has to lie here for that, and all stewards here read it."""
    label = label_of({ANNA: [person_at(reader, ANNA)], BRUNO: [person_at(reader, ANNA)]})
    assert may_hold(label, ANNA)
    assert may_look(ANNA, STEWARD, label) is (reader == STEWARD)


def test_what_has_another_owner_too_is_not_for_them() -> None:
    """Lost: whoever computes on others' data reads them."""
    assert not may_look(ANNA, STEWARD, label_of({ANNA: [], BRUNO: []}))
    assert not may_look(ANNA, STEWARD, resident(BRUNO))
