"""Attacks on labels and releases, through the proofs beside an order: the institute is to pool what it may not hold.

The honest pool, of two counts that were made and released, is carried out; each attack changes one proof of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import Denied, VerificationFailed
from catalog.key import PrivateKey, signed
from catalog.label import Label
from node.message import Proof, question_bytes
from privacy.label import effective_readers, joined, resident, shared
from tests.adversary.stage import Stage, forged, output, size_of
from tests.simulation.consortium import CIDS, Site
from workflow.argument import Data, Many
from workflow.evidence import Evidence
from workflow.order import Order
from workflow.receipt import Output, Receipt, Release, Status
from workflow.submission import Submission

FRAME = 1 << 20
Forge = Callable[[Stage, Submission, Data, Proof], tuple[Data, Proof]]


def _signed_again(proof: Proof, site: Site, **changes: object) -> Proof:
    """The proof with its receipt changed and signed by the site's own node: what a lying hospital can do."""
    return structs.replace(proof, receipt=signed(structs.replace(proof.receipt, **changes), site.node))


def _released(proof: Proof, by: PrivateKey, **changes: object) -> Proof:
    """The proof with another release statement in its receipt, the receipt signed by its site again."""
    made = proof.receipt.outputs["result"]
    assert made.release is not None
    release = signed(structs.replace(made.release, **changes), by)
    return _with_output(proof, structs.replace(made, release=release))


def _with_output(proof: Proof, made: object) -> Proof:
    return structs.replace(proof, receipt=structs.replace(proof.receipt, outputs={"result": made}))


def _altered_receipt(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    return data, structs.replace(proof, receipt=structs.replace(proof.receipt, cost=0))


def _receipt_by_the_steward(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    receipt = signed(structs.replace(proof.receipt, node=stage.anna.steward.did), stage.anna.steward)
    return data, structs.replace(proof, receipt=receipt)


def _receipt_by_mallory(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    receipt = signed(structs.replace(proof.receipt, node=stage.mallory.node.did), stage.mallory.node)
    return data, structs.replace(proof, receipt=receipt)


def _other_submission(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    return stage.counted(stage.submission(nonce=b"2" * 16), stage.anna)


def _other_order(stage: Stage, submission: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    return data, structs.replace(proof, order=stage.order(submission, attempt=2))


def _not_final(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    return data, _signed_again(proof, stage.anna, status=Status.ACCEPTED)


def _exchanged_output(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    """The hospital's statement releases one value; its receipt puts the raw data's CID in its place."""
    raw = stage.data(stage.anna).cid
    made = structs.replace(proof.receipt.outputs["result"], cid=raw)
    return structs.replace(data, cid=raw), _signed_again(proof, stage.anna, outputs={"result": made})


def _no_release(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    made = structs.replace(proof.receipt.outputs["result"], release=None)
    return data, _signed_again(proof, stage.anna, outputs={"result": made})


def _release(by: Callable[[Stage], PrivateKey], **changes: object) -> Forge:
    def forge(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
        given = {key: value(stage) if callable(value) else value for key, value in changes.items()}
        changed = _released(proof, by(stage), **given)
        return data, _signed_again(changed, stage.anna)

    return forge


def _unnamed_bus(stage: Stage, submission: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    """An order that Mallory's own node signed, answered by Mallory's own node, in the name of the submission."""
    order = stage.order(submission, stage.mallory.node, site=stage.mallory.did, inputs={})
    made = output(stage.mallory, data.cid)
    return structs.replace(data, site=stage.mallory.did), Proof(
        order=order, receipt=forged(order, stage.mallory, {"result": made})
    )


def _of_another_step(stage: Stage, submission: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    """A value that is proven, and that the pooling step is not fed with."""
    order = stage.order(submission, site=stage.mallory.did, step="steal", inputs={})
    made = output(stage.mallory, Cid.of(b"poison"))
    named = Data(site=stage.mallory.did, cid=Cid.of(b"poison"), name="p")
    return named, Proof(order=order, receipt=forged(order, stage.mallory, {"result": made}))


def _unproven(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    return structs.replace(data, cid=Cid.of(b"made up")), proof


def _raw_data(stage: Stage, _: Submission, data: Data, proof: Proof) -> tuple[Data, Proof]:
    return stage.data(stage.anna), proof


FORGERIES: Mapping[str, Forge] = {
    "receipt_altered": _altered_receipt,
    "receipt_signed_by_the_sites_steward": _receipt_by_the_steward,
    "receipt_signed_by_another_site": _receipt_by_mallory,
    "receipt_of_another_submission": _other_submission,
    "receipt_of_another_order": _other_order,
    "receipt_that_is_not_final": _not_final,
    "receipt_whose_output_was_exchanged": _exchanged_output,
    "value_that_was_never_released": _no_release,
    "release_by_a_non_owner": _release(lambda s: s.mallory.node, owner=lambda s: s.mallory.did),
    "release_by_a_non_owner_in_the_owners_name": _release(lambda s: s.mallory.node),
    "release_by_the_steward_instead_of_the_node": _release(lambda s: s.anna.steward),
    "release_for_another_handle": _release(lambda s: s.anna.node, handle=lambda s: f"held:{s.anna.did}/{'1' * 32}"),
    "release_of_another_value": _release(lambda s: s.anna.node, value=Cid.of(b"another")),
    "release_of_another_order": _release(lambda s: s.anna.node, order=Cid.of(b"another order")),
    "release_of_another_output": _release(lambda s: s.anna.node, output="other"),
    "release_to_somebody_else": _release(lambda s: s.anna.node, added=lambda s: (s.mallory.did,)),
    "order_by_a_bus_that_the_person_did_not_name": _unnamed_bus,
    "value_of_a_step_that_does_not_feed_this_one": _of_another_step,
    "value_that_nobody_proves": _unproven,
    "raw_data_in_place_of_a_result": _raw_data,
}


@pytest.mark.parametrize("name", FORGERIES)
def test_refused(name: str) -> None:
    """Else a value reaches a site that one of its owners never let have it, or a false value is pooled."""
    stage = Stage()
    submission = stage.submission()
    data, proof = stage.counted(submission, stage.anna)
    other, beside = stage.counted(submission, stage.bruno)
    before = stage.watch.seen["intent"]
    data, proof = FORGERIES[name](stage, submission, data, proof)
    after = stage.watch.seen["intent"]
    assert after - before in (0, 1)
    with pytest.raises((VerificationFailed, Denied)):
        stage.place(stage.pool(submission, [data, other], [proof, beside]))
    assert stage.watch.seen["intent"] == after


def test_the_honest_pool_is_carried_out() -> None:
    """Else every forgery above is refused because every pool is."""
    stage = Stage()
    submission = stage.submission()
    parts = [stage.counted(submission, site) for site in (stage.anna, stage.bruno)]
    receipt = stage.place(stage.pool(submission, [data for data, _ in parts], [proof for _, proof in parts]))
    assert receipt.status is Status.DONE


def _believed(_: Evidence, _order: Order, _name: str, made: Output, label: Label) -> Label:
    """What a node that believes every release statement makes of a label."""
    return label if made.release is None else Label(owners={})


WITHOUT: Mapping[str, tuple[str, object]] = {
    "receipt_altered": ("_check", lambda *_: None),
    "receipt_signed_by_the_sites_steward": ("_check", lambda *_: None),
    "receipt_signed_by_another_site": ("_check", lambda *_: None),
    "receipt_of_another_submission": ("_check", lambda *_: None),
    "receipt_that_is_not_final": ("_check", lambda *_: None),
    "value_that_was_never_released": ("inputs_label", lambda *_: Label(owners={})),
    "release_by_a_non_owner": ("_released", _believed),
    "release_by_a_non_owner_in_the_owners_name": ("_released", _believed),
    "release_by_the_steward_instead_of_the_node": ("_released", _believed),
    "release_for_another_handle": ("_released", _believed),
    "release_of_another_value": ("_released", _believed),
    "release_of_another_order": ("_released", _believed),
    "release_of_another_output": ("_released", _believed),
    "release_to_somebody_else": ("_released", _believed),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_and_without_the_defence_it_succeeds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a forgery above fails for another reason, and one made with more care would pass."""
    stage = Stage()
    submission = stage.submission()
    data, proof = stage.counted(submission, stage.anna)
    data, proof = FORGERIES[name](stage, submission, data, proof)
    monkeypatch.setattr(Evidence, *WITHOUT[name])
    assert stage.place(stage.pool(submission, [data], [proof])).status in (Status.DONE, Status.HELD)


def _forged_chain(stage: Stage, submission: Submission) -> Evidence:
    """Mallory's node claims to have made St. Anna's count «from nothing»; she, an owner of nothing, releases it."""
    data, proof = stage.counted(submission, stage.anna)
    order = stage.order(
        submission, site=stage.mallory.did, step="pool", inputs={"parts": Many(items=(data,))},
        proofs=(cid_of(proof.receipt),),
    )  # fmt: skip
    made = output(stage.mallory, data.cid)
    release = signed(
        Release(
            order=cid_of(order), output="pooled", handle=made.handle, value=data.cid, owner=stage.mallory.did,
            added=(stage.mallory.did, stage.bruno.did), policy=0, report="", ledger=0, sig=bytes(64),
        ),
        stage.mallory.node,
    )  # fmt: skip
    receipt = forged(order, stage.mallory, {"pooled": structs.replace(made, release=release)})
    index = stage.nodes[stage.bruno.did].index
    return Evidence(index, cid_of(submission), [(proof.order, proof.receipt), (order, receipt)])


def test_a_label_laundered_through_a_third_site() -> None:
    """Else whoever passes a value on passes it on without its owners."""
    stage = Stage()
    submission = stage.submission()
    checked = _forged_chain(stage, submission)
    copy = Data(site=stage.mallory.did, cid=stage.counted(submission, stage.anna)[0].cid, name="x")
    (made,) = checked.made(copy)
    assert not {stage.mallory.did, stage.bruno.did} & (effective_readers(made.label) or {stage.bruno.did})
    assert stage.bruno.did not in made.label.owners[stage.anna.did]
    assert made.datasets == {stage.data(stage.anna).cid}


def test_and_without_the_owners_word_it_is_laundered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the label above is whole because nobody tried."""
    monkeypatch.setattr(Evidence, "_released", _believed)
    stage = Stage()
    submission = stage.submission()
    checked = _forged_chain(stage, submission)
    copy = Data(site=stage.mallory.did, cid=stage.counted(submission, stage.anna)[0].cid, name="x")
    (made,) = checked.made(copy)
    assert effective_readers(made.label) is None


def test_a_chain_that_relies_on_what_comes_later_or_on_itself() -> None:
    """Else a circle of proofs gives its own label, or never ends."""
    stage = Stage()
    submission = stage.submission()
    index = stage.nodes[stage.anna.did].index
    ours = [Data(site=stage.mallory.did, cid=Cid.of(bytes([number])), name="x") for number in range(2)]
    circle = []
    for here, there in ((0, 1), (1, 0)):
        order = stage.order(submission, site=stage.mallory.did, shard=here, inputs={"data": ours[there]})
        circle.append((order, forged(order, stage.mallory, {"result": output(stage.mallory, ours[here].cid)})))
    for proofs in (circle, circle[::-1], circle * 3):
        with pytest.raises(Denied, match="neither a dataset"):
            Evidence(index, cid_of(submission), proofs)


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many labels were joined, in all."""
    counted = [0]

    def counting(labels: object) -> Label:
        listed = list(labels)  # type: ignore[call-overload]
        counted[0] += len(listed)
        return joined(listed)

    monkeypatch.setattr("workflow.evidence.joined", counting)
    return counted


def _bait(stage: Stage) -> None:
    stage.dataset(stage.mallory, Cid.of(b"bait"))


def test_proofs_that_multiply_one_another(joins: list[int]) -> None:
    """Else one message of 1 MiB, many proofs of the same bytes and one list that repeats them, holds a node up."""
    stage = Stage(_bait)
    submission = stage.submission()
    bait = Data(site=stage.mallory.did, cid=Cid.of(b"bait"), name="b")
    same = Data(site=stage.mallory.did, cid=Cid.of(b"same"), name="b")
    proofs: list[tuple[Order, Receipt]] = []
    for shard in range(300):
        order = stage.order(submission, site=stage.mallory.did, shard=shard, inputs={"data": bait})
        proofs.append((order, forged(order, stage.mallory, {"result": output(stage.mallory, same.cid)})))
    order = stage.order(
        submission, site=stage.mallory.did, step="pool", block=CIDS["pool"],
        inputs={"parts": Many(items=(same,) * 3500)}, proofs=tuple(cid_of(receipt) for _, receipt in proofs),
    )  # fmt: skip
    proofs.append((order, forged(order, stage.mallory, {"pooled": output(stage.mallory, Cid.of(b"last"))})))
    assert sum(size_of(each) for pair in proofs for each in pair) < FRAME
    Evidence(stage.nodes[stage.anna.did].index, cid_of(submission), proofs)
    assert joins[0] < 10 * len(proofs)


def test_proofs_that_double_at_each_step(joins: list[int]) -> None:
    """Else a chain in which each value is made of the last one twice costs two to the power of its length."""
    stage = Stage(_bait)
    submission = stage.submission()
    last = Data(site=stage.mallory.did, cid=Cid.of(b"bait"), name="b")
    proofs: list[tuple[Order, Receipt]] = []
    for number in range(200):
        named = tuple(cid_of(receipt) for _, receipt in proofs[-1:])
        order = stage.order(
            submission, site=stage.mallory.did, step="pool", shard=number,
            inputs={"parts": Many(items=(last, structs.replace(last, name="again")))}, proofs=named,
        )  # fmt: skip
        last = Data(site=stage.mallory.did, cid=Cid.of(bytes([number])), name="b")
        proofs.append((order, forged(order, stage.mallory, {"pooled": output(stage.mallory, last.cid)})))
    Evidence(stage.nodes[stage.anna.did].index, cid_of(submission), proofs)
    assert joins[0] < 10 * len(proofs)


def test_4097_proofs() -> None:
    """Else the number of proofs that one message makes a node check has no bound."""
    stage = Stage()
    submission = stage.submission()
    order = stage.order(submission, proofs=(Cid.of(b""),) * 4097)
    with pytest.raises(VerificationFailed):
        stage.place(stage.message(submission, order))


def test_a_member_takes_a_block_from_all_by_sharing_it_more_narrowly() -> None:
    """Else one entry in a catalog that comes first stops every workflow of the others."""

    def prepare(stage: Stage) -> None:
        stage.block(stage.anna, "count", resident(stage.anna.did))
        stage.block(stage.bruno, "count", shared(stage.bruno.did, [stage.anna.did]))

    stage = Stage(prepare)
    submission = stage.submission()
    parts = [stage.counted(submission, site) for site in (stage.anna, stage.bruno)]
    pooled = stage.place(stage.pool(submission, [data for data, _ in parts], [proof for _, proof in parts]))
    assert pooled.status is Status.DONE


@pytest.mark.parametrize("garbage", [b"", b"\xa0", b"\x81" * 40, b"\xff" * 1000, b"\x9b" + b"\xff" * 8, b"\0" * FRAME])
def test_garbage_in_place_of_a_question(garbage: bytes) -> None:
    """Else a member ends another's node with a few bytes."""
    stage = Stage()
    assert stage.ask(stage.mallory, stage.anna, garbage)
    assert stage.place(stage.honest()).status is Status.DONE


def test_every_cut_and_every_flipped_byte_of_an_order() -> None:
    """Else some malformed order is an error that no one expected, which ends the node, or is carried out."""
    stage = Stage()
    whole = question_bytes(stage.honest())
    for place in range(0, len(whole), 37):
        for data in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]):
            reply = stage.ask(stage.institute, stage.anna, data)
            assert b"refusal" in reply
    assert stage.watch.seen["intent"] == 0
