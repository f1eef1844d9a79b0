"""The verbs of ``comity consortium`` that change who is in it: each proposes the next epoch, and members sign."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.error import BadInput, NotFound
from cli.output import document, say, show
from cli.rootkey import root_of, signs_as_root
from cli.session import Session, Verb, pass_session

if TYPE_CHECKING:
    from catalog.member import Epoch, Member
    from node.api.client import Node
    from node.api.epochs import EpochsView

MAX_FLOOR = 16 << 10


@click.command(cls=Verb)
@pass_session
def pending(session: Session) -> None:
    """Show the documents that may follow this epoch, what each would change, and who signed it."""
    from catalog.epoch import changes

    with session.node() as node:
        view = node.epochs()

    def tell() -> None:
        for each in view.pending:
            count = f"{len(each.signed)} of {each.needed}"
            say(f"epoch {each.document.number}, signed by {', '.join(each.signed)} ({count})")
            for line in changes(view.epoch, each.document):
                document("  " + line.replace("\n", "\n  "))
            if each.fault:
                say(f"  it may not follow: {each.fault}")
            elif not each.mine:
                say("  next: comity consortium sign")
        if not view.pending:
            say("nothing waits for a signature")
        for name, told in view.twice.items():
            say(f"{name} contradicted itself: {'; '.join(told)}")

    show(session, view, tell)


@click.command(cls=Verb)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@signs_as_root
@pass_session
def admit(session: Session, name: str, yes: bool, root_key: Path | None, passphrase_file: Path | None) -> None:
    """Propose that NAME, which took up an invitation of this site, becomes a member."""
    from node.api.governing import candidate_named

    def change(view: EpochsView) -> tuple[Iterable[Member], dict[str, int]]:
        return (*view.epoch.members, candidate_named(view, name)), {}

    _propose(session, change, yes, root_key, passphrase_file)


@click.command(cls=Verb)
@click.argument("name")
@click.option("--end", is_flag=True, help="End the suspension.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@signs_as_root
@pass_session
def suspend(
    session: Session, name: str, end: bool, yes: bool, root_key: Path | None, passphrase_file: Path | None
) -> None:
    """Propose that no decision relies on the member NAME for now; its logs are still read and it may revoke."""
    from msgspec import structs

    from node.api.governing import member_named, others

    def change(view: EpochsView) -> tuple[Iterable[Member], dict[str, int]]:
        member = member_named(view, name)
        if member.suspended is not end:
            raise BadInput(f"«{member.site}» is {'not suspended' if end else 'suspended already'}")
        return (*others(view, member).values(), structs.replace(member, suspended=not end)), {}

    _propose(session, change, yes, root_key, passphrase_file)


@click.command(cls=Verb)
@click.argument("name")
@click.option(
    "--entries", type=click.IntRange(0), help="How many entries of its catalog count; all that came, otherwise."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@signs_as_root
@pass_session
def remove(
    session: Session,
    name: str,
    entries: int | None,
    yes: bool,
    root_key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Propose that the member NAME leaves: what it signs later counts for nothing, and no node talks to its own."""
    from node.api.governing import member_named, others

    def change(view: EpochsView) -> tuple[Iterable[Member], dict[str, int]]:
        member = member_named(view, name)
        size = view.sizes.get(member.root, 0) if entries is None else entries
        return others(view, member).values(), {member.root: size}

    _propose(session, change, yes, root_key, passphrase_file)


@click.command("replace-root", cls=Verb)
@click.argument("name")
@click.argument("did")
@click.option(
    "--from", "start", type=click.IntRange(0), help="The entry of its catalog from which on the new key acts."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@signs_as_root
@pass_session
def replace_root(
    session: Session,
    name: str,
    did: str,
    start: int | None,
    yes: bool,
    root_key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Propose that DID acts as the root key of the member NAME, whose own was lost or stolen.

    The member makes it with «comity site new-root» and says it to the others by a way that is not this network.
    """
    from msgspec import structs

    from catalog.key import public_bytes
    from node.api.governing import member_named, others

    public_bytes(did)

    def change(view: EpochsView) -> tuple[Iterable[Member], dict[str, int]]:
        member = member_named(view, name)
        place = view.sizes.get(member.root, 0) if start is None else start
        replaced = structs.replace(member, acting=did, acting_from=place)
        return (*others(view, member).values(), replaced), {}

    _propose(session, change, yes, root_key, passphrase_file)


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@signs_as_root
@pass_session
def floor(session: Session, file: Path, yes: bool, root_key: Path | None, passphrase_file: Path | None) -> None:
    """Propose the Cedar text in FILE, of forbid rules alone, as the floor that binds every member."""
    text = read_file(file, MAX_FLOOR, "floor").decode(errors="strict")

    def change(view: EpochsView) -> tuple[Iterable[Member], dict[str, int]]:
        return view.epoch.members, {}

    _propose(session, change, yes, root_key, passphrase_file, text)


def _propose(
    session: Session,
    change: Callable[[EpochsView], tuple[Iterable[Member], dict[str, int]]],
    yes: bool,
    root_key: Path | None,
    passphrase_file: Path | None,
    floor: str | None = None,
) -> None:
    """Make the next document, show what it changes, sign it, and publish the signature."""
    from catalog.epoch import next_epoch

    with session.node() as node:
        view = node.epochs()
        chosen, gone = change(view)
        made = next_epoch(view.epoch, chosen, floor=floor, gone=gone)
        sign_document(session, node, view, made, yes, root_key, passphrase_file)


def sign_document(
    session: Session,
    node: Node,
    view: EpochsView,
    chosen: Epoch,
    yes: bool,
    root_key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Show what a document changes, sign it with the root key, and publish the signature.

    Raises:
        VerificationFailed: it may not follow the epoch of now. BadInput: it would change nothing.
    """
    from catalog.epoch import changes, check_next, needed

    check_next(view.epoch, chosen)
    lines = changes(view.epoch, chosen)
    if not lines:
        raise BadInput("this would change nothing; no epoch is made of it")
    if not session.json:
        say(f"Epoch {chosen.number} of «{chosen.consortium}» would change this:")
        for line in lines:
            document("  " + line.replace("\n", "\n  "))
        for line in quorum_text(len(chosen.members)) if len(chosen.members) != len(view.epoch.members) else ():
            say(line)
    if not yes and not session.json:
        click.confirm("Sign it with this site's root key?", abort=True, err=True)
    root = root_of(session, root_key, passphrase_file)
    index = node.propose(chosen, root.key)
    count, least = len(next((p.signed for p in node.epochs().pending if p.document == chosen), ())), needed(view.epoch)

    def tell() -> None:
        say(f"Signed (entry {index}).")
        if count and count < least:
            say(f"{count} of {least} signatures are there; the others run: comity consortium sign")
        else:
            say(f"More than half have signed: epoch {chosen.number} begins.")

    show(session, {"index": index, "epoch": chosen.number, "changes": lines}, tell)


def quorum_text(members: int) -> list[str]:
    """What the quorum of a consortium of so many members means, in plain words."""
    from catalog.member import quorum_for

    witnesses, quorum = members - 1, quorum_for(members)
    if members == 2:
        return [
            "With two members the logs are mutual evidence and nothing more: each must cosign the other's,",
            "and nobody outvotes one that lies. Invite sites that only witness logs: join --witness-only.",
        ]
    away = witnesses - quorum
    lines = [
        f"{members} members: {witnesses} witness each log, and {quorum} of them must cosign it, so that one that lies",
        f"deceives nobody. {away or 'None'} may be away before releases wait.",
    ]
    if members <= 3:
        lines.append(
            "Recommended: one or two sites more that only witness logs (join --witness-only), so that one may be."
        )
    return lines


def read_file(file: Path, limit: int, what: str) -> bytes:
    """A file that somebody handed over, at most ``limit`` bytes.

    Raises:
        NotFound: it cannot be read. BadInput: it is larger.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise NotFound(f"the {what} {file} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise BadInput(f"{file} is no {what}: it is larger than {limit:,} bytes")
    return data
