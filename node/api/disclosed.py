"""What the local interface says of the ledger of disclosure control: what left, what was held back, and why."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.project import ProjectRef


class FoundView(Value, frozen=True, kw_only=True):
    """One finding: the cell or group, the reason in a word or two, and in a sentence. It holds exact small counts."""

    cell: str
    reason: str
    words: str


class ExaminationView(Value, frozen=True, kw_only=True):
    """An output that was examined, in the audit row ``index`` of the time ``at`` (Unix milliseconds).

    It was ``released``, or a steward was asked. ``population`` is whose people it is about, ``by`` the columns that it
    is counted by, ``where`` of which rows, none if nobody knows. ``people`` are counted in it, none if nobody can read
    it; so many cells are ``withheld``. ``line`` is what others are told, ``found`` is for stewards alone. ``lost`` says
    that the record is not here any more: then nothing leaves automatically about these people.
    """

    index: int
    at: int
    released: bool
    lost: bool
    population: str
    datasets: dict[str, str]
    person_name: str
    home_name: str
    project: ProjectRef | None
    block: Cid | None
    block_name: str
    output: str
    by: tuple[str, ...]
    where: dict[str, tuple[str, ...]] | None
    people: int | None
    withheld: int
    line: str
    found: tuple[FoundView, ...]
