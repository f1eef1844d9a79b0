"""Attacks on cosigning, by a member that asks for a witness's word and by one that gives it, on a real site."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.checkpoint import Checkpoint, cosign, cosigners, sign_checkpoint
from catalog.error import BadInput, VerificationFailed
from catalog.key import PrivateKey
from catalog.note import parse_note
from catalog.origin import LogName, origin_of
from node.message import AddCheckpoint, Added, question_bytes, read_question, read_reply, reply_bytes
from node.replicate.push import Push
from node.replicate.quorum import Quorum
from tests.adversary.hospital import Hospital, at_a_hospital


def head(origin: str, size: int, key: PrivateKey) -> str:
    """A signed checkpoint of ``size`` leaves, whatever they are."""
    return sign_checkpoint(Checkpoint(origin, size, bytes(32)), key)


async def cosigned(there: Hospital, note: str) -> Added:
    """What the hospital answers when Mallory puts a checkpoint before it."""
    question = question_bytes(AddCheckpoint(note=note, old=0, proof=(bytes(32),)))
    return read_reply(Added, await there.questions.answer(there.mallory.root.did, question))


async def remembered(there: Hospital) -> list[int]:
    """How many logs, and how many forks, the hospital remembers as a witness."""

    def count(sql: sqlite3.Connection) -> list[int]:
        return [sql.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("witnessed", "fork")]

    return await there.site.witness_memory._database.run(count)


def test_checkpoints_of_ever_more_logs(tmp_path: Path) -> None:
    """Else a member of its own accord fills a witness's store, with logs that nobody opened or with its questions."""

    async def test(there: Hospital) -> None:
        mallory = there.mallory
        origin = origin_of(mallory.root.did, LogName.AUDIT)
        ends = ("/1", "/999999", "/1000000", "/x", "/", "/../audit")
        names = [origin.removesuffix("/0") + end for end in ends]
        for name in (*names, *(f"{mallory.root.did}/log{number}/0" for number in range(100))):
            with pytest.raises(VerificationFailed):
                await cosigned(there, head(name, 1, mallory.node))
        for by in (mallory.steward, mallory.root, there.other.node, there.site.node.key):
            with pytest.raises(VerificationFailed):
                await cosigned(there, head(origin, 1, by))
        assert await remembered(there) == [0, 0]
        lines = set()
        for size in (1, 1, 2, 3):
            given = await cosigned(there, head(origin, size, mallory.node))
            assert (given.size, given.line is None) == (1, size > 1), "nothing extends what was seen first"
            lines.add(given.line)
        assert len(lines - {None}) == 1
        assert await remembered(there) == [1, 0]

    at_a_hospital(tmp_path, test)


class Witnesses:
    """The hospital's control connections; whoever is at the other end gives ``line`` for each checkpoint."""

    def __init__(self, line: Callable[[str], str]) -> None:
        self._line = line

    async def ask(self, site: str, question: bytes, seconds: float = 30.0) -> bytes:
        asked = read_question(question)
        assert isinstance(asked, AddCheckpoint)
        size = Checkpoint.parse(parse_note(asked.note).text).size
        return reply_bytes(Added(size=size, line=self._line(asked.note)))

    async def hint(self, message: bytes) -> None:
        raise NotImplementedError


def test_cosignatures_that_are_not_the_witnesss_or_not_for_this_log(tmp_path: Path) -> None:
    """Else a member gives others' word for a log, or a log's word for another, or fills the store with lines."""

    async def test(there: Hospital) -> None:
        mallory, other, log = there.mallory, there.other, there.site.catalog
        members = {each.root.did: each.node.did for each in (mallory, other)}
        at = there.site.clock.now() // 1000
        elsewhere = head(origin_of(mallory.root.did, LogName.CATALOG), log.size, mallory.node)
        another = head(log.origin, log.size, there.site.node.key)
        longer = head(log.origin, log.size + 9, there.site.node.key)

        def push(line: Callable[[str], str]) -> Push:
            return Push(log, Witnesses(line), lambda: Quorum(1, members), lambda: None)

        def others(note: str) -> str:
            return cosign(note, other.root.did, other.node, at)

        def hers(note: str, key: PrivateKey = mallory.node) -> str:
            return cosign(note, mallory.root.did, key, at)

        lies: list[Callable[[str], str]] = [
            others,
            lambda note: cosign(note, other.root.did, mallory.node, at),
            lambda note: cosign(note, there.site.root, mallory.node, at),
            lambda note: hers(note, mallory.steward),
            lambda note: hers(note, other.node),
            lambda _: hers(elsewhere),
            lambda _: hers(another),
            lambda _: hers(longer),
            lambda note: note.splitlines(keepends=True)[-1],
            lambda note: hers(note) + "\n" + others(note),
            lambda note: others(note) + "\n" + hers(note),
            lambda note: hers(note)[:-9],
            lambda _: "",
            lambda _: "\n",
            lambda _: "\x00" * 900,
        ]
        for number, lie in enumerate(lies):
            told = push(lie)
            await told.aim()
            with pytest.raises((BadInput, VerificationFailed)):
                await told.push(mallory.root.did)
            assert (await log.last_cosigned(), told.covered()) == (None, 0), number
        told = push(others)
        await told.aim()
        assert await told.push(other.root.did)
        kept = await log.last_cosigned()
        assert kept is not None
        assert cosigners(kept, members) == {other.root.did: at}
        assert told.covered() == log.size

    at_a_hospital(tmp_path, test)
