"""``comity site``: make a site, run its node, see how it fares."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.error import ComityError
from catalog.plural import counted
from cli.deploy import deploy
from cli.fsck import fsck
from cli.output import pairs, say, show, table, working
from cli.rootkey import PASSPHRASE_FILE, new_passphrase_of, root_of, signs_as_root
from cli.running import steps_rows
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.copies import StorageView
    from node.api.schema import PolicyFaultsView, ReachView
    from node.api.swarm import SwarmView


@click.group(cls=Verbs)
def group() -> None:
    """Make a site, run its node, see how it fares."""


group.add_command(fsck)
group.add_command(deploy)


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
@click.option("--only-out", is_flag=True, help="Nobody can connect to this node: it only dials out.")
@click.option(
    "--root-key", type=click.Path(path_type=Path), help="Where the root key's file goes, such as a USB stick."
)
@PASSPHRASE_FILE
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
    only_out: bool,
    root_key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Make a site in DIRECTORY: its keys, its settings, two empty logs, and its first steward.

    The root key is encrypted under a passphrase. The node never needs it: keep it offline.
    """
    from catalog.error import BadInput, Conflict
    from node.api.person import Persons, card_of
    from node.config import Address
    from node.setup import init_site

    if api_port in (control_port, bulk_port):
        raise BadInput("the api needs a port of its own; control and bulk may share one")
    persons, steward_name = Persons.here(), steward or f"{name} steward"
    folder = session.folder(directory)
    if not folder.config.exists() and persons.path(steward_name).exists():
        raise Conflict(f"there is a person «{steward_name}» already; name another with --steward")
    passphrase = new_passphrase_of(passphrase_file)
    with working(f"making {name} …"):
        made = init_site(
            folder,
            name,
            steward_name,
            Address(host, control_port),
            Address(host, bulk_port),
            Address("127.0.0.1", api_port),
            passphrase,
            root_key,
            inbound=not only_out,
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
                (
                    "root key",
                    f"{made.root} ({root_key or f'{folder.root_key}; move it to a medium that you take out'})",
                ),
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
@click.option(
    "--with-kubo",
    "kubo",
    metavar="[PROGRAM]",
    is_flag=False,
    flag_value="ipfs",
    help="Run a Kubo beside it, which gives what is open to the consortium's swarm of IPFS.",
)
@pass_session
def run(session: Session, directory: str | None, kubo: str | None) -> int:
    """Run the node of the site in DIRECTORY until Ctrl-C."""
    from node.daemon import run as run_node

    return run_node(session.folder(directory), kubo)


@group.command("new-root")
@click.argument("file", type=click.Path(path_type=Path))
@PASSPHRASE_FILE
@pass_session
def new_root(session: Session, file: Path, passphrase_file: Path | None) -> None:
    """Make a root key in FILE for a site whose own was lost or stolen; it acts once the members have agreed.

    Say its text to the other members by a way that is not this network: comity consortium replace-root.
    """
    from node.config import read_config
    from node.keyfile import Identity
    from node.rootkey import write_root

    name = read_config(session.folder()).name
    passphrase = new_passphrase_of(passphrase_file)
    with working("making a root key …"):
        made = Identity.new(name)
        write_root(file, made, passphrase)

    def tell() -> None:
        say(f"{made.did} is in {file}.")
        say(f"next, at more than half of the members: comity consortium replace-root '{name}' {made.did}")
        say("then here: comity site rotate --compromised --since ENTRY, if the old one may have been used")

    show(session, {"did": made.did, "file": str(file)}, tell)


@group.command()
@click.option("--lost", is_flag=True, help="The node's key is gone.")
@click.option("--compromised", is_flag=True, help="Somebody else may have the node's key.")
@click.option("--since", type=click.IntRange(0), help="The first entry of the catalog that may be the thief's.")
@click.option("--audit-since", type=click.IntRange(0), help="The first row of the audit log that may be.")
@signs_as_root
@pass_session
def rotate(
    session: Session,
    lost: bool,
    compromised: bool,
    since: int | None,
    audit_since: int | None,
    root_key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Give the node a new key. What the old one signed stays valid up to its place in the logs, not by its date.

    A node that runs is started anew in its process: steps that run now are ended. One that does not run is changed in
    its folder, and says so to the members when it is started.
    """
    from catalog.error import BadInput
    from node.rotating import rotate_node

    if compromised is (since is None) or (lost and compromised) or (audit_since is not None and not compromised):
        raise BadInput("say --lost, or --compromised with --since ENTRY, or neither for a planned change")
    root = root_of(session, root_key, passphrase_file)
    with working("changing the node's key …"):
        node = rotate_node(session.folder(), root.key, lost=lost, since=since, audit_since=audit_since)

    def tell() -> None:
        say(f"The node's key is {node}.")
        say("Members that know the old one are told by the new one; see: comity site status")

    show(session, {"node": node}, tell)


@group.command()
@pass_session
def status(session: Session) -> None:
    """Show what the node is, whom it reaches, and how far its logs are cosigned."""
    from node.api.faults import wrong_with
    from privacy.freshness import duration

    with session.node() as node:
        view = node.status()

    def tell() -> None:
        pairs(
            [
                ("site", f"{view.name} ({view.site})"),
                ("node", f"{view.node}, process {view.pid}, version {view.version}"),
                ("consortium", f"{view.consortium}, epoch {view.epoch}" if view.consortium else "none yet"),
                *steps_rows(view),
                ("reach", _reach(view.reach)),
                *(("INTERCEPTED", line) for line in view.reach.intercepted),
                *([("LEFT", _left(view.consortium, view.left))] if view.left is not None else []),
                ("stored", _stored(view.storage)),
                *(("NOT WHOLE", f"«{each.name}» of {each.owner}: {each.why}") for each in view.storage.lacking),
                *([_kubo(view.swarm)] if view.swarm is not None else []),
                *([("POLICY FAULT", _faulty(view.policy_faults))] if view.policy_faults is not None else []),
                *(("HALTED", line) for line in view.halted),
                *(("recovered", line) for line in view.recovered),
            ]
        )
        logs = [
            (
                log.origin.partition("/")[2],
                str(log.size),
                str(log.cosigned_size),
                ", ".join(log.cosigners) or "nobody",
                ", ".join(log.waiting) or "–",
            )
            for log in view.logs
        ]
        table(("log", "leaves", "cosigned to", "by", "waits for"), logs)
        members = [
            (
                f"{each.name} (here)" if each.here else each.name,
                "yes" if each.connected else "no",
                str(each.entries),
                "–" if each.here else str(each.cosigned),
                "–" if each.here else "never" if each.heard is None else duration(each.heard),
                wrong_with(each) or "–",
            )
            for each in view.members
        ]
        table(("member", "connected", "entries", "cosigned", "heard ago", "what is wrong"), members, "no members yet")

    show(session, view, tell)


def _stored(storage: StorageView) -> str:
    if storage.kubo:
        return f"in the Kubo at {storage.kubo}; {storage.bytes:,} bytes on their way"
    most = (
        f" of at most {storage.most >> 30:,} GiB ([storage] most_gib)"
        if storage.most
        else "; only the disk bounds them"
    )
    return f"{storage.bytes:,} bytes{most}"


def _kubo(swarm: SwarmView) -> tuple[str, str]:
    if not swarm.version:
        return "kubo", swarm.fault
    told = (
        f"version {swarm.version}, {swarm.repo}: {counted(swarm.roots, 'dataset')} in the swarm,"
        f" {counted(swarm.bytes, 'byte')} on disk, {counted(swarm.peers, 'peer')}"
    )
    return "kubo", f"{told}; {swarm.fault}" if swarm.fault else told


def _reach(reach: ReachView) -> str:
    if reach.inbound:
        told = ["members can connect"]
        if reach.lines_of:
            told.append(f"lines of {', '.join(reach.lines_of)}")
        if reach.carried:
            told.append(f"{counted(reach.carried, 'byte')} carried for others")
    else:
        told = [f"only dials out; waits at {', '.join(reach.waits_at) or 'no member'}"]
    if reach.proxy:
        told.append(f"goes through the proxy {reach.proxy}")
    return "; ".join(told)


def _faulty(faults: PolicyFaultsView) -> str:
    from node.api.quantity import clock_text

    return f"{counted(faults.count, 'decision')} denied, the last at {clock_text(faults.at)}: {faults.reason}"


def _left(consortium: str | None, epoch: int) -> str:
    return (
        f"this site is no member of «{consortium}» since epoch {epoch}: the members tell it nothing and take nothing"
        " from it; what it has of their catalogs stays readable here"
    )


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def backup(session: Session, file: Path) -> None:
    """Write the whole site into FILE, its keys included, while its node does not run."""
    from node.restoring import backup_site

    with working(f"writing {file} …"):
        size = backup_site(session.folder(), file)
    show(
        session,
        {"file": str(file), "bytes": size},
        lambda: say(f"{file} has {size:,} bytes, the node's secrets among them: keep it as you keep the site."),
    )


@group.command()
@signs_as_root
@pass_session
def restore(session: Session, root_key: Path | None, passphrase_file: Path | None) -> None:
    """Bring the site back whose old folder, from a backup, lies there: with what the other members still have of it.

    The site starts halted. Nothing is signed before enough members have said what they have seen.
    """
    from node.restoring import restore_site

    root = root_of(session, root_key, passphrase_file)
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if not session.json:
            say(line)

    restore_site(session.folder(), root.key, tell)
    if session.json:
        show(session, {"done": told}, lambda: None)


_PROJECT = click.option("--project", help="One project alone, by name or NAME@SITE.")
_MEMBER = click.option("--member", help="What concerns one member alone, by name or root key.")


@group.command()
@click.argument("reason")
@_PROJECT
@_MEMBER
@pass_session
def halt(session: Session, reason: str, project: str | None, member: str | None) -> None:
    """Stop at once, for REASON: running steps are ended, orders refused, nothing is released or handed out.

    Submissions of this site's own people pause, and none is taken, until it is resumed. Audit reads, revocations and
    replication go on. For stewards.
    """
    with session.node() as node:
        index = node.halt(reason, project, member)
    scope = [f"--{what} '{name}'" for what, name in (("project", project), ("member", member)) if name]
    halted = f"What concerns {' or '.join(filter(None, (project, member)))}" if scope else "The site"
    again = " ".join(["comity site resume", *scope])
    show(session, {"index": index}, lambda: say(f"{halted} is halted (audit row {index}). To go on: {again}"))


@group.command()
@click.argument("reason", default="looked at and in order")
@_PROJECT
@_MEMBER
@pass_session
def resume(session: Session, reason: str, project: str | None, member: str | None) -> None:
    """Let the site go on with what was halted. For stewards."""
    with session.node() as node:
        index = node.halt(reason, project, member, resume=True)
        left = node.status().halted
    show(
        session,
        {"index": index, "halted": left},
        lambda: say(f"Resumed (audit row {index}); halted is: {'; '.join(left) or 'nothing'}"),
    )
