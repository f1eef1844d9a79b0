"""Blocks of this site: packed from their files, with the environments that they name; and shown."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import trio

from catalog.block import BlockFields, EndorseFields
from catalog.cid import Cid
from catalog.entry import Entry
from catalog.error import BadInput, shown
from catalog.member import Role
from node.api.blocks import BlockImported, BlockView, EnvironmentView, ImportBlock
from node.execute.cwl.message import Load, Loaded
from node.execute.cwl.places import located
from node.execute.environment.description import FILE, MOST_BYTES, Reference, read, write
from node.execute.step import BLOCK, TOOL
from node.execute.view import View
from node.site.publishing import block_entry, member_of
from node.site.site import Site
from node.site.views import entry_view
from workflow.parse import parse_tool
from workflow.tool import Tool


async def import_block(site: Site, did: str, request: ImportBlock) -> BlockImported:
    """Pack a block's files under one CID, after its tool was read and every file that it names is there.

    Raises:
        Denied: not enrolled here as steward or researcher, or no steward and an archive is to be read.
        BadInput: no tool, not CWL, a file that lacks.
        BadInput, NotFound, VerificationFailed, Unreachable, Full: its environment cannot be made; why.
    """
    # A steward alone has the node read its machine's disk, as for datasets.
    member_of(site, did, *((Role.STEWARD,) if request.archive is not None else (Role.STEWARD, Role.RESEARCHER)))
    text = request.files.get(TOOL)
    if text is None:
        raise BadInput(f"a block needs a file «{TOOL}»")
    tool = await trio.to_thread.run_sync(parse_tool, text, TOOL)
    for name in tool.files:
        if not any(each == name or each.startswith(f"{name}/") for each in request.files):
            raise BadInput(f"{TOOL} names the file «{name}», which is not beside it")
    reference = await _environment(site, tool, request)
    files = request.files if reference is None else request.files | {FILE: write(reference)}
    folder = site.folder.work / f"pack-{site.random.token(8).hex()}"
    try:
        await trio.to_thread.run_sync(_write_files, folder, files)
        await _check_text(site, folder)
        cid = await site.blobs.add_path(folder)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
    outputs = {output.name: str(output.disclosure) for output in tool.outputs}
    return BlockImported(
        cid=cid,
        label=tool.label or tool.id,
        doc=tool.doc,
        outputs=outputs,
        environment=reference.cid if reference is not None else None,
    )


async def _check_text(site: Site, folder: Path) -> None:
    """Whether the tool is one to the evaluator, by which every site runs it.

    Raises:
        BadInput: it is none; where, and why.
    """
    async with site.evaluator.tool(View({BLOCK: folder})) as session:
        try:
            await session.ask(Load(uri=located(f"{BLOCK}/{TOOL}")), Loaded)
        except BadInput as error:
            raise BadInput(str(error).removeprefix(f"{BLOCK}/")) from error


async def _environment(site: Site, tool: Tool, request: ImportBlock) -> Reference | None:
    """The environment that the tool names, made and stored; none if it names none."""
    if tool.runs_in is None:
        if request.archive is not None:
            raise BadInput(f"{TOOL} names no image; add the hint comity:Environment, with the image's digest")
        return None
    if FILE in request.files:
        raise BadInput(f"a block that names its environment has no «{FILE}» of its own: the node writes it")
    if request.archive is not None and not Path(request.archive).is_absolute():
        raise BadInput(f"{request.archive} is not an absolute path on the node's machine")
    archive = Path(request.archive) if request.archive is not None else None
    return await site.packing.make(tool.runs_in, request.files, archive, site.blobs)


def _write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        parts = name.split("/")
        if len(name) > 1024 or any(part in ("", ".", "..") or not part.isprintable() for part in parts):
            raise BadInput(f"«{shown(name, 80)}» is no plain relative path; a block's files lie beside its tool")
        place = folder.joinpath(*parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


async def show_block(site: Site, did: str, cid: Cid) -> BlockView:
    """A block that is shared with this site, fetched if it is not here yet.

    Raises:
        NotFound: no such block, or none that this site may see: the same words for both.
    """
    member_of(site, did)
    entry = block_entry(site, cid)
    await site.materials.block(cid)
    tool = await site.blobs.read(cid, TOOL, 256 << 10)
    names = site.membership.names | {site.root: site.config.name}
    endorsed = {
        names.get(root, root): endorsement.output_types
        for root, index in site.index.sites.items()
        if (endorsement := index.typed(EndorseFields, "endorse", str(cid))) is not None and not endorsement.withdrawn
    }
    files = {each.name: each.size for each in await site.blobs.entries(cid)}
    return BlockView(
        entry=entry_view(entry, names),
        tool=tool.decode(),
        files=files,
        endorsed=endorsed,
        environment=await _environment_view(site, entry),
    )


async def _environment_view(site: Site, entry: Entry) -> EnvironmentView | None:
    """What the block says of its environment, which need not be here."""
    if not isinstance(entry.fields, BlockFields) or entry.fields.environment is None:
        return None
    reference = read(Reference, await site.blobs.read(entry.fields.cid, FILE, MOST_BYTES))
    return EnvironmentView(
        cid=reference.cid,
        kind="image" if reference.image else "python",
        platform=reference.platform,
        made_of=reference.image or reference.lock or "",
        packages=reference.packages,
        bytes=reference.bytes,
    )
