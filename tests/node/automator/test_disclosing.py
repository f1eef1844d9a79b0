"""Disclosure control of what leaves a node, over its real log and store."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.project import ProjectRef
from node.automator.release import ASKED, Ruling
from node.storage.ledger import DiskLedger
from privacy.disclosure.record import read_record
from privacy.duty import DAY_MILLIS, Duties, Quota
from privacy.label import resident
from tests.node.automator.office import DATA, PROJECT, Office, at_anna, table, total
from tests.node.site.house import ANNA, BRUNO, NOW

STAGES = {"i": 40, "ii": 30, "iii": 50, "iv": 3}
OTHER = Cid.of(b"visits of 2027").keyed(bytes(32))


def cells(text: str) -> dict[str, int]:
    return {each["key"][0]: each["count"] for each in json.loads(text)["cells"]}


async def found(office: Office, ruling: Ruling) -> list[tuple[str, str]]:
    """What a steward is told was found."""
    assert ruling.examined is not None
    record = read_record(await office.house.records.read(ruling.examined))
    return [(each.reason, each.words) for each in record.found]


def is_asked(ruling: Ruling) -> bool:
    assert ruling.held in (ASKED, "")
    return ruling.asks == 1 and ruling.label == ruling.candidate.label


def published(cid: Cid, name: str, population: str = "", *, withdrawn: bool = False) -> DatasetFields:
    return DatasetFields(
        cid=cid, name=name, level=Level.RESIDENT, label=resident(ANNA.did), purposes=(), description="",
        media_type="text/csv", size=1, population=population, withdrawn=withdrawn,
    )  # fmt: skip


def test_a_small_cell_does_not_leave_nor_what_would_tell_it(tmp_path: Path) -> None:
    """Lost: three people are told of, at once or by the difference of two harmless tables."""

    async def story(office: Office) -> None:
        first = await office.bring(table("stage", STAGES))
        assert first.leaves
        left = await office.text(first)
        told = cells(left)
        assert "iv" not in told
        assert len(told) == 2, "one more is hidden, or the margin would tell"
        assert "2 of 4 suppressed" in first.report
        # All, and then all but those three.
        assert (await office.bring(total(sum(STAGES.values())), "statistics")).leaves
        wanted = total(sum(STAGES.values()) - 3, {"sex": ["f", "m"]})
        asked = await office.bring(wanted, "statistics")
        assert is_asked(asked)
        [(reason, words)] = await found(office, asked)
        assert (reason, "would tell of a group of 3" in words) == ("difference", True)
        assert (await office.text(asked)) == wanted.decode(), "a steward is asked about what was made"

    at_anna(tmp_path, story)


@pytest.mark.parametrize("restarted", [False, True])
def test_what_left_counts_over_restarts(tmp_path: Path, restarted: bool) -> None:
    """Lost: whoever waits for a restart asks the second question of a tracker."""

    async def story(office: Office) -> None:
        assert (await office.bring(total(120), "statistics")).leaves
        if restarted:
            office.begin()
        again = await office.bring(total(117, {"sex": ["f", "m"]}), "statistics")
        assert is_asked(again)
        assert (await office.bring(total(120), "statistics")).leaves, "the same count again tells nothing"
        async with on_disk(office, tmp_path) as ledger:
            assert list(ledger.examinations.all()) == list(office.house.ledger.examinations.all())

    at_anna(tmp_path, story)


@asynccontextmanager
async def on_disk(office: Office, path: Path) -> AsyncIterator[DiskLedger]:
    """The ledger that a node makes of the same log."""
    ledger = await DiskLedger.open(path / "ledger.sqlite", office.house.audit)
    try:
        yield ledger
    finally:
        ledger.close()


def test_a_lost_record_leaves_the_same_people_to_stewards(tmp_path: Path) -> None:
    """Lost: after a restore without all of the store, what left before is forgotten and a difference leaves."""

    async def story(office: Office) -> None:
        office.house.entry(ANNA, "dataset", published(OTHER, "other"))
        first = await office.bring(total(120), "statistics")
        assert first.examined is not None
        await office.house.database.run(lambda sql: sql.execute("DELETE FROM record"))
        office.begin()
        again = await office.bring(total(120), "statistics")
        assert is_asked(again)
        assert "lost" in (await found(office, again))[0][1]
        assert (await office.bring(total(120), "statistics", OTHER)).leaves, "others' data are not about these people"

    at_anna(tmp_path, story)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (published(DATA, "visits", withdrawn=True), published(OTHER, "visits"), True),
        (published(DATA, "visits", "ward 3"), published(OTHER, "stays", "ward 3"), True),
        (published(DATA, "visits", "ward 3"), published(OTHER, "stays", "ward 4"), False),
        (published(DATA, "visits"), published(OTHER, "stays"), False),
    ],
    ids=["a new version", "one population", "two populations", "nothing said"],
)
def test_data_about_the_same_people_share_what_left(
    tmp_path: Path, one: DatasetFields, other: DatasetFields, together: bool
) -> None:
    """Lost: a version with three more patients tells of the three."""

    async def story(office: Office) -> None:
        office.house.entry(ANNA, "dataset", one)
        office.house.entry(ANNA, "dataset", other)
        assert (await office.bring(total(120), "statistics")).leaves
        assert is_asked(await office.bring(total(123), "statistics", OTHER)) is together

    at_anna(tmp_path, story)


def test_a_population_that_is_declared_later_counts_from_then_on(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        for cid, name in ((DATA, "visits"), (OTHER, "stays")):
            office.house.entry(ANNA, "dataset", published(cid, name))
        assert (await office.bring(total(120), "statistics")).leaves
        for cid, name in ((DATA, "visits"), (OTHER, "stays")):
            office.house.entry(ANNA, "dataset", published(cid, name, "ward 3"))
        assert is_asked(await office.bring(total(123), "statistics", OTHER))

    at_anna(tmp_path, story)


def test_two_that_come_at_once_do_not_pass_against_the_same_past(tmp_path: Path) -> None:
    """Lost: two orders in one second tell what two in a row would not."""

    async def story(office: Office) -> None:
        ended: list[Ruling] = []

        async def bring(count: int) -> None:
            ended.append(await office.bring(total(count), "statistics"))

        async with trio.open_nursery() as nursery:
            for count in (120, 123):
                nursery.start_soon(bring, count)
        assert sorted(each.leaves for each in ended) == [False, True]

    at_anna(tmp_path, story)


@pytest.mark.parametrize(
    ("type", "form"),
    [
        ("statistics", b'{"count": 120}'),
        ("statistics", b"\xff"),
        ("model", total(120)),
        ("row-level", b"name,age\n"),
        ("statistics", b" " * (9 << 20)),
    ],
)
def test_what_nobody_can_check_waits_for_a_steward_as_it_is(tmp_path: Path, type: str, form: bytes) -> None:
    """Lost: an endorsement alone lets out what the endorsed code wrote for whatever reason."""

    async def story(office: Office) -> None:
        ruling = await office.bring(form, type)
        assert is_asked(ruling)
        assert (await found(office, ruling))[0][0] == "form"
        assert ruling.candidate.product.size == len(form)

    at_anna(tmp_path, story)


def test_what_a_steward_lets_out_counts_too(tmp_path: Path) -> None:
    """Lost: a steward lets a small difference pass once, and the node the next one by itself."""

    async def story(office: Office) -> None:
        ruling = await office.bring(table("stage", {"i": 4, "ii": 100}))
        assert is_asked(ruling)
        async with office.disclosing.turn:
            await office.leave(replace(ruling, asks=0))
        assert is_asked(await office.bring(total(102, {"stage": ["ii"]}), "statistics"))

    at_anna(tmp_path, story)


def test_min_cell_only_raises_the_threshold_and_is_denied_where_it_is_not_kept(tmp_path: Path) -> None:
    """Lost: whoever wrote the duty into the policy relies on it in vain."""

    async def story(office: Office) -> None:
        strict, mild = Duties(min_cell=35), Duties(min_cell=2)
        assert (await office.bring(total(34), "statistics", duties=mild)).leaves
        denied = await office.bring(total(34), "statistics", duties=strict)
        assert (denied.verdict, denied.asks) == (None, 0)
        assert "no cell stands for fewer than 35" in denied.held
        assert "34" not in denied.held
        assert denied.label == denied.candidate.label
        assert (await office.bring(b"?", "statistics", duties=strict)).verdict is None
        left = await office.bring(
            table("stage", {"i": 40, "ii": 30, "iii": 50, "iv": 300}), dataset=OTHER, duties=strict
        )
        assert "ii" not in cells(await office.text(left))

    at_anna(tmp_path, story)


def test_policy_says_what_becomes_of_a_table_with_cells_that_disclose(tmp_path: Path) -> None:
    """Lost: a hospital that wants no exact count outside, or no table with holes, gets both all the same."""
    stages = {"i": 4, "ii": 12, "iii": 43, "iv": 101}

    async def story(office: Office) -> None:
        refused = await office.bring(table("stage", stages), duties=Duties(whole=True))
        assert (refused.verdict, refused.asks) == (None, 0)
        assert "nothing leave of what has a cell that discloses" in refused.held
        assert (await office.bring(b"?", "table", duties=Duties(whole=True))).verdict is None
        rounded = await office.bring(table("stage", stages), duties=Duties(rounded=5))
        assert rounded.leaves
        assert cells(await office.text(rounded)) == {"iii": 45, "iv": 100}
        assert "counts rounded to multiples of 5" in rounded.report
        assert is_asked(await office.bring(total(120), "statistics", duties=Duties(rounded=5)))
        assert (await office.bring(total(160), "statistics", duties=Duties(whole=True))).leaves

    at_anna(tmp_path, story)


def test_a_quota_counts_the_people_that_left_to_a_project_in_its_days(tmp_path: Path) -> None:
    """Lost: a project carries out by many small answers what nobody would let out at once."""

    async def story(office: Office) -> None:
        duties = Duties(quotas=(Quota(rows=250, days=30),))
        elsewhere = ProjectRef(site=BRUNO.did, name="other")
        assert (await office.bring(total(120), "statistics", duties=duties)).leaves
        assert (await office.bring(total(120), "statistics", duties=duties)).leaves
        office.begin()
        over = await office.bring(total(120), "statistics", duties=duties)
        assert over.verdict is None
        assert over.held == "policy lets 250 rows leave for a project in 30 days; 240 left, and 120 more are too many"
        assert (await office.bring(total(120), "statistics", project=elsewhere, duties=duties)).leaves
        later = NOW + 31 * DAY_MILLIS
        assert (await office.bring(total(120), "statistics", duties=duties, now=later)).leaves
        unknown = await office.bring(b"?", "statistics", project=PROJECT, duties=duties)
        assert "nobody can count" in unknown.held

    at_anna(tmp_path, story)
