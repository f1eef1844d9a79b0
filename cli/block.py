"""``comity block``: share workflow building blocks, endorse them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.plural import counted
from cli import completing
from cli.mirror import mirror_published
from cli.output import document, pairs, say, show, table, tell_former, working
from cli.session import Session, Verbs, pass_session
from cli.transfer import packing

if TYPE_CHECKING:
    from node.api.blocks import BlockView, EnvironmentView
    from node.api.client import Node


@click.group(cls=Verbs)
def group() -> None:
    """Share workflow building blocks, endorse them."""


@group.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--aggregator", is_flag=True, help="The block that every node carries, which counts rows into tables.")
@click.option("--name", default="", help="What it is called; the tool's label otherwise.")
@click.option(
    "--image",
    type=click.Path(path_type=Path),
    help="The archive of the image that it runs in, on the node's machine; for stewards.",
)
@pass_session
def add(session: Session, path: Path | None, aggregator: bool, name: str, image: Path | None) -> None:
    """Pack the CWL tool at PATH with what it carries, or a folder that holds tool.cwl, under one CID.

    Where the tool names its environment (the hint comity:Environment), that is made here, once, and goes where the
    block goes.
    """
    from node.aggregator import FILES, NAME

    if (path is None) is not aggregator:
        raise click.UsageError("give a PATH, or --aggregator")
    with session.node() as node, packing(session, f"packing {path or NAME} …"):
        made = node.publish_block(path or FILES, name or (NAME if aggregator else ""), image)
        readers = node.block_entry(made.cid).audience

    def tell() -> None:
        whose = "shared as before" if readers else "for this site alone until it is shared"
        say(f"«{made.name}» is packed ({counted(made.size, 'byte')}), {whose}:")
        say(str(made.cid))

    show(session, made, tell)


@group.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the blocks of this site, and those shared with it."""
    with session.node() as node:
        found = [each for each in node.blocks() if not each.left]
        status = node.status()

    def tell() -> None:
        rows = [
            (
                each.fields.name,
                each.site_name,
                ", ".join(f"{name}: {kind}" for name, kind in each.fields.outputs.items()),
                str(each.fields.cid),
            )
            for each in found
        ]
        table(("block", "site", "outputs", "CID"), rows, "no blocks")
        tell_former(status)

    show(session, found, tell)


@group.command("show")
@click.argument("block", shell_complete=completing.blocks)
@click.argument("file", required=False)
@pass_session
def show_(session: Session, block: str, file: str | None) -> None:
    """Show BLOCK, by CID or name: its tool, its files, and who endorsed it; or the text of its FILE."""
    with session.node() as node:
        view = node.block(block)
        if file is not None:
            text = _text(node, view, file)
            show(session, {"file": file, "text": text}, lambda: document(text))
            return

    def tell() -> None:
        endorsed = [(site, ", ".join(types)) for site, types in view.endorsed.items()]
        pairs(
            [
                ("CID", view.entry.subject),
                ("site", view.entry.site_name),
                *_environment(view.environment),
                *(("file", f"{name} ({counted(size, 'byte')})") for name, size in view.files.items()),
                *(("endorsed", f"by {site} for {types}") for site, types in endorsed),
            ]
        )
        document(view.tool)
        others = [name for name in view.files if name != "tool.cwl"]
        if others:
            say(f"next: comity block show {shlex.quote(block)} {shlex.quote(others[0])}")

    show(session, view, tell)


@group.command()
@click.argument("block", shell_complete=completing.blocks)
@click.option("--with", "sites", multiple=True, help="A member by name or root key; may be repeated.")
@click.option("--everyone", is_flag=True, help="Open it to all, for good: who has it may give it to anybody.")
@pass_session
def share(session: Session, block: str, sites: tuple[str, ...], everyone: bool) -> None:
    """Share BLOCK with further sites, which may then see it, fetch it and run it; or open it to everyone."""
    if bool(sites) is everyone:
        raise click.UsageError("say with whom: --with SITE, or --everyone")
    with session.node() as node:
        index = node.share_block(block, sites, everyone=everyone)
    whom = "open to everyone" if everyone else f"shared with {', '.join(sites)}"
    show(session, {"index": index}, lambda: say(f"«{block}» is {whom} (entry {index})."))


@group.command()
@click.argument("block", shell_complete=completing.blocks)
@click.option(
    "--oci",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="The archive to write: a new file on the node's machine.",
)
@pass_session
def export(session: Session, block: str, file: Path) -> None:
    """Write BLOCK with its environment as the archive of an image, which any registry takes; for stewards.

    Only of a block that is open to everyone. It is called by its CID; the block lies at /block in it.
    """
    with session.node() as node, working(f"writing {file} …"):
        made = node.export_block(block, file)

    def tell() -> None:
        say(f"{file} has the image {made.name} ({counted(made.bytes, 'byte')}), manifest {made.digest}.")
        archive = shlex.quote(f"oci-archive:{file}")
        say(f"next: skopeo copy --preserve-digests {archive} docker://…, so that a registry has it under that digest")

    show(session, made, tell)


@group.command()
@click.argument("block", shell_complete=completing.blocks)
@click.option("--end", is_flag=True, help="Hold it for others no more.")
@pass_session
def mirror(session: Session, block: str, end: bool) -> None:
    """Hold BLOCK of another site here too, for all it is shared with, also while that site is away; for stewards."""
    with session.node() as node:
        mirror_published(session, node, node.block_entry(block), end=end)


@group.command()
@click.argument("block", shell_complete=completing.blocks)
@click.option("--type", "types", multiple=True, help="An output type to vouch for; all that it declares otherwise.")
@pass_session
def endorse(session: Session, block: str, types: tuple[str, ...]) -> None:
    """Vouch, as a steward who read BLOCK, that its outputs are of the types that they declare."""
    with session.node() as node:
        index = node.endorse(block, types or None)
    show(session, {"index": index}, lambda: say(f"«{block}» is endorsed (entry {index})."))


def _environment(found: EnvironmentView | None) -> list[tuple[str, str]]:
    """What a block runs in, as people are told it."""
    if found is None:
        return []
    what = f"the image {found.made_of}"
    if found.kind == "python":
        what = ", ".join(f"{name} {version}" for name, version in sorted(found.packages.items()))
    size = f"{-(-found.bytes // (1 << 20)):,} MiB"
    return [("runs in", f"{what} ({found.kind}, {found.platform}, {size})"), ("", str(found.cid))]


def _text(node: Node, view: BlockView, file: str) -> str:
    from catalog.error import BadInput, NotFound

    if file not in view.files:
        raise NotFound(f"the block has no file «{file}»; it has: {', '.join(view.files)}")
    try:
        return node.fetch(view.entry.subject, file).decode()
    except UnicodeDecodeError as error:
        told = f"«{file}» is not text; fetch it with: comity dataset fetch {view.entry.subject} FILE --out PATH"
        raise BadInput(told) from error
