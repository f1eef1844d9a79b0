"""Answers to other nodes: refusals go back as such, and nobody speaks for another."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.checkpoint import add_line, cosign, open_checkpoint
from catalog.error import BadInput, ComityError, Denied, NotFound, VerificationFailed
from catalog.merkle import verify_consistency
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from node.message import (
    Consistency,
    Cosigned,
    Done,
    Heads,
    HeadsAnswer,
    Outcome,
    ProofAnswer,
    Rows,
    WhoAnswer,
    question_bytes,
    read_reply,
)
from node.site.questions import Questions
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, STEWARDS, House, play
from tests.node.site.test_auditdesk import desk, who

CATALOG = origin_of(ANNA.did, LogName.CATALOG)


class NoOrders:
    """Orders are another file's matter; a refusal of theirs goes back like any other."""

    async def outcome(self, question: Outcome, asker: str) -> None:
        raise Denied(f"not for {asker}")


def questions(house: House) -> Questions:
    members: object = house.members
    orders: object = NoOrders()
    return Questions(ANNA.did, members, house.catalog, house.audit, orders, desk(house))  # type: ignore[arg-type]


async def ask(at: Questions, question, kind, asker=BRUNO):
    return read_reply(kind, await at.answer(asker.did, question_bytes(question)))


def test_heads_and_proofs_are_of_this_site_s_two_logs(tmp_path):
    async def story(house: House) -> None:
        at = questions(house)
        for text in "abc":
            await house.publish("policy", PolicyFields(text=text))
        roots = [house.catalog.root]
        await house.publish("policy", PolicyFields(text="d"))
        roots.append(house.catalog.root)
        heads = await ask(at, Heads(), HeadsAnswer)
        assert set(heads.notes) == {house.catalog.note, house.audit.note}
        proof = await ask(at, Consistency(origin=CATALOG, old=3, new=4), ProofAnswer)
        verify_consistency(3, roots[0], 4, roots[1], list(proof.hashes))
        foreign = origin_of(BRUNO.did, LogName.CATALOG)
        for origin in (foreign, "", "x" * 200, CATALOG + "0", CATALOG.replace("/0", "/1")):
            with pytest.raises(NotFound):
                await ask(at, Consistency(origin=origin, old=0, new=1), ProofAnswer)
        for old, new in ((4, 3), (0, 5), (5, 5), (3, (1 << 63) - 1), ((1 << 63) - 1, (1 << 63) - 1)):
            with pytest.raises((BadInput, VerificationFailed, NotFound)):
                await ask(at, Consistency(origin=CATALOG, old=old, new=new), ProofAnswer)

    play(tmp_path, story)


def test_a_cosignature_is_brought_by_who_made_it(tmp_path):
    """Lost: one member makes up the quorum alone."""

    async def story(house: House) -> None:
        at = questions(house)
        await house.publish("policy", PolicyFields(text="a"))
        note = house.catalog.note

        def by(site) -> str:
            return add_line(note, cosign(note, site.did, NODES[site.did], 1_700_000_000))

        # By another name or by another key than the asker's: a line that nobody here knows, which does not count.
        for line in (by(CLARA), by(ANNA), add_line(note, cosign(note, BRUNO.did, NODES[CLARA.did], 1_700_000_000))):
            await ask(at, Cosigned(note=line), Done)
            assert await house.catalog.last_cosigned() in (None, "")
        other = cosign(note, BRUNO.did, NODES[BRUNO.did], 1_700_000_000)
        forged = add_line(note, other[:-6] + ("AAAA" if other[-6:-2] != "AAAA" else "BBBB") + other[-2:])
        with pytest.raises(VerificationFailed):
            await ask(at, Cosigned(note=forged), Done)
        for odd in ("", "\n", note.replace(CATALOG, origin_of(BRUNO.did, LogName.CATALOG)), CATALOG + "\n9\nAAAA\n\n"):
            with pytest.raises(ComityError):
                await ask(at, Cosigned(note=odd), Done)
        assert await house.catalog.last_cosigned() in (None, "")
        await ask(at, Cosigned(note=by(BRUNO)), Done)
        assert open_checkpoint(await house.catalog.last_cosigned(), CATALOG, NODES[ANNA.did].did).size == 1

    play(tmp_path, story)


def test_a_refusal_goes_back_as_what_it_is(tmp_path):
    async def story(house: House) -> None:
        at = questions(house)
        with pytest.raises(Denied, match=BRUNO.did):
            await ask(at, Outcome(order=who(ANNA, ANNA).dataset, seconds=0), Done)
        with pytest.raises(Denied, match="another site"):
            await ask(at, Rows(who=who(STEWARDS[ANNA.did], ANNA), before=None), WhoAnswer)

    play(tmp_path, story)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_garbage_is_answered_by_a_refusal(tmp_path_factory, data):
    """Lost: a member's node ends another's."""

    async def story(house: House) -> None:
        with pytest.raises(VerificationFailed):
            read_reply(Done, await questions(house).answer(BRUNO.did, data))

    play(tmp_path_factory.mktemp("house"), story)
