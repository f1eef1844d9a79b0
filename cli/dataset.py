"""``comity dataset``: publish, find and fetch data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.plural import counted
from cli import completing
from cli.fetch import FOLDER, fetch
from cli.mirror import mirror_published
from cli.output import confirmed, pairs, say, show, table, tell_former, working
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from catalog.dataset import DatasetFields
    from node.api.client import Node
    from node.api.copies import HoldersView
    from node.api.view import Listing


_CUSTODIANS = click.option(
    "--custodian", "custodians", multiple=True, help="A member that keeps the key too; all that are not given go."
)
_NO_CUSTODIAN = click.option("--no-custodian", is_flag=True, help="No other member keeps the key any more.")


@click.group(cls=Verbs)
def group() -> None:
    """Publish, find and fetch datasets."""


group.add_command(fetch)


@group.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="What it is called; the file's name otherwise, but for shared data.")
@click.option(
    "--level",
    type=click.Choice(["open", "shared", "resident"]),
    default="resident",
    show_default=True,
    help="Open: for everyone. Shared: encrypted, for readers. Resident: never leaves this site.",
)
@click.option(
    "--reader",
    "readers",
    multiple=True,
    help="Of shared data: a member, or PERSON@SITE, whom grants and policy may let read it; may be repeated.",
)
@click.option(
    "--custodian",
    "custodians",
    multiple=True,
    help="Of shared data: a member that keeps the key too, for when this site is away; may be repeated.",
)
@click.option("--purpose", "purposes", multiple=True, help="A DUO term that it may serve; health research otherwise.")
@click.option(
    "--population", default="", help="Whom it is about: data about the same people are held against each other."
)
@click.option("--values", "columns", multiple=True, help="All values of a column, as COLUMN=A,B,C; may be repeated.")
@click.option("--person", default="", help="The column that says whose a row is: people are counted by it.")
@click.option("--description", default="", help="What is in it, for people.")
@pass_session
def add(
    session: Session,
    path: Path,
    name: str | None,
    level: str,
    readers: tuple[str, ...],
    custodians: tuple[str, ...],
    purposes: tuple[str, ...],
    population: str,
    columns: tuple[str, ...],
    person: str,
    description: str,
) -> None:
    """Publish the file or folder at PATH, on the node's machine, as a dataset; for stewards."""
    from catalog.error import BadInput
    from privacy.purpose import HMB

    if level == "shared" and name is None:
        raise BadInput("names of shared data are not published; say what all members may call it: --name NAME")
    with session.node() as node, working(f"reading {path} …"):
        made = node.publish_dataset(
            path,
            name or path.absolute().name,
            level,
            purposes or (HMB,),
            description,
            readers,
            custodians,
            population,
            _columns(columns),
            person,
        )

    def tell() -> None:
        say(f"«{made.name}» is published ({counted(made.size, 'byte')}, {level}):")
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
@click.argument("dataset", shell_complete=completing.datasets)
@pass_session
def show_(session: Session, dataset: str) -> None:
    """Show DATASET, by name or CID; also one that is offered no more."""
    with session.node() as node:
        found = node.dataset_ever(dataset)
        names = {each.fields.did: each.fields.name for each in node.people()} | {
            each.site: each.name for each in node.members()
        }
        offered = not found.left and not found.fields.withdrawn
        held = next((e for e in node.holders() if (e.site, str(e.cid)) == (found.site, found.subject)), None)
        inside = _inside(node, found.fields) if offered else []

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
                ("population", fields.population or "its own"),
                *(("values", f"{column}: {', '.join(values)}") for column, values in fields.columns.items()),
                *([("person", fields.person)] if fields.person else []),
                ("holders", holders_text(held) if offered else "–"),
                *_sharing(fields, names),
                *inside,
            ]
        )

    show(session, _with_holders(found, held), tell)


def _inside(node: Node, fields: DatasetFields) -> list[tuple[str, str]]:
    """The first names in a folder of open data; what keeps one from looking is said and is no fault of the rest."""
    from catalog.error import ComityError

    if fields.level != "open" or fields.media_type != FOLDER:
        return []
    try:
        view = node.folder(fields.cid)
    except ComityError as error:
        return [("holds", f"not known now: {error}")]
    more = view.count - len(view.names)
    rows = [("holds", counted(view.count, "name")), *(("", name) for name in view.names)]
    return [*rows, ("", f"and {more:,} more")] if more else rows


def _sharing(fields: DatasetFields, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Who may read shared data, and who keeps their key."""
    if fields.level != "shared":
        return []
    readers = [each for owner, allowed in fields.label.owners.items() for each in allowed if each != owner]
    shown = ["@".join(names.get(key, key) for key in each.split("@")) for each in readers]
    keepers = [names.get(each, each) for each in fields.custodians]
    return [("readers", _listed(shown)), ("custodians", _listed(keepers))]


def _columns(given: tuple[str, ...]) -> dict[str, list[str]]:
    """All values of columns, as they were given.

    Raises:
        BadInput: one is not COLUMN=A,B,C.
    """
    from catalog.error import BadInput

    columns = {}
    for each in given:
        column, equals, values = each.partition("=")
        if not column or not equals or not values:
            raise BadInput(f"«{each}» is not all values of a column: write --values stage=i,ii,iii")
        columns[column] = values.split(",")
    return columns


def _keepers(custodians: tuple[str, ...], no_custodian: bool) -> tuple[str, ...] | None:
    """The custodians that were chosen; none if that stays as it is."""
    from catalog.error import BadInput

    if custodians and no_custodian:
        raise BadInput("--custodian and --no-custodian say opposite things; give one of them")
    return custodians if custodians or no_custodian else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names, key=str.casefold)) or "–"


@group.command()
@click.argument("dataset", shell_complete=completing.datasets)
@click.option("--reader", "readers", multiple=True, help="Who may read the new version; all that are not given go.")
@_CUSTODIANS
@_NO_CUSTODIAN
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def rekey(
    session: Session,
    dataset: str,
    readers: tuple[str, ...],
    custodians: tuple[str, ...],
    no_custodian: bool,
    yes: bool,
) -> None:
    """Encrypt DATASET, shared by this site, under a new key, and withdraw the old version; for stewards.

    The old key is destroyed. Whoever opened the old version has what was in it: no key takes that back.
    """
    with session.node() as node:
        found = node.dataset(dataset)
        confirmed(yes, f"Put «{found.fields.name}» under a new key? Who opened it before has what was in it.")
        with working(f"encrypting {found.fields.name} anew …"):
            made = node.rekey_dataset(
                found.fields.cid, readers=readers or None, custodians=_keepers(custodians, no_custodian)
            )

    def tell() -> None:
        say(f"«{made.new.name}» is published under a new key (entry {made.new.index}):")
        say(str(made.new.cid))
        say(f"The version {made.old} is withdrawn and its key destroyed; whoever opened it has what was in it.")
        say("Grants and projects name the old version: give those who shall read on a grant for the new one.")

    show(session, made, tell)


@group.command()
@click.argument("dataset", shell_complete=completing.datasets)
@click.option("--end", is_flag=True, help="Hold it for others no more.")
@pass_session
def mirror(session: Session, dataset: str, end: bool) -> None:
    """Hold DATASET of another site here too, for all who may read it, also while that site is away; for stewards."""
    with session.node() as node:
        mirror_published(session, node, node.dataset(dataset), end=end)


@group.command()
@click.argument("dataset", shell_complete=completing.datasets)
@click.option("--name", help="What it is called from now on.")
@click.option("--purpose", "purposes", multiple=True, help="A DUO term that it may serve; all that are not given go.")
@click.option("--description", help="What is in it, for people.")
@click.option("--reader", "readers", multiple=True, help="Who may read it, if shared; all that are not given go.")
@_CUSTODIANS
@_NO_CUSTODIAN
@click.option("--population", help="Whom it is about: what left of data about the same people counts for it too.")
@click.option("--values", "columns", multiple=True, help="All values of a column, as COLUMN=A,B,C; others go.")
@click.option("--person", help="The column that says whose a row is: people are counted by it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def change(
    session: Session,
    dataset: str,
    name: str | None,
    purposes: tuple[str, ...],
    description: str | None,
    readers: tuple[str, ...],
    custodians: tuple[str, ...],
    no_custodian: bool,
    population: str | None,
    columns: tuple[str, ...],
    person: str | None,
    yes: bool,
) -> None:
    """Say otherwise what DATASET, of this site, is called, may serve, or is; for stewards. The data stay the same.

    Who is no reader any more gets no key from now on, and keeps what it opened; who is no custodian any more destroys
    the key. A new custodian asks for it, and decides by the grants that it sees: those that you give from then on.
    """
    keepers = _keepers(custodians, no_custodian)
    with session.node() as node:
        found = node.dataset(dataset)
        given = (
            name,
            purposes or None,
            description,
            readers or None,
            keepers,
            population,
            _columns(columns) or None,
            person,
        )
        changes = node.differences(node.changed_dataset(found, *given), found.fields)
        if not session.json:
            for line in changes:
                say(line)
        confirmed(yes, f"Change that of «{found.fields.name}» for all who use it?")
        index = node.change_dataset(
            found.fields.cid,
            name=name,
            purposes=purposes or None,
            description=description,
            readers=readers or None,
            custodians=keepers,
            population=population,
            columns=_columns(columns) or None,
            person=person,
        )
    show(
        session,
        {"cid": found.fields.cid, "index": index, "changes": changes},
        lambda: say(f"It is changed (entry {index})."),
    )


@group.command()
@click.argument("dataset", shell_complete=completing.datasets)
@click.option("--erase", is_flag=True, help="Erase its entries at every member too, so that nothing names it any more.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def withdraw(session: Session, dataset: str, erase: bool, yes: bool) -> None:
    """Publish DATASET, of this site, no more; for stewards. The data stay where they lie; a shared one's key goes."""
    with session.node() as node:
        found = node.dataset_ever(dataset) if erase else node.dataset(dataset)
        asked = f"Erase all entries of «{found.fields.name}», everywhere and for good?"
        for_good = ", and destroy its key" if found.fields.level == "shared" else ""
        confirmed(yes, asked if erase else f"Withdraw «{found.fields.name}»{for_good}?")
        index = node.withdraw_dataset(found.fields.cid, erase=erase)

    def tell() -> None:
        say(f"«{found.fields.name}» is published no more (entry {index}).")
        if found.fields.level == "shared":
            say("Its key is destroyed: nobody opens it any more. Whoever opened it before has what was in it.")
        if erase:
            say("Members erase its entries when they hear of it; results that were released stay with who has them.")

    show(session, {"cid": found.fields.cid, "index": index, "erased": erase}, tell)


def _with_holders(dataset: Listing[DatasetFields], held: HoldersView | None) -> dict[str, object]:
    """A dataset as JSON shows it, with who holds it."""
    shown = {each.name: getattr(dataset, each.name) for each in fields(dataset)}
    return shown | {
        "holders": held.holders if held else (),
        "answering": held.answering if held else 0,
        "away": held.away if held else (),
    }


def holders_text(held: HoldersView | None) -> str:
    """«St. Anna, Nordstad (does not answer)»."""
    if held is None:
        return "–"
    return ", ".join(f"{name} (does not answer)" if name in held.away else name for name in held.holders)


def held_text(held: HoldersView | None) -> str:
    """«2 of 3»: so many of its holders answer."""
    return "–" if held is None else f"{held.answering} of {len(held.holders)}"
