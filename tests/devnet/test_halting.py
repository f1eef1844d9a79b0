"""A halt while a step runs, on a devnet: of all, of one project, of one member."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import pytest

from devnet import faults
from devnet.patience import eventually
from devnet.topology import PROJECT
from tests.devnet.consortium import Consortium, marked, publish_workflow, waiting


@pytest.mark.parametrize("scope", ["all", "project", "member"])
def test_a_halt_ends_what_runs_and_lets_nothing_begin_until_a_steward_resumes(
    consortium: Consortium, scope: str, record_property: Callable[[str, object], None]
) -> None:
    """Lost: a hospital says «stop», and code goes on with its patients' data; or a restart forgets that it said so."""
    small, mark = consortium.small, f"halting-{secrets.token_hex(6)}"
    workflow = publish_workflow(consortium.places, consortium.known, mark, long=0)
    about = {"project": {"project": PROJECT}, "member": {"member": consortium.known.institute.name}}.get(scope, {})
    with consortium.researcher() as mara, consortium.steward(small) as steward:
        data = mara.dataset(small.dataset)
        plan = mara.plan(workflow, {"tables": [data]}, project=PROJECT, deadline="10m", budget="5")
        submission = mara.submit(plan)
        eventually(lambda: waiting(mark) or None, "the step at work")
        began = time.monotonic()
        steward.halt("looked into", **about)
        while marked(mark, "python3"):
            time.sleep(0.001)
        record_property("seconds from the halt to the end of the step", round(time.monotonic() - began, 3))
        assert steward.status().halted
        if scope == "all":
            faults.strike(consortium.places, "kill", small.handle)
            faults.strike(consortium.places, "resume", small.handle)
            assert eventually(lambda: steward.status().halted or None, "the node that came back")
            eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "its connections")
        ended = mara.wait(submission, 90)
        assert small.name not in ended.took_part
        assert not marked(mark, "python3"), "nothing of it began again"
        steward.halt("looked into", **about, resume=True)
        assert not steward.status().halted
