"""What may enter a swarm: if this lets one thing too many in, whoever names it has it, and no label is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.key import PrivateKey
from catalog.label import Label
from privacy.label import OPEN, label_of, may_hold, person_at, resident, shared
from privacy.swarm import may_enter

OWNER, OTHER, THIRD, PERSON = (PrivateKey(bytes([number]) * 32).did for number in range(1, 5))
MEMBERS = (OWNER, OTHER, THIRD)
FOR_ALL = shared(OWNER, MEMBERS)
PLAIN = Cid.of(b"bytes")


def dataset(level: Level, label: Label, cid: Cid = PLAIN, *, withdrawn: bool = False) -> DatasetFields:
    return DatasetFields(
        cid=cid,
        name="data",
        level=level,
        label=label,
        purposes=(),
        description="",
        media_type="text/csv",
        size=5,
        withdrawn=withdrawn,
    )


@pytest.mark.parametrize(
    ("level", "label", "ours", "unknown"),
    [
        (Level.OPEN, OPEN, True, True),
        (Level.OPEN, resident(OWNER), False, False),
        (Level.OPEN, FOR_ALL, False, False),
        (Level.SHARED, FOR_ALL, True, False),
        (Level.SHARED, shared(OWNER, [OTHER]), False, False),
        (Level.SHARED, resident(OWNER), False, False),
        # A person at a site may read, so the site may hold what only that person can open.
        (Level.SHARED, shared(OWNER, [OTHER, person_at(PERSON, THIRD)]), True, False),
        (Level.SHARED, label_of({OWNER: MEMBERS, OTHER: [OWNER]}), False, False),
        (Level.SHARED, label_of({OWNER: MEMBERS, OTHER: MEMBERS}), True, False),
        # Ciphertext has an owner, who has its key: what has none is not what it says.
        (Level.SHARED, OPEN, False, False),
        (Level.RESIDENT, OPEN, False, False),
        (Level.RESIDENT, FOR_ALL, False, False),
        (Level.RESIDENT, resident(OWNER), False, False),
    ],
)
def test_level_and_label_decide(level: Level, label: Label, ours: bool, unknown: bool) -> None:
    """``ours``: in a swarm of the members alone; ``unknown``: in one of whom nobody knows who is in it."""
    assert may_enter(dataset(level, label), MEMBERS) is ours
    assert may_enter(dataset(level, label), ()) is unknown


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("label", [OPEN, FOR_ALL])
def test_what_is_withdrawn_or_has_a_keyed_name_never_enters(level: Level, label: Label) -> None:
    assert not may_enter(dataset(level, label, withdrawn=True), MEMBERS)
    assert not may_enter(dataset(level, label, PLAIN.keyed(bytes(32))), MEMBERS)


@given(
    st.sampled_from(Level),
    st.dictionaries(st.sampled_from(MEMBERS), st.sets(st.sampled_from(MEMBERS)), max_size=3).map(label_of),
    st.sets(st.sampled_from(MEMBERS)),
)
def test_nobody_in_the_swarm_is_one_who_may_not_hold_it(level: Level, label: Label, members: set[str]) -> None:
    """Lost: the rule itself, whatever its table says."""
    if may_enter(dataset(level, label), members):
        assert level is not Level.RESIDENT
        assert all(may_hold(label, member) for member in members)
        assert members or not label.owners
