"""``comity site``: make a site, run its node, see how it fares."""

from __future__ import annotations

import shutil

import click

from catalog.error import ComityError
from cli.output import pairs, say, show, table, working
from cli.session import Session, Verbs, pass_session


@click.group(cls=Verbs)
def group() -> None:
    """Make a site, run its node, see how it fares."""


@group.command()
@click.argument("directory")
@click.option("--name", required=True, help="The site's name, as other members see it.")
@click.option("--steward", help="The name of its first steward, whose key goes to this user's folder.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where other members reach this node.")
@click.option(
    "--control-port", type=click.IntRange(1, 65535), default=4101, show_default=True, help="libp2p, for members."
)
@click.option("--bulk-port", type=click.IntRange(1, 65535), default=4102, show_default=True, help="HTTPS, for members.")
@click.option(
    "--api-port", type=click.IntRange(1, 65535), default=4103, show_default=True, help="Loopback, for people here."
)
@pass_session
def init(
    session: Session,
    directory: str,
    name: str,
    steward: str | None,
    host: str,
    control_port: int,
    bulk_port: int,
    api_port: int,
) -> None:
    """Make a site in DIRECTORY: its keys, its settings, two empty logs, and its first steward."""
    from catalog.error import BadInput, Conflict
    from node.api.person import Persons, card_of
    from node.config import Address
    from node.setup import init_site

    ports = (control_port, bulk_port, api_port)
    if len(set(ports)) != len(ports):
        raise BadInput("control, bulk and api need a port each")
    persons, steward_name = Persons.here(), steward or f"{name} steward"
    folder = session.folder(directory)
    if not folder.config.exists() and persons.path(steward_name).exists():
        raise Conflict(f"there is a person «{steward_name}» already; name another with --steward")
    with working(f"making {name} …"):
        made = init_site(
            folder,
            name,
            steward_name,
            Address(host, control_port),
            Address(host, bulk_port),
            Address("127.0.0.1", api_port),
        )
    # Without its steward's key nobody could ever use the site, so there is none without it.
    try:
        key = persons.add(made.steward)
    except (OSError, ComityError):
        shutil.rmtree(folder.path)
        raise

    def tell() -> None:
        say(f"{made.name} is made in {folder.path}.")
        pairs(
            [
                ("root key", f"{made.root} ({folder.root_key}; take it offline once the consortium is founded)"),
                ("node key", made.node),
                ("steward", f"{made.steward.name} ({key})"),
            ]
        )
        say(f"next: comity site run {folder.path}")

    told = {
        "name": made.name,
        "root": made.root,
        "node": made.node,
        "folder": str(folder.path),
        "steward": card_of(made.steward),
        "steward_key": str(key),
    }
    show(session, told, tell)


@group.command()
@click.argument("directory", required=False)
@pass_session
def run(session: Session, directory: str | None) -> int:
    """Run the node of the site in DIRECTORY until Ctrl-C."""
    from node.daemon import run as run_node

    return run_node(session.folder(directory))


@group.command()
@pass_session
def status(session: Session) -> None:
    """Show what the node is, whom it reaches, and how far its logs are cosigned."""
    with session.node() as node:
        view = node.status()

    def tell() -> None:
        pairs(
            [
                ("site", f"{view.name} ({view.site})"),
                ("node", f"{view.node}, process {view.pid}, version {view.version}"),
                ("consortium", f"{view.consortium}, epoch {view.epoch}" if view.consortium else "none yet"),
                ("runner", f"{view.runner}: {view.runner_fault}" if view.runner_fault else view.runner),
                *(("recovered", line) for line in view.recovered),
            ]
        )
        logs = [
            (log.origin.partition("/")[2], str(log.size), str(log.cosigned_size), ", ".join(log.cosigners) or "nobody")
            for log in view.logs
        ]
        table(("log", "leaves", "cosigned to", "by"), logs)
        members = [
            (
                f"{each.name} (here)" if each.here else each.name,
                "yes" if each.connected else "no",
                str(each.entries),
                str(each.cosigned),
                each.behind or "–",
            )
            for each in view.members
        ]
        table(("member", "connected", "entries", "cosigned", "behind"), members, "no members yet")

    show(session, view, tell)
