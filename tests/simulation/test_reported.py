"""What owners release on a holder's report, through crashes and changes of keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from catalog.body import fields_of, read_body
from catalog.key import PrivateKey
from node.automator.owners import Owners
from node.automator.pending import Pending
from tests.adversary.test_reports import MINUTE, Pool, _nobody
from tests.simulation.consortium import Site
from tests.simulation.disk import SimulatedMemory
from tests.simulation.node import Node
from tests.simulation.scheduler import Nap
from workflow.account import ReleaseFields, Side
from workflow.evidence import check_released
from workflow.receipt import Status


def heard(site: Site) -> list[str]:
    """The owners whose statements a holder has written down, one for each row."""
    bodies = [read_body(body) for _, body in site.disk.audit.bodies.values()]
    rows = [fields_of(body, ReleaseFields) for body in bodies if body.kind == "release"]
    return [row.site for row in rows if row.reported is not None and row.side is Side.RECIPIENT]


def test_a_holder_that_stops_between_a_row_and_its_memory_writes_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a log that says of one release that it came twice, so that the two sides' rows do not fit together."""
    pool = Pool()
    stage, institute = pool.stage, pool.stage.institute
    keep, stopped = SimulatedMemory.keep_pending, list[Pending]()

    async def stop(memory: SimulatedMemory, pending: Pending) -> None:
        if any(asked.released for asked in pending.outputs.values()):
            stopped.append(pending)
            await Nap(60 * MINUTE)
        await keep(memory, pending)

    with monkeypatch.context() as patched:
        patched.setattr(SimulatedMemory, "keep_pending", stop)
        pool.begin()
        assert stage.scheduler.run(lambda: bool(stopped), stage.scheduler.now + 5 * MINUTE)
        stage.scheduler.kill(pool.node(institute).process)
    assert len(heard(institute)) == 1
    assert not pool.asked().released, "it had remembered already, so nothing was tried"
    stage.nodes[institute.did] = stage._node(institute, Node)
    pool.node(institute).start()
    assert stage.scheduler.run(lambda: pool.node(institute).ready, stage.scheduler.now + MINUTE)
    receipt = stage.place(pool.message)
    assert receipt.status is Status.DONE, receipt.outputs["pooled"].reason
    assert sorted(heard(institute)) == sorted([stage.anna.did, stage.bruno.did])


def test_an_owner_whose_key_was_changed_gives_the_statement_that_it_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: what an owner released before it changed its key stays held: the new key does not count at that row."""
    monkeypatch.setattr(Owners, "ask", _nobody)
    pool = Pool()
    pool.begin()
    report = pool.asked().report
    assert pool.bring(report).release is None, "nobody has cosigned it yet"
    pool.pass_time(2 * MINUTE)
    automator = pool.node(pool.stage.anna).automator
    automator._answering = replace(automator._answering, signer=PrivateKey(bytes([7]) * 32))
    given = pool.bring(report).release
    assert given is not None
    check_released(pool.node(pool.stage.institute).index, given)
