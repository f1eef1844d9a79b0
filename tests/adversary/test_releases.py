"""Attacks on what leaves: a step that was let in once shall get its output out, whatever became of what let it in.

Each is tried against the node as it is, and again with the named defence taken away, where it must succeed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.approve import ApproveFields
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of
from catalog.grant import Action
from catalog.member import Role
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from catalog.revoke import RevokeFields
from node.automator.decide import Judge
from node.message import Place, Proof, question_bytes, read_reply
from tests.adversary.stage import HOUR, Stage
from tests.simulation.consortium import CIDS, EPOCH_BEGAN, LATER, PURPOSE, Site, workflow_text
from tests.simulation.scheduler import Nap, Task
from tests.simulation.steps import SimulatedSteps
from tests.simulation.watch import Violation
from workflow.argument import Data, Many
from workflow.order import Order, Wanted
from workflow.receipt import Receipt, Status

STEP_MILLIS = 60_000


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take a minute before they open anything."""
    run = SimulatedSteps.run

    async def slowly(self: SimulatedSteps, *given: object) -> object:
        await Nap(STEP_MILLIS)
        return await run(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(SimulatedSteps, "run", slowly)


def begin(stage: Stage, message: Place) -> Task:
    """Send an order to St. Anna, and come back when its step runs."""
    asking = stage.network.ask("control", stage.institute.did, stage.anna.did, question_bytes(message), 300.0)
    task = stage.scheduler.spawn(stage.attacker, "ask", asking)
    assert stage.scheduler.run(lambda: stage.watch.seen["intent"] == 1, stage.scheduler.now + STEP_MILLIS // 2)
    return task


def say(stage: Stage, site: Site, kind: str, subject: str, fields: Value) -> None:
    """A steward writes an entry while the step runs."""
    node = stage.nodes[site.did]
    stage.play(node.publish(kind, subject, fields))
    assert stage.watch.seen["opened"] == 0, "the step is over already"


def outcome(stage: Stage, message: Place, task: Task) -> Receipt:
    """The final receipt of an order that was begun."""
    assert stage.scheduler.run(lambda: task.ended, stage.scheduler.now + HOUR)
    assert task.error is None
    receipt = read_reply(Receipt, task.result)
    return receipt if receipt.final else stage.place(message)


def revoke(stage: Stage) -> None:
    """St. Anna takes the researcher's grant back, and says why."""
    grant = stage.anna.grant
    assert grant is not None
    say(stage, stage.anna, "revoke", str(cid_of(grant)), RevokeFields(grant=cid_of(grant), reason="no vote"))


def withdraw(stage: Stage) -> None:
    """St. Anna withdraws her approval of the project."""
    ref = stage.consortium.project
    fields = ApproveFields.of(ref, stage.consortium.terms, withdrawn=True)
    say(stage, stage.anna, "approve", ref.subject, fields)


def everything(stage: Stage) -> None:
    """St. Anna's policy asks for a grant no more."""
    text = '@id("all") permit (principal, action in [Action::"compute", Action::"release"], resource);'
    say(stage, stage.anna, "policy", "", PolicyFields(text=text))


@pytest.mark.parametrize("and_then", [lambda _: None, everything], ids=["as it is", "under a policy without grants"])
@pytest.mark.usefixtures("slow")
def test_a_grant_that_is_revoked_while_the_step_runs(
    and_then: Callable[[Stage], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever has begun a step in time gets what it makes, though the steward has taken the data back."""
    stage = Stage()
    message = stage.honest()
    task = begin(stage, message)
    revoke(stage)
    and_then(stage)
    receipt = outcome(stage, message, task)
    assert receipt.status is Status.HELD
    result = receipt.outputs["result"]
    assert (result.cid, result.size, result.name, result.release) == (None, None, "", None)
    assert result.reason == "the grant was revoked: «no vote»"
    assert stage.watch.seen["release"] == 0
    assert stage.place(message) == receipt, "it is held for good"

    monkeypatch.setattr(Judge, "lapse", lambda *_: None)
    stage = Stage()
    task = begin(stage, stage.honest())
    revoke(stage)
    with pytest.raises(Violation, match="AUTHORITY"):
        outcome(stage, message, task)


def expiring(stage: Stage, **changes: object) -> Cid:
    """A grant of St. Anna's beside the usual one, which is not cited."""
    return stage.grant(stage.anna, [stage.data(stage.anna).cid], **changes)


@pytest.mark.usefixtures("slow")
def test_a_grant_that_expires_while_the_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a grant lasts as long as its last step does."""
    cited: list[Cid] = []

    def play() -> Receipt:
        cited.clear()
        stage = Stage(lambda s: cited.append(expiring(s, not_after=EPOCH_BEGAN + 130_000)))
        submission = stage.submission(grants=tuple(cited))
        message = stage.message(submission, stage.order(submission))
        stage.scheduler.run(lambda: stage.now >= EPOCH_BEGAN + 100_000, stage.scheduler.now + HOUR)
        return outcome(stage, message, begin(stage, message))

    receipt = play()
    assert receipt.status is Status.HELD
    assert receipt.outputs["result"].reason == "the grant has expired"
    monkeypatch.setattr(Judge, "lapse", lambda *_: None)
    assert play().status is Status.DONE


def test_a_grant_to_compute_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else «compute» says no less than «release», and a steward cannot give the one without the other."""
    cited: list[Cid] = []

    def play() -> Receipt:
        cited.clear()
        stage = Stage(lambda s: cited.append(expiring(s, actions=(Action.SEE, Action.COMPUTE))))
        submission = stage.submission(grants=tuple(cited))
        return stage.place(stage.message(submission, stage.order(submission)))

    receipt = play()
    assert receipt.status is Status.HELD
    assert receipt.outputs["result"].reason == "the grant does not cover «release»"
    monkeypatch.setattr(Judge, "lapse", lambda *_: None)
    assert play().status is Status.DONE


@pytest.mark.usefixtures("slow")
def test_an_approval_that_is_withdrawn_while_the_step_runs() -> None:
    """Else a project goes on with data whose owner has left it."""
    stage = Stage()
    message = stage.honest()
    task = begin(stage, message)
    withdraw(stage)
    receipt = outcome(stage, message, task)
    assert receipt.status is Status.FAILED
    assert "withdrew its approval" in receipt.reason
    assert receipt.outputs == {}


def at_home(stage: Stage) -> None:
    """St. Anna has a researcher of her own, with a project and a grant."""
    stage.enrol(stage.anna, stage.crook, Role.RESEARCHER)
    fields = ProjectFields(
        name="home", people={stage.crook.did: bytes(32)}, purpose=PURPOSE, datasets=(), not_after=LATER
    )
    stage.publish(stage.anna, "project", "home", fields)
    # Whose block it is has a word in what it makes.
    stage.consortium.approve(stage.institute, ProjectRef(site=stage.anna.did, name="home"), fields)


@pytest.mark.parametrize("defended", [True, False])
def test_going_on_at_home_with_what_a_revoked_grant_let_in(defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else who works at the owner's copies the data once, and needs no grant from there on."""
    home, cited = "home", []

    def prepare(stage: Stage) -> None:
        at_home(stage)
        project = ProjectRef(site=stage.anna.did, name=home)
        cited.append(expiring(stage, subject=stage.crook.did, project=project))

    stage = Stage(prepare)
    anna = stage.anna
    text = workflow_text(1)
    submission = stage.submission(
        stage.crook,
        person=stage.crook.did,
        site=anna.did,
        project=ProjectRef(site=anna.did, name=home),
        workflow=Cid.of(text.encode()),
        inputs={"data": Many(items=(stage.data(anna),))},
        grants=tuple(cited),
        destinations=(anna.did,),
        buses=(anna.node.did,),
    )

    def ask(*proofs: Proof, **changes: object) -> tuple[Order, Receipt]:
        order = stage.order(submission, anna.node, proofs=tuple(cid_of(each.receipt) for each in proofs), **changes)
        return order, stage.place(stage.message(submission, order, proofs, text), anna)

    order, counted = ask(outputs={"result": Wanted(type="statistics", readers=(anna.did,))})
    result = counted.outputs["result"]
    assert counted.status is Status.DONE
    assert result.cid is not None
    assert result.release is None, "she reads it already"
    stage.play(stage.nodes[anna.did].publish("revoke", str(cited[0]), RevokeFields(grant=cited[0], reason="no vote")))
    if not defended:
        monkeypatch.setattr(Judge, "lapse", lambda *_: None)
    _, copied = ask(
        Proof(order=order, receipt=counted),
        step="copy0",
        block=CIDS["copy"],
        inputs={"value": Data(site=anna.did, cid=result.cid, name=result.name)},
        outputs={"same": Wanted(type="statistics", readers=(anna.did,))},
    )
    assert copied.status is (Status.DENIED if defended else Status.DONE)
    assert ("the grant was revoked: «no vote»" in copied.reason) is defended
