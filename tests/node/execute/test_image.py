"""Images: the same files are the same bytes, and Docker, containerd and registries find in them what they look for."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from catalog.error import BadInput, VerificationFailed
from node.execute.image import File, Image, Layer, folder_layer
from node.execute.machine import architecture

NAME = "example.org/steps:1"


def tree(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        (folder / name).chmod(0o600)
    return folder


def members(chunks: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(chunks)) as archive:
        return {each.name: each for each in archive}


def test_the_same_files_are_the_same_layer_whoever_wrote_them_and_when(tmp_path: Path) -> None:
    """Lost: one environment has another digest at every site, and nobody can tell whether it is the same."""
    one = tree(tmp_path / "one", ["b", "a/c", "a.x", "ü/d"])
    two = tree(tmp_path / "two", ["ü/d", "a.x", "a/c", "b"])
    os.utime(one / "b", (1, 1))
    (two / "b").chmod(0o4777)
    made = [folder_layer(each, {"bin": "a"}) for each in (one, two)]
    assert made[0].digest == made[1].digest
    content = b"".join(made[0].chunks())
    assert made[0].digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert made[0].size == len(content)
    found = members(content)
    assert list(found) == ["a", "a.x", "a/c", "b", "bin", "ü", "ü/d"]
    assert {(each.uid, each.gid, each.mtime, each.mode) for each in found.values()} == {
        (0, 0, 0, 0o755),
        (0, 0, 0, 0o777),
    }


def test_what_is_left_out_is_left_out_with_its_links_and_empty_folders_stay(tmp_path: Path) -> None:
    """Lost: an environment brings the folders that a runner has for itself."""
    folder = tree(tmp_path / "one", ["gate/open", "opt/gate/x"])
    (folder / "opt" / "empty").mkdir()
    layer = folder_layer(folder, {"work": "opt", "opt/work": "gate", "gate/link": "x"}, ("gate", "work"))
    found = members(b"".join(layer.chunks()))
    assert sorted(found) == ["opt", "opt/empty", "opt/gate", "opt/gate/x", "opt/work"]


def test_an_archive_is_an_oci_layout_and_what_docker_loads() -> None:
    """Lost: Docker, containerd or a registry does not take it."""
    image = Image((Layer({"a": File(b"1")}), Layer({}, {"b": "a"})), architecture(), {"PATH": "/bin"})
    content = b"".join(image.chunks(NAME))
    assert b"".join(image.chunks(NAME)) == content
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:

        def read(name: str) -> bytes:
            file = archive.extractfile(name)
            assert file is not None
            return file.read()

        def blob(digest: str) -> bytes:
            found = read(f"blobs/{digest.replace(':', '/')}")
            assert digest == f"sha256:{hashlib.sha256(found).hexdigest()}"
            return found

        index = json.loads(read("index.json"))
        (at_top,) = index["manifests"]
        assert at_top["digest"] == image.digest
        assert at_top["annotations"]["io.containerd.image.name"] == NAME
        manifest = json.loads(blob(at_top["digest"]))
        config = json.loads(blob(manifest["config"]["digest"]))
        layers = manifest["layers"]
        assert [each["digest"] for each in layers] == config["rootfs"]["diff_ids"]
        assert [len(blob(each["digest"])) for each in layers] == [each["size"] for each in manifest["layers"]]
        (dockers,) = json.loads(read("manifest.json"))
        assert dockers["RepoTags"] == [NAME]
        assert [f"blobs/{each['digest'].replace(':', '/')}" for each in layers] == dockers["Layers"]
        assert json.loads(read(dockers["Config"])) == config
        assert json.loads(read("oci-layout")) == {"imageLayoutVersion": "1.0.0"}


def test_a_name_needs_a_domain_and_a_tag() -> None:
    """Lost: an image of ours is taken for one of Docker Hub."""
    image = Image((), architecture())
    for name in ("steps:1", "steps/x:1", "example.org/steps"):
        with pytest.raises(BadInput, match="lacks a domain or a tag"):
            list(image.chunks(name))


def test_a_large_file_is_never_in_memory_whole(tmp_path: Path) -> None:
    """Lost: an environment of some gigabytes ends the node."""
    with (tmp_path / "big").open("wb") as file:
        file.truncate(200 << 20)
    layer = folder_layer(tmp_path, {})
    tracemalloc.start()
    try:
        assert layer.size > 200 << 20
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    """Lost: an archive whose parts lie elsewhere than it says."""
    (tmp_path / "a").write_bytes(bytes(3 << 20))
    chunks = folder_layer(tmp_path, {}).chunks()
    next(chunks)
    next(chunks)
    os.truncate(tmp_path / "a", 10)
    with pytest.raises(VerificationFailed, match="changed while an image was made"):
        list(chunks)
