"""``comity project``: approved undertakings, which every grant and submission cites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from catalog.plural import counted
from cli import completing
from cli.output import confirmed, pairs, say, show, table
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.approving import Part, Registered
    from node.api.client import Node


@click.group(cls=Verbs)
def group() -> None:
    """Projects, which every grant and submission cites."""


@group.command()
@click.argument("name")
@click.option("--person", "people", multiple=True, required=True, help="An enrolled person; may be repeated.")
@click.option("--purpose", required=True, help="A DUO term, such as DUO:0000006.")
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    help="A dataset by name or CID; may be repeated.",
    shell_complete=completing.datasets,
)
@click.option("--until", required=True, help="When it ends: 30d, or 2026-12-01.")
@click.option("--member", "members", multiple=True, help="A site to ask for its approval, besides the data's owners.")
@click.option(
    "--undertake", "undertakings", multiple=True, help="A condition of use that its people take on, as a DUO term."
)
@pass_session
def new(
    session: Session,
    name: str,
    people: tuple[str, ...],
    purpose: str,
    datasets: tuple[str, ...],
    until: str,
    members: tuple[str, ...],
    undertakings: tuple[str, ...],
) -> None:
    """Put the project NAME into this site's catalog; for its stewards. The owners of its data approve it.

    One of that name that stands is replaced by what you write now.
    """
    from node.api.approving import APPROVED

    with session.node() as node:
        index = node.new_project(
            name, people, purpose, datasets, until=until, members=members, undertakings=undertakings
        )
        found = node.registered(f"{name}@{node.status().name}")
        asked = [each.site_name for each in _asked(found) if each.approval != APPROVED]

    def tell() -> None:
        say(f"The project «{name}» stands as you wrote it (entry {index}).")
        if asked:
            say(f"next: a steward at {', '.join(asked)} runs «comity project approve '{name}'»")

    show(session, {"name": name, "index": index, "asked": asked}, tell)


@group.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the projects that have not ended."""
    with session.node() as node:
        found = [each for each in node.register() if each.state == "open"]

    def tell() -> None:
        from node.api.quantity import clock_text

        rows = [
            (
                each.project.fields.name,
                each.project.site_name,
                each.project.fields.purpose,
                clock_text(each.project.fields.not_after),
                _approvals(each),
            )
            for each in found
        ]
        table(("project", "site", "purpose", "until", "approved"), rows, "no projects")

    show(session, [each.project for each in found], tell)


@group.command("show")
@click.argument("name", shell_complete=completing.projects)
@pass_session
def show_(session: Session, name: str) -> None:
    """Show the project NAME: its people, purpose, data and end; who approved it; who destroyed what it left."""
    with session.node() as node:
        found = node.registered(name)
        show(session, found, lambda: _tell(node, found))


@group.command()
@click.argument("name", shell_complete=completing.projects)
@click.option("--withdraw", is_flag=True, help="Take the approval back: this site's data are used in it no more.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def approve(session: Session, name: str, withdraw: bool, yes: bool) -> None:
    """Let this site's data be used in the project NAME of another site, in exactly its present terms; for stewards."""
    with session.node() as node:
        found = node.registered(name)
        if not withdraw and not session.json:
            _tell(node, found)
        question = "Take the approval back?" if withdraw else "Approve exactly these terms?"
        confirmed(yes, question)
        index = node.disapprove_project(name) if withdraw else node.approve_project(name)

    def tell() -> None:
        said = "is approved no more" if withdraw else "is approved as it stands"
        say(f"«{found.project.fields.name}» {said} (entry {index}).")

    show(session, {"project": found.project.fields.name, "index": index, "withdrawn": withdraw}, tell)


@group.command()
@click.argument("name", shell_complete=completing.projects)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def end(session: Session, name: str, yes: bool) -> None:
    """End the project NAME of this site everywhere, for good; for stewards.

    Access stops at every site that hears of it. Each ends its running steps, destroys what it holds of the project and
    certifies that; «comity project show» has the certificates.
    """
    with session.node() as node:
        confirmed(yes, f"End «{name}» for good, and destroy what all sites hold of it?")
        index = node.end_project(name)

    def tell() -> None:
        say(f"«{name}» has ended (entry {index}); every site that hears of it destroys what it holds of it.")
        say(f"next: «comity project show '{name}'» lists the certificates")

    show(session, {"name": name, "index": index}, tell)


@group.command()
@pass_session
def register(session: Session) -> None:
    """The register of all projects, the ended ones too, with each site's approval and certificate of destruction."""
    with session.node() as node:
        found = node.register()

    def tell() -> None:
        rows = [
            (
                each.project.fields.name,
                each.project.site_name,
                each.state,
                part.site_name,
                part.approval,
                _certificate(each, part.certified),
            )
            for each in found
            for part in each.parts
        ]
        table(("project", "of", "state", "site", "approval", "certificate of destruction"), rows, "no projects")

    show(session, found, tell)


def _asked(found: Registered) -> list[Part]:
    """The sites whose approval the project needs."""
    from node.api.approving import LEFT, NOT_ASKED

    return [each for each in found.parts[1:] if each.approval not in (LEFT, NOT_ASKED)]


def _approvals(found: Registered) -> str:
    asked = _asked(found)
    given = [each for each in asked if each.approval == "approved"]
    return f"{len(given)} of {len(asked)}" if asked else "–"


def _certificate(found: Registered, certified: int | None) -> str:
    from node.api.quantity import clock_text

    if found.state == "open":
        return "–"
    return "not yet" if certified is None else clock_text(certified)


def _tell(node: Node, found: Registered) -> None:
    from catalog.dataset import DatasetFields
    from node.api.quantity import clock_text

    people = {each.fields.did: f"{each.fields.name}@{each.site_name}" for each in node.people()}
    data = {each.fields.cid: f"{each.fields.name}@{each.site_name}" for each in node.listed("dataset", DatasetFields)}
    fields = found.project.fields
    pairs(
        [
            ("project", f"{fields.name}@{found.project.site_name}"),
            ("state", found.state),
            ("purpose", fields.purpose),
            ("until", clock_text(fields.not_after)),
            *(("undertakes", each) for each in fields.undertakings),
            *(("person", people.get(did, did)) for did in fields.people),
            *(("dataset", f"{data.get(cid, 'not to be seen')} {cid}") for cid in fields.datasets),
            *(("approval", f"{part.site_name}: {part.approval}") for part in found.parts),
        ]
    )
    if found.state == "open":
        return
    covered = next((part.certificate.not_covered for part in found.parts if part.certificate), ())
    for part in found.parts:
        told = "no certificate of destruction yet"
        if part.certificate is not None and part.certified is not None:
            values, size = part.certificate.values, part.certificate.bytes
            told = f"destroyed {counted(values, 'value')} ({counted(size, 'byte')}), {clock_text(part.certified)}"
        say(f"{part.site_name}: {told}")
    for each in covered:
        say(f"not covered by any certificate: {each}")
