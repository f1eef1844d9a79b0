"""A step that policy leaves to a steward, on a devnet: it waits through a crash, and runs once, when they said yes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from catalog.cid import Cid
from devnet import faults
from devnet.patience import eventually
from devnet.topology import PROJECT, Institution
from node.api.client import Node
from node.api.view import AuditRow
from privacy.starters import HOSPITAL
from tests.devnet.consortium import Consortium

ASKED = HOSPITAL.replace('@id("granted-compute")', '@id("granted-compute")\n@approve("steward")')


@pytest.fixture
def asking(consortium: Consortium) -> Iterator[None]:
    """The first hospital's policy leaves steps on its data to its stewards, for as long as the test takes."""
    with consortium.steward(consortium.small) as steward:
        steward.set_policy(ASKED)
    try:
        yield
    finally:
        with consortium.steward(consortium.small) as steward:
            steward.set_policy(HOSPITAL)


@pytest.mark.usefixtures("asking")
def test_a_step_waits_for_a_steward_through_a_crash_and_runs_once_when_they_said_yes(consortium: Consortium) -> None:
    """Lost: what a person must decide is forgotten when a node dies, or runs twice, or runs without them."""
    small = consortium.small
    with consortium.steward(small) as steward:
        told = len(_rows(steward, small))

    def steps() -> list[Cid]:
        with consortium.steward(small) as steward:
            return [each.cid for each in steward.inquiries() if each.inquiry.value is None and each.waits]

    with consortium.researcher() as mara:
        data = mara.dataset(small.dataset)
        plan = mara.plan(consortium.workflow, {"tables": [data]}, project=PROJECT, deadline="10m", budget="5")
        submission = mara.submit(plan)
        asked = eventually(lambda: next(iter(steps()), None), "the question")
        shown = consortium.command("approval", "show", str(asked), at=small)
        assert shown.returncode == 0, shown.stderr
        for part in ("may this step run here?", "csv.DictReader", "sums (statistics)"):
            assert part in shown.stdout
        faults.strike(consortium.places, "kill", small.handle)
        faults.strike(consortium.places, "resume", small.handle)
        eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "the node that came back")
        assert not mara.run(submission).done
        assert steps() == [asked], "it is asked once"
        given = consortium.command("approval", "give", str(asked)[-8:], "--yes", "--reason", "sums alone", at=small)
        assert given.returncode == 0, given.stderr
        done = mara.wait(submission, 90).check()
        assert small.name in done.took_part
        again = mara.submit(
            mara.plan(consortium.workflow, {"tables": [data]}, project=PROJECT, deadline="10m", budget="5")
        )
        mara.wait(again, 90).check()  # the same question: the answer stands
    with consortium.steward(small) as steward:
        rows = _rows(steward, small)[told:]
    of = [row.kind for row in rows if row.kind in ("inquiry", "approval", "intent")]
    assert of == ["inquiry", "approval", "intent", "intent"]
    assert next(row.reason for row in rows if row.kind == "approval").endswith("said yes: sums alone")


def _rows(steward: Node, small: Institution) -> list[AuditRow]:
    """What the site of ``small`` wrote about its dataset."""
    return [row for row in steward.audit(small.dataset).rows if row.site_name == small.name]
