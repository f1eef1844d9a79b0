"""Two blocks of the institute that bring what they run in: a Python by its lock, and an image; each of a few files."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from catalog.block import BlockFields
from catalog.cid import Cid
from node.execute.environment.description import FILE, ROOT, Description, Reference, write
from node.storage.directory import build_directory
from node.storage.unixfs import Child, build_file
from privacy.label import OPEN, shared
from tests.protocol.logged import Told
from tests.protocol.people import DID, HOUR, T2
from tests.protocol.published import institute

PLATFORM = "linux/amd64"
LOCK_NAME = "requirements.lock"
LOCK = f"""\
# uv pip compile --generate-hashes
hello==1.0 \\
    --hash=sha256:{hashlib.sha256(b"a wheel").hexdigest()}
"""
_TOOL = """cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints:
  comity:Environment: {%s}
  comity:Output: {result: {type: statistics}}
baseCommand: [hello]
inputs: {}
stdout: result.json
outputs: {result: {type: stdout}}
"""


def layer(*members: tuple[str, bytes, str | bytes]) -> bytes:
    """A layer: each member's name, its type in a tar, and its bytes or where it leads."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if isinstance(content, str):
                member.linkname = content
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
        used = tar.offset
    return data.getvalue()[:used] + bytes(1024)  # without what fills a tape's record


def digest(data: bytes) -> str:
    """As images and locks are named."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


LAYERS = (
    layer(
        ("bin/tool", tarfile.REGTYPE, b"the tool\n"),
        ("bin/sh", tarfile.SYMTYPE, "tool"),
        ("dev/null", tarfile.CHRTYPE, b""),
        ("etc/motd", tarfile.REGTYPE, b"gone with the next layer\n"),
        ("etc/name", tarfile.REGTYPE, b"first\n"),
    ),
    layer(
        ("etc/.wh.motd", tarfile.REGTYPE, b""),
        ("etc/name", tarfile.REGTYPE, b"second\n"),
        ("opt/hello", tarfile.LNKTYPE, "bin/tool"),
    ),
)
CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/opt:/bin", "LANG=C.UTF-8"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in LAYERS]},
    }
).encode()


def _described(media: str, data: bytes) -> dict[str, object]:
    return {"mediaType": f"application/vnd.oci.image.{media}", "digest": digest(data), "size": len(data)}


MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "config": _described("config.v1+json", CONFIG),
        "layers": [_described("layer.v1.tar", each) for each in LAYERS],
    }
).encode()


@dataclass(frozen=True)
class Example:
    """A block, the environment that it names, and of what that was made."""

    made_of: Told
    hint: str
    description: Description
    root: Mapping[str, bytes]
    beside: Mapping[str, bytes]
    """Files of the block beside its tool."""
    packages: Mapping[str, str]

    @property
    def files(self) -> dict[str, bytes]:
        """The environment's folder."""
        return {FILE: write(self.description)} | {f"{ROOT}/{path}": data for path, data in self.root.items()}

    @property
    def cid(self) -> Cid:
        """Its name."""
        return folder(self.files).cid

    @property
    def reference(self) -> Reference:
        """What the block says of it."""
        return Reference(
            environment=str(self.cid),
            platform=PLATFORM,
            bytes=sum(map(len, self.root.values())),
            lock=self.description.lock,
            image=self.description.image,
            packages=dict(self.packages),
        )

    @property
    def block(self) -> dict[str, bytes]:
        """The block's folder."""
        return {"tool.cwl": (_TOOL % self.hint).encode(), FILE: write(self.reference), **self.beside}


def folder(files: Mapping[str, bytes]) -> Child:
    """Files by their paths as UnixFS has their folder."""
    tops = {path.partition("/")[0] for path in files}
    children: dict[str, Child] = {}
    for top in tops:
        below = {path.removeprefix(f"{top}/"): data for path, data in files.items() if path.startswith(f"{top}/")}
        children[top] = folder(below) if below else build_file([files[top]], _nowhere)
    return build_directory(children, _nowhere)


def _nowhere(_cid: Cid, _node: bytes) -> None:
    """Names are what is asked for here."""


EXAMPLES = {
    "python": Example(
        made_of={"lock": LOCK},
        hint=f"lock: {LOCK_NAME}",
        description=Description(
            platform=PLATFORM,
            variables={"PATH": "/opt/python/bin:/opt/bin"},
            links={"bin": "opt/bin", "lib": "opt/lib"},
            lock=digest(LOCK.encode()),
        ),
        root={"opt/bin/python3": b"a Python\n", "opt/python/bin/hello": b"a script of the wheel\n"},
        beside={LOCK_NAME: LOCK.encode()},
        packages={"hello": "1.0"},
    ),
    "image": Example(
        made_of={"manifest": MANIFEST.hex(), "config": CONFIG.hex(), "layers": [each.hex() for each in LAYERS]},
        hint=f'image: "{digest(MANIFEST)}"',
        description=Description(
            platform=PLATFORM,
            variables={"PATH": "/opt:/bin", "LANG": "C.UTF-8"},
            links={"bin/sh": "tool"},
            image=digest(MANIFEST),
        ),
        root={"bin/tool": b"the tool\n", "etc/name": b"second\n", "opt/hello": b"the tool\n"},
        beside={},
        packages={},
    ),
}


def fields(name: str) -> BlockFields:
    """The catalog's word for an example: that with a Python is shared with St. Anna, that with an image is open."""
    made = EXAMPLES[name]
    return BlockFields(
        cid=folder(made.block).cid,
        name=f"hello in {name}",
        label=OPEN if name == "image" else shared(DID["institute-root"], [DID["anna-root"]]),
        description="",
        outputs={"result": "statistics"},
        environment=made.cid,
    )


BLOCKS = [
    (
        "block-in-python",
        institute("block", fields("python"), T2 + 2 * HOUR, "institute-steward", audience=(DID["anna-root"],)),
    ),
    ("block-in-image", institute("block", fields("image"), T2 + 2 * HOUR, "institute-steward")),
]
"""The end of the institute's catalog log."""

_GOOD = {"platform": PLATFORM, "variables": {}, "links": {}, "lock": digest(LOCK.encode())}
REFUSED = {
    why: json.dumps({**_GOOD, **changes})
    for why, changes in {
        "made of a lock and of an image": {"image": digest(MANIFEST)},
        "made of nothing": {"lock": None},
        "a field that is not known": {"user": "root"},
        "a link that climbs": {"links": {"../etc": "etc"}},
        "a link from the root": {"links": {"/bin": "opt/bin"}},
        "a link in a link": {"links": {"bin": "opt/bin", "bin/sh": "tool"}},
        "a link to nothing": {"links": {"bin": ""}},
        "a variable whose name is none": {"variables": {"A=B": "x"}},
        "a digest in capitals": {"lock": digest(LOCK.encode()).upper()},
    }.items()
}
"""Descriptions that every reader refuses."""


def told() -> Told:
    """Each example, from what it is made of to the names of environment and block."""
    return {
        name: {
            "made_of": each.made_of,
            "digest": each.description.lock or each.description.image,
            "root": {path: data.hex() for path, data in each.root.items()},
            "description": write(each.description).decode(),
            "environment": str(each.cid),
            "reference": write(each.reference).decode(),
            "block": {path: data.decode() for path, data in each.block.items()},
            "cid": str(folder(each.block).cid),
        }
        for name, each in EXAMPLES.items()
    }
