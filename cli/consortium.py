"""``comity consortium``: found one with other sites, see who is in it, change who is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.error import BadInput, ComityError, Unreachable
from catalog.plural import counted
from cli import epoch
from cli.epoch import quorum_text, read_file, sign_document
from cli.output import confirmed, pairs, say, show, table, working
from cli.rootkey import root_of, signs_as_root
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.epochs import EpochsView
    from node.api.founding import FoundingView


MAX_INVITE = 4096
POLL_SECONDS = 0.3
_TIMEOUT = click.option("--timeout", metavar="SPAN", help="How long to wait for the others, such as 10m.")


@click.group(cls=Verbs)
def group() -> None:
    """Found a consortium with other sites, see who is in it, change who is."""


for _verb in (epoch.pending, epoch.admit, epoch.suspend, epoch.remove, epoch.replace_root, epoch.floor):
    group.add_command(_verb)


@group.command()
@click.argument("name")
@click.option("--sites", type=click.IntRange(2, 256), required=True, help="How many sites found it, with this one.")
@pass_session
def new(session: Session, name: str, sites: int) -> None:
    """Begin the founding of a consortium called NAME, to which this site then invites the others."""
    told = quorum_text(sites)  # before anything is begun: three founders and no more cannot outvote one that lies
    with session.node() as node:
        view = node.new_consortium(name, sites)

    def tell() -> None:
        say(f"The founding of «{view.name}» has begun: {len(view.joined)} of {view.expected} sites are there.")
        for line in told:
            say(line)
        say(f"next: comity consortium invite --out FILE ({sites - 1} times, one for each other site)")
        say("then: comity consortium sign")

    show(session, view, tell)


@group.command("swarm-key")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--new", "make", is_flag=True, help="Make the key in FILE first, which is not there yet.")
@click.option("--yes", is_flag=True, help="Do not ask before another key is replaced.")
@pass_session
def swarm_key(session: Session, file: Path, make: bool, yes: bool) -> None:
    """Take the key in FILE for this site's Kubo: whoever has it can connect to the consortium's swarm, nobody else can.

    One member makes it, and hands FILE to the others as an invitation is handed over: in private. Where this site has
    another key, it asks first: its Kubo then connects to nobody who has only the old one.
    """
    from node.config import read_config
    from node.storage.swarmkey import new_swarm_key, take_swarm_key

    folder = session.folder()
    read_config(folder)
    replaces = _replaces_key(file, folder.swarm_key, make)
    if replaces:
        confirmed(
            yes,
            "This site has another swarm's key. Replace it? Who has only the old one reaches its Kubo no more.",
        )
    if make:
        new_swarm_key(file)
    take_swarm_key(file, folder.swarm_key)

    def tell() -> None:
        if make:
            say(f"{file} has the key of a new swarm. Hand it to the other members in private; at each of them:")
            say(f"  comity consortium swarm-key {file}")
        if replaces:
            say("The old key is gone from here: until the others have the new one, and all nodes were started anew,")
            say("their Kubos and this one do not reach each other.")
        say(f"This site has the key; start its node with: comity site run {folder.path} --with-kubo")

    show(session, {"file": str(file), "made": make, "taken": str(folder.swarm_key)}, tell)


def _replaces_key(file: Path, there: Path, make: bool) -> bool:
    """Whether the key in ``file``, which is made before if ``make``, would take the place of another one."""
    if not there.exists() or file.exists() is make:  # one that cannot be made, or is not there, is refused
        return False
    return make or file.read_bytes() != there.read_bytes()


@group.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the invitation is written.")
@pass_session
def invite(session: Session, out: Path) -> None:
    """Write an invitation for one more site; hand it over in private: it admits whoever has it first.

    Once the consortium is founded, its members decide on who took one up: comity consortium admit.
    """
    from node.keyfile import write_secret

    # Before the node is asked: an invitation that could not be written would be lost.
    if out.exists():
        raise BadInput(f"{out} is there already; choose another file")
    if not out.absolute().parent.is_dir():
        raise BadInput(f"there is no folder {out.absolute().parent}; choose another file")
    with session.node() as node:
        made = node.invite()
    write_secret(out, made.invite)

    def tell() -> None:
        from node.api.quantity import clock_text

        say(f"{out} admits one site until {clock_text(made.not_after)}.")

    show(session, {"file": str(out), "not_after": made.not_after}, tell)


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--witness-only", is_flag=True, help="This site only cosigns the others' logs, and publishes nothing.")
@signs_as_root
@_TIMEOUT
@pass_session
def join(
    session: Session,
    file: Path,
    witness_only: bool,
    root_key: Path | None,
    passphrase_file: Path | None,
    timeout: str | None,
) -> None:
    """Take up the invitation in FILE and wait for the others; run it again to go on.

    A founder signs when all are there. A site that comes later signs nothing: the members do, with their root keys.
    """
    data = read_file(file, MAX_INVITE, "invitation")
    with session.node() as node:
        view = node.join(data, witness_only=witness_only)
        if node.site in view_roots(view) or view.to_sign is not None or view.epoch is None:
            _found(session, node, root_key, passphrase_file, timeout)
        else:
            _await_admission(session, node, timeout)


def view_roots(view: FoundingView) -> frozenset[str]:
    """The root keys in the founding document, once it is there."""
    return view.epoch.roots() if view.epoch is not None else frozenset()


@group.command()
@click.option("--of", "by", metavar="SITE", help="Whose document, if several wait.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@signs_as_root
@_TIMEOUT
@pass_session
def sign(
    session: Session,
    by: str | None,
    yes: bool,
    root_key: Path | None,
    passphrase_file: Path | None,
    timeout: str | None,
) -> None:
    """Sign what waits for this site's root key: the founding document, or a change that a member proposes.

    What a change would change is shown in plain words before anything is signed.
    """
    with session.node() as node:
        if node.founding().consortium is None:
            _found(session, node, root_key, passphrase_file, timeout)
            return
        view = node.epochs()
        chosen = node.pending(by)
        sign_document(session, node, view, chosen.document, yes, root_key, passphrase_file)


@group.command("show")
@pass_session
def show_(session: Session) -> None:
    """Show the consortium, or how far its founding is."""
    with session.node() as node:
        view = node.founding()
        epochs = node.epochs() if view.consortium is not None else None

    def tell() -> None:
        if epochs is not None:
            _tell_epoch(epochs)
            return
        pairs(
            [
                ("consortium", view.name),
                ("named", "not yet: it lacks signatures"),
                ("joined", f"{len(view.joined)} of {view.expected}: {', '.join(view.joined)}"),
                ("signed", f"{len(view.signed)} of {view.expected}: {', '.join(view.signed) or 'nobody'}"),
            ]
        )

    show(session, epochs if epochs is not None else view, tell)


def _tell_epoch(view: EpochsView) -> None:
    epoch = view.epoch
    witnesses = [member.site for member in epoch.members if member.witness_only]
    suspended = [member.site for member in epoch.members if member.suspended]
    pairs(
        [
            ("consortium", epoch.consortium),
            ("named", str(view.consortium)),
            ("epoch", str(epoch.number)),
            ("members", ", ".join(member.site for member in epoch.members)),
            ("only witnesses", ", ".join(witnesses) or "none"),
            ("suspended", ", ".join(suspended) or "none"),
            ("quorum", f"{epoch.quorum} of {len(epoch.members) - 1} witnesses must cosign each log"),
            ("floor", f"{len(epoch.floor.splitlines())} lines" if epoch.floor else "none"),
            ("pending", counted(len(view.pending), "document") if view.pending else "nothing"),
            ("candidates", ", ".join(each.member.site for each in view.candidates) or "none"),
        ]
    )
    for name, told in view.twice.items():
        say(f"{name} contradicted itself: {'; '.join(told)}")


@group.command()
@pass_session
def members(session: Session) -> None:
    """List the members of the consortium."""
    from node.api.faults import wrong_with

    with session.node() as node:
        status = node.status()
        found = status.members
        view = node.epochs() if found else None

    def state(root: str) -> str:
        member = view.epoch.member(root) if view is not None else None
        if member is None:
            return "left" if view is not None else "–"
        return "suspended" if member.suspended else "only witnesses" if member.witness_only else "full"

    def tell() -> None:
        rows = [
            (each.name, state(each.site), "yes" if each.connected else "no", wrong_with(each) or "–", each.site)
            for each in found
        ]
        table(("member", "kind", "connected", "what is wrong", "root key"), rows, "no members yet")
        for each in status.former:
            say(f"{each.name} left in epoch {each.epoch}; its root key is {each.site}")

    show(session, found, tell)


# --- founding --------------------------------------------------------------------------------------------------------


def _found(
    session: Session, node: Node, root_key: Path | None, passphrase_file: Path | None, timeout: str | None
) -> None:
    """Wait until every founder is there, sign, and wait until every founder has signed."""
    from node.api.publish import now
    from node.api.quantity import moment

    until = moment(timeout, now()) if timeout else None
    with working("waiting for the other founders …") as change:
        view = _wait(node, until, change, lambda view: view.to_sign is not None or view.consortium is not None)
    if view.consortium is None and view.epoch is not None and node.site not in view.epoch.signatures:
        view = node.sign_founding(root_of(session, root_key, passphrase_file).key)
    with working("waiting for the other founders …") as change:
        view = _wait(node, until, change, lambda view: view.consortium is not None)
        epoch = node.founded()
    if epoch is None:
        raise ComityError("the founding document is gone; see: comity consortium show")

    def tell() -> None:
        say(f"«{view.name}» is founded by {', '.join(each.site for each in epoch.members)}.")
        say(f"Its name is {view.consortium}.")
        for line in quorum_text(len(epoch.members)):
            say(line)

    show(session, view, tell)


def _await_admission(session: Session, node: Node, timeout: str | None) -> None:
    """Wait until more than half of the members have signed a document that has this site."""
    from node.api.publish import now
    from node.api.quantity import moment

    until = moment(timeout, now()) if timeout else None
    with working("waiting for the members to admit this site …") as change:
        view = _wait(node, until, change, lambda view: view.consortium is not None)
    show(session, view, lambda: say(f"This site is a member of «{view.name}»."))


def _wait(
    node: Node, until: int | None, change: Callable[[str], None], reached: Callable[[FoundingView], bool]
) -> FoundingView:
    from node.api.publish import now

    while not reached(view := node.founding()):
        if until is not None and now() > until:
            raise Unreachable(
                f"{len(view.joined)} of {view.expected} sites joined and {len(view.signed)} signed in time; "
                "run this again to go on waiting"
            )
        change(f"«{view.name}»: {len(view.joined)} of {view.expected} joined, {len(view.signed)} signed …")
        time.sleep(POLL_SECONDS)
    return view
