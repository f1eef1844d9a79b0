"""The file of bodies: what is erased is nowhere in it, in whatever order it came."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from node.storage.bodies import Bodies

LEAVES = 240


def left(folder: Path, bodies: dict[int, bytes], erased: set[int]) -> list[int]:
    """Whose body's beginning is still somewhere on the disk."""
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    return [leaf for leaf in erased if bodies[leaf][:60] in stored]


def late(path: Path, seed: int) -> tuple[Bodies, dict[int, bytes]]:
    """The bodies of a replica, half of which came later than those beside them."""
    chance = random.Random(seed)
    made = {
        leaf: b"<body%05d>" % leaf + bytes(chance.choices(b"xyz", k=chance.randrange(200, 900)))
        for leaf in range(LEAVES)
    }
    second = chance.sample(range(LEAVES), LEAVES // 2)
    first = [leaf for leaf in range(LEAVES) if leaf not in second]
    bodies = Bodies(path)
    for order in (first[:60], first[60:], *(sorted(second[at : at + 20]) for at in range(0, len(second), 20))):
        bodies.put((leaf, b"s" * 32, made[leaf]) for leaf in order)
    return bodies, made


@pytest.mark.parametrize("seed", range(4))
def test_what_is_erased_is_in_no_gap_of_a_page_either(tmp_path: Path, seed: int) -> None:
    """Lost: whoever takes the disk reads parts of what a person had erased, though no row has it."""
    bodies, made = late(tmp_path / "bodies.db", seed)
    gone: set[int] = set()
    for some in range(0, 60, 3):
        bodies.erase(*range(some, some + 3))
        gone |= {*range(some, some + 3)}
    assert left(tmp_path, made, gone) == []
    assert bodies.get(100) == (b"s" * 32, made[100])
    bodies.close()


def test_an_erasure_that_broke_off_is_ended_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a node that is killed between the two steps leaves the gaps for good, for nothing is left to erase."""
    bodies, made = late(tmp_path / "bodies.db", 0)
    connection = bodies._connection

    class Killed:
        def __getattr__(self, name: str) -> object:
            return getattr(connection, name)

        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            if sql == "VACUUM":
                raise sqlite3.OperationalError("disk I/O error")
            return connection.execute(sql, *values)

    monkeypatch.setattr(bodies, "_connection", Killed())
    with pytest.raises(Exception, match="could not be used"):
        bodies.erase(*range(60))
    monkeypatch.undo()
    bodies.close()
    again = Bodies(tmp_path / "bodies.db")
    again.erase(0)
    assert left(tmp_path, made, {*range(60)}) == []
    again.close()
