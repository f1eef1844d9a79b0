"""What authors of blocks sign into their site's catalog: blocks, whom they are shared with, and endorsements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import structs

from catalog.block import BlockFields, EndorseFields
from catalog.cid import Cid
from catalog.error import BadInput, Denied
from node.api import operation
from node.api.blocks import BlockExported, ExportBlock, ImportBlock, PackingView
from node.api.packing import Source, read_block
from node.api.publish import Publisher, label_of
from node.api.view import Published
from privacy.label import OPEN


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
        own = (each.fields.label for each in self.blocks() if each.site == self.site and each.fields.cid == made.cid)
        fields = BlockFields(
            cid=made.cid,
            name=name or made.label or _name_of(source),
            label=next(own, label_of(self.site, ())),
            description=made.doc,
            outputs=made.outputs,
            environment=made.environment,
        )
        index = self._write("block", fields, audience=self._seen_by(fields))
        return Published(made.cid, fields.name, index, sum(map(len, files.values())))

    def packing(self) -> tuple[PackingView, ...]:
        """The blocks that are being packed at this node now; needs no person."""
        return self._connection.ask(operation.PACKING)

    def export_block(self, block: Cid | str, file: Path) -> BlockExported:
        """Have the node write a block that is open to all, with its environment, as the archive of an image.

        ``file`` is a new one on the node's machine; any registry takes it. For stewards.

        Raises:
            Denied: the block is for some sites alone. BadInput: it names no environment, or the file cannot be made.
        """
        request = ExportBlock(cid=self.block_entry(block).fields.cid, path=str(file.absolute()))
        return self._connection.ask(operation.EXPORT_BLOCK, request)

    def share_block(self, block: Cid | str, sites: Iterable[str] = (), *, everyone: bool = False) -> int:
        """Let further sites, or everyone, see, fetch and run a block of this site. The index of its new entry.

        What is open to everyone stays so: who has it may give it to anybody.

        Raises:
            Denied: it is another site's block.
        """
        entry = self.block_entry(block)
        if entry.site != self.site:
            raise Denied(f"the block «{entry.fields.name}» is {entry.site_name}'s, which alone can share it on")
        readers = {*entry.fields.label.owners.get(self.site, ()), *(self.member(each).site for each in sites)}
        is_open = everyone or not entry.fields.label.owners
        fields = structs.replace(entry.fields, label=OPEN if is_open else label_of(self.site, readers))
        return self._write("block", fields, audience=self._seen_by(fields))

    def _seen_by(self, fields: BlockFields) -> tuple[str, ...] | None:
        """The other sites that may see what this site says of a block; none for all members."""
        if not fields.label.owners:
            return None
        return tuple(sorted(set(fields.label.owners.get(self.site, ())) - {self.site}))

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
        owners = entry.fields.label.owners
        seen_by = tuple(sorted({entry.site, *owners.get(entry.site, ())} - {self.site})) if owners else None
        return self._write("endorse", EndorseFields(block=entry.fields.cid, output_types=chosen), audience=seen_by)


def _name_of(source: Source) -> str:
    return Path(source).resolve().stem if isinstance(source, str | Path) else "block"
