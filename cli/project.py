"""``comity project``: approved undertakings, which every grant and submission cites."""

from __future__ import annotations

import click

from cli.output import pairs, say, show, table
from cli.session import Session, Verbs, pass_session


@click.group(cls=Verbs)
def group() -> None:
    """Projects, which every grant and submission cites."""


@group.command()
@click.argument("name")
@click.option("--person", "people", multiple=True, required=True, help="An enrolled person; may be repeated.")
@click.option("--purpose", required=True, help="A DUO term, such as DUO:0000006.")
@click.option("--dataset", "datasets", multiple=True, help="A dataset by name or CID; may be repeated.")
@click.option("--until", required=True, help="When it ends: 30d, or 2026-12-01.")
@pass_session
def new(
    session: Session, name: str, people: tuple[str, ...], purpose: str, datasets: tuple[str, ...], until: str
) -> None:
    """Put the approved project NAME into this site's catalog; for its stewards."""
    with session.node() as node:
        index = node.new_project(name, people, purpose, datasets, until=until)
    show(session, {"name": name, "index": index}, lambda: say(f"The project «{name}» begins (entry {index})."))


@group.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the projects that have not ended."""
    with session.node() as node:
        found = node.projects()

    def tell() -> None:
        from node.api.quantity import clock_text

        rows = [
            (each.fields.name, each.site_name, each.fields.purpose, clock_text(each.fields.not_after)) for each in found
        ]
        table(("project", "site", "purpose", "until"), rows, "no projects")

    show(session, found, tell)


@group.command("show")
@click.argument("name")
@pass_session
def show_(session: Session, name: str) -> None:
    """Show the project NAME: its people, purpose, data and end."""
    with session.node() as node:
        found = node.project(name)
        people = {each.fields.did: f"{each.fields.name}@{each.site_name}" for each in node.people()}
        data = {each.fields.cid: f"{each.fields.name}@{each.site_name}" for each in node.datasets()}

    def tell() -> None:
        from node.api.quantity import clock_text

        fields = found.fields
        pairs(
            [
                ("project", f"{fields.name}@{found.site_name}"),
                ("purpose", fields.purpose),
                ("until", clock_text(fields.not_after)),
                *(("person", people.get(did, did)) for did in fields.people),
                *(("dataset", f"{data.get(cid, 'not to be seen')} {cid}") for cid in fields.datasets),
            ]
        )

    show(session, found, tell)
