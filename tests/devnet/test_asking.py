"""A step that policy leaves to a steward, on a devnet: it waits through a crash, and runs once, when they said yes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devnet import faults
from devnet.patience import eventually
from devnet.topology import PROJECT
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
    with consortium.researcher() as mara:
        data = mara.dataset(small.dataset)
        plan = mara.plan(consortium.workflow, {"tables": [data]}, project=PROJECT, deadline="10m", budget="5")
        submission = mara.submit(plan)
        with consortium.steward(small) as steward:
            asked = eventually(lambda: next(iter(steward.inquiries()), None), "the question")
        shown = consortium.command("approval", "show", str(asked.cid), at=small)
        assert shown.returncode == 0, shown.stderr
        for part in ("may this step run here?", "csv.DictReader", "sums (statistics)"):
            assert part in shown.stdout
        faults.strike(consortium.places, "kill", small.handle)
        faults.strike(consortium.places, "resume", small.handle)
        eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "the node that came back")
        assert not mara.run(submission).done
        with consortium.steward(small) as steward:
            assert [each.cid for each in steward.inquiries()] == [asked.cid], "it is asked once"
        given = consortium.command("approval", "give", str(asked.cid)[-8:], "--yes", "--reason", "sums alone", at=small)
        assert given.returncode == 0, given.stderr
        done = mara.wait(submission, 90).check()
        assert small.name in done.took_part
        again = mara.submit(
            mara.plan(consortium.workflow, {"tables": [data]}, project=PROJECT, deadline="10m", budget="5")
        )
        mara.wait(again, 90).check()  # the same question: the answer stands
    with consortium.steward(small) as steward:
        rows = [row for row in steward.audit(data.fields.cid).rows if row.site_name == small.name]
    of = [row.kind for row in rows if row.kind in ("inquiry", "approval", "intent")]
    assert of[of.index("inquiry") :] == ["inquiry", "approval", "intent", "intent"]
    assert next(row.reason for row in rows if row.kind == "approval").endswith("said yes: sums alone")
