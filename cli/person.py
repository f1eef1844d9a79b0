"""``comity person``: keys of this user's own, and the people that a site enrols."""

from __future__ import annotations

from pathlib import Path

import click

from cli.output import pairs, say, show, table
from cli.session import Session, Verbs, pass_session


@click.group(cls=Verbs)
def group() -> None:
    """Make a person's keys, enrol people at a site."""


@group.command()
@click.argument("name")
@pass_session
def new(session: Session, name: str) -> None:
    """Make the keys of a person called NAME; they stay in this user's configuration folder."""
    from catalog.error import BadInput
    from node.api.person import Persons, card_of
    from node.keyfile import Identity

    if not 0 < len(name) <= 120 or not name.isprintable():
        raise BadInput("a person's name is 1 to 120 printable characters")
    identity = Identity.new(name)
    path = Persons.here().add(identity)

    def tell() -> None:
        say(f"{name} is {identity.did}.")
        say(f"The keys are in {path}: keep them secret, keep a backup.")
        say(f"next: a steward runs «comity person enrol '{name}'», or gets «comity person show '{name}' --out FILE»")

    show(session, card_of(identity), tell)


@group.command("show")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Write the card to a file, for the steward who enrols.")
@pass_session
def show_(session: Session, name: str, out: Path | None) -> None:
    """Show the public keys of a person whose keys are here."""
    from node.api.person import Persons, card_of, card_text

    card = card_of(Persons.here().load(name))
    if out is not None:
        with out.open("x") as stream:
            stream.write(card_text(card))

    def tell() -> None:
        pairs([("name", card.name), ("key", card.did), ("encryption", card.x25519.hex())])

    show(session, card, tell)


@group.command()
@click.argument("who")
@click.option(
    "--role",
    type=click.Choice(["researcher", "steward", "auditor"]),
    default="researcher",
    show_default=True,
    help="What the person may do here.",
)
@pass_session
def enrol(session: Session, who: str, role: str) -> None:
    """Enrol WHO at this site: a person whose keys are here, or the file of a card. For its stewards."""
    from node.api.person import Persons, card_of, read_card

    path = Path(who)
    card = read_card(path) if path.is_file() else card_of(Persons.here().load(who))
    with session.node() as node:
        index = node.enrol(card.name, card.did, card.x25519, role)

    def tell() -> None:
        say(f"{card.name} is enrolled as {role} (entry {index}).")

    show(session, {"index": index, "name": card.name, "did": card.did, "role": role}, tell)


@group.command("list")
@click.option("--enrolled", is_flag=True, help="Those whom the members have enrolled, not this user's own.")
@pass_session
def list_(session: Session, enrolled: bool) -> None:
    """List the persons whose keys are here, or those enrolled at the members."""
    from catalog.member import Role
    from node.api.person import Persons

    if not enrolled:
        names = Persons.here().names()
        show(session, names, lambda: table(("person",), [(name,) for name in names], "no person's keys are here"))
        return
    with session.node() as node:
        people = [each for each in node.people() if each.fields.role is not Role.NODE]

    def tell() -> None:
        rows = [(each.fields.name, str(each.fields.role), each.site_name, each.fields.did) for each in people]
        table(("person", "role", "site", "key"), rows, "nobody is enrolled")

    show(session, people, tell)
