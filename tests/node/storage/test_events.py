"""What happened to submissions, as the database notes it with each change."""

from __future__ import annotations

import pytest

from catalog.dagcbor import cid_of
from catalog.error import NotFound
from node.bus.journal import WAITING, Refusal, State
from node.storage.database import Database
from node.storage.events import Events
from node.storage.journal import SubmissionJournal
from tests.node.storage.test_state import order, receipt, run, submission
from workflow.receipt import Status


def test_each_change_is_one_event_and_none_is_told_twice(tmp_path):
    """Lost: whoever watches a submission misses what happened while they were away, or counts a step twice."""

    async def story(database: Database) -> None:
        journal, events = SubmissionJournal(database, lambda: None), Events(database)
        mine = submission(1)
        cid, first = cid_of(mine), order(mine, 1)
        with pytest.raises(NotFound):
            await events.after(cid, 0, 9)
        for _ in range(2):
            await journal.begin(mine, "text", 5)
            await journal.ordered(first)
            await journal.refused(cid, Refusal(cid_of(first), WAITING, "a steward is asked"))
        await journal.refused(cid, Refusal(cid_of(first), WAITING, "its release waits"))
        for status in (Status.DONE, Status.FAILED):
            await journal.received(cid, receipt(first, status))
        for _ in range(2):
            await journal.end(cid, State.DONE, "", 9)
        told = await events.after(cid, 0, 9)
        assert [(each.number, each.kind, each.told) for each in told.events] == [
            (1, "state", "running"),
            (2, "ordered", ""),
            (3, "refused", WAITING),
            (4, "refused", WAITING),
            (5, "answered", ""),
            (6, "state", "done"),
        ]
        assert (told.person, told.state) == (mine.person, State.DONE)
        assert [each.at for each in told.events] == sorted(each.at for each in told.events)
        assert told.events[1].order == first
        assert told.events[4].receipt == receipt(first, Status.DONE)
        assert told.events[1].receipt is None, "what came of it is not told before it came"
        assert [each.number for each in (await events.after(cid, 3, 2)).events] == [4, 5]
        assert not (await events.after(cid, 6, 9)).events

    run(tmp_path / "state.db", story)


def test_numbers_say_nothing_of_other_submissions_and_go_with_their_own(tmp_path):
    """Lost: how busy others are; or rows about a person that are kept when all else of theirs was erased."""

    async def story(database: Database) -> None:
        journal, events = SubmissionJournal(database, lambda: None), Events(database)
        mine, other = submission(1), submission(2)
        for each in (mine, other):
            await journal.begin(each, "text", 5)
        assert [each.number for each in (await events.after(cid_of(other), 0, 9)).events] == [1]
        await journal.end(cid_of(other), State.DONE, "", 9)
        await journal.forget(lambda _: True, 10)
        left = await database.run(lambda sql: sql.execute("SELECT DISTINCT submission FROM event").fetchall())
        assert left == [(bytes(cid_of(mine)),)]

    run(tmp_path / "state.db", story)
