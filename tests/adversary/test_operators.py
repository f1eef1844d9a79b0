"""What goes wrong at the operator's side, by accident or will: clock, disk, policy, the sandbox itself. Nothing that
is protected opens by it. Each is tried again with its defence taken away, where data are opened."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import trio
import trio.testing

from catalog.error import BadInput, ComityError, Denied
from catalog.member import KeyFields, Role
from catalog.policy import PolicyFields
from node.automator.automator import Automator
from node.automator.decide import Judge
from node.automator.steady import SteadyClock
from node.execute.step import StepExecutor
from node.site import serving
from node.step import Limits
from node.storage.disk import DiskBlobs
from tests.adversary.hospital import Hospital, at_a_hospital
from tests.adversary.stage import HOUR, Stage
from tests.adversary.test_asking import ASK_TO_RUN, SECOND, anna, answer, asks, begin, pass_time, restart, seen, told
from tests.adversary.test_steps import Hostile, Shelf
from tests.node.execute.cwl.evaluating import EVALUATOR
from tests.simulation.steps import SimulatedSteps
from tests.simulation.watch import Violation
from workflow.receipt import Status

BROKEN = '@id("ours") permit (principal, action, resource) when { context.granted && };'


class Reached(Exception):
    """The node began to serve."""


@pytest.mark.parametrize("defended", [True, False])
def test_a_policy_that_cannot_be_read_at_start_up(
    defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a hospital believes that its node goes by a policy, and learns of it from the first who is refused."""

    async def begins(_: StepExecutor) -> None:
        raise Reached

    async def test(there: Hospital) -> None:
        await there.write("policy", PolicyFields(text=BROKEN))
        await serving.serve(there.site)

    monkeypatch.setattr(StepExecutor, "start", begins)
    if not defended:
        monkeypatch.setattr(serving, "_check_policy", lambda _: None)
    with pytest.RaisesGroup(BadInput if defended else Reached, flatten_subgroups=True) as raised:
        at_a_hospital(tmp_path, test)
    assert not defended or "policy:1:" in str(raised.value.exceptions)


@pytest.mark.parametrize("defended", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_clock_that_is_set_back(defended: bool, restarted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever sets a clock has back each order, grant, project and steward's answer that time has ended."""
    if not defended:
        monkeypatch.setattr(SteadyClock, "now", lambda self: self.clock.now())
    stage = Stage()
    message = stage.honest()
    pass_time(stage, 3 * HOUR)
    stage.anna.skew = -3 * HOUR
    if restarted:
        restart(stage)
        pass_time(stage, 60_000)
    if defended:
        with pytest.raises(Denied, match="over"):
            stage.place(message)
    else:
        assert stage.place(message).status is not Status.DENIED
    assert bool(seen(stage, "opened")) is not defended


@pytest.mark.parametrize("defended", [True, False])
def test_a_full_disk_below_the_audit_log(defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else data are opened of which nothing will ever stand anywhere."""
    stage = Stage()
    message = stage.honest()
    log = anna(stage)._audit

    async def refuses(*_: object) -> int:
        raise ComityError("the audit log was not written: no space left on device")

    async def runs_all_the_same(self: Automator, verified: object, *_: object) -> object:
        return await self._run(verified)  # type: ignore[arg-type]

    monkeypatch.setattr(log, "append", refuses)
    if not defended:
        monkeypatch.setattr(Automator, "_open", runs_all_the_same)
    with pytest.raises(ComityError if defended else Violation, match="no space" if defended else "INTENT"):
        stage.place(message)
    assert bool(seen(stage, "opened")) is not defended


@pytest.mark.parametrize("defended", [True, False])
def test_a_stewards_key_that_is_revoked_while_an_approval_waits(
    defended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever was a steward on Sunday lets in on Tuesday."""
    if not defended:
        monkeypatch.setattr(Judge, "is_steward", lambda *_: True)
    stage = Stage(asks(ASK_TO_RUN.replace('steward")', '2 stewards")', 1), endorsed=True))
    message = stage.honest()
    begin(stage, message)
    answer(stage, by=SECOND)
    removed = KeyFields(did=SECOND.did, role=Role.STEWARD, name="Somebody", x25519=bytes(32), removed=True)
    stage.play(anna(stage)._write(stage.consortium.body(stage.anna, "key", SECOND.did, removed, by=stage.anna.root)))
    answer(stage)
    if defended:
        pass_time(stage, 300_000)
        assert told(stage, message).status is Status.ACCEPTED
    else:
        stage.place(message)
    assert bool(seen(stage, "opened")) is not defended


@pytest.mark.parametrize("defended", [True, False])
def test_an_isolation_that_broke_since_the_start(defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a machine whose kernel was changed under the node goes on running strangers' code beside patients."""
    stage = Stage()
    fault = "the sandbox does not give no network: this node runs no steps"
    monkeypatch.setattr(SimulatedSteps, "fault", fault if defended else "")
    if defended:
        with pytest.raises(Denied, match="no network"):
            stage.place(stage.honest())
    else:
        stage.place(stage.honest())
    assert bool(seen(stage, "opened")) is not defended


def test_the_probe_is_made_at_the_start_and_every_hour_and_its_guarantee_is_named(tmp_path: Path) -> None:
    """Lost: isolation that is shown once, and believed ever after."""
    found = ["", "no network", "no network", ""]
    made: list[float] = []

    class Breaking(Hostile):
        async def probe(self) -> None:
            made.append(trio.current_time())
            if broken := found[min(len(made), len(found)) - 1]:
                raise Denied(f"the sandbox does not give {broken}: this node runs no steps")

    async def play() -> list[str]:
        runner = Breaking(lambda _: None)
        executor = StepExecutor(runner, EVALUATOR, Shelf(), DiskBlobs(tmp_path / "blobs"), tmp_path / "work", Limits())
        faults = []
        async with trio.open_nursery() as nursery:
            await executor.start()
            faults.append(executor.fault)
            nursery.start_soon(executor.keep_proving)
            for seconds in (3601, 61, 61):
                await trio.sleep(seconds)
                faults.append(executor.fault)
            nursery.cancel_scope.cancel()
        return faults

    clock = trio.testing.MockClock(autojump_threshold=0.05)
    faults = trio.run(play, clock=clock)
    assert ["no network" in fault for fault in faults] == [False, True, True, False]
    assert [round(after - before, -1) for before, after in itertools.pairwise(made)] == [3600, 60, 60]
