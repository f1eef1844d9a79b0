"""``comity audit``: who accessed which data, and whether the logs are what they claim to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.error import Unreachable, VerificationFailed
from cli.output import clean, pairs, say, show
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.view import AuditRow

_HEAD = ("when", "site", "who", "what", "block", "purpose", "proof", "decision")


@click.group(cls=Verbs)
def group() -> None:
    """Who accessed which data; verify the logs."""


@group.command()
@click.argument("dataset")
@click.option("--strict", is_flag=True, help="Fail if a site gave no answer.")
@pass_session
def who(session: Session, dataset: str, strict: bool) -> None:
    """Ask every member who accessed DATASET; each row is printed once its proof is verified."""
    from node.api.view import Absent

    rows: list[AuditRow] = []
    absent: list[Absent] = []
    with session.node() as node:
        asked = [each.name for each in node.members()]
        widths = () if session.json else _widths(node, asked)
        for each in node.audit_who(dataset):
            if isinstance(each, Absent):
                absent.append(each)
                continue
            if not session.json:
                if not rows:
                    _line(_HEAD, widths)
                _line(_cells(each), widths)
            rows.append(each)

    def tell() -> None:
        answered = len(asked) - len({each.site for each in absent})
        sites = f"{answered} of {len(asked)} sites answered"
        say(f"{len(rows)} rows, each verified against its site's log; {sites}.")
        for each in absent:
            say(f"{each.site_name} gave no answer: {each.reason}")

    show(session, {"dataset": dataset, "rows": rows, "absent": absent}, tell)
    if asked and not rows and len({each.site for each in absent}) == len(asked):
        raise Unreachable(f"no site gave an answer, so nothing is known of who accessed «{dataset}»")
    if absent and strict:
        names = ", ".join(dict.fromkeys(each.site_name for each in absent))
        raise Unreachable(f"{names} gave no answer, so the list may lack rows; ask again later")


@group.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--root", metavar="DID", help="The site's root key, from elsewhere than the folder itself.")
@pass_session
def verify(session: Session, directory: Path, root: str | None) -> None:
    """Check the logs in a site's folder, or in a copy of it, without a node: leaves, bodies, signatures, order."""
    from cli.offline import verify_site

    found = verify_site(directory, root)

    def tell() -> None:
        for log in found.logs:
            seen = f"{log.leaves} leaves, {log.bodies} bodies, {log.signatures} signatures"
            say(f"{log.path}: {seen}, {log.cosignatures} cosignatures" + _beside(log.unchecked, log.absent, log.erased))
        pairs(
            [
                ("leaves", str(found.leaves)),
                ("bodies", str(found.bodies)),
                ("signatures", str(found.signatures)),
                ("cosignatures", str(found.cosignatures)),
            ]
        )
        for fault in found.faults:
            say(f"FAULT {fault}")
        if not found.faults:
            say("no fault")

    show(session, found, tell)
    if found.faults:
        first = found.faults[0]
        more = f" (and {len(found.faults) - 1} more)" if len(found.faults) > 1 else ""
        raise VerificationFailed(f"{first}{more}")


def _beside(unchecked: int, absent: int, erased: int) -> str:
    told = [
        (unchecked, "cosignatures by keys that are not known here"),
        (absent, "bodies not for this site"),
        (erased, "bodies erased"),
    ]
    shown = ", ".join(f"{count} {what}" for count, what in told if count)
    return f" ({shown})" if shown else ""


def _cells(row: AuditRow) -> tuple[str, ...]:
    from node.api.quantity import clock_text

    where = f"{row.who}@{row.home_name}" if row.home_name and row.home_name != row.who else row.who
    return (
        clock_text(row.at),
        row.site_name,
        where,
        row.kind,
        row.block_name or "–",
        row.purpose or "–",
        row.proof,
        row.verdict or "–",
    )


def _widths(node: Node, sites: Sequence[str]) -> tuple[int, ...]:
    """Of the columns, from what may stand in them: the rows themselves are not known before they are printed."""
    people = [f"{each.fields.name}@{each.site_name}" for each in node.people() if each.fields.role != "node"]
    blocks = [each.fields.name for each in node.blocks()]
    site = max(map(len, (*sites, "site")))
    return (19, site, max(site, *map(len, people), 0), 8, max(map(len, (*blocks, "…12345678"))), 11, 30, 0)


def _line(cells: tuple[str, ...], widths: tuple[int, ...]) -> None:
    shown = (clean(cell).ljust(width) for cell, width in zip(cells, widths, strict=True))
    print("  ".join(shown).rstrip(), flush=True)
