"""Container images out of files that lie here: the same files, the same bytes, on every machine.

A layer is an uncompressed tar archive of plain files, folders and links, in the order of their names, all of them
root's and 0755, and from no time (OCI image-spec 1.1, layer.md). An archive of an image is an OCI image layout and what
``docker load`` takes in one, so that Docker, containerd and registries have it without each other. Nothing is read into
memory whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from catalog.error import BadInput, VerificationFailed

_CHUNK: Final = 1 << 20
_BLOCK: Final = tarfile.BLOCKSIZE
_EPOCH: Final = "1970-01-01T00:00:00Z"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a layer: where its bytes lie, or the bytes. ``time`` is in seconds since 1970."""

    source: Path | bytes
    time: int = 0


@dataclass(frozen=True)
class Layer:
    """Files and links by their paths, which have no slash at their start, and ``folders`` that may hold nothing; those
    above them come with them.

    Its bytes are made anew whenever they are wanted; what lies at the files' sources stays as it is meanwhile.
    """

    files: Mapping[str, File]
    links: Mapping[str, str] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()

    @cached_property
    def _measured(self) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        for chunk in self.chunks():
            digest.update(chunk)
            size += len(chunk)
        return f"sha256:{digest.hexdigest()}", size

    @property
    def digest(self) -> str:
        """Its digest, which is also its «diff id»: it is not compressed. Blocking, the first time; all is read."""
        return self._measured[0]

    @property
    def size(self) -> int:
        """Bytes of the archive. Blocking, the first time."""
        return self._measured[1]

    def chunks(self) -> Iterator[bytes]:
        """The archive. Blocking.

        Raises:
            VerificationFailed: a file changed while it was read. OSError: one cannot be read.
        """
        for name in sorted({*self.files, *self.links, *self._folders()}):
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if name in self.links:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, self.links[name], 0o777
                yield _header(info)
            elif name in self.files:
                yield from _file(info, self.files[name])
            else:
                info.type = tarfile.DIRTYPE
                yield _header(info)
        yield bytes(2 * _BLOCK)

    def _folders(self) -> set[str]:
        found = set(self.folders)
        for name in (*self.files, *self.links, *self.folders):
            while (name := posixpath.dirname(name)) and name not in found:
                found.add(name)
        return found


def folder_layer(folder: Path, links: Mapping[str, str], without: Collection[str] = ()) -> Layer:
    """The layer of an environment: plain files and folders below ``folder``, and ``links`` that lie nowhere here.

    Whatever has a name of ``without`` at the top is left out. Blocking.
    """
    files: dict[str, File] = {}
    folders: set[str] = set()
    for top, below, names in os.walk(folder):
        here = Path(top).relative_to(folder)
        if here == Path():
            below[:], names = ([each for each in kind if each not in without] for kind in (below, names))
        folders |= {str(here / name) for name in below}
        files |= {str(here / name): File(folder / here / name) for name in names}
    return Layer(
        files, {path: to for path, to in links.items() if path.split("/")[0] not in without}, frozenset(folders)
    )


@dataclass(frozen=True)
class Image:
    """Layers, the lowest first, and what a container of them runs if it is told nothing."""

    layers: Sequence[Layer]
    architecture: str
    variables: Mapping[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()

    @cached_property
    def config(self) -> bytes:
        """Its configuration. Blocking, the first time: all layers are read."""
        config: dict[str, object] = {}
        if self.variables:
            config["Env"] = [f"{name}={value}" for name, value in sorted(self.variables.items())]
        if self.entrypoint:
            config["Entrypoint"] = list(self.entrypoint)
        return _json(
            {
                "architecture": self.architecture,
                "os": "linux",
                "created": _EPOCH,
                "config": config,
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
                "history": [{"created": _EPOCH, "created_by": "comity"} for _ in self.layers],
            }
        )

    @property
    def manifest(self) -> bytes:
        """Its manifest, by whose digest registries and containerd know it. Blocking, the first time."""
        layers = [_descriptor(_LAYER, layer.digest, layer.size) for layer in self.layers]
        config = _descriptor(_CONFIG, digest_of(self.config), len(self.config))
        return _json({"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": layers})

    @property
    def digest(self) -> str:
        """That of its manifest. Blocking, the first time."""
        return digest_of(self.manifest)

    def chunks(self, name: str) -> Iterator[bytes]:
        """An archive of it, in which it is called ``name``, with a domain and a tag. Blocking.

        Raises:
            BadInput: the name has neither. VerificationFailed, OSError: as :meth:`Layer.chunks`.
        """
        host, _, rest = name.partition("/")
        if "." not in host or ":" not in rest:
            raise BadInput(f"the image's name «{name}» lacks a domain or a tag: write it as in «example.org/steps:1»")
        manifest = self.manifest
        at_top = _descriptor(_MANIFEST, digest_of(manifest), len(manifest)) | {
            "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": rest.split(":")[-1]}
        }
        dockers = [
            {
                "Config": _blob(digest_of(self.config)),
                "RepoTags": [name],
                "Layers": [_blob(layer.digest) for layer in self.layers],
            }
        ]
        for path, content in (
            ("oci-layout", _json({"imageLayoutVersion": "1.0.0"})),
            ("index.json", _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [at_top]})),
            ("manifest.json", _json(dockers)),
            (_blob(digest_of(self.config)), self.config),
            (_blob(digest_of(manifest)), manifest),
        ):
            yield from _member(path, len(content), [content])
        for layer in self.layers:
            yield from _member(_blob(layer.digest), layer.size, layer.chunks())
        yield bytes(2 * _BLOCK)


def digest_of(content: bytes) -> str:
    """The digest by which OCI names it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _member(path: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    info = tarfile.TarInfo(path)
    info.size = size
    yield _header(info)
    yield from content
    yield bytes(-size % _BLOCK)


def _file(info: tarfile.TarInfo, file: File) -> Iterator[bytes]:
    info.mtime = file.time
    if isinstance(file.source, bytes):
        info.size = len(file.source)
        yield _header(info)
        yield file.source
    else:
        with file.source.open("rb") as source:
            info.size = left = os.fstat(source.fileno()).st_size
            yield _header(info)
            while left and (chunk := source.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk
            if left or source.read(1):
                raise VerificationFailed(f"{file.source} changed while an image was made of it: make it again")
    yield bytes(-info.size % _BLOCK)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
