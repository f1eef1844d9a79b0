"""What a thief finds who takes the disk of a hospital at any moment: no value that came or was made for a project."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, NotFound
from catalog.project import ProjectRef
from node.config import Folder
from node.site.site import Site
from node.storage.disk import DiskBlobs
from node.storage.nodes import links_of
from privacy.label import OPEN
from tests.adversary.hospital import Hospital, at_a_hospital
from tests.node.site.robbed import MARK, TRIAL, Giver, materials, value

ROOT = Path(__file__).resolve().parents[3]
OTHER = ProjectRef(site=TRIAL.site, name="another")


def marked(folder: Path) -> set[str]:
    """The top folders and files of a site in which the mark stands, in bytes or in names."""
    found = set()
    for path in folder.rglob("*"):
        if MARK.decode() in path.name or (path.is_file() and not path.is_symlink() and MARK in path.read_bytes()):
            found.add(path.relative_to(folder).parts[0])
    return found


@contextmanager
def robbed(folder: Path, scene: str) -> Iterator[Folder]:
    """A hospital in a process of its own, whose ``scene`` is reached; it is killed at the end."""
    command = [sys.executable, "-m", "tests.node.site.robbed", str(folder), scene]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            yield Folder(folder / "st-anna")
        finally:
            child.kill()
    assert child.returncode == -signal.SIGKILL


def test_half_of_a_transfer_shows_nothing_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    """Lost: a released table lies in the clear on every disk that it was on its way to."""
    with robbed(tmp_path, "half") as place:
        assert marked(place.path) == set()
    assert marked(place.path) == set()

    async def look() -> None:
        there = DiskBlobs(tmp_path / "elsewhere" / "there")
        here = DiskBlobs(place.blobs, keys=place.project_keys)
        [aside] = (place.blobs / "held").glob("*/arriving/*")
        root = Cid.parse(aside.name.split(".")[0])
        source = next(did for did in aside.joinpath("sources").read_text().split())
        with await here.arrive(root, source, TRIAL) as arrival:
            assert len(arrival.held) > 4
            for cid in arrival.held:
                assert arrival.get(cid) == await there.node(cid), "what came is not fetched again"
        assert here.size(root) is None

    trio.run(look)


def test_while_a_step_runs_its_value_lies_in_its_staging_folder_alone_and_after_a_kill_nowhere(tmp_path: Path) -> None:
    """Lost: what a step was given stays on the disk because the machine went off."""
    with robbed(tmp_path, "step") as place:
        assert marked(place.path) == {"work"}
        assert place.work.stat().st_mode & 0o077 == 0
    assert marked(place.path) == {"work"}

    async def start() -> None:
        site = await Site.open(place)
        try:
            await site.steps.start()
        finally:
            await site.aclose()

    trio.run(start)
    assert marked(place.path) == set()


def test_a_step_that_is_staged_in_memory_leaves_nothing_of_its_value_on_the_disk(tmp_path: Path) -> None:
    """Lost: an operator who set a folder in memory believes that the disk shows nothing."""
    memory = tmp_path / "memory"
    memory.mkdir()
    with robbed(tmp_path, "memory") as place:
        assert marked(place.path) == set()
        [own] = memory.iterdir()
        assert marked(memory) == {own.name}
        assert own.stat().st_mode & 0o077 == 0
    text = place.config.read_text()
    assert '# staging = "/dev/shm"' in text
    place.config.write_text(text.replace('# staging = "/dev/shm"', f'staging = "{memory}"'))

    async def start() -> None:
        site = await Site.open(place)
        try:
            await site.steps.start()
        finally:
            await site.aclose()

    trio.run(start)
    assert marked(memory) == set(), "the next start leaves nothing of an earlier run"
    own.rmdir()
    own.symlink_to(tmp_path)
    with pytest.raises(BadInput, match="is no folder of this node's"):
        trio.run(start)
    assert memory.exists(), "whoever else writes there chooses what is removed"
    own.unlink()
    memory.rmdir()
    with pytest.raises(BadInput, match=r"see \[steps\] staging"):
        trio.run(start)


def at_rest(tmp_path: Path, test: Callable[[Hospital, dict[Cid, bytes]], Awaitable[None]]) -> None:
    """Run ``test`` at a hospital, with the nodes of a value elsewhere."""

    async def play(there: Hospital) -> None:
        await test(there, await value(tmp_path / "elsewhere"))

    at_a_hospital(tmp_path, play)


def test_what_came_is_read_by_its_name_and_gone_with_the_project(tmp_path: Path) -> None:
    """Lost: results that were delivered lie there in the clear, and stay readable when the permit has ended."""

    async def test(there: Hospital, has: dict[Cid, bytes]) -> None:
        site, root = there.site, next(iter(has))
        await materials(there, Giver(has)).bring(there.other.root.did, root, TRIAL)
        assert marked(site.folder.path) == set()
        assert not [path for path in (site.folder.blobs / "nodes").rglob("*") if path.is_file()]
        assert await site.blobs.read(root, f"{MARK.decode()}.csv") == MARK
        assert await site.blobs.missing(root) == []
        assert site.blobs.size_in_clear(root) is None
        assert site.blobs.sealed.end(TRIAL)[0] == len(has)
        with pytest.raises(NotFound):
            await site.blobs.read(root, f"{MARK.decode()}.csv")
        assert not list((site.folder.blobs / "held").iterdir())
        assert not list(site.folder.project_keys.iterdir())

    at_rest(tmp_path, test)


def test_the_end_of_a_project_destroys_what_is_still_coming_for_it(tmp_path: Path) -> None:
    """Lost: a transfer that was cut off keeps what should be gone, for a week."""
    with robbed(tmp_path, "half") as place:
        pass
    here = DiskBlobs(place.blobs, keys=place.project_keys)
    here.sealed.end(TRIAL)
    assert not [path for path in place.blobs.rglob("*") if path.is_file()]


def test_what_comes_for_a_project_that_has_just_ended_has_no_place(tmp_path: Path) -> None:
    """Lost: a fetch that is under way writes what a certificate says is gone, where nobody looks for it."""

    async def test(there: Hospital, has: dict[Cid, bytes]) -> None:
        blobs, root = there.site.blobs, next(iter(has))
        with await blobs.arrive(root, there.other.root.did, TRIAL) as arrival:
            arrival.put(list(has.items())[:2])
            blobs.sealed.end(TRIAL)
            with pytest.raises(ComityError):
                arrival.put(list(has.items())[2:])
            with pytest.raises(ComityError):
                await blobs.adopt(root, arrival)
        assert not list((there.site.folder.blobs / "held").iterdir())

    at_rest(tmp_path, test)


def test_the_same_value_comes_for_each_project_and_goes_with_its_own(tmp_path: Path) -> None:
    """Lost: the end of one project takes what another works on; or its certificate says less than is left."""

    async def test(there: Hospital, has: dict[Cid, bytes]) -> None:
        site, root, other = there.site, next(iter(has)), there.other.root.did
        await materials(there, Giver(has)).bring(other, root, TRIAL)
        await materials(there, Giver(has)).bring(other, root, OTHER)
        site.blobs.sealed.end(TRIAL)
        await materials(there, Giver({})).bring(other, root, OTHER)  # nothing is asked for again
        assert await site.blobs.missing(root) == []
        # And one that was lost is fetched again.
        leaf = next(iter(links_of(root, has[root])))
        site.blobs.sealed.key_of(OTHER).place(leaf).unlink()
        await materials(there, Giver(has)).bring(other, root, OTHER)
        assert await site.blobs.missing(root) == []

    at_rest(tmp_path, test)


def test_what_a_catalog_publishes_is_nobody_s_held_value(tmp_path: Path) -> None:
    """Lost: open data that a project used once are fetched again by the next, or go with it."""

    async def test(there: Hospital, has: dict[Cid, bytes]) -> None:
        site, root = there.site, next(iter(has))
        there.other.dataset(root, OPEN)
        await materials(there, Giver(has)).bring(there.other.root.did, root, TRIAL)
        assert site.blobs.size_in_clear(root) is not None
        assert not list(site.folder.project_keys.iterdir())

    at_rest(tmp_path, test)
