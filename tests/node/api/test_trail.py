"""What an auditor reads of a row: what happened, to what, for which project, under which grant."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.cid import Cid
from node.api.view import AuditRow
from tests.node.api.rows import GRANTS, TRIAL, access, release, shown, write
from tests.node.site.house import ANNA, BRUNO, RESEARCHER, STEWARDS, House, play
from tests.node.site.test_auditdesk import DATA
from workflow.account import (
    AccountFields,
    DestroyFields,
    EntryFields,
    EraseFields,
    FetchFields,
    HaltFields,
    Side,
    UnwrittenFields,
)
from workflow.order import Instance

STEWARD = STEWARDS[ANNA.did].did


def told(tmp_path: Path, kind: str, fields: AccountFields, *people: str) -> AuditRow:
    """The row that is shown of what was written."""
    found: list[AuditRow] = []

    async def story(house: House) -> None:
        await write(house, kind, fields, *people)
        found.extend(row for row, _ in await shown(house))

    play(tmp_path, story)
    return found[0]


def entry(**changes: object) -> EntryFields:
    return EntryFields(entry=14, body=DATA, actor=STEWARD, chain={}, **changes)  # type: ignore[arg-type]


def halt(**changes: object) -> HaltFields:
    fields = {"project": None, "member": None, "reason": "a doubt", "statement": None, "chain": {}} | changes
    return HaltFields(**fields)  # type: ignore[arg-type]


NAMED = f"grant …{str(GRANTS[0])[-8:]}"
INSTANCE = Instance(submission=DATA, step="count", shard=0)
SAID: list[tuple[str, AccountFields, str]] = [
    ("grant", entry(grant=GRANTS[0], project=TRIAL), f"{NAMED} given, entry 14 of the catalog"),
    ("revoke", entry(grant=GRANTS[0], project=TRIAL), f"{NAMED} revoked, entry 14 of the catalog"),
    ("approve", entry(project=TRIAL), "the project «trial» approved, entry 14 of the catalog"),
    (
        "approve",
        entry(project=TRIAL, withdrawn=True),
        "approval of the project «trial» withdrawn, entry 14 of the catalog",
    ),
    ("policy", entry(), "a new policy, entry 14 of the catalog"),
    (
        "destroy",
        DestroyFields(project=TRIAL, values=1, nodes=2_000, bytes=3, chain={}),
        "destroyed: 1 value, 2,000 nodes, 3 bytes on disk",
    ),
    (
        "erase",
        EraseFields(site=BRUNO.did, withdraw=7, places=1, chain={}),
        "erased: 1 body that entry 7 of the catalog of Bruno took back",
    ),
    (
        "unwritten",
        UnwrittenFields(site=BRUNO.did, chain={}),
        "more that Bruno asked for was refused from here on than is written down",
    ),
    ("halt", halt(), "halted: everything; a doubt"),
    ("halt", halt(project=TRIAL), "halted: the project «trial»; a doubt"),
    ("resume", halt(member=BRUNO.did), "resumed: everything of Bruno; a doubt"),
    ("halt", halt(delivered=(INSTANCE,)), "halted: everything; a doubt; 1 result that only others have receipts of"),
]


@pytest.mark.parametrize(("kind", "fields", "words"), SAID, ids=lambda each: str(each)[:30])
def test_a_row_says_what_was_done_to_what(tmp_path: Path, kind: str, fields: AccountFields, words: str) -> None:
    """Lost: an auditor reads «destroy» or «halt», and neither of what nor why."""
    row = told(tmp_path, kind, fields, STEWARD)
    assert (row.kind, row.verdict) == (kind, words)
    project = getattr(fields, "project", None)
    assert (row.project, row.project_site) == (("trial", TRIAL.site) if project is not None else ("", ""))
    assert row.grant == getattr(fields, "grant", None)


@pytest.mark.parametrize("project", [TRIAL, None])
def test_a_fetch_is_shown_with_the_project_that_it_was_for(tmp_path: Path, project: object) -> None:
    """Lost: bytes that left, and no permit beside them; what is published for all has none, and says so."""
    fields = FetchFields(root=DATA, site=BRUNO.did, person=None, chain={}, side=Side.RECIPIENT, project=project)  # type: ignore[arg-type]
    row = told(tmp_path, "fetch", fields)
    assert row.project == ("trial" if project is not None else "")
    assert row.verdict == "bytes came from Bruno"


def test_what_came_and_what_was_released_are_of_the_project_of_their_order(tmp_path: Path) -> None:
    """Lost: the site that got a result has rows of it that name no permit: the order's intent is elsewhere."""
    rows: list[AuditRow] = []

    async def story(house: House) -> None:
        await write(house, "release", release(Side.RECIPIENT), RESEARCHER.did)
        await write(house, "intent", access(*GRANTS), RESEARCHER.did)
        await write(house, "release", release(Side.SOURCE), RESEARCHER.did)
        rows.extend(row for row, _ in await shown(house))

    play(tmp_path, story)
    assert [(row.kind, row.project) for row in rows] == [
        ("release", "trial"),
        ("intent", "trial"),
        ("release", "trial"),
    ]
    assert [row.block for row in rows] == [None, Cid.of(b"block"), Cid.of(b"block")]
    assert rows[0].verdict == "«sums» came from Bruno"
