"""Container images from trees that are made in memory: the same tree, the same bytes. No daemon, no registry."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Debian's folders at the root are links into /usr, and its older packages still write through them.
MERGED = ("bin", "lib", "lib64", "sbin")
EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Start:
    """How a container of an image starts, as the image's configuration says it."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


class Tree:
    """A root file system: names without a slash at their start, and what is there."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[tarfile.TarInfo, bytes]] = {}

    def folder(self, name: str, mode: int = 0o755) -> None:
        """A folder, and those above it."""
        self._above(posixpath.dirname(name))
        self._put(name, tarfile.DIRTYPE, mode)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """A file."""
        self._above(posixpath.dirname(name))
        self._put(name, tarfile.REGTYPE, mode, data)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self._above(posixpath.dirname(name))
        self._put(name, tarfile.SYMTYPE, 0o777, target=target)

    def package(self, package: Path, *without: str) -> None:
        """What a Debian package holds, but nothing below the folders named ``without``; its scripts are not run."""
        data = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                name = _merged(posixpath.normpath(member.name))
                if name != "." and not any(name == folder or name.startswith(f"{folder}/") for folder in without):
                    self._member(archive, member, name)

    def read(self, name: str) -> bytes:
        """What a file holds."""
        return self._entries[name][1]

    def layer(self) -> bytes:
        """The tree as a tar archive, in the order of names, all of it root's and from no time."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for _, (info, data) in sorted(self._entries.items()):
                archive.addfile(info, io.BytesIO(data))
        return out.getvalue()

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        if member.isdir():
            self.folder(name, member.mode)
        elif member.issym():
            self.link(name, member.linkname)
        elif member.isfile() or member.islnk():
            content = archive.extractfile(member)
            assert content is not None
            self.file(name, content.read(), member.mode)
        else:
            raise ValueError(f"«{member.name}» is a device, which no image of ours needs")

    def _above(self, folder: str) -> None:
        if folder and folder not in self._entries:
            self.folder(folder)

    def _put(self, name: str, kind: bytes, mode: int, data: bytes = b"", target: str = "") -> None:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode & 0o7777, len(data), target
        self._entries[name] = (info, data)


def archive(name: str, tree: Tree, start: Start) -> bytes:
    """An image of one layer in the format that both ``docker load`` and containerd's import take.

    Its name needs a domain, or it would be taken for one of Docker Hub.
    """
    layer = tree.layer()
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": EPOCH,
            "config": _config(start),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created": EPOCH, "created_by": "comity"}],
        }
    )
    config_name, layer_name = f"{hashlib.sha256(config).hexdigest()}.json", f"{layer_digest}/layer.tar"
    manifest = _json([{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as outer:
        for path, data in ((config_name, config), (layer_name, layer), ("manifest.json", manifest)):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            outer.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _config(start: Start) -> dict[str, object]:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", **start.environment}
    config: dict[str, object] = {"Env": [f"{name}={value}" for name, value in environment.items()]}
    config |= {"Entrypoint": list(start.entrypoint)} if start.entrypoint else {}
    config |= {"Cmd": list(start.command)} if start.command else {}
    return config | ({"User": start.user} if start.user else {})


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _merged(name: str) -> str:
    return f"usr/{name}" if name.split("/", 1)[0] in MERGED else name
