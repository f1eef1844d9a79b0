"""`comity audit verify`: a release that the quorum has not cosigned is told as waiting, and is no fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from msgspec import structs

from catalog.checkpoint import add_line, cosign
from cli.main import run
from node.automator.book import Line
from tests.node.api.rows import release
from tests.node.site.house import BRUNO, NODES, RESEARCHER
from tests.node.site.test_auditdesk import DATA
from tests.node.site.test_pruning import Anna
from workflow.account import AccountFields, Chain, Side


def released(side: Side = Side.SOURCE) -> Line:
    def fields(chain: Chain, _index: int) -> AccountFields:
        return structs.replace(release(side), chain=chain)

    return Line("release", [DATA], fields, (RESEARCHER.did,))


def cosigned(anna: Anna) -> None:
    """Bruno cosigns the audit log as it is: with two members he is the quorum."""

    async def main() -> None:
        async with anna.audit() as log:
            note = add_line(log.note, cosign(log.note, BRUNO.did, NODES[BRUNO.did], 7))
            await log.add_cosignatures(note, {BRUNO.did: NODES[BRUNO.did].did})

    trio.run(main)


def verified(anna: Anna, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """What waits; and what is said of it."""
    capsys.readouterr()
    assert run(["audit", "verify", str(anna.folder.path), "--json"]) == 0
    waiting = json.loads(capsys.readouterr().out)["waiting"]
    assert run(["audit", "verify", str(anna.folder.path)]) == 0
    return waiting, capsys.readouterr().out


def test_a_release_waits_until_the_quorum_has_cosigned_a_log_that_holds_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: an auditor takes for released what its site may still take back."""
    anna = Anna(tmp_path)
    anna.write(released())
    told = "logs/audit: the release at leaf {} waits for cosignatures of 1 member"
    assert verified(anna, capsys)[0] == [told.format(0)]
    cosigned(anna)
    assert verified(anna, capsys)[0] == []
    anna.write(released(), released(Side.RECIPIENT))
    waiting, shown = verified(anna, capsys)
    assert waiting == [told.format(1)], "what came from another site waits there"
    assert f"waiting: {told.format(1)}\n" in shown
    assert "no fault" in shown
    cosigned(anna)
    assert verified(anna, capsys)[0] == []
