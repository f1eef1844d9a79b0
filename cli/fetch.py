"""``comity dataset fetch``: open data and blocks, in whole or in part, and shared data opened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from catalog.plural import counted
from cli import completing
from cli.output import say, show
from cli.session import Session, Verb, pass_session
from cli.transfer import carrying, paced

if TYPE_CHECKING:
    from catalog.cid import Cid
    from catalog.dataset import DatasetFields
    from node.api.client import Node
    from node.api.saving import Fetched

LARGEST: Final = 16 << 20
"""Bytes that are printed at most."""
FOLDER: Final = "inode/directory"
"""The media type of a folder."""


@click.command(cls=Verb)
@click.argument("dataset", shell_complete=completing.datasets)
@click.argument("path", default="")
@click.option("--out", type=click.Path(path_type=Path), help="The new file or folder; standard output otherwise.")
@click.option("--project", help="Of shared data: the project of your grant, if you hold several.")
@click.option("--crypt4gh", is_flag=True, help="Of shared data: write them encrypted, for the program crypt4gh.")
@click.option(
    "--bytes",
    "part",
    help="Only these bytes of an open file, as FIRST-LAST; no more is fetched. Above 16 MiB with --out.",
)
@pass_session
def fetch(
    session: Session,
    dataset: str,
    path: str,
    out: Path | None,
    project: str | None,
    crypt4gh: bool,
    part: str | None,
) -> None:
    """Fetch the file or folder DATASET, or what lies at PATH in it, as far as you may read it.

    With --out your node fetches all of it, of any size, and goes on from there after a break; then the new file or
    folder is written, whole or not at all. Without, a file of at most 16 MiB is printed. Shared data are opened whole.
    """
    from catalog.error import BadInput

    if session.json and out is None:
        raise BadInput("with --json the bytes need a file; give --out FILE")
    with session.node() as node:
        found = _named(node, dataset)
        if found is not None and found.level == "shared":
            if part is not None or path:
                raise BadInput(f"«{found.name}» is shared: it is opened whole; leave --bytes and the path away")
            _open_shared(session, node, found, dataset, out, project, crypt4gh=crypt4gh)
            return
        if project or crypt4gh:
            raise BadInput("--project and --crypt4gh are for shared data; see «comity dataset show»")
        _fetch_open(session, node, dataset, found, path, out, part)


def _named(node: Node, dataset: str) -> DatasetFields | None:
    """The dataset of that name or CID; none for the CID of something else, such as a block."""
    from catalog.cid import Cid
    from catalog.error import BadInput

    try:
        cid = Cid.parse(dataset)
    except BadInput:
        return node.dataset(dataset).fields
    return next((each.fields for each in node.datasets() if each.fields.cid == cid), None)


def _fetch_open(
    session: Session,
    node: Node,
    dataset: str,
    found: DatasetFields | None,
    path: str,
    out: Path | None,
    part: str | None,
) -> None:
    """Fetch open data or a block: a part, to ``out`` all of it, else a small file to standard output."""
    from catalog.cid import Cid
    from catalog.error import BadInput

    cid = found.cid if found is not None else Cid.parse(dataset)
    title, size = (found.name, found.size) if found is not None else (dataset, 0)
    if part is not None:
        _fetch_part(session, node, cid, path, out, part)
    elif out is not None:
        with carrying(session, f"fetching «{title}» …", str(cid)) as change:
            tell = paced(change, f"writing {out} …")
            fetched = node.fetch_tree(cid, path, out, written=lambda done: tell(done, max(done, 0 if path else size)))
        _told(session, fetched)
    elif not path and found is not None and found.media_type == FOLDER and not cid.is_keyed:
        raise BadInput(f"«{title}» is a folder; give --out FOLDER, or a path in it: see «comity dataset show»")
    elif not path and size > LARGEST and not cid.is_keyed:
        raise BadInput(f"«{title}» has {counted(size, 'byte')}; give --out PLACE, or --bytes FIRST-LAST for a part")
    else:
        with carrying(session, f"fetching «{title}» …", str(cid)):
            data = node.fetch(cid, path)
        write_out(session, data, None)


def _fetch_part(session: Session, node: Node, cid: Cid, path: str, out: Path | None, part: str) -> None:
    from catalog.error import BadInput

    first, _, last = part.partition("-")
    if not (first.isdecimal() and last.isdecimal()):
        raise BadInput(f"«{part}» is no part of a file; give --bytes FIRST-LAST, two numbers")
    begin, end = int(first), int(last)
    if out is None and end - begin >= LARGEST:
        raise BadInput(f"--bytes {part} are more than {LARGEST >> 20} MiB; give --out FILE for so many")
    if out is None:
        write_out(session, node.fetch_part(cid, path, begin, end), None)
        return
    with carrying(session, f"fetching {part} …", str(cid)) as change:
        tell = paced(change, f"fetching {part} …")
        fetched = node.fetch_span(cid, path, begin, end, out, written=lambda done: tell(done, end + 1 - begin))
    _told(session, fetched)


def _told(session: Session, fetched: Fetched) -> None:
    what = f"{counted(fetched.files, 'file')}, {counted(fetched.bytes, 'byte')}"
    told = f"{fetched.place}: {what}." if fetched.folder else f"{fetched.place} has {counted(fetched.bytes, 'byte')}."
    value = {"file": fetched.place, "folder": fetched.folder, "files": fetched.files, "bytes": fetched.bytes}
    show(session, value, lambda: say(told))


def _open_shared(
    session: Session,
    node: Node,
    found: DatasetFields,
    dataset: str,
    out: Path | None,
    project: str | None,
    *,
    crypt4gh: bool,
) -> None:
    """Open a shared dataset into ``out``."""
    from catalog.error import BadInput

    if out is None:
        raise BadInput("shared data are opened whole, into a new file or folder; give --out PLACE")
    with carrying(session, f"fetching «{found.name}» …", str(found.cid)) as change:
        progress = paced(change, f"opening «{found.name}» …")
        made = node.open_dataset(dataset, out, project=project, crypt4gh=crypt4gh, progress=progress)
    what = "encrypted, with your header" if crypt4gh else "decrypted"

    def told() -> None:
        say(f"{out}: {counted(made.files, 'file')}, {counted(made.bytes, 'byte')}, {what}.")
        if crypt4gh:
            say("next: comity person export-key NAME --out KEY; crypt4gh decrypt --sk KEY < FILE.c4gh > FILE")

    show(session, made, told)


def write_out(session: Session, data: bytes, out: Path | None) -> None:
    """Write fetched bytes to a new file, or to standard output.

    Raises:
        BadInput: the file is there already.
    """
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from node.plainfiles import new_place, write_new

    with new_place(out) as place:
        write_new(place, iter([data]))
    size = len(data)
    show(session, {"file": str(out), "bytes": size}, lambda: say(f"{out} has {counted(size, 'byte')}."))
