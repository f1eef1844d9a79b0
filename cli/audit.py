"""``comity audit``: who accessed which data, and whether the logs are what they claim to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.error import BadInput, Unreachable, VerificationFailed
from cli.output import clean, counted, pairs, say, show
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.trail import Told
    from node.api.view import Absent, AuditRow, Blanks, Lone

_MANY = {"leaf": "leaves", "body": "bodies"}
_HEAD = ("when", "site", "who", "what", "block", "purpose", "proof", "decision")


@click.group(cls=Verbs)
def group() -> None:
    """Who accessed which data; verify the logs."""


def _asking(verb: Callable[..., None]) -> Callable[..., None]:
    """The options of everything that asks audit logs."""
    strict = click.option("--strict", is_flag=True, help="Fail if a site gave no answer, or a row has no counterpart.")
    since = click.option("--since", metavar="TIME", help="Only what is not older: 2026-01-31, or 30d for 30 days ago.")
    until = click.option("--until", metavar="TIME", help="Only what is not newer.")
    return strict(since(until(verb)))


@group.command()
@click.argument("dataset")
@_asking
@pass_session
def who(session: Session, dataset: str, strict: bool, since: str | None, until: str | None) -> None:
    """Ask every member who accessed DATASET; each row is printed once its proof is verified."""
    with session.node() as node:
        _tell(session, node, {"dataset": dataset}, node.audit_who(dataset, since=since, until=until), strict)


@group.command()
@click.argument("person")
@_asking
@pass_session
def by(session: Session, person: str, strict: bool, since: str | None, until: str | None) -> None:
    """Ask every member what PERSON (a name, NAME@SITE or a key) did there."""
    with session.node() as node:
        _tell(session, node, {"person": person}, node.audit_by(person, since=since, until=until), strict)


@group.command("log")
@click.option("--of", "sites", multiple=True, metavar="SITE", help="Another member's log; may be given several times.")
@click.option("--all", "everywhere", is_flag=True, help="The logs of all members.")
@_asking
@pass_session
def whole_log(
    session: Session, sites: tuple[str, ...], everywhere: bool, strict: bool, since: str | None, until: str | None
) -> None:
    """Read all rows of this site's audit log, or of other members' as far as they allow it."""
    with session.node() as node:
        asked = [each.name for each in node.members()] if everywhere else sites
        told = node.audit_log(asked, since=since, until=until)
        _tell(session, node, {"sites": list(asked)}, told, strict, len(asked) or 1)


@dataclass(slots=True)
class _Answer:
    """What came, by its kind: rows, and what is missing."""

    asked: int
    rows: list[AuditRow] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    blanks: list[Blanks] = field(default_factory=list)
    lone: list[Lone] = field(default_factory=list)

    def say(self) -> None:
        """What stands below the rows."""
        answered = self.asked - len({each.site for each in self.absent})
        sites = f"{answered} of {counted(self.asked, 'site')} answered"
        say(f"{counted(len(self.rows), 'row')}, each verified against its site's log; {sites}.")
        below = sum(len(each.cosigners) < each.quorum for each in self.rows)
        if below:
            say(f"{below} of them stand under checkpoints that fewer members than the quorum have cosigned")
        for away in self.absent:
            say(f"{away.site_name} gave no answer: {away.reason}")
        for held in self.blanks:
            say(f"{held.site_name}: {counted(held.count, 'further row')}, erased or not for you")
        for odd in self.lone:
            say(f"no counterpart: {odd}")

    def check(self, strict: bool) -> None:
        """Fail where nothing is known, or, if ``strict``, where anything is missing."""
        away = list(dict.fromkeys(each.site_name for each in self.absent))
        if away and len(away) == self.asked and not self.rows:
            raise Unreachable("no site gave an answer, so nothing is known; ask again later")
        if away and strict:
            raise Unreachable(f"{', '.join(away)} gave no answer, so the list may lack rows; ask again later")
        if self.lone and strict:
            raise VerificationFailed(
                f"{counted(len(self.lone), 'row')} without a counterpart; the first: {self.lone[0]}"
            )


def _tell(
    session: Session, node: Node, about: dict[str, object], told: Iterable[Told], strict: bool, asked: int = 0
) -> None:
    """Print each row as it comes, then what is missing: sites, rows that are not shown, rows without a counterpart."""
    from node.api.view import Absent, AuditRow, Blanks

    members = [each.name for each in node.members()]
    answer = _Answer(asked or len(members))
    widths = () if session.json else _widths(node, members)
    for each in told:
        match each:
            case AuditRow():
                if not session.json:
                    _print(each, widths, first=not answer.rows)
                answer.rows.append(each)
            case Absent():
                answer.absent.append(each)
            case Blanks():
                answer.blanks.append(each)
            case _:
                answer.lone.append(each)
    found = {"rows": answer.rows, "absent": answer.absent, "blanks": answer.blanks, "lone": answer.lone}
    show(session, {**about, **found}, answer.say)
    answer.check(strict)


def _print(row: AuditRow, widths: tuple[int, ...], *, first: bool) -> None:
    if first:
        _line(_HEAD, widths)
    _line(_cells(row), widths)


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
            seen = ((log.leaves, "leaf"), (log.bodies, "body"), (log.signatures, "signature"))
            own = ", ".join(_of(*each) for each in (*seen, (log.cosignatures, "cosignature")))
            whose = f" ({log.of})" if log.of else ""
            say(f"{log.path}{whose}: {own}" + _beside(log.unchecked, log.absent, log.erased))
        pairs(
            [
                ("leaves", str(found.leaves)),
                ("bodies", str(found.bodies)),
                ("signatures", str(found.signatures)),
                ("cosignatures", str(found.cosignatures)),
            ]
        )
        for late in found.waiting:
            say(f"waiting: {late}")
        for fault in found.faults:
            say(f"FAULT {fault}")
        if not found.faults:
            say("no fault")

    show(session, found, tell)
    if found.faults:
        first = found.faults[0]
        more = f" (and {len(found.faults) - 1} more)" if len(found.faults) > 1 else ""
        raise VerificationFailed(f"{first}{more}")


@group.command()
@click.option(
    "--fhir", type=click.Path(path_type=Path), metavar="PLACE", help="FHIR R4 AuditEvents: a folder, or FILE.ndjson."
)
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE", help="A table.")
@click.option("--who", "dataset", metavar="DATASET", help="Of all members, who accessed DATASET.")
@click.option("--by", "person", metavar="PERSON", help="Of all members, what PERSON did.")
@click.option("--since", metavar="TIME", help="Only what is not older.")
@click.option("--until", metavar="TIME", help="Only what is not newer.")
@pass_session
def export(
    session: Session,
    fhir: Path | None,
    table: Path | None,
    dataset: str | None,
    person: str | None,
    since: str | None,
    until: str | None,
) -> None:
    """Write verified rows to files: of this site's log, or of all members' about a dataset or a person."""
    from cli.export import Csv, FhirFiles
    from cli.export import export as write

    if (fhir is None) == (table is None) or (dataset and person):
        raise BadInput("say where: either --fhir PLACE or --csv FILE; and at most one of --who and --by")
    sink = FhirFiles(fhir) if fhir is not None else Csv(table or Path())
    with session.node() as node:
        done = write(node.audit_export(dataset=dataset, person=person, since=since, until=until), sink)

    def tell() -> None:
        say(f"{counted(done.rows, 'row')} verified and written to {fhir or table}")
        for each in done.lacking:
            say(f"not in it: {each}")

    show(session, {"rows": done.rows, "lacking": done.lacking}, tell)


@group.command()
@click.argument("directory", required=False)
@pass_session
def prune(session: Session, directory: str | None) -> None:
    """Erase what the audit log has kept for longer than its site's keep_days; the node must not run meanwhile."""
    import time

    from node.pruning import prune_site

    pruned = prune_site(session.folder(directory), time.time_ns() // 1_000_000)

    def tell() -> None:
        say(f"{counted(pruned.erased, 'row')} erased; the log still verifies")
        if pruned.kept:
            say(f"{counted(pruned.kept, 'row')} as old kept: halts, and what projects that are not over left here")

    show(session, {"pruned": pruned.erased, "kept": pruned.kept}, tell)


def _of(number: int, noun: str) -> str:
    return counted(number, noun, _MANY.get(noun, ""))


def _beside(unchecked: int, absent: int, erased: int) -> str:
    told = [
        (unchecked, "cosignature", "by keys that are not known here"),
        (absent, "body", "not for this site"),
        (erased, "body", "erased"),
    ]
    shown = ", ".join(f"{_of(count, noun)} {what}" for count, noun, what in told if count)
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
