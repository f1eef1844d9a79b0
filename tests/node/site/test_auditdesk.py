"""Who may ask audit logs, what the answer is worth, and that it hides nothing."""

from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing
from msgspec import structs

from catalog.body import read_body
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import ComityError, Denied, NotFound, VerificationFailed
from catalog.httpsig import SignedRequest, kept_request, sign_request
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.policy import PolicyFields
from node.api.audit import Account, Blank, Member, Reading
from node.automator.book import Line
from node.automator.decide import Judge
from node.message import Rows, Who, WhoAnswer
from node.site import auditdesk
from node.site.auditdesk import AuditDesk
from node.site.freshness import FRESH_MILLIS
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
    Recent,
    dataset,
    play,
)
from workflow.account import Chain, FetchFields

DATA = Cid.of(b"births").keyed(bytes(32))
OTHER = Cid.of(b"deaths").keyed(bytes(32))
STEWARD = STEWARDS[ANNA.did]
MEMBERS = {root: Member(node.did, (node.did,)) for root, node in NODES.items()}


def desk(house: House) -> AuditDesk:
    judge = Judge(house.index.site(ANNA.did), house.index, "St. Anna", "", Recent())
    return AuditDesk(ANNA.did, NODES[ANNA.did].did, house.index, judge, house.audit, house.book, house.clock)


def request(by: PrivateKey, path: str) -> SignedRequest:
    """What ``by`` signs to get something from Anna's node."""
    peer = NODES[ANNA.did].did
    headers = sign_request(by, "GET", path, peer=peer, now=NOW, nonce=bytes(16))
    return kept_request("GET", path, list(headers.items()), body_digest=None, peer=peer)


async def fetched(house: House, by: PrivateKey, data: Cid = DATA, **changes: object) -> None:
    """The node of the site ``by`` gets bytes from Anna."""
    kept = request(NODES[by.did], f"/ipfs/{data}")

    def fields(chain: Chain, _index: int) -> FetchFields:
        whole = FetchFields(root=data, site=by.did, person=None, chain=chain, request=kept)
        return structs.replace(whole, **changes)

    await house.book.write([Line("fetch", [data], fields)])


async def read_by(house: House, person: PrivateKey, data: Cid = DATA, **changes: object) -> None:
    """A person gets bytes from Anna's node."""
    kept = request(person, f"/v1/files/{data}")

    def fields(chain: Chain, _index: int) -> FetchFields:
        whole = FetchFields(root=data, site=ANNA.did, person=person.did, chain=chain, request=kept)
        return structs.replace(whole, **changes)

    await house.book.write([Line("fetch", [data], fields, (person.did,))])


asked = iter(range(1 << 30))


def who(by: PrivateKey, home: PrivateKey, **changes: object) -> Who:
    nonce = next(asked).to_bytes(16, "big")
    whole = Who(person=by.did, site=home.did, dataset=DATA, at=NOW, nonce=nonce, sig=UNSIGNED)
    return signed(structs.replace(whole, **changes), by)


async def pages(at: AuditDesk, question: Who, asker: PrivateKey) -> list[WhoAnswer]:
    """Every page of an answer."""
    answers = [await at.answer(Rows(who=question, after=None), asker.did)]
    while answers[-1].more:
        answers.append(await at.answer(Rows(who=question, after=answers[-1].rows[-1].index), asker.did))
    return answers


def read(question: Who, answers: Sequence[WhoAnswer]) -> list[Account | Blank]:
    """What a reader of these pages sees, if they hold."""
    reading = Reading(question, ANNA.did, MEMBERS)
    rows = [row for answer in answers for row in reading.take(encode(answer))]
    assert reading.done
    return rows


async def ask(house: House, question: Who, asker: PrivateKey) -> list[Account | Blank]:
    return read(question, await pages(desk(house), question, asker))


def test_the_rows_come_oldest_first_each_proven_and_the_question_is_written_down(tmp_path):
    async def story(house: House) -> None:
        for by in (BRUNO, CLARA, BRUNO):
            await fetched(house, by)
        question = who(STEWARD, ANNA)
        assert [row.index for row in await ask(house, question, ANNA)] == [0, 1, 2]
        heads, asking = (await house.audited())[-2:]
        assert (heads.kind, heads.fields["upto"], asking.kind) == ("heads", 3, "read")
        assert (asking.fields["person"], asking.fields["home"], asking.fields["rows"]) == (STEWARD.did, ANNA.did, 3)
        assert asking.fields["question"] == encode(question)
        assert [row.index for row in await ask(house, who(STEWARD, ANNA), ANNA)] == [0, 1, 2, 4]

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("by", "home", "allowed", "noted"),
    [
        (STEWARDS[ANNA.did], ANNA, True, True),
        (STEWARDS[BRUNO.did], BRUNO, False, True),
        (AUDITOR, BRUNO, False, True),
        (RESEARCHER, CLARA, False, True),
        (STRANGER, CLARA, False, False),
        (AUDITOR, ANNA, False, False),
        (NODES[CLARA.did], CLARA, False, False),
        (CLARA, CLARA, False, False),
    ],
)
@pytest.mark.parametrize("about", [{}, {"dataset": None, "about": STEWARD.did}, {"dataset": None}])
def test_who_may_ask_where_no_policy_says_more(tmp_path, by, home, allowed, noted, about):
    """Lost: who accessed which patients' data is itself told to anybody, or nobody sees who tried to find out."""

    async def story(house: House) -> None:
        house.entry(ANNA, "dataset", dataset(DATA, ANNA.did))
        await fetched(house, BRUNO)
        before = house.audit.size
        if allowed:
            assert len(await ask(house, who(by, home, **about), home)) == (0 if about.get("about") else 1)
            return
        with pytest.raises(ComityError) as refused:
            await ask(house, who(by, home, **about), home)
        assert isinstance(refused.value, Denied | VerificationFailed)
        told = [(row.kind, row.fields["person"], row.fields["reason"]) for row in (await house.audited())[before:]]
        assert told == ([("read", by.did, str(refused.value))] if noted else [])

    play(tmp_path, story)


def test_refused_questions_are_bounded_and_keep_nobody_from_asking(tmp_path):
    """Lost: people who may ask nothing fill a hospital's log, or keep their own steward from asking."""

    async def story(house: House) -> None:
        at = desk(house)
        for number in range(30):
            with pytest.raises(Denied, match="no rule here"):
                await pages(at, who(RESEARCHER, CLARA, dataset=Cid.of(b"%d" % number)), CLARA)
        rows = await house.audited()
        assert len(rows) == auditdesk.REFUSED_BY_PERSON.most
        assert {tuple(row.fields["chain"]) for row in rows} == {(RESEARCHER.did,)}, "nobody publishes these"
        question = who(STEWARDS[CLARA.did], CLARA, dataset=None, about=RESEARCHER.did)
        assert await pages(at, question, CLARA)

    play(tmp_path, story)


def test_a_refused_question_stands_in_the_chain_of_published_data_and_of_who_asked_alone(tmp_path):
    async def story(house: House) -> None:
        house.entry(ANNA, "dataset", dataset(DATA, ANNA.did))
        for about in ({}, {"dataset": None, "about": STEWARD.did}):
            with pytest.raises(Denied, match="no rule here"):
                await ask(house, who(RESEARCHER, CLARA, **about), CLARA)
        of_data, of_person = await house.audited()
        assert set(of_data.fields["chain"]) == {str(DATA), RESEARCHER.did}
        assert set(of_person.fields["chain"]) == {RESEARCHER.did}

    play(tmp_path, story)


def test_policy_lets_auditors_of_other_sites_ask(tmp_path):
    async def story(house: House) -> None:
        house.entry(ANNA, "dataset", dataset(DATA, ANNA.did))
        house.entry(ANNA, "policy", PolicyFields(text=HOSPITAL))
        await fetched(house, CLARA)
        assert len(await ask(house, who(AUDITOR, BRUNO), BRUNO)) == 1
        with pytest.raises(Denied):
            await ask(house, who(RESEARCHER, CLARA), CLARA)

    play(tmp_path, story)


def test_an_owner_s_steward_sees_the_rows_about_the_own_data_and_blanks_for_others(tmp_path):
    """Lost: whoever may ask after one person learns what that person did with other sites' data."""

    async def story(house: House) -> None:
        house.entry(BRUNO, "dataset", dataset(DATA))
        for data in (DATA, OTHER, DATA):
            await read_by(house, AUDITOR, data)
        question = who(STEWARDS[BRUNO.did], BRUNO, dataset=None, about=AUDITOR.did)
        rows = await ask(house, question, BRUNO)
        assert [(type(row), row.index) for row in rows] == [(Account, 0), (Blank, 1), (Account, 2)]

    play(tmp_path, story)


@pytest.mark.parametrize(
    "forge",
    [
        lambda: signed(who(STEWARD, ANNA), RESEARCHER),
        lambda: structs.replace(who(RESEARCHER, CLARA), person=STEWARD.did, site=ANNA.did),
        lambda: structs.replace(who(STEWARD, ANNA), dataset=Cid.of(b"other")),
        lambda: structs.replace(who(STEWARD, ANNA), at=NOW + 1),
        lambda: structs.replace(who(STEWARD, ANNA), nonce=b"1" * 16),
        lambda: structs.replace(who(STEWARD, ANNA), since=1),
        lambda: structs.replace(who(STEWARD, ANNA), sig=UNSIGNED),
        lambda: who(STEWARD, ANNA, at=NOW - FRESH_MILLIS - 1),
        lambda: who(STEWARD, ANNA, at=NOW + FRESH_MILLIS + 1),
        lambda: who(STEWARD, ANNA, about=RESEARCHER.did),
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


def test_a_question_is_answered_once(tmp_path):
    """Lost: the home node reads what its steward asked for again and again, in the steward's name."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        question, at = who(STEWARD, ANNA), desk(house)
        assert await pages(at, question, ANNA)
        size = house.audit.size
        for again in (at, desk(house)):  # the node that answered it, and the one after a restart
            with pytest.raises(VerificationFailed, match="answered already"):
                await pages(again, question, ANNA)
        with pytest.raises(NotFound, match="ask it anew"):
            await desk(house).answer(Rows(who=who(STEWARD, ANNA), after=0), ANNA.did)
        assert house.audit.size == size

    play(tmp_path, story)


def test_what_is_still_being_written_comes_with_the_answer_once_it_is_durable(tmp_path):
    """Lost: a question that comes while a step begins is answered by «no such leaf», or tells what a crash undoes."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        answers: list[Sequence[Account | Blank]] = []

        async def question() -> None:
            answers.append(await ask(house, who(STEWARD, ANNA), ANNA))

        async with trio.open_nursery() as nursery, house.audit._writing:  # the disk is busy
            nursery.start_soon(fetched, house, CLARA)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(question)
            await trio.testing.wait_all_tasks_blocked()
            assert not answers
        assert [[row.index for row in rows] for rows in answers] == [[0, 1]]

    play(tmp_path, story)


def test_another_dataset_s_rows_stay_where_they_are(tmp_path):
    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        assert await ask(house, who(STEWARD, ANNA, dataset=Cid.of(b"other")), ANNA) == []

    play(tmp_path, story)


def test_what_a_person_did_and_the_whole_log(tmp_path):
    async def story(house: House) -> None:
        await read_by(house, RESEARCHER)
        await fetched(house, BRUNO)
        await read_by(house, RESEARCHER, OTHER)
        rows = await ask(house, who(STEWARD, ANNA, dataset=None, about=RESEARCHER.did), ANNA)
        assert [row.index for row in rows] == [0, 2]
        rows = await ask(house, who(STEWARD, ANNA, dataset=None), ANNA)
        assert [row.kind for row in rows] == ["fetch", "fetch", "fetch", "heads", "read"]

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("since", "until", "shown"),
    [(0, None, [0, 1, 2, 3]), (2, None, [0, 1, 2, 3]), (0, 2, [0, 1, 2]), (3, 3, [1, 2, 3]), (9, None, [3])],
)
def test_a_time_range_is_answered_with_what_stands_at_its_ends(tmp_path, since, until, shown):
    """The rows at both ends are outside the range, which shows that none inside is missing."""

    async def story(house: House) -> None:
        for time in (1, 2, 3, 4):
            house.clock.time = time
            await fetched(house, BRUNO)
        house.clock.time = NOW
        question = who(STEWARD, ANNA, since=since, until=until)
        rows = await ask(house, question, ANNA)
        assert [row.index for row in rows] == shown

    play(tmp_path, story)


def test_a_clock_that_is_set_back_hides_nothing(tmp_path):
    """Lost: one row of a wrong time ends the search for what is older, and with it goes all that stands before it."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        for time, by in ((1, CLARA), (NOW + 5, BRUNO)):
            house.clock.time = time
            await fetched(house, by)
        assert [body.at for body in await house.audited()] == [NOW, NOW, NOW + 5]
        for about in ({}, {"dataset": None}):
            rows = await ask(house, who(STEWARD, ANNA, since=NOW - 1000, **about), ANNA)
            assert [row.index for row in rows][:3] == [0, 1, 2]
        rows = await ask(house, who(STEWARD, ANNA, since=NOW + 5), ANNA)
        assert [row.index for row in rows][:2] == [1, 2]

    play(tmp_path, story)


@pytest.mark.parametrize("about", [{}, {"dataset": None}])
def test_a_time_that_falls_is_named(tmp_path, monkeypatch, about):
    """Lost: a site gives a row a false time, and cuts off what stands before it unseen even where all is asked for."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        house.clock.time = NOW - 2000
        newest = house.ledger.newest
        monkeypatch.setattr(type(house.ledger), "newest", property(lambda _: 0))
        await fetched(house, CLARA)
        monkeypatch.setattr(type(house.ledger), "newest", property(lambda _: newest))
        house.clock.time = NOW
        await fetched(house, BRUNO)
        with pytest.raises(VerificationFailed, match="row 1 of its audit log: it is dated before row 0"):
            await ask(house, who(STEWARD, ANNA, **about), ANNA)

    play(tmp_path, story)


def test_a_range_among_pruned_rows_is_answered_from_the_first(tmp_path):
    """Lost: a row that outlived its neighbours is hidden, for of these nobody knows the times any more."""

    async def story(house: House) -> None:
        for time in (1, 2, 3, 4, 5, 6, 7, 8):
            house.clock.time = time
            await fetched(house, BRUNO)
        house.clock.time = NOW
        for index in (0, 2, 3, 4, 5):
            await house.audit.erase(index)
        rows = await ask(house, who(STEWARD, ANNA, dataset=None, since=2), ANNA)
        assert [row.index for row in rows if isinstance(row, Account)] == [1, 6, 7]
        rows = await ask(house, who(STEWARD, ANNA, dataset=None, since=8), ANNA)
        assert [row.index for row in rows][:2] == [6, 7]

    play(tmp_path, story)


@pytest.mark.parametrize("about", [{}, {"dataset": None}])
def test_a_cut_does_not_begin_with_a_blank(tmp_path, monkeypatch, about):
    """Lost: a site blanks a row in the middle and leaves out, uncounted, what stands before it."""

    async def story(house: House) -> None:
        for _ in range(4):
            await fetched(house, BRUNO)
        question = who(STEWARD, ANNA, since=NOW - 1000, **about)
        monkeypatch.setattr(AuditDesk, "_span", lambda _self, _who, _asked, upto: (2, upto))
        monkeypatch.setattr(AuditDesk, "_is_for", lambda _self, _who, _asked, body: body and read_body(body).at > NOW)
        with pytest.raises(VerificationFailed, match=r"leaves out the 2 rows|commits to 4 rows"):
            await ask(house, question, ANNA)

    play(tmp_path, story)


def test_erased_rows_are_blanks_and_pages_of_them_do_not_end_the_answer(tmp_path, monkeypatch):
    """Lost: what was erased hides what comes after it."""
    monkeypatch.setattr(auditdesk, "PAGE_ROWS", 2)

    async def story(house: House) -> None:
        for _ in range(7):
            await fetched(house, BRUNO)
        for index in (0, 2, 3, 4, 5):
            await house.audit.erase(index)
        question = who(STEWARD, ANNA)
        answers = await pages(desk(house), question, ANNA)
        assert [len(answer.rows) for answer in answers] == [2, 2, 2, 1]
        assert [(type(row), row.index) for row in read(question, answers)] == [
            (Blank, 0),
            (Account, 1),
            *((Blank, index) for index in (2, 3, 4, 5)),
            (Account, 6),
        ]

    play(tmp_path, story)


# --- lies ------------------------------------------------------------------------------------------------------------


def lie(house: House, monkeypatch: pytest.MonkeyPatch, hidden: set[int]) -> None:
    """The desk answers as if the rows ``hidden`` were not about what is asked; its proofs are true."""
    real = AuditDesk._indexes
    monkeypatch.setattr(
        AuditDesk, "_indexes", lambda self, *rest: [index for index in real(self, *rest) if index not in hidden]
    )


@pytest.mark.parametrize(
    ("hidden", "told"),
    [({4}, "commits to 5 rows"), ({2}, "leaves rows out"), ({0}, "before it"), ({0, 1, 2, 3, 4}, "commits to 5 rows")],
)
@pytest.mark.parametrize("about", [{}, {"dataset": None, "about": AUDITOR.did}, {"dataset": None}])
def test_a_row_that_is_left_out_is_missed(tmp_path, monkeypatch, hidden, told, about):
    """Lost: a site leaves out its newest row, one in the middle, its first, or all."""

    async def story(house: House) -> None:
        for _ in range(5):
            await read_by(house, AUDITOR)
        lie(house, monkeypatch, hidden)
        with pytest.raises(VerificationFailed, match=r"leaves|commits to"):
            await ask(house, who(STEWARD, ANNA, **about), ANNA)

    play(tmp_path, story)


def test_false_heads_are_contradicted_by_the_rows(tmp_path, monkeypatch):
    """Lost: a site writes heads that end before its newest row, and then shows that row in another answer unnoticed."""

    async def story(house: House) -> None:
        for _ in range(3):
            await fetched(house, BRUNO)
        old = house.ledger.heads()
        await fetched(house, CLARA)
        monkeypatch.setattr(house.ledger, "heads", lambda: old)
        with pytest.raises(VerificationFailed, match="behind the end"):
            await ask(house, who(STEWARD, ANNA), ANNA)

    play(tmp_path, story)


def test_old_heads_do_not_answer_a_new_question(tmp_path):
    """Lost: a site answers with the heads of last week, which were true then."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        first, second = who(STEWARD, ANNA), who(STEWARD, ANNA)
        answers = await pages(desk(house), first, ANNA)
        await fetched(house, CLARA)
        with pytest.raises(VerificationFailed, match="another question"):
            read(second, answers)

    play(tmp_path, story)


def test_an_access_that_nobody_asked_for_is_refused(tmp_path):
    """Lost: a node writes down an access by somebody who made none."""

    async def refused(house: House, told: str) -> None:
        with pytest.raises(VerificationFailed, match=told):
            await ask(house, who(STEWARD, ANNA), ANNA)

    async def story(house: House) -> None:
        await read_by(house, RESEARCHER, request=None)
        await refused(house, "commits to no request")

    async def by_another(house: House) -> None:
        await read_by(house, RESEARCHER, request=request(STRANGER, f"/v1/files/{DATA}"))
        await refused(house, "another person signed")

    async def forged(house: House) -> None:
        true = request(RESEARCHER, f"/v1/files/{DATA}")
        await read_by(house, RESEARCHER, request=structs.replace(true, sig=NODES[ANNA.did].sign(true.base)))
        await refused(house, "signature")

    async def for_other_data(house: House) -> None:
        await read_by(house, RESEARCHER, request=request(RESEARCHER, f"/v1/files/{OTHER}"))
        await refused(house, "what was asked for")

    async def by_another_site(house: House) -> None:
        await fetched(house, BRUNO, site=CLARA.did)
        await refused(house, "no node of the site")

    async def outside_the_chain(house: House) -> None:
        kept = request(RESEARCHER, f"/v1/files/{DATA}")

        def fields(chain: Chain, _index: int) -> FetchFields:
            return FetchFields(root=DATA, site=ANNA.did, person=RESEARCHER.did, chain=chain, request=kept)

        await house.book.write([Line("fetch", [DATA], fields)])
        await refused(house, "outside the chain")

    for number, each in enumerate((story, by_another, forged, for_other_data, by_another_site, outside_the_chain)):
        play(tmp_path / str(number), each)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda a: structs.replace(a, proof=a.proof[32:]), "too few"),
        (lambda a: structs.replace(a, proof=a.proof + bytes(32)), "too many"),
        (lambda a: structs.replace(a, opening=None), "begin|proof"),
        (lambda a: structs.replace(a, rows=(structs.replace(a.rows[0], salt=bytes(32)), *a.rows[1:])), "row 0"),
        (lambda a: structs.replace(a, rows=(structs.replace(a.rows[0], leaf=bytes(120)), *a.rows[1:])), "not all in"),
        (lambda a: structs.replace(a, rows=(structs.replace(a.rows[0], salt=None, body=None), *a.rows[1:])), None),
        (lambda a: structs.replace(a, note=a.note.replace("\n7\n", "\n8\n")), "signature"),
        (lambda a: structs.replace(a, more=True, rows=()), "."),
    ],
)
def test_an_answer_that_was_changed_on_its_way_is_refused(tmp_path, spoil, told):
    """A row made a blank stays counted: that is what an erased row looks like."""

    async def story(house: House) -> None:
        for data in (DATA, OTHER, DATA, OTHER, DATA):
            await fetched(house, BRUNO, data)
        question = who(STEWARD, ANNA)
        (answer,) = await pages(desk(house), question, ANNA)
        if told is None:
            assert isinstance(read(question, [spoil(answer)])[0], Blank)
            return
        with pytest.raises(VerificationFailed, match=told):
            read(question, [spoil(answer)])

    play(tmp_path, story)


def test_a_row_of_another_kind_than_its_leaf_is_named(tmp_path):
    """Lost: a denial shown as an access."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        question = who(STEWARD, ANNA)
        (answer,) = await pages(desk(house), question, ANNA)
        row = answer.rows[0]
        assert row.body is not None
        body = structs.replace(read_body(row.body), kind="decision")
        changed = structs.replace(row, body=encode(signed(body, NODES[ANNA.did])))
        with pytest.raises(VerificationFailed, match="row 0"):
            read(question, [structs.replace(answer, rows=(changed,))])

    play(tmp_path, story)
