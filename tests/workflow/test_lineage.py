"""Under which label a result may be published."""

from __future__ import annotations

import pytest

from catalog.dataset import Level
from catalog.error import BadInput, Denied
from catalog.key import did_of
from privacy.label import OPEN, effective_readers, flows_to, label_of
from workflow.crate.lineage import label_as

ANNA, BRUNO, HERE = (did_of(bytes([number]) * 32) for number in (1, 2, 3))
NAMES = {ANNA: "St. Anna", BRUNO: "Nordstad", HERE: "Institute"}


def test_a_result_stays_with_all_its_owners_and_is_read_here_alone() -> None:
    """Lost: an owner's say in what is made of a result of their data."""
    released = label_of({ANNA: (HERE,), BRUNO: (HERE, ANNA)})
    label = label_as(released, Level.RESIDENT, HERE, NAMES)
    assert set(label.owners) == {ANNA, BRUNO, HERE}
    assert effective_readers(label) == {HERE}
    assert flows_to(released, label), "nobody reads it who did not before"


def test_what_this_site_may_not_read_it_does_not_publish() -> None:
    """Lost: the label, to a site that has bytes which one of their owners did not release to it."""
    with pytest.raises(Denied, match=r"Nordstad, St\. Anna"):
        label_as(label_of({ANNA: (HERE,), BRUNO: ()}), Level.RESIDENT, HERE, NAMES)


def test_open_it_is_only_if_everyone_may_read_it() -> None:
    """Lost: a result for one institute, on the web."""
    assert label_as(OPEN, Level.OPEN, HERE, NAMES) == OPEN
    with pytest.raises(Denied, match=r"released by St\. Anna"):
        label_as(label_of({ANNA: (HERE,)}), Level.OPEN, HERE, NAMES)
    with pytest.raises(BadInput, match="resident, or open"):
        label_as(OPEN, Level.SHARED, HERE, NAMES)
