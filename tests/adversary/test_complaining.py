"""What a failed command wrote is named to whom its label lets read it, and of whoever else nobody learns a bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.dataset import DatasetFields, Level
from catalog.error import ComityError, Denied, NotFound, VerificationFailed
from catalog.member import KeyFields, Role
from node.message import Complained, Complaints, Place, question_bytes, read_reply
from node.step import Finished, Product, Usage
from privacy.label import OPEN, person_at, resident, shared
from tests.adversary.stage import Site, Stage
from tests.simulation.steps import SimulatedSteps
from workflow.receipt import Form, Status

Staging = Callable[..., Stage]

SAID = Product("stderr", Cid.of(b"KeyError: 'age'\n"), 16, Form.FILE)


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Staging]:
    """A stage whose steps fail."""
    made: list[Stage] = []

    def staging(prepare: Callable[[Stage], object] = lambda _: None, said: Product | None = SAID) -> Stage:
        async def fails(*_: object) -> Finished:
            return Finished({}, Usage(0.1, 0.1, 1), "its command ended with code 1", errors=said)

        monkeypatch.setattr(SimulatedSteps, "run", fails)
        made.append(Stage(prepare))
        return made[-1]

    yield staging
    for stage in made:
        Stage.playing.remove(stage)
        stage.scheduler.close()


def opened(stage: Stage) -> None:
    """The data of St. Anna are open to all."""
    stage.dataset(stage.anna, stage.data(stage.anna).cid, OPEN)


def failed(stage: Stage) -> Place:
    """An order that failed at St. Anna."""
    message = stage.honest()
    assert stage.place(message).status is Status.FAILED
    return message


def asked(stage: Stage, message: Place, asker: Site | None = None, **changes: object) -> Complaints:
    question = Complained(order=message.order, submission=message.submission, proofs=message.proofs)
    data = question_bytes(structs.replace(question, **changes))
    return read_reply(Complaints, stage.ask(asker or stage.institute, stage.anna, data))


def test_whoever_may_read_the_data_is_told_of_what_their_step_failed(staged: Staging) -> None:
    """Lost: a researcher mends a block blindly on data that they may read."""
    stage = staged(opened)
    assert asked(stage, failed(stage)) == Complaints(cid=SAID.cid, size=SAID.size)
    stage = staged(opened, None)
    assert asked(stage, failed(stage)) == Complaints(cid=None, size=0)


@pytest.mark.parametrize("reader", ["researcher", "crook"])
def test_data_that_are_for_one_person_there_are_for_that_one(staged: Staging, reader: str) -> None:
    """Lost: an owner lets one person read, and all that sit beside them read it in a traceback."""

    def shares(stage: Stage) -> None:
        institute, one = stage.institute.did, person_at(getattr(stage, reader).did, stage.institute.did)
        everyone = [each.did for each in stage.consortium.sites]
        stage.block(stage.institute, "count", shared(institute, [*everyone, one]))
        stage.dataset(stage.anna, stage.data(stage.anna).cid, shared(stage.anna.did, [one]))

    stage = staged(shares)
    message = failed(stage)
    if reader == "researcher":
        assert asked(stage, message).cid == SAID.cid
    else:
        with pytest.raises(Denied, match="may quote data"):
            asked(stage, message)


def test_of_data_that_stay_there_nothing_is_told_not_even_whether_anything_was_written(staged: Staging) -> None:
    """Lost: a step writes a line or none, as a patient is ill or not, and its asker knows it."""
    told = []
    for said in (SAID, None):
        stage = staged(said=said)
        with pytest.raises(Denied) as refused:
            asked(stage, failed(stage))
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert str(SAID.cid) not in told[0]


def test_only_who_sent_the_order_asks_about_it_and_with_what_it_was_sent(staged: Staging) -> None:
    """Lost: another member reads what a step wrote; or a label is joined of less than the step read."""
    stage = staged(opened)
    message = failed(stage)

    def refused(kind: type[ComityError], asker: Site | None = None, **changes: object) -> None:
        with pytest.raises(kind):
            asked(stage, message, asker, **changes)

    refused(NotFound, stage.mallory)
    refused(NotFound, stage.bruno)
    another = stage.submission(nonce=bytes([1] * 16))
    refused(VerificationFailed, submission=another)
    refused(VerificationFailed, submission=structs.replace(message.submission, buses=(stage.mallory.node.did,)))
    refused(NotFound, order=structs.replace(message.order, inputs={}))
    refused(NotFound, order=stage.order(message.submission, attempt=2))
    refused(VerificationFailed, order=structs.replace(message.order, proofs=(cid_of(message.order),)))


def test_what_the_label_says_now_counts(staged: Staging) -> None:
    """Lost: an owner takes back who may read, and a question from before is answered as it was then."""
    stage = staged(opened)
    message, anna = failed(stage), stage.nodes[stage.anna.did].index.site(stage.anna.did)
    fields = anna.typed(DatasetFields, "dataset", str(stage.data(stage.anna).cid))
    assert fields is not None
    taken_back = structs.replace(fields, label=resident(stage.anna.did), level=Level.RESIDENT)
    body = stage.consortium.body(stage.anna, "dataset", str(fields.cid), taken_back)
    assert anna.add(anna.size, "dataset", body) is not None, anna.faults
    with pytest.raises(Denied, match="may quote data"):
        asked(stage, message)


def test_whoever_is_removed_is_told_nothing_any_more(staged: Staging) -> None:
    """Lost: somebody who has left reads on."""
    stage = staged(opened)
    message = failed(stage)
    institute = stage.nodes[stage.anna.did].index.site(stage.institute.did)
    gone = KeyFields(did=stage.researcher.did, role=Role.RESEARCHER, name="Mara", x25519=bytes(32), removed=True)
    body = stage.consortium.body(stage.institute, "key", stage.researcher.did, gone)
    assert institute.add(institute.size, "key", body) is not None, institute.faults
    with pytest.raises(Denied):
        asked(stage, message)
