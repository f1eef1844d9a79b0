"""An image from an archive: an OCI image layout in a tar (OCI Image Layout), or what ``docker save`` writes.

Nothing of the archive is believed before its digest is right, from the image's own down to each layer's: what is
asked for by its digest is what comes.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

import msgspec

from catalog.error import BadInput, NotFound, VerificationFailed, shown
from node.execute.environment.description import FILE, ROOT, Description, check_platform, write
from node.execute.environment.layers import Flat, Member
from node.execute.environment.trees import on_disk
from node.execute.machine import platform_here

MOST_DOCUMENT: Final = 4 << 20
MOST_LAYERS: Final = 512
MOST_MEMBERS: Final = 20_000
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class _Descriptor(msgspec.Struct, rename={"media_type": "mediaType"}):
    """A reference to a blob (OCI Image Specification, «Content Descriptors»); fields of no use here are passed over."""

    digest: str
    size: int = -1
    media_type: str = ""


class _Index(msgspec.Struct):
    manifests: list[_Descriptor]


class _Manifest(msgspec.Struct):
    config: _Descriptor
    layers: list[_Descriptor]


class _RootFs(msgspec.Struct):
    diff_ids: list[str]


class _Settings(msgspec.Struct):
    variables: list[str] | None = msgspec.field(name="Env", default=None)


class _Config(msgspec.Struct):
    architecture: str
    os: str
    rootfs: _RootFs
    config: _Settings | None = None


class _Saved(msgspec.Struct):
    """An element of ``manifest.json``."""

    config: str = msgspec.field(name="Config")
    layers: list[str] = msgspec.field(name="Layers")


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer in the archive: its member, what that hashes to (if anything says so), and unpacked."""

    member: str
    digest: str | None
    diff: str


@dataclass(frozen=True, slots=True)
class _Image:
    """An image whose documents are what they claim to be."""

    config: _Config
    layers: tuple[_Layer, ...]


def make_image(archive: Path, digest: str, folder: Path) -> None:
    """Make the environment of the image ``digest`` in ``archive`` in ``folder``, which is empty. Blocking.

    ``digest`` is that of its manifest, or its id, which is that of its configuration. ``folder/tree`` is what is to
    be stored.

    Raises:
        NotFound: no such file, or it has no image of that digest. BadInput: no archive of images, or for another kind
            of machine. VerificationFailed: bytes are not what their digest says, or a name is none that a file may
            have. Full: no room on the disk. ComityError: the disk refuses.
    """
    with on_disk(f"the image in {archive.name} could not be unpacked"):
        with _opened(archive) as (tar, members):
            image = _found(tar, members, digest)
            _check_machine(image.config)
            flat = Flat(folder / "contents")
            for number, layer in enumerate(image.layers, 1):
                _apply(tar, members, layer, flat, number)
        links = flat.write(folder / "tree" / ROOT)
        made = Description(platform=platform_here(), variables=_variables(image.config), links=links, image=digest)
        (folder / "tree" / FILE).write_bytes(write(made))


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[tarfile.TarFile, Mapping[str, tarfile.TarInfo]]]:
    if not archive.is_file():
        raise NotFound(f"there is no file {archive}; write one with: docker save --output FILE IMAGE")
    try:
        with tarfile.open(archive, "r:", tarinfo=Member) as tar:
            members: dict[str, tarfile.TarInfo] = {}
            for each in tar:
                members[each.name.removeprefix("./")] = each
                if len(members) > MOST_MEMBERS:
                    raise BadInput(f"{archive.name} was refused: more than {MOST_MEMBERS:,} files in it")
            yield tar, members
    except (tarfile.TarError, EOFError) as error:
        raise BadInput(
            f"{archive.name} is no tar of an image, or is compressed (gunzip it first): {shown(str(error), 80)}"
        ) from error


def _found(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], digest: str) -> _Image:
    images = _in_layout if "index.json" in members else _as_saved
    for manifest, config, image in images(tar, members):
        if digest in (manifest, config):
            return image
    raise NotFound(
        f"the archive has no image {digest}; its digest is shown by «docker inspect --format {{{{.Id}}}} IMAGE», or is "
        "that of its manifest"
    )


def _in_layout(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]) -> Iterator[tuple[str, str, _Image]]:
    """Each image of an OCI layout for any machine, with the digests of its manifest and its configuration."""
    pending = _document(_Index, _small(tar, members, "index.json"), "index.json").manifests
    looked = 0
    while pending:
        looked += 1
        if looked > 1_000:
            raise BadInput("the archive was refused: more than 1,000 images in it")
        each = pending.pop()
        if _blob(each.digest) not in members:
            continue  # an index names the images for other machines too, which need not be there
        data = _verified(_small(tar, members, _blob(each.digest)), each.digest)
        if each.media_type in _INDEXES:
            pending += _document(_Index, data, each.digest).manifests
            continue
        manifest = _document(_Manifest, data, each.digest)
        config = _verified(_small(tar, members, _blob(manifest.config.digest)), manifest.config.digest)
        digests = [layer.digest for layer in manifest.layers]
        image = _image(config, [_blob(layer) for layer in digests], digests, manifest.config.digest)
        yield each.digest, manifest.config.digest, image


def _as_saved(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]) -> Iterator[tuple[str, str, _Image]]:
    """Each image of an older ``docker save``, whose layers are known by what they unpack to alone."""
    if "manifest.json" not in members:
        raise BadInput("the archive holds no image: neither index.json nor manifest.json is in it")
    for each in _document(list[_Saved], _small(tar, members, "manifest.json"), "manifest.json"):
        config = _small(tar, members, each.config)
        digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        yield "", digest, _image(config, each.layers, [None] * len(each.layers), digest)


def _image(data: bytes, names: list[str], digests: list[Any], shown_as: str) -> _Image:
    config = _document(_Config, data, shown_as)
    diffs = config.rootfs.diff_ids
    if len(diffs) != len(names) or len(names) > MOST_LAYERS:
        raise VerificationFailed(f"the image {shown(shown_as)} was refused: its layers are not those it names")
    layers = (_Layer(*each) for each in zip(names, digests, diffs, strict=True))
    return _Image(config, tuple(layers))


def _check_machine(config: _Config) -> None:
    check_platform(f"{shown(config.os, 16)}/{shown(config.architecture, 16)}")


def _variables(config: _Config) -> dict[str, str]:
    given = (config.config.variables or []) if config.config is not None else []
    pairs = (each.partition("=") for each in given)
    return {"PATH": _PATH} | {name: value for name, _, value in pairs}


def _apply(
    tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], layer: _Layer, flat: Flat, number: int
) -> None:
    """Unpack one layer onto those below it, and check what it was when it is done: until then nobody uses it."""
    outer = _Counting(_member(tar, members, layer.member), MOST_STREAM)
    head = outer.peek(4)
    if head[:4] == b"\x28\xb5\x2f\xfd":
        raise BadInput("the image has layers in zstd, which are not read: save it with gzip, or uncompressed")
    # Both libraries only read, which is all that the type asks for there.
    unpacked: Readable = gzip.GzipFile(fileobj=cast("IO[bytes]", outer)) if head[:2] == b"\x1f\x8b" else outer
    inner = _Counting(unpacked, MOST_STREAM)
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", inner), mode="r|", tarinfo=Member) as entries:
            flat.apply(entries)
        inner.drain()
        outer.drain()
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise VerificationFailed(f"layer {number} of the image cannot be read: {shown(str(error), 80)}") from error
    if inner.digest != layer.diff or layer.digest not in (None, outer.digest):
        raise VerificationFailed(f"layer {number} of the image is not what its digest says: save the image anew")


MOST_STREAM: Final = 64 << 30
"""Bytes of a layer, packed or unpacked."""


class Readable(Protocol):
    """What gives bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """The next ``size`` bytes, fewer at the end."""


class _Counting:
    """A stream that is hashed as it is read, and refused beyond ``most`` bytes."""

    def __init__(self, stream: Readable, most: int) -> None:
        self._stream = stream
        self._left = most
        self._ahead = b""
        self._sha256 = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        if size < 0:
            size = 1 << 20
        data = self._ahead[:size]
        self._ahead = self._ahead[size:]
        if len(data) < size:
            fresh = self._stream.read(size - len(data))
            self._sha256.update(fresh)
            self._left -= len(fresh)
            if self._left < 0:
                raise BadInput("a layer of the image was refused: it has more bytes than an environment may have")
            data += fresh
        return data

    def peek(self, size: int) -> bytes:
        """The first bytes, which are read again."""
        self._ahead = self.read(size)
        return self._ahead

    def drain(self) -> None:
        """Read to the end."""
        while self.read(1 << 20):
            pass

    @property
    def digest(self) -> str:
        """Of what was read, as ``sha256:…``."""
        return f"sha256:{self._sha256.hexdigest()}"


def _member(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str) -> IO[bytes]:
    found = members.get(name)
    # A link in the archive, as older archives have for equal layers, may name a member of the archive and nothing else.
    if found is not None and found.issym():
        found = members.get(_beside(name, found.linkname))
    stream = tar.extractfile(found) if found is not None and found.isreg() else None
    if stream is None:
        raise VerificationFailed(f"the archive lacks «{shown(name, 100)}», which it names: save the image anew")
    return stream


def _beside(name: str, target: str) -> str:
    parts = name.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _small(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str) -> bytes:
    data = _member(tar, members, name).read(MOST_DOCUMENT + 1)
    if len(data) > MOST_DOCUMENT:
        raise VerificationFailed(f"«{shown(name, 100)}» in the archive was refused: it is too large")
    return data


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/', 1)}"


def _verified(data: bytes, digest: str) -> bytes:
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise VerificationFailed(f"what the archive has as {shown(digest, 100)} are other bytes: save the image anew")
    return data


def _document(kind: Any, data: bytes, name: str) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise VerificationFailed(f"«{shown(name, 100)}» in the archive was refused: {shown(str(error), 80)}") from error
