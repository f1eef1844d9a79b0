"""What terminals and notebooks ask and are told of blocks and their environments."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.dagcbor import Value
from node.api.schema import EntryView


class ImportBlock(Value, frozen=True, kw_only=True):
    """A block's files by their relative paths; one of them is ``tool.cwl``.

    ``archive`` is the path, on the node's machine, of the archive of the image that it runs in; none for others.
    """

    files: dict[str, bytes]
    archive: str | None = None


class BlockImported(Value, frozen=True, kw_only=True):
    """What packing a block gave: its CID, what it is called, and its outputs with their disclosure types.

    ``environment`` is the one that was made for it; none if its tool names none.
    """

    cid: Cid
    label: str
    doc: str
    outputs: dict[str, str]
    environment: Cid | None = None


class EnvironmentView(Value, frozen=True, kw_only=True):
    """The environment of a block: ``kind`` is ``python`` or ``image``, ``made_of`` the digest of its lock or image.

    ``packages`` are by name, each with its version; ``bytes`` is the size of all its files.
    """

    cid: Cid
    kind: str
    platform: str
    made_of: str
    packages: dict[str, str]
    bytes: int


class BlockView(Value, frozen=True, kw_only=True):
    """A block that the asker may see, with the text of its tool and who endorsed it for what."""

    entry: EntryView
    tool: str
    files: dict[str, int]
    endorsed: dict[str, tuple[str, ...]]
    environment: EnvironmentView | None = None


class ExportBlock(Value, frozen=True, kw_only=True):
    """A block that is to be written as the archive of an image to ``path``, on the node's machine."""

    cid: Cid
    path: str


class BlockExported(Value, frozen=True, kw_only=True):
    """The archive of a block: the image's ``name`` in it, the ``digest`` of its manifest, and its size."""

    name: str
    digest: str
    bytes: int


class PackingView(Value, frozen=True, kw_only=True):
    """A block that is being packed: what is done for it at this moment, in a few words."""

    doing: str
