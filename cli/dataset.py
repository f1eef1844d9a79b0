"""``comity dataset``: publish, find and fetch data."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.output import confirmed, pairs, say, show, table, tell_former, working
from cli.session import Session, Verbs, pass_session
from cli.transfer import carrying

if TYPE_CHECKING:
    from catalog.dataset import DatasetFields
    from node.api.copies import HoldersView
    from node.api.view import Listing


@click.group(cls=Verbs)
def group() -> None:
    """Publish, find and fetch datasets."""


@group.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="What it is called; the file's name otherwise.")
@click.option(
    "--level",
    type=click.Choice(["open", "resident"]),
    default="resident",
    show_default=True,
    help="Open: for everyone. Resident: never leaves this site.",
)
@click.option("--purpose", "purposes", multiple=True, help="A DUO term that it may serve; health research otherwise.")
@click.option("--description", default="", help="What is in it, for people.")
@pass_session
def add(
    session: Session, path: Path, name: str | None, level: str, purposes: tuple[str, ...], description: str
) -> None:
    """Publish the file or folder at PATH, on the node's machine, as a dataset; for stewards."""
    from privacy.purpose import HMB

    with session.node() as node, working(f"reading {path} …"):
        made = node.publish_dataset(path, name or path.absolute().name, level, purposes or (HMB,), description)

    def tell() -> None:
        say(f"«{made.name}» is published ({made.size:,} bytes, {level}):")
        say(str(made.cid))

    show(session, made, tell)


@group.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the datasets of all members."""
    with session.node() as node:
        found = sorted(node.datasets(), key=lambda each: (each.fields.name, each.site_name))
        held = {(each.site, str(each.cid)): each for each in node.holders()}
        status = node.status()

    def tell() -> None:
        rows = [
            (
                each.fields.name,
                each.site_name,
                str(each.fields.level),
                f"{each.fields.size:,}",
                held_text(held.get((each.site, each.subject))),
                ", ".join(each.fields.purposes),
                str(each.fields.cid),
            )
            for each in found
        ]
        table(("dataset", "site", "level", "bytes", "holders", "purposes", "CID"), rows, "no datasets")
        tell_former(status)

    show(session, [_with_holders(each, held.get((each.site, each.subject))) for each in found], tell)


@group.command("show")
@click.argument("dataset")
@pass_session
def show_(session: Session, dataset: str) -> None:
    """Show DATASET, by name or CID; also one that is offered no more."""
    with session.node() as node:
        found = node.dataset_ever(dataset)

    def tell() -> None:
        from node.api.quantity import clock_text

        fields = found.fields
        pairs(
            [
                ("dataset", fields.name),
                ("CID", str(fields.cid)),
                ("site", f"{found.site_name} (entry {found.index}, {clock_text(found.at)})"),
                ("offered", "no: its site left" if found.left else "no: withdrawn" if fields.withdrawn else "yes"),
                ("level", str(fields.level)),
                ("purposes", ", ".join(fields.purposes)),
                ("type", fields.media_type),
                ("bytes", f"{fields.size:,}"),
                ("description", fields.description or "–"),
            ]
        )

    show(session, found, tell)


@group.command()
@click.argument("dataset")
@click.argument("path", default="")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; standard output otherwise.")
@pass_session
def fetch(session: Session, dataset: str, path: str, out: Path | None) -> None:
    """Fetch a file of at most 16 MiB from DATASET, or the one at PATH in it, as far as you may read it."""
    from catalog.cid import Cid
    from catalog.error import BadInput

    if session.json and out is None:
        raise BadInput("with --json the bytes need a file; give --out FILE")
    with session.node() as node:
        try:
            cid = Cid.parse(dataset)
        except BadInput:
            cid = node.dataset(dataset).fields.cid
        with carrying(session, f"fetching {dataset} …", str(cid)):
            data = node.fetch(cid, path)
    write_out(session, data, out)


@group.command()
@click.argument("dataset")
@click.option("--end", is_flag=True, help="Hold it for others no more.")
@pass_session
def mirror(session: Session, dataset: str, end: bool) -> None:
    """Hold DATASET of another site here too, for all who may read it, also while that site is away; for stewards."""
    with session.node() as node:
        found = node.dataset(dataset)
        with carrying(session, f"fetching «{found.fields.name}» …", found.subject):
            index = node.mirror(found, end=end)
    told = "is held here for others no more" if end else f"of {found.site_name} is held here too"
    show(session, {"cid": found.subject, "index": index}, lambda: say(f"«{found.fields.name}» {told} (entry {index})."))


@group.command()
@click.argument("dataset")
@click.option("--name", help="What it is called from now on.")
@click.option("--purpose", "purposes", multiple=True, help="A DUO term that it may serve; all that are not given go.")
@click.option("--description", help="What is in it, for people.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def change(
    session: Session, dataset: str, name: str | None, purposes: tuple[str, ...], description: str | None, yes: bool
) -> None:
    """Say otherwise what DATASET, of this site, is called, may serve, or is; for stewards. The data stay the same."""
    from node.api.publish import differences

    with session.node() as node:
        found = node.dataset(dataset)
        given = (name, purposes or None, description)
        changes = differences(node.changed_dataset(found, *given), found.fields)
        if not session.json:
            for line in changes:
                say(line)
        confirmed(yes, f"Change that of «{found.fields.name}» for all who use it?")
        index = node.change_dataset(found.fields.cid, name=name, purposes=purposes or None, description=description)
    show(
        session,
        {"cid": found.fields.cid, "index": index, "changes": changes},
        lambda: say(f"It is changed (entry {index})."),
    )


@group.command()
@click.argument("dataset")
@click.option("--erase", is_flag=True, help="Erase its entries at every member too, so that nothing names it any more.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def withdraw(session: Session, dataset: str, erase: bool, yes: bool) -> None:
    """Publish DATASET, of this site, no more; for stewards. The data stay where they lie."""
    with session.node() as node:
        found = node.dataset_ever(dataset) if erase else node.dataset(dataset)
        asked = f"Erase all entries of «{found.fields.name}», everywhere and for good?"
        confirmed(yes, asked if erase else f"Withdraw «{found.fields.name}»?")
        index = node.withdraw_dataset(found.fields.cid, erase=erase)

    def tell() -> None:
        say(f"«{found.fields.name}» is published no more (entry {index}).")
        if erase:
            say("Members erase its entries when they hear of it; results that were released stay with who has them.")

    show(session, {"cid": found.fields.cid, "index": index, "erased": erase}, tell)


def _with_holders(dataset: Listing[DatasetFields], held: HoldersView | None) -> dict[str, object]:
    """A dataset as JSON shows it, with who holds it."""
    shown = {each.name: getattr(dataset, each.name) for each in fields(dataset)}
    return shown | {"holders": held.holders if held else (), "answering": held.answering if held else 0}


def held_text(held: HoldersView | None) -> str:
    """«2 of 3»: so many of its holders answer."""
    return "–" if held is None else f"{held.answering} of {len(held.holders)}"


def write_out(session: Session, data: bytes, out: Path | None) -> None:
    """Write fetched bytes to a new file, or to standard output.

    Raises:
        Conflict: the file is there already.
    """
    from catalog.error import Conflict

    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        with out.open("xb") as stream:
            stream.write(data)
    except FileExistsError as error:
        raise Conflict(f"{out} is there already and was left as it is; choose another file") from error
    show(session, {"file": str(out), "bytes": len(data)}, lambda: say(f"{out} has {len(data):,} bytes."))
