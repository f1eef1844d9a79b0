"""A second implementation of folders and of what an environment is, from the pages and the standards that they name.

As in ``second.py``, no room of Comity and none of its libraries is used.
"""

import hashlib
import io
import json
import tarfile

from tests.protocol.second import cid, cid_bytes

LEFT_OUT = ("dev", "proc", "sys", "tmp")


def folder(files: dict[str, bytes]) -> tuple[str, int]:
    """values.md: the CID of a folder in UnixFS, files of one chunk each, and the size of all that is below it."""
    links, below = b"", 0
    for name in sorted({path.partition("/")[0] for path in files}, key=str.encode):
        inside = {path.removeprefix(f"{name}/"): data for path, data in files.items() if path.startswith(f"{name}/")}
        named, size = folder(inside) if inside else (cid(files[name], "raw"), len(files[name]))
        link = _field(1, cid_bytes(named)) + _field(2, name.encode()) + b"\x18" + _varint(size)
        links += _field(2, link)
        below += size
    node = links + _field(1, b"\x08\x01")  # of the type «Directory»
    return cid(node, "dag-pb"), below + len(node)


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    more = b""
    while number >= 1 << 7:
        more += bytes([number & 127 | 128])
        number >>= 7
    return more + bytes([number])


def digest(data: bytes) -> str:
    """workflow.md: how a lock and an image are named."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def locked(text: str) -> dict[str, str]:
    """workflow.md: the packages of a lock, each with its version."""
    plain = "".join(f"{line.partition('#')[0]}\n" for line in text.splitlines()).replace("\\\n", " ")
    return dict(line.split()[0].split("==") for line in plain.splitlines() if line.strip())


def image(manifest: bytes, config: bytes, layers: list[bytes]) -> tuple[dict[str, bytes], dict[str, str], list[str]]:
    """OCI Image Specification: files, links and variables of an image whose digests are right."""
    named = json.loads(manifest)
    assert named["config"]["digest"] == digest(config)
    assert [each["digest"] for each in named["layers"]] == [digest(each) for each in layers]
    assert json.loads(config)["rootfs"]["diff_ids"] == [digest(each) for each in layers]
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            for member in tar:
                _put(tar, member, files, links)
    return files, links, json.loads(config)["config"]["Env"]


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, files: dict[str, bytes], links: dict[str, str]) -> None:
    above, _, name = member.name.rpartition("/")
    if member.name.partition("/")[0] in LEFT_OUT:
        return
    if name.startswith(".wh."):
        files.pop(f"{above}/{name.removeprefix('.wh.')}", None)
    elif member.issym():
        links[member.name] = member.linkname
    elif member.islnk():
        files[member.name] = files[member.linkname]
    elif member.isreg():
        read = tar.extractfile(member)
        assert read is not None
        files[member.name] = read.read()
