"""Which steps a halt ends: those whose order would be refused from now on."""

from types import SimpleNamespace

import pytest
from msgspec import structs

from catalog.body import write_body
from catalog.project import ProjectRef
from node.automator.halt import Halts
from node.message import Place
from node.site.halting import _concerns
from tests.protocol import computed
from tests.protocol.people import DID, KEYS, T0
from workflow.account import HaltFields

HERE = DID["anna-root"]
ELSEWHERE = ProjectRef(site=DID["nordstad-root"], name="other")


def halted(project: ProjectRef | None, member: str | None) -> Halts:
    fields = HaltFields(project=project, member=member, reason="why", statement=None, chain={})
    halts = Halts()
    halts.take(0, write_body("halt", fields, site=HERE, at=T0, by=KEYS["anna-node"], audience=()))
    return halts


@pytest.mark.parametrize(
    ("project", "member", "ended"),
    [
        (None, None, True),
        (ELSEWHERE, None, True),
        (computed.PROJECT, None, False),
        (None, DID["institute-root"], True),  # the home of the person who asked
        (None, DID["nordstad-root"], True),  # the site that runs the project
        (None, DID["trust-root"], True),  # the site whose bus sent the order
        (None, HERE, False),
    ],
)
def test_a_halt_ends_the_steps_of_what_is_halted(project, member, ended):
    """Lost: that a step of a halted member's own person runs on until its end."""
    submission = structs.replace(computed.SUBMISSION, project=ELSEWHERE)
    message = Place(order=computed.ORDER, submission=submission, workflow="", proofs=(), seconds=0)
    site = SimpleNamespace(
        book=SimpleNamespace(halts=halted(project, member)),
        membership=SimpleNamespace(site_of=lambda node: DID["trust-root"] if node == message.order.bus else None),
    )
    assert _concerns(site, message) is ended
