"""Who may ask who accessed a dataset, and what the answer is worth."""

from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing
from msgspec import structs

from catalog.checkpoint import open_checkpoint
from catalog.cid import Cid
from catalog.error import ComityError, Denied, VerificationFailed
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.leaf import decode_leaf, opens
from catalog.merkle import leaf_hash, verify_inclusion
from catalog.policy import PolicyFields
from node.automator.book import Line
from node.automator.decide import Judge
from node.message import Rows, Who, WhoAnswer
from node.site.auditdesk import FRESH_MILLIS, AuditDesk
from node.storage.log import DiskLog
from privacy.starters import HOSPITAL
from tests.node.site.house import (
    ANNA,
    AUDITOR,
    BRUNO,
    CLARA,
    NODES,
    NOW,
    RESEARCHER,
    STEWARDS,
    STRANGER,
    House,
    dataset,
    play,
)
from workflow.account import Chain, FetchFields

DATA = Cid.of(b"births").keyed(bytes(32))


def desk(house: House) -> AuditDesk:
    judge = Judge(house.index.site(ANNA.did), house.index, "St. Anna", "")
    return AuditDesk(ANNA.did, NODES[ANNA.did].did, house.index, judge, house.audit, house.book, house.clock)


async def fetched(house: House, by: PrivateKey) -> None:
    def fields(chain: Chain, _index: int) -> FetchFields:
        return FetchFields(root=DATA, site=by.did, person=None, chain=chain)

    await house.book.write([Line("fetch", [DATA], fields)])


def who(by: PrivateKey, home: PrivateKey, **changes: object) -> Who:
    whole = Who(person=by.did, site=home.did, dataset=DATA, at=NOW, nonce=bytes(16), sig=UNSIGNED)
    return signed(structs.replace(whole, **changes), by)


def ask(house: House, question: Who, asker: PrivateKey, before: int | None = None) -> "WhoAnswer":
    return desk(house).answer(Rows(who=question, before=before), asker.did)


def test_the_rows_come_newest_first_each_with_its_proof_and_the_question_is_written_down(tmp_path):
    async def story(house: House) -> None:
        for by in (BRUNO, CLARA, BRUNO):
            await fetched(house, by)
        steward = STEWARDS[ANNA.did]
        answer = await ask(house, who(steward, ANNA), ANNA)
        checkpoint = open_checkpoint(answer.note, house.audit.origin, NODES[ANNA.did].did)
        assert [row.index for row in answer.rows] == [2, 1, 0]
        for row in answer.rows:
            verify_inclusion(leaf_hash(row.leaf), row.index, checkpoint.size, checkpoint.root, list(row.proof))
            assert opens(decode_leaf(row.leaf), row.body, row.salt)
        read = (await house.audited())[-1]
        assert (read.kind, read.fields["person"], read.fields["home"], read.fields["rows"]) == (
            "read",
            steward.did,
            ANNA.did,
            3,
        )
        again = await ask(house, who(steward, ANNA), ANNA)
        assert [row.index for row in again.rows] == [3, 2, 1, 0]
        older = await ask(house, who(steward, ANNA), ANNA, before=2)
        assert [row.index for row in older.rows] == [1, 0]
        assert not older.more

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("by", "home", "allowed"),
    [
        (STEWARDS[ANNA.did], ANNA, True),
        (STEWARDS[BRUNO.did], BRUNO, False),
        (AUDITOR, BRUNO, False),
        (RESEARCHER, CLARA, False),
        (STRANGER, CLARA, False),
        (AUDITOR, ANNA, False),
        (NODES[CLARA.did], CLARA, False),
        (CLARA, CLARA, False),
    ],
)
def test_who_may_ask_where_no_policy_says_more(tmp_path, by, home, allowed):
    """Lost: who accessed which patients' data is itself told to anybody."""

    async def story(house: House) -> None:
        house.entry(ANNA, "dataset", dataset(DATA, ANNA.did))
        await fetched(house, BRUNO)
        before = house.audit.size
        if allowed:
            assert len((await ask(house, who(by, home), home)).rows) == 1
            return
        with pytest.raises(ComityError) as refused:
            await ask(house, who(by, home), home)
        assert isinstance(refused.value, Denied | VerificationFailed)
        assert house.audit.size == before

    play(tmp_path, story)


def test_policy_lets_auditors_of_other_sites_ask(tmp_path):
    async def story(house: House) -> None:
        house.entry(ANNA, "dataset", dataset(DATA, ANNA.did))
        house.entry(ANNA, "policy", PolicyFields(text=HOSPITAL))
        await fetched(house, CLARA)
        assert len((await ask(house, who(AUDITOR, BRUNO), BRUNO)).rows) == 1
        with pytest.raises(Denied):
            await ask(house, who(RESEARCHER, CLARA), CLARA)

    play(tmp_path, story)


STEWARD = STEWARDS[ANNA.did]


@pytest.mark.parametrize(
    "forge",
    [
        lambda: signed(who(STEWARD, ANNA), RESEARCHER),
        lambda: structs.replace(who(RESEARCHER, CLARA), person=STEWARD.did, site=ANNA.did),
        lambda: structs.replace(who(STEWARD, ANNA), dataset=Cid.of(b"other")),
        lambda: structs.replace(who(STEWARD, ANNA), at=NOW + 1),
        lambda: structs.replace(who(STEWARD, ANNA), nonce=b"1" * 16),
        lambda: structs.replace(who(STEWARD, ANNA), sig=UNSIGNED),
        lambda: who(STEWARD, ANNA, at=NOW - FRESH_MILLIS - 1),
        lambda: who(STEWARD, ANNA, at=NOW + FRESH_MILLIS + 1),
    ],
)
def test_a_question_is_the_person_s_own_and_fresh(tmp_path, forge: Callable[[], Who]):
    """Lost: a node, or a replayed message, asks in a steward's name."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        with pytest.raises(VerificationFailed):
            await ask(house, forge(), ANNA)
        assert house.audit.size == 1

    play(tmp_path, story)


def test_a_question_comes_from_its_person_s_home(tmp_path):
    """Lost: a site that was asked passes the question on, and reads the answer that was meant for another."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        with pytest.raises(Denied, match="another site"):
            await ask(house, who(STEWARD, ANNA), BRUNO)

    play(tmp_path, story)


def test_what_is_still_being_written_is_not_told_and_spoils_no_answer(tmp_path, monkeypatch):
    """Lost: a question that comes while a step begins is answered by «no such leaf», or tells what a crash undoes."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        real, calls, asked, written = type(house.audit).append, 0, trio.Event(), trio.Event()

        async def append(self: DiskLog, entries: Sequence[tuple[str, bytes]]) -> int:
            nonlocal calls
            calls += 1
            await (asked if calls == 1 else written).wait()
            try:
                return await real(self, entries)
            finally:
                written.set()

        monkeypatch.setattr(type(house.audit), "append", append)
        answers: list[WhoAnswer] = []

        async def question() -> None:
            answers.append(await ask(house, who(STEWARD, ANNA), ANNA))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetched, house, CLARA)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(question)
            await trio.testing.wait_all_tasks_blocked()
            asked.set()
        assert [[row.index for row in answer.rows] for answer in answers] == [[0]]

    play(tmp_path, story)


def test_another_dataset_s_rows_stay_where_they_are(tmp_path):
    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        answer = await ask(house, who(STEWARD, ANNA, dataset=Cid.of(b"other")), ANNA)
        assert answer.rows == ()
        assert not answer.more

    play(tmp_path, story)
