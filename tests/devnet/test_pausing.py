"""A submission that its person pauses, resumes and asks for once more, on a devnet, while its node is killed."""

from __future__ import annotations

import json
import secrets

from devnet import faults
from devnet.patience import eventually
from tests.devnet.consortium import SECONDS, Consortium, go_on, publish_workflow, waiting
from tests.devnet.test_cancelling import submitted


def test_a_paused_submission_outlives_its_node_and_ends_once_it_is_resumed(consortium: Consortium) -> None:
    """Lost: whoever looks at first results must cancel the rest; or a node that starts again forgets that it waits."""
    small, institute = consortium.small, consortium.known.institute
    mark = f"pausing-{secrets.token_hex(6)}"
    workflow = publish_workflow(consortium.places, consortium.known, mark, long=0)
    with consortium.researcher() as mara:
        submission = submitted(consortium, mara, workflow, small)
        eventually(lambda: waiting(mark) or None, "the step at work")
        told = consortium.command("submission", "pause", submission, "--json")
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["state"] == "paused"
        go_on(mark)
        eventually(lambda: mara.run(submission).view.spent or None, "the receipt of what was out")
        assert {each.step: each.status for each in mara.run(submission).view.instances} == {
            "sums": "done",
            "pool": "waiting",
        }
    faults.strike(consortium.places, "kill", institute.handle)
    faults.strike(consortium.places, "resume", institute.handle)
    with consortium.researcher() as mara:
        paused = mara.run(submission)
        assert (paused.state, paused.done) == ("paused", False)
        assert "its person paused it" in paused.reason
        mara.resume(submission)
        ended = mara.wait(submission, SECONDS).check()
        # What delivered is remembered where it was made: a second time it is not run, and costs nothing.
        again = mara.wait(mara.submit(mara.again(submission)), SECONDS).check()
        assert ended.view.spent > 0
        assert again.view.spent == 0
        assert [each.cid for each in again.results] == [each.cid for each in ended.results]
        assert not waiting(mark)
