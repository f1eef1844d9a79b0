"""``comity grant``: give people access to data."""

from __future__ import annotations

import click

from cli.output import say, show, table
from cli.session import Session, Verbs, pass_session


@click.group(cls=Verbs)
def group() -> None:
    """Grant people access to data."""


@group.command()
@click.argument("person")
@click.option("--project", required=True, help="The project that it is for.")
@click.option("--dataset", "datasets", multiple=True, required=True, help="A dataset of this site; may be repeated.")
@click.option("--until", required=True, help="When it ends: 30d, or 2026-12-01.")
@click.option("--purpose", "purposes", multiple=True, help="A DUO term; the project's purpose otherwise.")
@click.option(
    "--action",
    "actions",
    type=click.Choice(["see", "fetch", "compute", "release"]),
    multiple=True,
    default=("see", "compute", "release"),
    show_default=True,
    help="What is granted; may be repeated.",
)
@click.option("--block", "blocks", multiple=True, help="Only with this block; may be repeated.")
@click.option("--to", "destinations", multiple=True, help="Only for results that go to this site; may be repeated.")
@pass_session
def issue(
    session: Session,
    person: str,
    project: str,
    datasets: tuple[str, ...],
    until: str,
    purposes: tuple[str, ...],
    actions: tuple[str, ...],
    blocks: tuple[str, ...],
    destinations: tuple[str, ...],
) -> None:
    """Grant PERSON, enrolled at any member, access to this site's data within a project; for stewards."""
    with session.node() as node:
        made = node.grant(
            person,
            project,
            datasets,
            until=until,
            purposes=purposes or None,
            actions=actions,
            blocks=blocks,
            destinations=destinations,
        )
    show(session, made, lambda: say(f"{person} holds the grant {made.cid} (entry {made.index})."))


@group.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the grants that you may see."""
    with session.node() as node:
        found = node.grants()
        people = {each.fields.did: f"{each.fields.name}@{each.site_name}" for each in node.people()}
        data = {each.fields.cid: each.fields.name for each in node.datasets()}

    def tell() -> None:
        from node.api.quantity import clock_text

        rows = [
            (
                people.get(grant.subject, grant.subject),
                each.site_name,
                grant.project.name,
                ", ".join(data.get(cid, str(cid)) for cid in grant.datasets),
                ", ".join(grant.actions),
                clock_text(grant.not_after),
            )
            for each in found
            for grant in [each.fields.grant]
        ]
        table(("person", "by", "project", "datasets", "actions", "until"), rows, "no grants")

    show(session, found, tell)
