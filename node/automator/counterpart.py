"""The other side's rows: what this site got from another is written down here as it is there.

Whoever asks both sites sees two rows that belong together, or one that is alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from catalog.cid import Cid
from catalog.project import ProjectRef
from node.automator.book import AuditBook, Line
from workflow.account import Chain, FetchFields, ReleaseFields, Side
from workflow.receipt import Output, Receipt, Release
from workflow.submission import Submission


@dataclass(frozen=True, slots=True)
class Received:
    """Writes down what arrives at the site ``site``."""

    site: str
    book: AuditBook

    async def fetched(
        self, source: str, root: Cid, datasets: Collection[Cid], project: ProjectRef | None = None
    ) -> None:
        """All bytes under ``root`` have come from ``source``, for ``project``; they were made from ``datasets``."""

        def fields(chain: Chain, _index: int) -> FetchFields:
            return FetchFields(root=root, site=source, person=None, chain=chain, side=Side.RECIPIENT, project=project)

        await self.book.write([Line("fetch", sorted(datasets), fields)])

    async def released(self, receipt: Receipt, datasets: Collection[Cid], submission: Submission) -> None:
        """A receipt for an order of ``submission`` has come, with what its owner released; written down once."""
        if receipt.site == self.site or receipt.place is None or self.book.ledger.received(receipt.order):
            return
        lines = [
            _line(receipt, receipt.place.index, name, output, output.release, datasets, submission)
            for name, output in sorted(receipt.outputs.items())
            if output.release is not None
        ]
        if lines:
            await self.book.write(lines)


def _line(
    receipt: Receipt,
    place: int,
    name: str,
    output: Output,
    release: Release,
    datasets: Collection[Cid],
    submission: Submission,
) -> Line:
    def fields(chain: Chain, _index: int) -> ReleaseFields:
        return ReleaseFields(
            order=receipt.order,
            output=name,
            handle=output.handle,
            value=release.value,
            added=release.added,
            policy=release.policy,
            decision=None,
            report=release.report,
            chain=chain,
            side=Side.RECIPIENT,
            site=receipt.site,
            statement=release,
            place=place,
            project=submission.project,
        )

    return Line("release", sorted(datasets), fields, (submission.person,))
