"""What authors of blocks sign into their site's catalog: blocks, whom they are shared with, and endorsements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import structs

from catalog.block import BlockFields, EndorseFields
from catalog.cid import Cid
from catalog.error import BadInput, Denied
from node.api import operation
from node.api.blocks import ImportBlock, PackingView
from node.api.packing import Source, read_block
from node.api.publish import Publisher, label_of
from node.api.view import Published


class Author(Publisher):
    """Packs blocks at one node, and signs what the catalog says of them."""

    def publish_block(self, source: Source, name: str = "", image: Path | None = None) -> Published:
        """Pack a block and put it into the catalog, for this site alone until it is shared.

        A block that is there already stays shared as it was. The node makes the environment that its tool names;
        ``image`` is the archive of the image, on the node's machine, for one that names that.

        Raises:
            NotFound, BadInput: the files, or the tool, which the node reads.
            BadInput, NotFound, VerificationFailed, Unreachable, Full: its environment cannot be made; why.
        """
        files = read_block(source)
        archive = None if image is None else str(image.resolve())
        made = self._connection.ask(operation.IMPORT_BLOCK, ImportBlock(files=files, archive=archive))
        there = (each for each in self.blocks() if each.site == self.site and each.fields.cid == made.cid)
        readers = {each for entry in there for each in entry.fields.label.owners.get(self.site, ())}
        fields = BlockFields(
            cid=made.cid,
            name=name or made.label or _name_of(source),
            label=label_of(self.site, readers),
            description=made.doc,
            outputs=made.outputs,
            environment=made.environment,
        )
        index = self._write("block", fields, audience=tuple(sorted(readers - {self.site})))
        return Published(made.cid, fields.name, index, sum(map(len, files.values())))

    def packing(self) -> tuple[PackingView, ...]:
        """The blocks that are being packed at this node now; needs no person."""
        return self._connection.ask(operation.PACKING)

    def share_block(self, block: Cid | str, sites: Iterable[str]) -> int:
        """Let further sites see, fetch and run a block of this site. The index of its entry's new version.

        Raises:
            Denied: it is another site's block.
        """
        entry = self.block_entry(block)
        if entry.site != self.site:
            raise Denied(f"the block «{entry.fields.name}» is {entry.site_name}'s, which alone can share it on")
        readers = {*entry.fields.label.owners.get(self.site, ()), *(self.member(each).site for each in sites)}
        fields = structs.replace(entry.fields, label=label_of(self.site, readers))
        return self._write("block", fields, audience=tuple(sorted(readers - {self.site})))

    def endorse(self, block: Cid | str, types: Sequence[str] | None = None) -> int:
        """Vouch, as a steward, that a block's outputs are of the types they declare; those alone that are named.

        Only the sites that may see the block see its endorsement.

        Raises:
            NotFound: no such block here. BadInput: a type that the block does not declare.
        """
        entry = self.block_entry(block)
        declared = sorted(set(entry.fields.outputs.values()))
        chosen = tuple(sorted(set(types))) if types else tuple(declared)
        foreign = set(chosen) - set(declared)
        if foreign:
            raise BadInput(f"the block declares no output of type {', '.join(foreign)}; it has: {', '.join(declared)}")
        seen_by = {entry.site, *entry.fields.label.owners.get(entry.site, ())} - {self.site}
        return self._write(
            "endorse", EndorseFields(block=entry.fields.cid, output_types=chosen), audience=tuple(sorted(seen_by))
        )


def _name_of(source: Source) -> str:
    return Path(source).resolve().stem if isinstance(source, str | Path) else "block"
