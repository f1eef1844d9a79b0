"""Lost: after a restart an owner releases a second value of one output, or a holder writes one statement down twice."""

from __future__ import annotations

from pathlib import Path

from catalog.body import read_body
from catalog.cid import Cid
from catalog.dagcbor import cid_of, encode
from node.automator.book import AuditBook, Line
from node.automator.ledger import Ledger
from node.storage.ledger import DiskLedger
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, House, play
from tests.protocol import computed
from workflow.account import Chain, ReleaseFields, Side

ORDER = cid_of(computed.ORDER)


def line(side: Side, site: str) -> Line:
    """The row of a release on the report, at an owner or at the holder."""

    def fields(chain: Chain, _index: int) -> ReleaseFields:
        return ReleaseFields(
            order=ORDER,
            output="result",
            handle=computed.HANDLE,
            value=computed.REPORTED.value,
            added=computed.REPORTED.readers,
            policy=4,
            decision=None,
            report=computed.FURTHER.report,
            chain=chain,
            side=side,
            site=site,
            statement=computed.FURTHER,
            project=computed.SUBMISSION.project,
            reported=encode(computed.REPORTED),
        )

    return Line("release", [Cid.of(b"data")], fields, (CLARA.did,))


def test_what_was_released_and_stated_on_reports_is_known_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def story(house: House) -> None:
        ledger = await DiskLedger.open(path, house.audit)
        memory = Ledger()
        assert not ledger.reports.stated(ORDER, "result", BRUNO.did)
        book = AuditBook(ANNA.did, NODES[ANNA.did], house.audit, ledger, house.clock)
        await book.write([line(Side.RECIPIENT, BRUNO.did), line(Side.SOURCE, CLARA.did)])
        for index in range(house.audit.size):
            stored = await house.audit.body(index)
            assert stored is not None
            memory.take(index, read_body(stored[1]))
        ledger.close()
        ledger = await DiskLedger.open(path, house.audit)
        for reports in (ledger.reports, memory.reports):
            assert reports.stated(ORDER, "result", BRUNO.did)
            assert not reports.stated(ORDER, "result", CLARA.did)
            assert not reports.stated(ORDER, "other", BRUNO.did)
            released = reports.released(computed.REPORTED.instance, "result")
            assert released is not None
            assert (released.statement, released.report, released.by) == (computed.FURTHER, computed.REPORTED, None)
        ledger.close()

    play(tmp_path / "house", story)
