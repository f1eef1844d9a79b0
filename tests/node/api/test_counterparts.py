"""Pairs of rows at two sites: what one gave and the other did not get, and the reverse, is named."""

from __future__ import annotations

import pytest
from msgspec import structs

from catalog.body import write_body
from catalog.cid import Cid
from catalog.key import PrivateKey
from node.api.audit import Account
from node.api.counterparts import Counterparts
from node.message import Row
from privacy.label import OPEN
from workflow.account import AccountFields, FetchFields, Kept, ReleaseFields, ResultFields, Side
from workflow.order import Instance
from workflow.receipt import Form, Output, Release, Status

ANNA, BRUNO, CLARA = (PrivateKey(bytes([number]) * 32).did for number in (1, 2, 3))
ROOT = Cid.of(b"bytes")
NODE = PrivateKey(b"n" * 32)


def row(site: str, index: int, fields: AccountFields) -> Account:
    body = write_body("fetch", fields, site=site, at=1, by=NODE, audience=())
    return Account(site, index, "fetch", body, fields, 9, (), Row(index=index, leaf=b"", salt=None, body=None), None)


def fetch(other: str, side: Side) -> FetchFields:
    return FetchFields(root=ROOT, site=other, person=None, chain={}, side=side)


def release(other: str, side: Side, place: int | None = None) -> ReleaseFields:
    return ReleaseFields(
        order=Cid.of(b"order"),
        output="table",
        handle="held:x/" + "0" * 32,
        value=ROOT,
        added=(other, BRUNO),
        policy=1,
        decision=None,
        report="",
        chain={},
        side=side,
        site=other,
        place=place,
    )


GAVE, GOT = row(ANNA, 1, fetch(BRUNO, Side.SOURCE)), row(BRUNO, 2, fetch(ANNA, Side.RECIPIENT))


def lone(rows: list[Account], answered: dict[str, int] | None = None) -> list[tuple[str, int, str]]:
    pairs = Counterparts()
    for each in rows:
        pairs.take(each)
    return [(each.site, each.index, each.other) for each in pairs.unmatched(answered or {ANNA: 0, BRUNO: 0})]


def test_two_rows_of_one_transfer_are_a_pair() -> None:
    assert lone([GAVE, GOT]) == []


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([GAVE], [(ANNA, 1, BRUNO)]),
        ([GOT], [(BRUNO, 2, ANNA)]),
        ([GAVE, row(ANNA, 5, fetch(BRUNO, Side.SOURCE)), GOT], [(ANNA, 5, BRUNO)]),
        ([GOT, row(BRUNO, 7, fetch(ANNA, Side.RECIPIENT)), GAVE], [(BRUNO, 7, ANNA)]),
        ([row(ANNA, 1, release(BRUNO, Side.SOURCE))], [(ANNA, 1, BRUNO)]),
        ([row(BRUNO, 3, release(ANNA, Side.RECIPIENT))], [(BRUNO, 3, ANNA)]),
    ],
)
def test_what_one_side_wrote_alone_is_named(rows: list[Account], named: list[tuple[str, int, str]]) -> None:
    """Lost: a site gives or gets data and writes nothing down, and nobody sees it."""
    assert lone(rows) == named


def test_a_receipt_s_place_must_be_in_the_answer() -> None:
    """Lost: an owner shows the release and leaves out the intent that its receipt names."""
    pair = [row(ANNA, 1, release(BRUNO, Side.SOURCE)), row(BRUNO, 3, release(ANNA, Side.RECIPIENT, place=0))]
    assert lone(pair) == [(BRUNO, 3, ANNA)]


def result(*, released: bool) -> ResultFields:
    """The result of the order whose output «table» was released, or is held."""
    statement = Release(
        order=Cid.of(b"order"),
        output="table",
        handle="held:x/" + "0" * 32,
        value=ROOT,
        owner=ANNA,
        added=(BRUNO,),
        policy=1,
        report="",
        ledger=1,
        sig=bytes(64),
    )
    output = Output(
        handle="held:x/" + "0" * 32,
        type="statistics",
        name="",
        cid=None,
        size=None,
        release=statement if released else None,
        reason="",
    )
    return ResultFields(
        order=Cid.of(b"order"),
        instance=Instance(submission=ROOT, step="count", shard=0),
        intent=0,
        status=Status.DONE if released else Status.HELD,
        kept={"table": Kept(output=output, form=Form.FILE, cid=ROOT, size=1, label=OPEN, name="t")},
        spent=None,
        cost=0,
        reason="",
        detail="",
        chain={},
    )


def test_a_release_that_was_taken_back_has_no_other_side() -> None:
    """Lost: an auditor is told of a leak where a steward's revocation came in time; or is not told of one."""
    rows = [row(ANNA, 1, release(BRUNO, Side.SOURCE)), row(ANNA, 2, result(released=True))]
    back = row(ANNA, 3, result(released=False))
    assert lone(rows) == [(ANNA, 1, BRUNO)]
    assert lone([*rows, back]) == []
    got = row(BRUNO, 3, release(ANNA, Side.RECIPIENT))
    assert lone([*rows, got]) == []
    assert lone([*rows, back, got]) == [(BRUNO, 3, ANNA)], "it says that it took back what the other site got"


def test_a_site_that_gave_no_answer_is_not_accused() -> None:
    assert lone([GAVE], {ANNA: 0}) == []


def test_blanks_at_the_other_side_are_told() -> None:
    """A row there may be one that was erased or is not for the asker."""
    pairs = Counterparts()
    pairs.take(GAVE)
    (named,) = pairs.unmatched({ANNA: 0, BRUNO: 2})
    assert "erased or not for the asker, as 2 rows are" in named.what


def test_what_a_site_gives_to_its_own_bus_has_no_other_side() -> None:
    own = structs.replace(release(ANNA, Side.SOURCE), added=(ANNA,))
    assert lone([row(ANNA, 1, own)]) == []
