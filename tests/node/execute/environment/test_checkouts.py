"""Environments on disk: once each, shared by content, whole or absent, and never a way to this machine's own files."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, NotFound, VerificationFailed
from node.execute.environment.base import Own
from node.execute.environment.checkouts import Checkouts
from node.execute.environment.description import Description, read, write
from node.execute.environment.linked import linked
from node.execute.machine import platform_here
from node.execute.sandbox import Sandbox
from node.step import Ending, Environment, Job
from node.storage.disk import DiskBlobs
from node.storage.pooled import checkout_pooled, drop_unused

DIGEST = f"sha256:{'0' * 64}"
LARGE = 1 << 30


class Shop:
    """A store, and the checkouts of what it holds."""

    def __init__(self, folder: Path, most: int = 32) -> None:
        self.folder = folder
        self.blobs = DiskBlobs(folder / "blobs")
        self.checkouts = self.again(most)

    def again(self, most: int = 32) -> Checkouts:
        """As a node that was started again has it."""
        made = Checkouts(self.folder / "there", partial(checkout_pooled, self.blobs.get), drop_unused, most)
        made.start()
        return made

    async def add(
        self, name: str, files: Mapping[str, bytes], links: Mapping[str, str] | None = None, platform: str = ""
    ) -> Cid:
        """An environment."""
        tree = self.folder / name
        for path, data in files.items():
            place = tree / "root" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        described = Description(
            platform=platform or platform_here(), variables={"PATH": "/bin"}, links=dict(links or {}), image=DIGEST
        )
        (tree / "environment.json").write_bytes(write(described))
        return await self.blobs.add_path(tree)

    @property
    def pool(self) -> list[Path]:
        """The files that are there, each once."""
        return [each for each in (self.folder / "there" / "pool").rglob("*") if each.is_file()]


def test_two_environments_share_equal_files_and_the_least_used_goes(tmp_path: Path) -> None:
    """Lost: a disk that every block with the same numpy fills once more; one that is never given back."""

    async def play() -> None:
        shop = Shop(tmp_path, most=2)
        same = {"lib/numpy.so": os.urandom(100_000), "lib/__init__.py": b""}
        first, second, third = [
            await shop.add(name, {**same, "own": name.encode(), "z": name.encode()}) for name in ("a", "b", "c")
        ]
        async with shop.checkouts.using(first, LARGE) as one, shop.checkouts.using(second, LARGE) as two:
            files = [each.folder / "lib/numpy.so" for each in (one, two)]
            assert files[0].stat().st_ino == files[1].stat().st_ino
            assert files[0].read_bytes() == same["lib/numpy.so"]
            assert {each.stat().st_mode & 0o7777 for each in one.folder.rglob("*")} == {0o555, 0o755}
            async with shop.checkouts.using(third, LARGE):
                assert shop.checkouts.has(first), "what is used stays"
        async with shop.checkouts.using(second, LARGE):
            fourth = await shop.add("d", {"own": b"d"})
            async with shop.checkouts.using(fourth, LARGE):
                pass
        assert [shop.checkouts.has(each) for each in (first, second, third, fourth)] == [False, True, False, True]
        assert sorted(each.read_bytes()[:1] for each in shop.pool if each.stat().st_size == 1) == [b"b", b"d"]

    trio.run(play)


def test_what_lay_there_is_taken_up_and_what_was_begun_is_not(tmp_path: Path) -> None:
    """Lost: 300 MB written anew at each start; or half an environment that counts as whole."""

    async def play() -> None:
        shop = Shop(tmp_path)
        cid = await shop.add("a", {"bin/x": b"x"})
        async with shop.checkouts.using(cid, LARGE) as there:
            before = (there.folder / "bin/x").stat().st_ino
        (tmp_path / "there/trees/.begun/root").mkdir(parents=True)
        (tmp_path / "there/trees" / str(Cid.of(b"half"))).mkdir()
        again = shop.again()
        assert again.has(cid)
        async with again.using(cid, LARGE) as there:
            assert (there.folder / "bin/x").stat().st_ino == before
        assert [each.name for each in (tmp_path / "there/trees").iterdir()] == [str(cid)]
        (tmp_path / "there/boot").write_text("of another start of the machine")
        assert not shop.again().has(cid)
        assert shop.pool == []

    trio.run(play)


def test_what_cannot_be_had_whole_leaves_nothing(tmp_path: Path) -> None:
    """Lost: a step that runs in a part of its environment."""

    async def play() -> None:
        shop = Shop(tmp_path)
        cid = await shop.add("a", {"bin/x": b"x" * 10, "bin/y": b"y" * 10})
        shop.blobs._place(Cid.of(b"y" * 10)).unlink()
        with pytest.raises(NotFound):
            async with shop.checkouts.using(cid, LARGE):
                pass
        foreign = await shop.add("b", {"bin/x": b"x"}, platform="linux/riscv64")
        with pytest.raises(BadInput, match="linux/riscv64"):
            async with shop.checkouts.using(foreign, LARGE):
                pass
        assert not shop.checkouts.has(cid)
        assert list((tmp_path / "there/trees").iterdir()) == []

    trio.run(play)


def test_no_more_is_written_than_its_block_says(tmp_path: Path) -> None:
    """Lost: a disk that a few small nodes fill, which name one another as one file of any size."""

    async def play() -> None:
        shop = Shop(tmp_path)
        cid = await shop.add("a", {"bin/large": bytes(40 << 20)})
        assert await shop.blobs.used() < 1 << 20
        with pytest.raises(BadInput, match="more bytes than are allowed"):
            async with shop.checkouts.using(cid, 1 << 20):
                pass
        assert shop.pool == []
        async with shop.checkouts.using(cid, 40 << 20):
            pass

    trio.run(play)


def test_an_environment_is_shown_with_its_links_and_writes_nowhere(tmp_path: Path) -> None:
    """Lost: a link of an environment by which a step, or this node, reaches a file of the machine."""
    secret = tmp_path / "secret"
    secret.write_text("of the machine")

    async def play() -> str:
        shop = Shop(tmp_path)
        own = Own(tmp_path / "own")
        own.options()
        files = {f"opt/{each.relative_to(tmp_path / 'own')}": each.read_bytes()
                 for each in (tmp_path / "own").rglob("*") if each.is_file() and not each.is_symlink()}  # fmt: skip
        links = {
            **{name: "opt/lib" if name.startswith("lib") else "opt/bin" for name in ("bin", "lib", "lib64")},
            "opt/leads": str(secret),
            "opt/climbs": "../" * 20 + str(secret).removeprefix("/"),
            "work": "/etc",
            "proc": "/etc",
        }
        cid = await shop.add("a", {**files, "tmp/x": b"x", "dev/null": b"x"}, links)
        work = tmp_path / "step" / "work"
        work.mkdir(parents=True)
        script = (
            "cat /opt/leads /opt/climbs /dev/null; ls -l /opt/leads /opt/climbs; ls /tmp; "
            "echo x > /opt/bin/sh; echo x > /opt/new; pwd; ls /proc/self/status"
        )
        async with shop.checkouts.using(cid, LARGE) as there:
            ended = await Sandbox().run(Job(("sh", "-c", script), work, environment=there, stdout="out"))
            plain = [each for each in there.folder.rglob("*") if each.is_symlink()]
        assert ended.ending is Ending.EXITED
        assert plain == []
        return (work / "out").read_text()

    out = trio.run(play)
    assert "of the machine" not in out
    assert f"-> {secret}" in out
    assert out.splitlines()[-2:] == ["/work", "/proc/self/status"]
    assert secret.read_text() == "of the machine"


@pytest.mark.parametrize("path", ["a/../../x", "/x", "a//b", "./a", "a/", "..", "lib64/x/y", "n" * 300])
def test_a_link_at_no_path_is_refused(path: str) -> None:
    """Lost: a link that is made outside its tree."""
    text = write(Description(platform="linux/amd64", variables={}, links={"lib64": "x"}, image=DIGEST))
    with pytest.raises(VerificationFailed):
        read(Description, text.replace(b'"lib64": "x"', f'"lib64": "x", "{path}": "x"'.encode()))


@pytest.mark.parametrize("path", ["nowhere/x", "bin/x", "bin/x/y"])
def test_a_link_in_no_folder_is_refused(path: str, tmp_path: Path) -> None:
    """Lost: a tree that is something else than its author made."""
    (tmp_path / "root/bin").mkdir(parents=True)
    (tmp_path / "root/bin/x").write_bytes(b"x")
    with pytest.raises(BadInput, match="lies in no folder"):
        linked(Environment(Cid.of(b"x"), tmp_path / "root", {path: "/etc/passwd"}, {}))
    assert [each.name for each in tmp_path.iterdir()] == ["root"]


def test_links_in_very_many_folders_are_refused_before_they_are_looked_at() -> None:
    """Lost: minutes of a site's processor, at each start too, to a text of 16 MB."""
    links = {f"{'a/' * 2_000}{number}": "x" for number in range(3_800)}
    text = msgspec.json.encode({"platform": platform_here(), "variables": {}, "links": links, "image": DIGEST})
    begun = time.process_time()
    with pytest.raises(VerificationFailed, match="lies in more than 63 folders"):
        read(Description, text)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"platform": "linux/amd64"}',
        b'{"platform": "linux/amd64", "variables": {}, "links": {}}',
        b'{"platform": "linux/amd64", "variables": {"A=B": "x"}, "links": {}, "image": "%s"}' % DIGEST.encode(),
        b'{"platform": "windows/amd64", "variables": {}, "links": {}, "image": "%s"}' % DIGEST.encode(),
        b'{"platform": "linux/amd64", "variables": {}, "links": {}, "image": "%s", "x": 1}' % DIGEST.encode(),
        b'{"platform": "linux/amd64", "variables": {}, "links": {}, "image": "%s", "lock": "%s"}'
        % (DIGEST.encode(), DIGEST.encode()),
        b"[" * 100_000,
    ],
)
def test_what_is_no_description_is_refused(text: bytes) -> None:
    """Lost: an environment of which more, or less, is believed than it says."""
    with pytest.raises(ComityError):
        read(Description, text)
