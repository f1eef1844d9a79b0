"""``comity person``: keys of this user's own, and the people that a site enrols."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.plural import counted
from cli.output import confirmed, pairs, say, show, table
from cli.rootkey import root_of, signs_as_root
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.forgetting import Forgotten
    from node.api.person import Card


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


@group.command("export-key")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write, of mode 0600.")
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="A file of mode 0600 with a passphrase for the key; without it, the key lies in the file as it is.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def export_key(session: Session, name: str, out: Path, passphrase_file: Path | None, yes: bool) -> None:
    """Write the encryption key of a person whose keys are here as a Crypt4GH key, for «crypt4gh decrypt --sk FILE».

    It opens every header that was sealed for this person. It signs nothing.
    """
    from node.api.person import Persons
    from node.keyfile import write_crypt4gh
    from node.rootkey import read_passphrase

    identity = Persons.here().load(name)
    passphrase = read_passphrase(passphrase_file) if passphrase_file is not None else b""
    how = "under its passphrase" if passphrase else "for whoever can read that file"
    confirmed(yes, f"Write the secret key that opens the data shared with {identity.name} to {out}, {how}?")
    write_crypt4gh(out, identity, passphrase)

    def tell() -> None:
        say(f"{out} has the encryption key of {identity.name}; remove it when it is not needed any more.")
        say(f"next: crypt4gh decrypt --sk {out} < FILE.c4gh > FILE")

    show(session, {"file": str(out), "name": identity.name, "encrypted": bool(passphrase)}, tell)


@group.command()
@click.argument("who")
@click.option(
    "--role",
    type=click.Choice(["researcher", "steward", "auditor"]),
    default="researcher",
    show_default=True,
    help="What the person may do here.",
)
@signs_as_root
@pass_session
def enrol(session: Session, who: str, role: str, root_key: Path | None, passphrase_file: Path | None) -> None:
    """Enrol WHO at this site: a person whose keys are here, or the file of a card.

    For its stewards; a steward is enrolled by the site's root key alone.
    """
    card = _card(who)
    with session.node() as node:
        if role == "steward":
            root = root_of(session, root_key, passphrase_file)
            index = node.enrol_as_root(card.name, card.did, card.x25519, root.key)
        else:
            index = node.enrol(card.name, card.did, card.x25519, role)

    def tell() -> None:
        say(f"{card.name} is enrolled as {role} (entry {index}).")

    show(session, {"index": index, "name": card.name, "did": card.did, "role": role}, tell)


@group.command()
@click.argument("who")
@click.option("--erase", is_flag=True, help="Erase every entry of this site that has the key, at all members.")
@click.option("--since", type=click.IntRange(0), help="The first entry that a thief of the key may have signed.")
@click.option("--as-root", is_flag=True, help="Sign with the site's root key, which alone removes stewards.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@signs_as_root
@pass_session
def remove(
    session: Session,
    who: str,
    erase: bool,
    since: int | None,
    as_root: bool,
    yes: bool,
    root_key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Remove WHO, by name or key, from this site: nothing that they sign counts any more; for its stewards.

    With --since nothing counts that the key signed from that entry of the catalog on, also if it counted before.

    With --erase nothing here names them any more either, and everybody who has a copy of this catalog erases that. What
    other sites have written about them is listed: a steward there does the same, by the key.
    """
    with session.node() as node:
        key = node.person_key(who)
        if erase:
            if not session.json:
                _tell_mentions(node.mentions(key))
            confirmed(yes, "Erase all entries of this site in that list, everywhere and for good?")
            found = node.forget_person(key)
            show(session, found, lambda: _tell_forgotten(found))
            return
        confirmed(yes, f"Remove {who}?")
        if as_root:
            index = node.remove_as_root(key, since, root_of(session, root_key, passphrase_file).key)
        else:
            index = node.remove_person(key, since)
    show(session, {"index": index, "did": key}, lambda: say(f"{who} is removed (entry {index})."))


@group.command()
@click.argument("who")
@click.argument("card")
@click.option("--since", type=click.IntRange(0), help="The first entry that a thief of the old key may have signed.")
@click.option("--as-root", is_flag=True, help="Sign with the site's root key, which alone changes stewards.")
@signs_as_root
@pass_session
def rotate(
    session: Session,
    who: str,
    card: str,
    since: int | None,
    as_root: bool,
    root_key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Give WHO the keys of CARD in the same role, and remove the old one: another person here, or a card's file.

    What the old key signed stays valid up to its place in the catalog, with --since up to that entry.
    """
    fresh = _card(card)
    with session.node() as node:
        old = node.key_named(who).fields
        if as_root:
            root = root_of(session, root_key, passphrase_file)
            index = node.replace_as_root(old, fresh.did, fresh.x25519, since, root.key)
        else:
            index = node.replace_person(old, fresh.did, fresh.x25519, since)

    def tell() -> None:
        say(f"{old.name} has the key {fresh.did} here (entry {index}); the old one is removed.")
        say("Grants and projects that name the old key are to be written anew for the new one.")

    show(session, {"index": index, "name": old.name, "did": fresh.did, "removed": old.did}, tell)


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


def _card(who: str) -> Card:
    """The public keys of a person whose keys are here, or those in the file of a card."""
    from node.api.person import Persons, card_of, read_card

    path = Path(who)
    return read_card(path) if path.is_file() else card_of(Persons.here().load(who))


def _tell_mentions(found: Forgotten) -> None:
    rows = [
        (each.site_name, str(each.index), each.kind, each.name, "counts" if each.counts else "replaced")
        for each in (*found.places, *found.elsewhere)
    ]
    table(("site", "entry", "kind", "name", "now"), rows, "no entry has that key")


def _tell_forgotten(found: Forgotten) -> None:
    say(f"taken back: {counted(len(found.places), 'entry')}; members erase what is taken back when they hear of it.")
    say("What they ran and read stays in the audit logs of the sites where that was, until those are pruned.")
    for name in sorted({each.site_name for each in found.elsewhere}):
        count = sum(each.site_name == name for each in found.elsewhere)
        say(f"{name} has {counted(count, 'entry')} about them; a steward there runs:")
        say(f"  comity person remove {found.person} --erase")
