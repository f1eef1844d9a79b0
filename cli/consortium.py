"""``comity consortium``: found one with other sites, and see who is in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.error import BadInput, ComityError, NotFound, Unreachable
from cli.output import pairs, say, show, table, working
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.schema import FoundingView

MAX_INVITE = 4096
POLL_SECONDS = 0.3


@click.group(cls=Verbs)
def group() -> None:
    """Found a consortium with other sites, and see who is in it."""


@group.command()
@click.argument("name")
@click.option("--sites", type=click.IntRange(2, 256), required=True, help="How many sites found it, with this one.")
@pass_session
def new(session: Session, name: str, sites: int) -> None:
    """Begin the founding of a consortium called NAME, to which this site then invites the others."""
    with session.node() as node:
        view = node.new_consortium(name, sites)

    def tell() -> None:
        say(f"The founding of «{view.name}» has begun: {len(view.joined)} of {view.expected} sites are there.")
        say(f"next: comity consortium invite --out FILE ({sites - 1} times, one for each other site)")
        say("then: comity consortium sign")

    show(session, view, tell)


@group.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the invitation is written.")
@pass_session
def invite(session: Session, out: Path) -> None:
    """Write an invitation for one more site; hand it over in private: it admits whoever has it first."""
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


_ROOT_KEY = click.option(
    "--root-key", type=click.Path(path_type=Path), help="The site's root key; keys/root.key in its folder otherwise."
)
_TIMEOUT = click.option("--timeout", metavar="SPAN", help="How long to wait for the others, such as 10m.")


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@_ROOT_KEY
@_TIMEOUT
@pass_session
def join(session: Session, file: Path, root_key: Path | None, timeout: str | None) -> None:
    """Take up the invitation in FILE, wait for the other founders, and sign; run it again to go on."""
    data = _read(file)
    with session.node() as node:
        node.join(data)
        _found(session, node, root_key, timeout)


@group.command()
@_ROOT_KEY
@_TIMEOUT
@pass_session
def sign(session: Session, root_key: Path | None, timeout: str | None) -> None:
    """Wait for the other founders and sign the founding document with this site's root key."""
    with session.node() as node:
        _found(session, node, root_key, timeout)


@group.command("show")
@pass_session
def show_(session: Session) -> None:
    """Show the consortium, or how far its founding is."""
    with session.node() as node:
        view = node.founding()

    def tell() -> None:
        pairs(
            [
                ("consortium", view.name),
                ("named", str(view.consortium) if view.consortium else "not yet: it lacks signatures"),
                ("joined", f"{len(view.joined)} of {view.expected}: {', '.join(view.joined)}"),
                ("signed", f"{len(view.signed)} of {view.expected}: {', '.join(view.signed) or 'nobody'}"),
            ]
        )

    show(session, view, tell)


@group.command()
@pass_session
def members(session: Session) -> None:
    """List the members of the consortium."""
    with session.node() as node:
        found = node.members()

    def tell() -> None:
        rows = [(each.name, "yes" if each.connected else "no", each.site) for each in found]
        table(("member", "connected", "root key"), rows, "no members yet")

    show(session, found, tell)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_INVITE + 1)
    except OSError as error:
        raise NotFound(f"the invitation {file} cannot be read: {error.strerror}") from error
    if len(data) > MAX_INVITE:
        raise BadInput(f"{file} is no invitation: it is larger than {MAX_INVITE:,} bytes")
    return data


def _found(session: Session, node: Node, root_key: Path | None, timeout: str | None) -> None:
    """Wait until every founder is there, sign, and wait until every founder has signed."""
    from node.api.publish import now
    from node.api.quantity import moment
    from node.keyfile import read_identity

    until = moment(timeout, now()) if timeout else None
    with working("waiting for the other founders …") as change:
        view = _wait(node, until, change, lambda view: view.to_sign is not None or view.consortium is not None)
        if view.consortium is None and view.epoch is not None and node.site not in view.epoch.signatures:
            view = node.sign_founding(read_identity(root_key or session.folder().root_key).key)
        view = _wait(node, until, change, lambda view: view.consortium is not None)
        epoch = node.founded()
    if epoch is None:
        raise ComityError("the founding document is gone; see: comity consortium show")

    def tell() -> None:
        say(f"«{view.name}» is founded by {', '.join(each.site for each in epoch.members)}.")
        say(f"Its name is {view.consortium}; {epoch.quorum} witnesses must cosign each log.")

    show(session, view, tell)


def _wait(
    node: Node, until: int | None, change: Callable[[str], None], reached: Callable[[FoundingView], bool]
) -> FoundingView:
    from node.api.publish import now

    while not reached(view := node.founding()):
        if until is not None and now() > until:
            raise Unreachable(
                f"{len(view.joined)} of {view.expected} founders joined and {len(view.signed)} signed in time; "
                "run this again to go on waiting"
            )
        change(f"«{view.name}»: {len(view.joined)} of {view.expected} joined, {len(view.signed)} signed …")
        time.sleep(POLL_SECONDS)
    return view
