"""The manifest of a shared dataset: whoever has its key may still not write where its paths would like to lead."""

from __future__ import annotations

import pytest

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import VerificationFailed
from catalog.manifest import Manifest, SharedFile, read_manifest


def manifest(*paths: str, folder: bool = True) -> bytes:
    files = (SharedFile(path=path, size=1, media_type="text/csv", body=Cid.of(path.encode())) for path in paths)
    return encode(Manifest(folder=folder, files=tuple(files)))


def test_a_manifest_of_plain_paths_is_read() -> None:
    """Lost: names that people use."""
    paths = ["a/b.csv", "a/c/d", "b", "ü"]
    assert [file.path for file in read_manifest(manifest(*paths)).files] == paths
    assert read_manifest(manifest("table.csv", folder=False)).size == 1
    assert read_manifest(manifest()).files == ()


@pytest.mark.parametrize(
    "paths",
    [
        ("../x",), ("a/../b",), ("/etc/passwd",), ("a//b",), ("a/",), (".",), ("a/./b",), ("a\0b",), ("x" * 256,),
        ("/".join("a" * 65),), ("b", "a"), ("a", "a"), ("a", "a/b"), ("a/b", "a/b/c"),
    ],
)  # fmt: skip
def test_a_manifest_that_leads_elsewhere_is_refused(paths: tuple[str, ...]) -> None:
    """Lost: an owner writes into the folders of a reader."""
    with pytest.raises(VerificationFailed):
        read_manifest(manifest(*paths))


@pytest.mark.parametrize("paths", [(), ("a", "b"), ("a/b",)])
def test_one_file_is_one(paths: tuple[str, ...]) -> None:
    """Lost: what a step takes for a file is several."""
    with pytest.raises(VerificationFailed):
        read_manifest(manifest(*paths, folder=False))
