"""A submission that its person cancels, on a devnet: while steps run, while a steward is asked, and through a crash."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from catalog.error import Conflict, NotFound
from devnet import faults
from devnet.patience import eventually
from devnet.state import read_state
from devnet.topology import PROJECT, Institution
from node.api.client import Node
from privacy.starters import HOSPITAL
from tests.devnet.consortium import SECONDS, Consortium, marked, publish_workflow, waiting
from tests.devnet.test_asking import ASKED


@pytest.fixture
def asking(consortium: Consortium) -> Iterator[Institution]:
    """The second hospital, whose policy leaves steps to its stewards for as long as the test takes."""
    with consortium.steward(consortium.large) as steward:
        steward.set_policy(ASKED)
    try:
        yield consortium.large
    finally:
        with consortium.steward(consortium.large) as steward:
            steward.set_policy(HOSPITAL)


def submitted(consortium: Consortium, mara: Node, workflow: str, *hospitals: Institution) -> str:
    data = [mara.dataset(each.dataset) for each in hospitals]
    plan = mara.plan(workflow, {"tables": data}, project=PROJECT, deadline="10m", budget="5")
    return str(mara.submit(plan))


def at_work(consortium: Consortium, mara: Node, *hospitals: Institution) -> tuple[str, str]:
    """A submission whose steps run at these hospitals, and the mark of their commands."""
    mark = f"cancelling-{secrets.token_hex(6)}"
    submission = submitted(
        consortium, mara, publish_workflow(consortium.places, consortium.known, mark, long=0), *hospitals
    )
    eventually(lambda: len(waiting(mark)) == len(hospitals) or None, "the steps at work")
    return submission, mark


@contextmanager
def frozen(consortium: Consortium, institution: Institution) -> Iterator[None]:
    """The node of a site stands still, and its steps go on."""
    pid = read_state(consortium.places).processes[institution.handle].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_whoever_submitted_it_ends_it_at_every_site(
    consortium: Consortium, record_property: Callable[[str, object], None]
) -> None:
    """Lost: what nobody wants any more runs on at every hospital, and is paid for."""
    small, large = consortium.small, consortium.large
    with consortium.researcher() as mara, consortium.steward(consortium.known.institute) as other:
        submission, mark = at_work(consortium, mara, small, large)
        with pytest.raises(NotFound):
            other.cancel(submission)
        assert len(marked(mark, "python3")) == 2, "another person of the same institute ends nothing"
        told = consortium.command("submission", "cancel", submission, "--json")
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["state"] in ("cancelling", "cancelled")
        ended = mara.wait(submission, SECONDS)
        assert (ended.state, ended.reason, ended.view.spent) == ("cancelled", "its person cancelled it", 0)
        assert {(each.step, each.status) for each in ended.view.instances} == {
            ("sums", "cancelled"),
            ("pool", "cancelled"),
        }
        assert not marked(mark, "python3"), "what ran was killed"
        with pytest.raises(Conflict):
            ended.check()
        again = consortium.command("submission", "cancel", submission)
        assert again.returncode == 0, again.stderr
        assert "cancelled: its person cancelled it" in again.stdout
    with consortium.steward(small) as steward:
        rows = [
            row for row in steward.audit(small.dataset).rows if row.site_name == small.name and row.kind == "result"
        ]
    assert "its person cancelled it" in rows[-1].reason, "each site accounts for it"


def test_what_a_steward_is_asked_is_asked_no_more(consortium: Consortium, asking: Institution) -> None:
    """Lost: a steward reads, and answers, what nobody wants any more; or their yes has it run."""
    mark = f"cancelling-{secrets.token_hex(6)}"
    with consortium.researcher() as mara, consortium.steward(asking) as steward:
        workflow = publish_workflow(consortium.places, consortium.known, mark)
        submission = submitted(consortium, mara, workflow, asking)
        asked = eventually(
            lambda: next((each for each in steward.inquiries() if each.inquiry.value is None and each.waits), None),
            "the question",
        )
        mara.cancel(submission)
        ended = mara.wait(submission, SECONDS)
        assert {each.status for each in ended.view.instances} == {"cancelled"}
        assert asked.cid not in {each.cid for each in steward.inquiries()}


def test_a_node_that_is_killed_before_all_sites_are_told_tells_them_when_it_is_back(consortium: Consortium) -> None:
    """Lost: whoever cancelled believes that it ended, and it runs on."""
    small, home = consortium.small, consortium.known.institute
    with consortium.researcher() as mara:
        submission, mark = at_work(consortium, mara, small)
        with frozen(consortium, small):
            assert mara.cancel(submission).state == "cancelling"
            faults.strike(consortium.places, "kill", home.handle)
            assert marked(mark, "python3"), "that site was not told yet"
        faults.strike(consortium.places, "resume", home.handle)
        eventually(lambda: not marked(mark, "python3") or None, "the end of the step", SECONDS)
        ended = mara.wait(submission, SECONDS)
        assert {(each.step, each.status) for each in ended.view.instances} == {
            ("sums", "cancelled"),
            ("pool", "cancelled"),
        }
        assert any("is cancelled where it stood" in line for line in mara.status().recovered)
        eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "the connections")
