"""UnixFS files over IPLD nodes, byte for byte as Kubo 0.39's ``ipfs add --cid-version=1 --raw-leaves`` makes them.

A file is cut into chunks of 262,144 bytes, each a raw leaf; leaves hang in a balanced tree of dag-pb nodes with at
most 174 links each; a file of one chunk is its leaf, an empty file the raw CID of no bytes. Reading takes what
other tools make as well: data inside dag-pb leaves, other widths and chunk sizes.

Pure: nodes are put and got through functions that the caller gives, ``get`` answering with verified bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from catalog.cid import DAG_PB, RAW, Cid
from catalog.error import BadInput, VerificationFailed, shown
from node.storage.dagpb import Link, PBNode, decode_node, encode_node
from node.storage.protobuf import bytes_field, fields, number_field

CHUNK: Final = 262_144
"""Bytes of a file's leaf."""
WIDTH: Final = 174
"""Links of a file's node."""
MAX_DEPTH: Final = 64
"""Levels of a file's tree, and of folders in folders."""
MAX_NAME: Final = 255
"""Bytes of a name in a folder, in UTF-8."""

Put = Callable[[Cid, bytes], None]
"""Takes a node that was made."""
Get = Callable[[Cid], bytes]
"""Gives a node's bytes, verified against its CID; raises NotFound."""


class Kind(IntEnum):
    """What a UnixFS node is (``Data.DataType``); links to elsewhere (symlinks) and metadata nodes are not read."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    HAMT = 5


@dataclass(frozen=True, slots=True)
class Data:
    """The UnixFS message in a dag-pb node. ``size`` is a file's bytes, ``blocks`` those below each of its links."""

    kind: Kind
    data: bytes | None = None
    size: int | None = None
    blocks: tuple[int, ...] = ()
    hash: int | None = None
    fanout: int | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A finished file or tree: its CID, its ``size`` (bytes of file content), its ``total`` (Tsize of a link to it)."""

    cid: Cid
    size: int
    total: int


def encode_data(message: Data) -> bytes:
    """The bytes of a UnixFS message, fields in ascending order, ``blocks`` unpacked."""
    out = number_field(1, message.kind)
    if message.data is not None:
        out += bytes_field(2, message.data)
    if message.size is not None:
        out += number_field(3, message.size)
    out += b"".join(number_field(4, size) for size in message.blocks)
    if message.hash is not None:
        out += number_field(5, message.hash)
    if message.fanout is not None:
        out += number_field(6, message.fanout)
    return out


def decode_data(message: bytes | None) -> Data:
    """Read the UnixFS message of a dag-pb node.

    Raises:
        VerificationFailed: absent, malformed, fields out of order, or of a kind that Comity does not read.
    """
    numbers: dict[int, int] = {}
    blocks: list[int] = []
    data: bytes | None = None
    last = 0
    for number, value in fields(message or b""):
        if number < last or (number == last and number != 4) or not 1 <= number <= 6:
            raise _refused("its fields are not those of UnixFS in their order")
        last = number
        if isinstance(value, bytes) != (number == 2):
            raise _refused("a field has another type")
        if isinstance(value, bytes):
            data = value
        elif number == 4:
            blocks.append(value)
        else:
            numbers[number] = value
    if numbers.get(1) not in list(Kind):
        raise _refused("it is neither a file nor a folder (symbolic links are not read)")
    return Data(Kind(numbers[1]), data, numbers.get(3), tuple(blocks), numbers.get(5), numbers.get(6))


def put_node(node: PBNode, size: int, put: Put) -> Child:
    """Encode ``node``, put it, and say what a parent must know of it."""
    data = encode_node(node)
    cid = Cid.of(data, DAG_PB)
    put(cid, data)
    return Child(cid, size, len(data) + sum(link.total for link in node.links))


def leaf(chunk: bytes, put: Put) -> Child:
    """Put one chunk of a file as its raw leaf. Hashes ``chunk``: releases the GIL, so it pays in threads."""
    cid = Cid.of(chunk)
    put(cid, chunk)
    return Child(cid, len(chunk), len(chunk))


class FileBuilder:
    """Builds a file's tree from its leaves as they come, holding at most one row of links a level.

    ``add`` each leaf in order, then ``finish`` once.
    """

    def __init__(self, put: Put) -> None:
        self._put = put
        self._rows: list[list[Child]] = [[]]

    def add(self, child: Child) -> None:
        """Append the next leaf."""
        self._push(0, child)

    def finish(self) -> Child:
        """The file's root; that of no leaves is the empty file."""
        if not self._rows[0]:
            return leaf(b"", self._put)
        level = 0
        while level < len(self._rows) - 1 or len(self._rows[level]) > 1:
            self._push(level + 1, self._node(self._rows[level]))
            level += 1
        return self._rows[level][0]

    def _push(self, level: int, child: Child) -> None:
        if level == len(self._rows):
            self._rows.append([])
        row = self._rows[level]
        # A full row becomes a node only when one more comes: alone, it would be the root.
        if len(row) == WIDTH:
            self._rows[level] = []
            self._push(level + 1, self._node(row))
        self._rows[level].append(child)

    def _node(self, row: list[Child]) -> Child:
        size = sum(child.size for child in row)
        message = Data(Kind.FILE, size=size, blocks=tuple(child.size for child in row))
        links = tuple(Link("", child.cid, child.total) for child in row)
        return put_node(PBNode(links, encode_data(message)), size, self._put)


def build_file(chunks: Iterable[bytes], put: Put) -> Child:
    """Build a file from its chunks, each of :data:`CHUNK` bytes but the last."""
    builder = FileBuilder(put)
    for chunk in chunks:
        builder.add(leaf(chunk, put))
    return builder.finish()


def chunks_of(data: bytes) -> Iterator[bytes]:
    """``data`` cut into chunks."""
    return (data[at : at + CHUNK] for at in range(0, len(data), CHUNK))


@dataclass(frozen=True, slots=True)
class Node:
    """A node as UnixFS sees it: its message and its links. A raw leaf is a file whose data are all of it."""

    message: Data
    links: tuple[Link, ...]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, sharded or not."""
        return self.message.kind in (Kind.DIRECTORY, Kind.HAMT)

    @property
    def size(self) -> int:
        """A file's bytes, as the node declares them (what is read is held to it); 0 for a folder."""
        return 0 if self.is_folder else self.message.size or 0


def parse_node(cid: Cid, data: bytes) -> Node:
    """See the verified bytes ``data`` of ``cid`` as UnixFS.

    Raises:
        VerificationFailed: malformed, or sizes that contradict each other.
        BadInput: not UnixFS at all (DAG-CBOR, or keyed).
    """
    if cid.is_keyed or cid.codec not in (RAW, DAG_PB):
        raise BadInput(f"«{cid}» is neither a file nor a folder")
    if cid.codec == RAW:
        return Node(Data(Kind.FILE, data=data, size=len(data)), ())
    pb = decode_node(data)
    message = decode_data(pb.data)
    if message.kind in (Kind.FILE, Kind.RAW):
        inline = len(message.data or b"")
        size = inline + sum(message.blocks)
        # An empty part would let a small tree cost endless work to walk.
        if len(message.blocks) != len(pb.links) or 0 in message.blocks or message.size not in (size, None):
            raise _refused("the sizes of a file's parts contradict each other")
        message = Data(message.kind, message.data, size, message.blocks)
    elif message.blocks or message.size is not None:
        raise _refused("a folder has the fields of a file")
    return Node(message, pb.links)


def load(cid: Cid, get: Get) -> Node:
    """Get and parse one node; raises as ``get`` and :func:`parse_node` do."""
    return parse_node(cid, get(cid))


@dataclass(frozen=True, slots=True)
class Part:
    """A node of a file's tree whose own data, ``data``, begin at byte ``at`` of the file; inner nodes have none."""

    cid: Cid
    data: bytes
    at: int


def file_parts(root: Cid, get: Get, first: int = 0, end: int | None = None) -> Iterator[Part]:
    """The nodes of the file ``root`` that hold bytes from ``first`` up to ``end`` (excluded), parents before children.

    The root is always among them. The work is bounded by the size that the root declares: parts are never empty and
    keep their declared sizes.

    Raises:
        BadInput: a folder.
        NotFound: some node is not here.
        VerificationFailed: malformed, deeper than :data:`MAX_DEPTH`, or parts of other sizes than declared.
    """
    stack: list[tuple[Cid, int | None, int, int]] = [(root, None, 0, 0)]
    while stack:
        cid, declared, depth, at = stack.pop()
        node = load(cid, get)
        if node.is_folder and declared is None:
            raise BadInput(f"«{cid}» is a folder, not a file")
        if node.is_folder or declared not in (None, node.size):
            raise _refused("a part of a file is not what its parent declares")
        if depth > MAX_DEPTH:
            raise _refused(f"a file's tree has more than {MAX_DEPTH} levels")
        yield Part(cid, node.message.data or b"", at)
        at += len(node.message.data or b"")
        below: list[tuple[Cid, int | None, int, int]] = []
        for link, size in zip(node.links, node.message.blocks, strict=True):
            if at + size > first and (end is None or at < end):
                below.append((link.cid, size, depth + 1, at))
            at += size
        stack.extend(reversed(below))


def file_bytes(root: Cid, get: Get, first: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes of the file ``root`` in order, at most a node's at a time; raises as :func:`file_parts` does."""
    for part in file_parts(root, get, first, end):
        piece = part.data[max(0, first - part.at) : None if end is None else max(0, end - part.at)]
        if piece:
            yield piece


def check_name(name: str) -> None:
    """Refuse a name that no folder may hold: empty, «.», «..», with «/» or NUL, not UTF-8, over 255 bytes.

    Raises:
        BadInput: such a name.
    """
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise BadInput(f"the name {name!a} is not UTF-8: rename it") from error
    if name in ("", ".", "..") or "/" in name or "\0" in name or length > MAX_NAME:
        raise BadInput(
            f"a folder cannot hold the name «{shown(name, 40)}»: no «/», «.», «..» or NUL, 1 to {MAX_NAME} bytes"
        )


def _refused(reason: str) -> VerificationFailed:
    return VerificationFailed(f"a UnixFS node was refused: {reason}")
