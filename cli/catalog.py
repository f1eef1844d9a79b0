"""``comity catalog``: what all members publish."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from catalog.plural import counted
from cli.output import say, show, table, tell_former
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    # Importing the client takes longer than showing help may.
    from node.api.schema import EntryView, FacetView

SHOWN: Final = 80
"""Characters of a description."""

MOST_COUNTS: Final = 8
"""Values of a facet on a screen; JSON has more."""


@click.group(cls=Verbs)
def group() -> None:
    """Search what all members publish."""


@group.command()
@click.argument("words", nargs=-1)
@click.option("--kind", type=click.Choice(("dataset", "block", "project")), multiple=True, help="What it is.")
@click.option("--of", "sites", multiple=True, help="A member that publishes it, by name or root key.")
@click.option(
    "--purpose",
    multiple=True,
    help="A DUO term that it names itself, such as DUO:0000006; wider terms are not looked for.",
)
@click.option("--level", type=click.Choice(("open", "shared", "resident")), multiple=True, help="How it is shared.")
@click.option("--format", "formats", multiple=True, help="Its media type, such as text/csv.")
@click.option("--duo", multiple=True, help="Any DUO term that it carries, conditions of use among them.")
@click.option("--size", multiple=True, help="A range of sizes as the counts name them, such as «under 1 MB».")
@click.option("--from", "offset", type=click.IntRange(0), default=0, help="Leave out so many of the first hits.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="Show so many hits.")
@pass_session
def search(
    session: Session,
    words: tuple[str, ...],
    kind: tuple[str, ...],
    sites: tuple[str, ...],
    purpose: tuple[str, ...],
    level: tuple[str, ...],
    formats: tuple[str, ...],
    duo: tuple[str, ...],
    size: tuple[str, ...],
    offset: int,
    limit: int,
) -> None:
    """Find datasets, blocks and projects that you may see, by WORDS or their beginnings, and by what they are.

    An option given twice means either; several options mean all of them. The counts say what choosing a value gives.
    """
    given = {
        "kind": kind,
        "site": sites,
        "purpose": purpose,
        "level": level,
        "format": formats,
        "duo": duo,
        "size": size,
    }
    chosen = {facet: values for facet, values in given.items() if values}
    with session.node() as node:
        found = node.search(" ".join(words), offset=offset, limit=limit, **chosen)
        status = node.status()

    def tell() -> None:
        rows = [(each.kind, each.site_name, *_told(each)) for each in found.entries]
        table(("kind", "site", "name", "CID", "what it is"), rows, "nothing that you may see fits")
        counts = [(facet, _counts(values)) for facet, values in found.facets.items() if values]
        if found.total:
            say(f"{offset + 1} to {offset + len(rows)} of {found.total:,}" if rows else f"{found.total:,} in all")
            table(("facet", "values and how many hits each gives"), counts)
        tell_former(status)

    show(session, found, tell)


def _told(entry: EntryView) -> tuple[str, str, str]:
    """An entry's name, CID and description; what a project has for one is its purpose."""
    fields = json.loads(bytes(entry.fields))
    about = str(fields.get("description") or fields.get("purpose") or "")
    cid = entry.subject if "cid" in fields else "–"
    return str(fields["name"]), cid, about if len(about) <= SHOWN else about[: SHOWN - 1] + "…"


def _counts(values: Sequence[FacetView]) -> str:
    shown = ", ".join(f"{each.name} {each.count:,}" for each in values[:MOST_COUNTS])
    return f"{shown}, and {len(values) - MOST_COUNTS} more" if len(values) > MOST_COUNTS else shown


@group.command()
@click.option("--of", "member", help="A member by name or root key; this site otherwise.")
@pass_session
def log(session: Session, member: str | None) -> None:
    """List the entries of a site's catalog log that count now and that you may see, and those that do not count.

    Entries that were replaced are not listed. What does not count stands there all the same, and changes nothing.
    """
    from catalog.entry import KINDS
    from node.api.quantity import clock_text

    with session.node() as node:
        root = node.member(member).site if member else node.site
        entries = sorted(
            (entry for kind in KINDS for entry in node.entries(kind) if entry.site == root),
            key=lambda entry: entry.index,
        )
        found = node.faults(root)

    def tell() -> None:
        rows = [
            (str(each.index), clock_text(each.at), each.kind, each.subject or "–", _seen_by(each.audience))
            for each in entries
        ]
        table(("entry", "when", "kind", "subject", "seen by"), rows)
        say(counted(len(entries), "entry"))
        if found.count:
            table(("entry", "why it does not count"), [(str(each.index), each.reason) for each in found.faults])
            say(f"{counted(found.count, 'entry')} that {'does' if found.count == 1 else 'do'} not count")

    show(session, {"entries": entries, "faults": found.faults, "faulty": found.count}, tell)


@group.command()
@click.option("--save", type=click.Path(path_type=Path, file_okay=False), help="Write each proof into this folder.")
@pass_session
def forks(session: Session, save: Path | None) -> None:
    """List the members that were proven to keep two histories of a log; nothing new is decided on their word."""
    with session.node() as node:
        found = node.forks()
    for each in found if save is not None else ():
        place = Path(save or ".", each.origin.replace("/", "-").replace(":", "-") + ".fork")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(each.proof)

    def tell() -> None:
        table(("member", "what is proven"), [(each.site_name, each.reason) for each in found], "nobody has forked")
        if found and save is not None:
            say(f"anybody checks the proofs in {save} with: comity catalog verify-fork FILE")

    show(session, found, tell)


@group.command("verify-fork")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@pass_session
def verify_fork(session: Session, file: Path) -> None:
    """Check the proof in FILE that a site keeps two histories of a log. It needs no node and no network."""
    from catalog.dagcbor import decode
    from catalog.error import VerificationFailed
    from catalog.fork import MAX_FILE, ForkFile, check_file, said_of

    with file.open("rb") as stream:
        data = stream.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise VerificationFailed(f"{file} is no proof of a fork: it is larger than {MAX_FILE:,} bytes")
    proof = decode(ForkFile, data, MAX_FILE)
    root, first, second = check_file(proof)
    roots = [(str(each.size), each.root.hex()) for each in (first, second)]

    def tell() -> None:
        say(f"✓ the site with the root key {root} is proven to have forked: {said_of(proof.fork)}")
        table(("leaves", "root that its node signed"), roots)

    show(session, {"site": root, "origin": proof.fork.origin, "roots": roots}, tell)


def _seen_by(audience: tuple[str, ...] | None) -> str:
    if audience is None:
        return "all members"
    return counted(len(audience), "other site") if audience else "this site"
