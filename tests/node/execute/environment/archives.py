"""Archives of images, written entry by entry: as Docker and others write them, and as somebody evil would."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.execute.machine import platform_here


@dataclass(frozen=True)
class Entry:
    """One entry of a layer: a file of ``data``, or whatever ``kind`` says, to ``target``."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    mode: int = 0o644


def folder(name: str) -> Entry:
    """A folder."""
    return Entry(name, kind=tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, kind=tarfile.SYMTYPE, target=target)


def hard(name: str, target: str) -> Entry:
    """A hard link."""
    return Entry(name, kind=tarfile.LNKTYPE, target=target)


def layer(entries: Sequence[Entry]) -> bytes:
    """A layer, uncompressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for each in entries:
            info = tarfile.TarInfo(each.name)
            info.type, info.linkname, info.mode, info.size = each.kind, each.target, each.mode, len(each.data)
            archive.addfile(info, io.BytesIO(each.data))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    """As ``sha256:…``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def config_of(layers: Sequence[bytes], platform: str = "") -> bytes:
    """The configuration of an image."""
    system, architecture = (platform or platform_here()).split("/")
    return json.dumps(
        {
            "architecture": architecture,
            "os": system,
            "config": {"Env": ["PATH=/usr/bin:/bin", "GREETING=hello"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]},
        }
    ).encode()


def layout(path: Path, *layers: Sequence[Entry], platform: str = "", spoil: str = "") -> tuple[str, str]:
    """An OCI layout with gzipped layers; the digests of the image's manifest and configuration.

    With ``spoil`` the «config», the «manifest» or a «layer» is other bytes than its digest says.
    """
    plain = [layer(each) for each in layers]
    packed = [gzip.compress(each, mtime=0) for each in plain]
    config = config_of(plain, platform)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {"digest": digest(config), "size": len(config)},
            "layers": [{"digest": digest(each), "size": len(each)} for each in packed],
        }
    ).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [{"digest": digest(manifest), "size": len(manifest)}]})
    blobs = {digest(each): each for each in (*packed, config, manifest)}
    wrong = {"config": config, "manifest": manifest, "layer": packed[-1] if packed else b""}.get(spoil)
    if wrong is not None:
        blobs[digest(wrong)] = gzip.compress(layer([Entry("evil")])) if spoil == "layer" else wrong + b" "
    _write(
        path,
        {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": index.encode(),
            **{f"blobs/{name.replace(':', '/')}": data for name, data in blobs.items()},
        },
    )
    return digest(manifest), digest(config)


def saved(path: Path, *layers: Sequence[Entry]) -> str:
    """What an older «docker save» writes; the image's id."""
    plain = [layer(each) for each in layers]
    config = config_of(plain)
    name = digest(config).removeprefix("sha256:")
    manifest = [{"Config": f"{name}.json", "Layers": [f"{number}/layer.tar" for number in range(len(plain))]}]
    files = {f"{number}/layer.tar": data for number, data in enumerate(plain)}
    _write(path, {f"{name}.json": config, "manifest.json": json.dumps(manifest).encode(), **files})
    return digest(config)


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
