"""``comity site fsck``: what is damaged in a site's folder, and what it should have and lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from catalog.plural import counted
from cli.output import say, show, working
from cli.session import Session, Verb, pass_session

if TYPE_CHECKING:
    from catalog.cid import Cid
    from cli.offline import SiteReport
    from node.config import Folder
    from node.storage.blobcheck import BlobReport, DamagedNode
    from node.storage.heldcheck import HeldReport


@dataclass(frozen=True, slots=True)
class NotWhole:
    """A root that the site publishes or mirrors, and how many nodes of it are known to lack."""

    cid: Cid
    name: str
    lacking: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a site's folder; ``mended`` if what was wrong of the stored data was removed.

    ``held`` has what is sealed for projects, one by one.
    """

    logs: SiteReport
    blobs: BlobReport
    held: tuple[HeldReport, ...]
    mended: bool
    not_whole: tuple[NotWhole, ...]


@click.command(cls=Verb)
@click.argument("directory", required=False)
@click.option(
    "--mend", is_flag=True, help="Remove damaged files of the store: the node fetches again what others have."
)
@pass_session
def fsck(session: Session, directory: str | None, mend: bool) -> None:
    """Check all that lies in a site's folder, logs and stored data; the node must not run meanwhile.

    A damaged log is restored from a backup; what is damaged of the stored data is named with the roots that lack it,
    and what is published or mirrored here and not whole by its name. What is held for a project is opened with its key.
    """
    from node.config import read_config
    from node.holding import held

    folder = session.folder(directory)
    kubo = read_config(folder).store
    with held(folder):
        checked = _check(folder, kubo, mend)
    show(session, checked, lambda: _tell(checked, folder, kubo))
    _judge(checked)


def _check(folder: Folder, kubo: str | None, mend: bool) -> Checked:
    from cli.offline import verify_site
    from cli.roots import projects_of, roots_of
    from node.storage.blobcheck import check_blobs, drop_damaged, lacking
    from node.storage.heldcheck import check_held, drop_held

    logs = verify_site(folder.path)
    with working("reading the stored data …") as progress:
        blobs = check_blobs(folder.blobs, lambda size: progress(f"{size >> 20:,} MiB of stored data read …"))
        titles = projects_of(folder.path)
        held = check_held(
            folder.held, folder.project_keys, titles, lambda size: progress(f"{size >> 20:,} MiB of held data read …")
        )
    if mend:
        drop_damaged(folder.blobs, blobs.damaged)
        drop_held(folder.held, folder.project_keys, held)
    roots = {} if kubo else roots_of(folder.path)
    counts = ((cid, name, lacking(folder.blobs, cid)) for cid, name in roots.items())
    return Checked(logs, blobs, held, mend, tuple(NotWhole(*each) for each in counts if each[2]))


def _tell(checked: Checked, folder: Folder, kubo: str | None) -> None:
    logs, blobs = checked.logs, checked.blobs
    say(f"logs: {counted(len(logs.logs), 'log')} with {counted(logs.leaves, 'leaf')}")
    here = f"{counted(blobs.nodes, 'node')} with {counted(blobs.bytes, 'byte')}"
    elsewhere = f"not looked at, for they lie in the Kubo at {kubo}; run there: ipfs repo verify"
    say(f"stored data: {elsewhere if kubo else here}")
    for fault in logs.faults:
        say(f"FAULT {fault}")
    for stray in blobs.strays:
        say(f"no node: {folder.blobs / stray}")
    _tell_damaged(blobs.damaged, checked.mended)
    for project in checked.held:
        _tell_held(project, folder, checked.mended)
    if not all(each.ok for each in checked.held):
        say("next: what steps made is made again when it is ordered again, what came from others is fetched when it is")
        say("used again; until then whoever asks for it is told that it is not here")
    for root in checked.not_whole:
        say(f"NOT WHOLE «{root.name}», {root.cid}: it lacks {counted(root.lacking, 'node')}")
    if checked.not_whole:
        say("next: start the node, which brings what lacks from others that hold it and says in «site status» how")
        say("it fares; what nobody else holds is published anew, or comes from a backup")
    held = all(each.ok for each in checked.held)
    if held and not (logs.faults or blobs.strays or blobs.damaged or checked.not_whole):
        say("no fault")


def _tell_damaged(damaged: Sequence[DamagedNode], mended: bool) -> None:
    for each in damaged:
        done = "removed" if mended and each.wrong else "DAMAGED"
        say(f"{done} {each.cid}: {each.why}; lacking in {', '.join(map(str, each.roots))}")


def _tell_held(held: HeldReport, folder: Folder, mended: bool) -> None:
    from node.storage.heldcheck import KeyState

    whose = f"held for the project «{held.project}»" if held.project else "held for a project that no catalog here has"
    nodes = counted(held.nodes, "node")
    match held.key:
        case KeyState.GOOD:
            say(f"{whose}: {nodes} with {counted(held.bytes, 'byte')}")
        case KeyState.ENDED:
            say(f"{whose}: {nodes}, whose key is {held.key}")
        case KeyState.LOST:
            done = "removed" if mended else "LOST"
            say(f"{done} {nodes} {whose}: the key in keys/projects/{held.folder} is {held.key}")
        case KeyState.EXPOSED:
            say(f"NOT LOOKED AT {nodes} {whose}: the key is {held.key}: chmod 600 {folder.project_keys / held.folder}")
    for stray in held.strays:
        say(f"no node: {folder.held / stray}")
    for memo in held.memos:
        say(f"{'removed' if mended else 'DAMAGED'} {folder.held / held.folder / memo}: a memo, which costs a run")
    _tell_damaged(held.damaged, mended)


def _judge(checked: Checked) -> None:
    from catalog.error import VerificationFailed

    faults = checked.logs.faults
    damaged = [*checked.blobs.damaged, *(node for each in checked.held for node in each.damaged)]
    if faults:
        raise VerificationFailed(f"{counted(len(faults), 'fault')} in the logs; restore the site from a backup")
    if any(not each.wrong for each in damaged):
        raise VerificationFailed("some of the stored data could not be read, and were left: see to the disk")
    if damaged and not checked.mended:
        raise VerificationFailed(f"{counted(len(damaged), 'node')} of the stored data damaged; run it with --mend")
    _judge_held(checked.held, checked.mended)
    if checked.not_whole and not checked.mended:
        raise VerificationFailed(f"{counted(len(checked.not_whole), 'root')} not whole here; start the node")


def _judge_held(held: Sequence[HeldReport], mended: bool) -> None:
    from catalog.error import VerificationFailed
    from node.storage.heldcheck import KeyState

    keys = [each.key for each in held]
    if KeyState.EXPOSED in keys:
        raise VerificationFailed(f"{counted(keys.count(KeyState.EXPOSED), 'key')} open to others; no node starts so")
    if KeyState.LOST in keys and not mended:
        lost = counted(keys.count(KeyState.LOST), "key")
        raise VerificationFailed(f"{lost} of projects lost, and what was held under them; run it with --mend")
    if (memos := sum(len(each.memos) for each in held)) and not mended:
        raise VerificationFailed(f"{counted(memos, 'memo')} damaged; run it with --mend")
