"""``comity catalog``: what all members publish."""

from __future__ import annotations

import click

from cli.output import say, show, table
from cli.session import Session, Verbs, pass_session


@click.group(cls=Verbs)
def group() -> None:
    """Search what all members publish."""


@group.command()
@click.argument("text")
@pass_session
def search(session: Session, text: str) -> None:
    """Find datasets, blocks and projects that have TEXT in their name, description or CID."""
    wanted = text.casefold()
    with session.node() as node:
        found = [
            *(
                ("dataset", each.site_name, each.fields.name, each.subject, each.fields.description)
                for each in node.datasets()
            ),
            *(
                ("block", each.site_name, each.fields.name, each.subject, each.fields.description)
                for each in node.blocks()
            ),
            *(
                ("project", each.site_name, each.fields.name, each.subject, each.fields.purpose)
                for each in node.projects()
            ),
        ]
    hits = [each for each in found if any(wanted in part.casefold() for part in each[2:])]
    names = ("kind", "site", "name", "subject", "description")
    value = [dict(zip(names, each, strict=True)) for each in hits]
    show(session, value, lambda: table(names, hits, f"nothing has «{text}» in it"))


@group.command()
@click.option("--of", "site", help="A member by name or root key; this site otherwise.")
@pass_session
def log(session: Session, site: str | None) -> None:
    """List the entries of a site's catalog log that count now and that you may see."""
    from catalog.entry import KINDS
    from node.api.quantity import clock_text

    with session.node() as node:
        root = node.member(site).site if site else node.site
        entries = sorted(
            (entry for kind in KINDS for entry in node.entries(kind) if entry.site == root),
            key=lambda entry: entry.index,
        )

    def tell() -> None:
        rows = [
            (str(each.index), clock_text(each.at), each.kind, each.subject or "–", _seen_by(each.audience))
            for each in entries
        ]
        table(("entry", "when", "kind", "subject", "seen by"), rows)
        say(f"{len(entries)} entries")

    show(session, entries, tell)


def _seen_by(audience: tuple[str, ...] | None) -> str:
    if audience is None:
        return "all members"
    return f"{len(audience)} other sites" if audience else "this site"
