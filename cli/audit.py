"""``comity audit``: who accessed which data, and whether the logs are what they claim to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from catalog.error import BadInput, VerificationFailed
from catalog.plural import counted
from cli import completing
from cli.answer import Missing, asked_of, tell_rows
from cli.crate import prove
from cli.output import pairs, say, show
from cli.session import Session, Verbs, pass_session
from cli.value import tell_value


@click.group(cls=Verbs)
def group() -> None:
    """Who accessed which data; verify the logs."""


group.add_command(prove)


def _asking(verb: Callable[..., None]) -> Callable[..., None]:
    """The options of everything that asks audit logs."""
    strict = click.option(
        "--strict",
        is_flag=True,
        help="Read all rows, whatever times they have; fail if a site gave no answer, or a row has no counterpart.",
    )
    since = click.option("--since", metavar="TIME", help="Only what is not older: 2026-01-31, or 30d for 30 days ago.")
    until = click.option("--until", metavar="TIME", help="Only what is not newer.")
    return strict(since(until(verb)))


@group.command()
@click.argument("dataset", shell_complete=completing.datasets)
@_asking
@pass_session
def who(session: Session, dataset: str, strict: bool, since: str | None, until: str | None) -> None:
    """Ask every member who accessed DATASET; each row is printed once its proof is verified."""
    with session.node() as node:
        told = node.audit_who(dataset, since=since, until=until, whole=strict)
        tell_rows(session, node, {"dataset": dataset}, told, strict)


@group.command()
@click.argument("person")
@_asking
@pass_session
def by(session: Session, person: str, strict: bool, since: str | None, until: str | None) -> None:
    """Ask every member what PERSON (a name, NAME@SITE or a key) did there."""
    with session.node() as node:
        told = node.audit_by(person, since=since, until=until, whole=strict)
        tell_rows(session, node, {"person": person}, told, strict)


@group.command("log")
@click.option("--of", "sites", multiple=True, metavar="SITE", help="Another member's log; may be given several times.")
@click.option("--all", "everywhere", is_flag=True, help="The logs of all members but those that only witness.")
@_asking
@pass_session
def whole_log(
    session: Session, sites: tuple[str, ...], everywhere: bool, strict: bool, since: str | None, until: str | None
) -> None:
    """Read all rows of this site's audit log, or of other members' as far as they allow it."""
    with session.node() as node:
        members = node.members()
        asked = asked_of(node) if everywhere else sites
        told = node.audit_log(asked, since=since, until=until, whole=strict)
        here = [each.name for each in members if each.here]
        tell_rows(session, node, {"sites": list(asked)}, told, strict, asked or here)


@group.command()
@click.argument("value")
@pass_session
def look(session: Session, value: str) -> None:
    """Show the beginning of VALUE, a CID that a row names: what a step left here. For stewards; it is logged."""
    from node.api.inquiries import MAX_PREVIEW

    with session.node() as node:
        seen = node.look(value)
    show(session, {"cid": value, "value": seen}, lambda: tell_value(value, seen, more=len(seen) == MAX_PREVIEW))


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
            own = ", ".join(counted(*each) for each in (*seen, (log.cosignatures, "cosignature")))
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
@_asking
@pass_session
def export(
    session: Session,
    fhir: Path | None,
    table: Path | None,
    dataset: str | None,
    person: str | None,
    strict: bool,
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
        missing = Missing(asked_of(node) if dataset or person else [each.name for each in node.members() if each.here])
        told = node.audit_export(dataset=dataset, person=person, since=since, until=until, whole=strict)
        rows = write(told, sink, missing)

    def tell() -> None:
        say(f"{counted(rows, 'row')} verified and written to {fhir or table}; {missing.answered}.")
        missing.say()

    show(session, {"rows": rows, **missing.found}, tell)
    missing.check(rows, strict)


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


def _beside(unchecked: int, absent: int, erased: int) -> str:
    told = [
        (unchecked, "cosignature", "by keys that are not known here, or were stolen"),
        (absent, "body", "not for this site"),
        (erased, "body", "erased"),
    ]
    shown = ", ".join(f"{counted(count, noun)} {what}" for count, noun, what in told if count)
    return f" ({shown})" if shown else ""
