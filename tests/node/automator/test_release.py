"""What is kept of outputs that are not let out after all, and whose word they need."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.key import UNSIGNED, PrivateKey
from node.automator.release import lacking, withhold
from privacy.label import join, released, resident, shared
from workflow.account import Kept
from workflow.argument import handle
from workflow.receipt import Form, Output, Release

A, B, C = (PrivateKey(bytes([number]) * 32).did for number in (1, 2, 3))
VALUE, SALT = Cid.of(b"a pooled table"), bytes([7]) * 32


def statement(owner: str, value: Cid) -> Release:
    return Release(
        order=Cid.of(b"an order"),
        output="out",
        handle=handle(C, bytes(16)),
        value=value,
        owner=owner,
        added=(C,),
        policy=0,
        report="",
        ledger=0,
        sig=UNSIGNED,
    )


def test_what_is_taken_back_has_neither_a_name_nor_a_statement_nor_the_key_of_its_name() -> None:
    """Lost: a receipt that says «held» and carries what the other owners signed, with the key that tells of what."""
    label = released(join(resident(A), resident(B)), A, [C])
    output = Output(
        handle=handle(C, bytes(16)),
        type="table",
        name="out.csv",
        cid=VALUE,
        size=1,
        form=Form.FILE,
        release=statement(C, VALUE),
        reason="",
        further=(statement(A, VALUE.keyed(SALT)), statement(B, VALUE.keyed(SALT))),
        salt=SALT,
    )
    assert [each.owner for each in output.releases] == [C, A, B]
    kept = withhold(
        {"out": Kept(output=output, form=Form.FILE, cid=VALUE, size=1, label=label, name="out.csv")}, "no vote"
    )["out"]
    assert kept.output == Output(
        handle=output.handle, type="table", name="", cid=None, size=None, release=None, reason="no vote"
    )
    assert kept.label.owners == {A: (A,), B: (B,)}


def test_the_owners_who_are_asked_are_those_who_do_not_let_everybody_read_it() -> None:
    """Lost: an owner who has a word in it is not asked; or one is told who has none."""
    label = join(join(resident(A), shared(B, [C])), shared(C, []))
    assert lacking(label, [C]) == (A,)
    assert lacking(label, [A]) == tuple(sorted((B, C)))
    assert lacking(label, [A, C]) == tuple(sorted((A, B, C)))
