"""Rows of Anna's audit log as an auditor's client shows them: asked for, proven, and put into words."""

from __future__ import annotations

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of, encode
from catalog.key import UNSIGNED, signed
from catalog.project import ProjectRef
from node.api.audit import Account
from node.api.schema import MemberView, SiteRows
from node.api.trail import Names, Trail
from node.api.view import AuditRow
from node.automator.book import Line
from privacy.decision import Decision
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, RESEARCHER, House
from tests.node.site.test_auditdesk import DATA, STEWARD, desk, pages, who
from tests.node.storage.test_state import submission
from workflow.account import AccessFields, AccountFields, Chain, ReleaseFields, Side
from workflow.order import Instance
from workflow.receipt import Release
from workflow.submission import Submission

TRIAL = ProjectRef(site=CLARA.did, name="trial")
ORDER, BLOCK, VALUE = (Cid.of(each) for each in (b"order", b"block", b"value"))
GRANTS = (Cid.of(b"one grant"), Cid.of(b"another"))


def member(name: str, root: str, node: str) -> MemberView:
    return MemberView(
        name=name, site=root, node=node, here=False, connected=True, entries=0, cosigned=0, behind="", price=None,
        runner=None,
    )  # fmt: skip


MEMBERS = [
    member(name, root.did, NODES[root.did].did) for name, root in (("Anna", ANNA), ("Bruno", BRUNO), ("Clara", CLARA))
]


async def shown(house: House) -> list[tuple[AuditRow, Account]]:
    """All rows of the log, each with what shows it, but for the ones that this question itself leaves."""
    question = who(STEWARD, ANNA, dataset=None)
    trail = Trail(question, MEMBERS, 1, Names({RESEARCHER.did: "Mara"}, {}, {}), proofs=True)
    told: list[tuple[AuditRow, Account]] = []
    for answer in await pages(desk(house), question, ANNA):
        page = SiteRows(site=ANNA.did, site_name="Anna", node=NODES[ANNA.did].did, answer=encode(answer), absent="")
        for row, account in trail.verified(page):
            if isinstance(row, AuditRow):
                assert account is not None
                told.append((row, account))
    return told


async def write(house: House, kind: str, fields: AccountFields, *people: str, data: tuple[Cid, ...] = (DATA,)) -> None:
    """A row, in its chains."""

    def linked(chain: Chain, _index: int) -> AccountFields:
        return structs.replace(fields, chain=chain)

    await house.book.write([Line(kind, data, linked, people)])


def asked(*grants: Cid) -> Submission:
    """What Mara of Clara's signed."""
    whole = structs.replace(submission(1, RESEARCHER.did), site=CLARA.did, project=TRIAL, grants=grants)
    return signed(structs.replace(whole, buses=(NODES[CLARA.did].did,), sig=UNSIGNED), RESEARCHER)


def access(*grants: Cid, allowed: bool = True) -> AccessFields:
    """An intent, or a denial."""
    decision = Decision(
        allowed=allowed,
        action="compute",
        rules=("researchers",) if allowed else (),
        reason="as the rule says" if allowed else "no grant",
        facts={},
        policy="3",
    )
    return AccessFields(
        order=ORDER,
        instance=Instance(submission=cid_of(asked(*grants)), step="count", shard=0),
        attempt=1,
        person=RESEARCHER.did,
        home=CLARA.did,
        project=TRIAL,
        purpose="DUO:0000006",
        block=BLOCK,
        decision=decision,
        shown=decision,
        max_cost=1,
        submission=encode(asked(*grants)),
        chain={},
    )


def release(side: Side) -> ReleaseFields:
    """Anna releases to Clara's bus, or gets what Bruno released."""
    owner, handle = (ANNA if side is Side.SOURCE else BRUNO), f"held:{BRUNO.did}/{bytes(16).hex()}"
    statement = Release(
        order=ORDER,
        output="sums",
        handle=handle,
        value=VALUE,
        owner=owner.did,
        added=(CLARA.did,),
        policy=3,
        report="endorsed",
        ledger=1,
        sig=UNSIGNED,
    )
    whole = ReleaseFields(
        order=ORDER,
        output="sums",
        handle=handle,
        value=VALUE,
        added=(CLARA.did,),
        policy=3,
        decision=access().decision if side is Side.SOURCE else None,
        report="endorsed",
        chain={},
        side=side,
        site=CLARA.did if side is Side.SOURCE else BRUNO.did,
    )
    if side is Side.SOURCE:
        return whole
    return structs.replace(whole, statement=signed(statement, NODES[BRUNO.did]), place=1, project=TRIAL)
