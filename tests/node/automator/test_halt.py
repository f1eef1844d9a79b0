"""What a halt stops: it is a projection of the audit log and holds for exactly what it names."""

from __future__ import annotations

from catalog.body import write_body
from catalog.cid import Cid
from catalog.key import PrivateKey
from catalog.project import ProjectRef
from node.automator.halt import Halts
from workflow.account import HaltFields
from workflow.order import Instance

SITE, OTHER, THIRD = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))
TRIAL, STUDY = (ProjectRef(site=OTHER.did, name=name) for name in ("trial", "study"))


def take(halts: Halts, kind: str, **given: object) -> None:
    values: dict[str, object] = {"project": None, "member": None, "reason": "why", "statement": None, "chain": {}}
    fields = HaltFields(**(values | given))  # type: ignore[arg-type]  # checked when the body is read
    halts.take(0, write_body(kind, fields, site=SITE.did, at=0, by=SITE, audience=()))


def test_a_halt_of_all_stops_all_until_it_is_resumed() -> None:
    """A steward who presses the red button expects that nothing goes on."""
    halts = Halts()
    assert halts.refusal(TRIAL, [OTHER.did]) == ""
    take(halts, "halt")
    assert "halted for everything" in halts.refusal(TRIAL, [OTHER.did])
    assert halts.closed_to(THIRD.did)
    take(halts, "resume")
    assert halts.refusal(TRIAL, [OTHER.did]) == ""
    assert not halts.standing


def test_a_halt_of_one_project_or_member_stops_that_alone() -> None:
    """Stopping one must neither stop the others nor be undone by resuming another."""
    halts = Halts()
    take(halts, "halt", project=TRIAL)
    take(halts, "halt", member=THIRD.did)
    assert "trial" in halts.refusal(TRIAL, [OTHER.did])
    assert halts.refusal(STUDY, [OTHER.did]) == ""
    assert halts.refusal(STUDY, [OTHER.did, THIRD.did])
    assert (halts.closed_to(THIRD.did), halts.closed_to(OTHER.did)) == (True, False)
    assert halts.projects() == {TRIAL}
    take(halts, "resume")
    assert len(halts.standing) == 2


def test_a_word_counts_once_and_lost_deliveries_are_known() -> None:
    """A replayed «resume» would undo a halt; a lost row would let a step be delivered twice."""
    halts = Halts()
    instance = Instance(submission=Cid.of(b"submission"), step="count", shard=0)
    take(halts, "halt", statement=b"signed", delivered=(instance,))
    assert (halts.used(b"signed"), halts.used(b"other")) == (True, False)
    take(halts, "resume")
    assert halts.delivered == {instance}
