"""Exported events: valid FHIR, after BALP's patterns, each with a proof that others can check."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from catalog.dagcbor import encode
from catalog.leaf import decode_leaf, opens
from catalog.proof import parse_proof, verify_proof
from cli.export import _plain
from node.api import fhir
from node.api.audit import Account, Reading
from node.api.schema import MemberView, SiteRows
from node.api.trail import Names, Trail
from node.api.view import AuditRow
from tests.node.site.house import ANNA, BRUNO, NODES, RESEARCHER, House, play
from tests.node.site.test_auditdesk import MEMBERS, STEWARD, desk, fetched, pages, read_by, who
from workflow.account import Side

event = pytest.importorskip("fhir.resources.R4B.auditevent")


def member(name: str, root: str, node: str) -> MemberView:
    return MemberView(
        name=name, site=root, node=node, here=False, connected=True, entries=0, cosigned=0, behind="", price=None,
        runner=None,
    )  # fmt: skip


def test_every_event_is_valid_and_its_proof_holds_by_itself(tmp_path: Path) -> None:
    """Lost: an export that no FHIR server takes, or that proves nothing without this program."""

    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        await read_by(house, RESEARCHER)
        await fetched(house, BRUNO, side=Side.RECIPIENT, request=None)
        await pages(desk(house), who(STEWARD, ANNA), ANNA)
        question = who(STEWARD, ANNA)
        answers = await pages(desk(house), question, ANNA)
        members = [member("St. Anna", ANNA.did, NODES[ANNA.did].did), member("Bruno", BRUNO.did, NODES[BRUNO.did].did)]
        trail = Trail(question, members, 1, Names({}, {}), proofs=True)
        told: list[tuple[AuditRow, Account]] = []
        for answer in answers:
            page = SiteRows(
                site=ANNA.did, site_name="St. Anna", node=NODES[ANNA.did].did, answer=encode(answer), absent=""
            )
            for row, account in trail.verified(page):
                assert isinstance(row, AuditRow)
                assert account is not None
                told.append((row, account))
        events = [fhir.audit_event(row, account) for row, account in told]
        for each, (_, account) in zip(events, told, strict=True):
            event.AuditEvent.model_validate(each)
            parts = {part["url"]: base64.b64decode(part["valueBase64Binary"]) for part in each["extension"]}  # type: ignore[attr-defined]
            leaf = parts[fhir.LEAF]
            verify_proof(parse_proof(parts[fhir.PROOF].decode()), leaf, house.audit.origin, NODES[ANNA.did].did)
            assert opens(decode_leaf(leaf), parts[fhir.BODY], parts[fhir.SALT])
            assert each["id"] == f"{account.site[-12:]}-{account.index}"
        assert [each["type"]["code"] for each in events] == ["110106", "rest", "110107", "rest"]  # type: ignore[index]
        assert [each["action"] for each in events] == ["R", "R", "C", "E"]
        assert all("meta" not in each for each in events), "no profile is claimed that is not checked"

    play(tmp_path, story)


def test_without_proofs_none_is_made(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        question = who(STEWARD, ANNA)
        reading = Reading(question, ANNA.did, MEMBERS)
        rows = [row for answer in await pages(desk(house), question, ANNA) for row in reading.take(encode(answer))]
        assert [row.proof for row in rows if isinstance(row, Account)] == [None]

    play(tmp_path, story)


@pytest.mark.parametrize(("cell", "shown"), [("=1+1", "'=1+1"), ("@x", "'@x"), ("Mara", "Mara"), ("", "")])
def test_a_table_holds_no_formula(cell: str, shown: str) -> None:
    """Lost: a name that a member chose runs in the auditor's spreadsheet."""
    assert _plain(cell) == shown
