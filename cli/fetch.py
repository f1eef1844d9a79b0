"""``comity dataset fetch``: bytes of open data and of blocks, in whole or in part, and shared data opened."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from catalog.plural import counted
from cli.output import say, show, working
from cli.session import Session, Verb, pass_session
from cli.transfer import carrying

if TYPE_CHECKING:
    from catalog.dataset import DatasetFields
    from node.api.client import Node
    from node.api.view import Listing

LARGEST: Final = 16 << 20
"""Bytes of a file that a node gives at once."""


@click.command(cls=Verb)
@click.argument("dataset")
@click.argument("path", default="")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; standard output otherwise.")
@click.option("--project", help="Of shared data: the project of your grant, if you hold several.")
@click.option("--crypt4gh", is_flag=True, help="Of shared data: write them encrypted, for the program crypt4gh.")
@click.option("--bytes", "part", help="Only these bytes, as FIRST-LAST; no more is fetched than they take.")
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
    """Fetch the file DATASET, or the one at PATH in it, as far as you may read it.

    What is larger than 16 MiB needs --out, and is fetched part by part, each verified. Shared data are opened whole, of
    any size, into the new file or folder that --out names.
    """
    from catalog.cid import Cid
    from catalog.error import BadInput

    if session.json and out is None:
        raise BadInput("with --json the bytes need a file; give --out FILE")
    with session.node() as node:
        if _is_shared(node, dataset):
            with working(f"opening {dataset} …") as tell:
                _open(session, node, dataset, path, out, project, crypt4gh, tell)
            return
        if project or crypt4gh:
            raise BadInput("--project and --crypt4gh are for shared data; see «comity dataset show»")
        found = _named(node, dataset)
        cid = found.cid if found is not None else Cid.parse(dataset)
        if part is not None:
            first, _, last = part.partition("-")
            if not (first.isdecimal() and last.isdecimal()):
                raise BadInput(f"«{part}» is no part of a file; give --bytes FIRST-LAST, two numbers")
            write_out(session, node.fetch_part(cid, path, int(first), int(last)), out)
            return
        if found is not None and found.size > LARGEST:
            _fetch_large(session, node, found, path, out)
            return
        with carrying(session, f"fetching {dataset} …", str(cid)):
            data = node.fetch(cid, path)
    write_out(session, data, out)


def _named(node: Node, dataset: str) -> DatasetFields | None:
    """The dataset of that name or CID; none for the CID of something else, such as a block."""
    from catalog.cid import Cid
    from catalog.error import BadInput

    try:
        cid = Cid.parse(dataset)
    except BadInput:
        return node.dataset(dataset).fields
    return next((each.fields for each in node.datasets() if each.fields.cid == cid), None)


def _fetch_large(session: Session, node: Node, found: DatasetFields, path: str, out: Path | None) -> None:
    """Fetch a file part by part into a new file, which is removed again if it does not come whole."""
    from catalog.error import BadInput, Conflict

    if out is None:
        raise BadInput(f"«{found.name}» has {found.size:,} bytes; give --out FILE, or --bytes FIRST-LAST for a part")
    try:
        file = out.open("xb")
    except FileExistsError as error:
        raise Conflict(f"{out} is there already and was left as it is; choose another file") from error
    size = 0
    try:
        with file, working(f"fetching «{found.name}» …") as tell:
            while part := node.fetch_part(found.cid, path, size, size + LARGEST - 1):
                file.write(part)
                size += len(part)
                tell(f"fetching «{found.name}» … {size >> 20:,} of {found.size >> 20:,} MiB")
                if len(part) < LARGEST:
                    break
    except BaseException:
        out.unlink()
        raise
    show(session, {"file": str(out), "bytes": size}, lambda: say(f"{out} has {size:,} bytes."))


def _is_shared(node: Node, dataset: str) -> bool:
    """Whether it is the name or CID of a shared dataset; blocks are fetched by their CID too."""
    return any(
        each.fields.level == "shared" and dataset in (str(each.fields.cid), each.fields.name, _at(each))
        for each in node.datasets()
    )


def _at(each: Listing[DatasetFields]) -> str:
    return f"{each.fields.name}@{each.site_name}"


def _open(
    session: Session,
    node: Node,
    dataset: str,
    path: str,
    out: Path | None,
    project: str | None,
    crypt4gh: bool,
    tell: Callable[[str], None],
) -> None:
    """Open a shared dataset to ``out``; ``tell`` says how far it is."""
    from catalog.error import BadInput

    if out is None or path:
        raise BadInput("shared data are opened whole, into a new file or folder; give --out PLACE and no path")

    def progress(done: int, whole: int) -> None:
        tell(f"opening {dataset}: {done:,} of {whole:,} bytes …")

    made = node.open_dataset(dataset, out, project=project, crypt4gh=crypt4gh, progress=progress)
    what = "encrypted, with your header" if crypt4gh else "decrypted"

    def told() -> None:
        say(f"{out}: {counted(made.files, 'file')}, {made.bytes:,} bytes, {what}.")
        if crypt4gh:
            say("next: comity person export-key NAME --out KEY; crypt4gh decrypt --sk KEY < FILE.c4gh > FILE")

    show(session, made, told)


def write_out(session: Session, data: bytes, out: Path | None) -> None:
    """Write fetched bytes to a new file, or to standard output.

    Raises:
        Conflict: the file is there already.
    """
    from catalog.error import Conflict

    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        with out.open("xb") as stream:
            stream.write(data)
    except FileExistsError as error:
        raise Conflict(f"{out} is there already and was left as it is; choose another file") from error
    show(session, {"file": str(out), "bytes": len(data)}, lambda: say(f"{out} has {len(data):,} bytes."))
