"""What this site got from another is written down here as well, so that neither side can keep silent about it."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from catalog.body import fields_of
from catalog.cid import Cid
from catalog.key import UNSIGNED, signed
from catalog.project import ProjectRef
from node.automator.counterpart import Received
from privacy.decision import Decision
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, NOW, RESEARCHER, House, play
from tests.node.site.test_auditdesk import DATA, OTHER, STEWARD, ask, who
from tests.node.storage.test_state import submission
from workflow.account import FetchFields, ReleaseFields, Side
from workflow.receipt import Output, Place, Receipt, Release, Status
from workflow.submission import Submission

TRIAL = ProjectRef(site=CLARA.did, name="trial")
ORDER, VALUE = Cid.of(b"an order"), Cid.of(b"what was released")
HANDLE = f"held:{BRUNO.did}/{bytes(16).hex()}"
DECISION = Decision(allowed=True, action="compute", rules=(), reason="", facts={}, policy="1")


def asked() -> Submission:
    return structs.replace(submission(1, RESEARCHER.did), project=TRIAL)


def released() -> Release:
    """Bruno's word that the value may be read at Anna's."""
    whole = Release(
        order=ORDER,
        output="sums",
        handle=HANDLE,
        value=VALUE,
        owner=BRUNO.did,
        added=(ANNA.did,),
        policy=3,
        report="endorsed",
        ledger=7,
        sig=UNSIGNED,
    )
    return signed(whole, NODES[BRUNO.did])


def output(release: Release | None) -> Output:
    return Output(handle=HANDLE, type="statistics", name="s", cid=VALUE, size=1, release=release, reason="")


def receipt(**changes: object) -> Receipt:
    """Bruno's, of a step with two outputs, of which one was released."""
    whole = Receipt(
        order=ORDER,
        site=BRUNO.did,
        node=NODES[BRUNO.did].did,
        previous=Cid.of(b"accepted"),
        status=Status.DONE,
        decision=DECISION,
        place=Place(epoch=0, index=5),
        outputs={"sums": output(released()), "other": output(None)},
        spent=None,
        cost=0,
        reason="",
        at=NOW,
        sig=UNSIGNED,
    )
    return structs.replace(whole, **changes)


def test_bytes_that_came_are_written_down_for_the_data_that_they_were_made_from(tmp_path: Path) -> None:
    """Lost: a site that gives data away and writes nothing down is never found out."""

    async def story(house: House) -> None:
        received = Received(ANNA.did, house.book)
        await received.fetched(BRUNO.did, VALUE, {OTHER, DATA}, TRIAL)
        await received.fetched(CLARA.did, DATA, {DATA})
        first, second = [fields_of(body, FetchFields) for body in await house.audited()]
        assert (first.root, first.site, first.side, first.project) == (VALUE, BRUNO.did, Side.RECIPIENT, TRIAL)
        assert set(first.chain) == {str(DATA), str(OTHER)}
        assert (first.person, first.request) == (None, None)
        assert (second.site, second.project, set(second.chain)) == (CLARA.did, None, {str(DATA)})
        assert [row.index for row in await ask(house, who(STEWARD, ANNA), ANNA)] == [0, 1]

    play(tmp_path, story)


def test_a_release_that_came_is_written_down_once_with_its_owners_word(tmp_path: Path) -> None:
    """Lost: an owner releases and writes nothing down, and the site that got it has no row either."""

    async def story(house: House) -> None:
        received = Received(ANNA.did, house.book)
        for _ in range(2):
            await received.released(receipt(), {DATA}, asked())
        [row] = [fields_of(body, ReleaseFields) for body in await house.audited()]
        assert (row.order, row.output, row.handle, row.value, row.added) == (ORDER, "sums", HANDLE, VALUE, (ANNA.did,))
        assert (row.side, row.site, row.place, row.project) == (Side.RECIPIENT, BRUNO.did, 5, TRIAL)
        assert (row.statement, row.policy, row.report, row.decision) == (released(), 3, "endorsed", None)
        assert set(row.chain) == {str(DATA), RESEARCHER.did}
        assert [row.index for row in await ask(house, who(STEWARD, ANNA), ANNA)] == [0]

    play(tmp_path, story)


def test_what_is_no_release_of_another_site_is_not_written_down(tmp_path: Path) -> None:
    """What this site releases itself stands in its log already; what was not released did not come."""

    async def story(house: House) -> None:
        received = Received(ANNA.did, house.book)
        await received.released(receipt(site=ANNA.did), {DATA}, asked())
        await received.released(receipt(outputs={"other": output(None)}), {DATA}, asked())
        await received.released(receipt(place=None), {DATA}, asked())
        assert await house.audited() == []

    play(tmp_path, story)
