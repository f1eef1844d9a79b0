"""Images from archives: what a container of them would see is what a step sees, and an archive leads nowhere else."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from random import Random

import pytest

from catalog.error import BadInput, ComityError, Full, NotFound, VerificationFailed
from node.execute.environment.description import FILE, Description, read
from node.execute.environment.image import make_image
from node.execute.environment.layers import Flat
from tests.node.execute.environment.archives import Entry, folder, hard, layer, layout, link, saved


def made(archive: Path, digest: str) -> tuple[dict[str, bytes | None], Description]:
    """What an image's environment holds: files by their path, folders as none; and what it says of itself."""
    place = archive.with_suffix(".made")
    place.mkdir()
    make_image(archive, digest, place)
    root = place / "tree" / "root"
    found = {
        str(each.relative_to(root)): None if each.is_dir() else each.read_bytes() for each in sorted(root.rglob("*"))
    }
    assert not any(each.is_symlink() for each in root.rglob("*"))
    return found, read(Description, (place / "tree" / FILE).read_bytes())


LOWER = (
    folder("./"),
    folder("./usr"),
    folder("./usr/bin"),
    Entry("./usr/bin/tool", b"old", mode=0o4755),
    hard("./usr/bin/again", "usr/bin/tool"),
    link("./bin", "usr/bin"),
    link("./etc/deep/link", "/usr/../../x"),
    Entry("./etc/gone", b"g"),
    Entry("./var/cache/a", b"a"),
    Entry("./dev/null", kind=tarfile.CHRTYPE),
    Entry("./proc/x", b"p"),
    Entry("./tmp/x", b"t"),
    Entry("./run/pipe", kind=tarfile.FIFOTYPE),
)
UPPER = (
    Entry("usr/bin/tool", b"new"),
    Entry("bin/added", b"by the link"),
    Entry("etc/.wh.gone"),
    Entry("var/cache/b", b"b"),
    Entry("var/cache/.wh..wh..opq"),
    folder("home"),
)


@pytest.mark.parametrize("kind", ["manifest", "config", "saved"])
def test_layers_lie_on_one_another_as_in_a_container(kind: str, tmp_path: Path) -> None:
    """Lost: a tool that finds another system here than where its author tried it."""
    archive = tmp_path / "image.tar"
    if kind == "saved":
        digest = saved(archive, LOWER, UPPER)
    else:
        digest = dict(zip(("manifest", "config"), layout(archive, LOWER, UPPER), strict=True))[kind]
    found, described = made(archive, digest)
    assert {name: data for name, data in found.items() if data is not None} == {
        "usr/bin/tool": b"new",
        "usr/bin/again": b"old",
        "usr/bin/added": b"by the link",
        "var/cache/b": b"b",
    }
    assert {name for name, data in found.items() if data is None} >= {"home", "etc", "etc/deep", "run"}
    assert not {"dev", "proc", "tmp"} & set(found)
    assert described.links == {"bin": "usr/bin", "etc/deep/link": "/usr/../../x"}
    assert described.variables == {"PATH": "/usr/bin:/bin", "GREETING": "hello"}
    assert described.image == digest


def test_what_a_lower_layer_put_under_a_name_gives_way(tmp_path: Path) -> None:
    """Lost: that a folder can take a link's place, and the other way round."""
    digest, _ = layout(
        tmp_path / "image.tar",
        [link("a", "b"), Entry("b/x", b"x"), Entry("c/y", b"y"), Entry("d", b"d")],
        [folder("a"), Entry("a/z", b"z"), link("c", "b"), Entry("d/e", b"e")],
    )
    found, described = made(tmp_path / "image.tar", digest)
    assert found == {"a": None, "a/z": b"z", "b": None, "b/x": b"x", "d": None, "d/e": b"e"}
    assert described.links == {"c": "b"}


@pytest.mark.parametrize(
    "entries",
    [
        [Entry("../evil", b"x")],
        [Entry("a/../../evil", b"x")],
        [Entry("a" * 300, b"x")],
        [hard("a", "../../../etc/passwd")],
        [hard("a", "etc/passwd")],
        [link("a", "b"), link("b", "a"), Entry("a/x", b"x")],
        [link("a", "")],
        [Entry("/".join("d" * 80), b"x")],
        [Entry(f"tmp/{'a/' * 2_500}")],
        [Entry("x", bytes(2 << 20), kind=tarfile.XHDTYPE)],
        [Entry("x", b"24 GNU.sparse.map=a,b,c\n", kind=tarfile.XHDTYPE), Entry("y")],
        [Entry("x", b"8 a=bcd\n", kind=tarfile.XHDTYPE)] * 2_000,
        [Entry("x", bytes(2 << 20), kind=tarfile.GNUTYPE_LONGNAME)],
    ],
    ids=[
        "climbs",
        "climbs later",
        "long",
        "hard out",
        "hard to nothing",
        "circle",
        "empty",
        "deep",
        "a long way",
        "much told",
        "no numbers told",
        "told in turn",
        "a name",
    ],
)
def test_an_evil_layer_is_refused_and_writes_nothing_elsewhere(entries: Sequence[Entry], tmp_path: Path) -> None:
    """Lost: an archive that writes, or reads, the author's own machine."""
    before = sorted(tmp_path.parent.iterdir())
    digest, _ = layout(tmp_path / "image.tar", entries)
    with pytest.raises((VerificationFailed, BadInput), match=r"^the image was refused|cannot be read"):
        made(tmp_path / "image.tar", digest)
    assert sorted(tmp_path.parent.iterdir()) == before
    assert not (tmp_path / "image.made" / "tree").exists()


def test_links_are_followed_within_the_image_alone(tmp_path: Path) -> None:
    """Lost: a layer whose link leads to this machine's files, and whose next entry is written through it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    digest, _ = layout(
        tmp_path / "image.tar",
        [link("a", str(outside)), link("up", "../../../.."), Entry("a/evil", b"x"), Entry("up/evil", b"y")],
    )
    found, _ = made(tmp_path / "image.tar", digest)
    assert list(outside.iterdir()) == []
    assert found[f"{str(outside).removeprefix('/')}/evil"] == b"x"
    assert found["evil"] == b"y"


@pytest.mark.parametrize("spoil", ["config", "manifest", "layer"])
def test_other_bytes_than_the_digest_says_are_refused(spoil: str, tmp_path: Path) -> None:
    """Lost: that an image asked for by its digest is that image."""
    digest, _ = layout(tmp_path / "image.tar", LOWER, UPPER, spoil=spoil)
    with pytest.raises(VerificationFailed):
        made(tmp_path / "image.tar", digest)
    assert not (tmp_path / "image.made" / "tree").exists()


def test_another_digest_is_told(tmp_path: Path) -> None:
    """Lost: an author who is told nothing of how to find the right one."""
    layout(tmp_path / "image.tar", LOWER)
    with pytest.raises(NotFound, match=r"has no image sha256:0000.*docker inspect"):
        made(tmp_path / "image.tar", "sha256:" + "0" * 64)


def test_another_architecture_is_told(tmp_path: Path) -> None:
    """Lost: a block that fails at every site with «exec format error»."""
    digest, _ = layout(tmp_path / "image.tar", LOWER, platform="linux/riscv64")
    with pytest.raises(BadInput, match=r"linux/riscv64.*this site runs linux/"):
        made(tmp_path / "image.tar", digest)


@pytest.mark.parametrize("data", [b"", b"nothing of the kind" * 100, b"\x1f\x8b" + b"x" * 1000])
def test_what_is_no_archive_is_told(data: bytes, tmp_path: Path) -> None:
    """Lost: a traceback."""
    (tmp_path / "image.tar").write_bytes(data)
    with pytest.raises((BadInput, VerificationFailed)):
        made(tmp_path / "image.tar", "sha256:" + "0" * 64)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_an_archive_is_damaged_to_be_it_is_refused_or_what_its_digest_says(seed: int, tmp_path: Path) -> None:
    """Lost: a traceback, or an image of other bytes, for one bit that turned."""
    digest, _ = layout(tmp_path / "image.tar", LOWER, UPPER)
    whole, lots = (tmp_path / "image.tar").read_bytes(), Random(seed)
    made(tmp_path / "image.tar", digest)
    kept = {each: each.read_bytes() for each in (tmp_path / "image.made/tree/root").rglob("*") if each.is_file()}
    told: list[str] = []
    for number in range(60):
        spoiled = bytearray(whole)
        for _ in range(lots.choice((1, 1, 8))):
            spoiled[lots.randrange(len(spoiled))] = lots.randrange(256)
        (tmp_path / "spoiled.tar").write_bytes(spoiled[: lots.choice((len(spoiled), lots.randrange(len(spoiled))))])
        place = tmp_path / f"made-{number}"
        place.mkdir()
        try:
            make_image(tmp_path / "spoiled.tar", digest, place)
        except ComityError as error:
            told.append(str(error))
        else:
            root = place / "tree/root"
            found = {tmp_path / "image.made/tree/root" / each.relative_to(root): each.read_bytes()
                     for each in root.rglob("*") if each.is_file()}  # fmt: skip
            assert found == kept
    assert told
    assert not any("\n" in each for each in told)


def test_folders_on_the_way_count_as_entries_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: 65 kB of an archive that are 228,000 folders on the disk."""
    entries = [Entry("/".join([str(number), *"a" * 9]), b"x") for number in range(5)]
    digest, _ = layout(tmp_path / "image.tar", entries)
    monkeypatch.setattr("node.execute.environment.layers.MOST_ENTRIES", 49)
    with pytest.raises(BadInput, match="more than 49 files and folders"):
        made(tmp_path / "image.tar", digest)
    monkeypatch.setattr("node.execute.environment.layers.MOST_ENTRIES", 50)
    (tmp_path / "image.made").rename(tmp_path / "refused")
    assert len(made(tmp_path / "image.tar", digest)[0]) == 50


def test_what_a_layer_says_of_its_files_is_not_kept_in_memory(tmp_path: Path) -> None:
    """Lost: a node that ends for want of memory, by a layer of which each entry says much."""
    with tarfile.open(fileobj=BytesIO(layer([Entry(str(number), b"x") for number in range(9)])), mode="r|") as entries:
        Flat(tmp_path / "contents").apply(entries)
        assert entries.members == []  # type: ignore[attr-defined]
    assert len(list((tmp_path / "contents").iterdir())) == 9


def test_an_image_takes_half_of_what_is_free_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a disk that fills with zeros, of which an archive of 10 kB said that there are 64 GiB."""
    free = shutil.disk_usage(tmp_path)._replace(free=20_000)
    monkeypatch.setattr("node.execute.environment.layers.shutil.disk_usage", lambda _: free)
    for size, fits in ((5_000, True), (5_001, False)):
        archive = tmp_path / f"{size}.tar"
        digest, _ = layout(archive, [Entry("a", bytes(5_000))], [Entry("a", bytes(size))])
        if fits:
            assert made(archive, digest)[0] == {"a": bytes(size)}
        else:
            with pytest.raises(Full, match="half of what is free"):
                made(archive, digest)


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: an author who looks for the fault in the image."""
    digest, _ = layout(tmp_path / "image.tar", LOWER)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("node.execute.environment.layers.shutil.copyfileobj", full)
    with pytest.raises(Full, match="no room") as found:
        made(tmp_path / "image.tar", digest)
    assert isinstance(found.value, ComityError)
