"""Dropping nodes: everything that nothing kept reaches goes from disk, and nothing else."""

import threading

import pytest
import trio
from trio.testing import MockClock

from catalog.error import Conflict, NotFound, VerificationFailed
from node.storage.disk import DiskBlobs
from node.storage.fresh import FRESH_SECONDS
from tests.node.storage.walk import names

LARGE = bytes(range(256)) * 3000


def files(folder):
    return sorted(path.name for path in (folder / "nodes").rglob("*") if path.is_file())


def play(story, clock=None):
    trio.run(story, clock=clock)


def test_what_no_kept_root_reaches_is_gone_from_disk_and_the_rest_is_whole(tmp_path):
    """Lost: data stay on disk after they were certified as destroyed, or data that others need go with them."""

    async def story():
        blobs = DiskBlobs(tmp_path)
        shared = LARGE[: 1 << 19]
        kept, dropped = await blobs.add(shared + b"kept"), await blobs.add(shared + b"dropped")
        only = await blobs.add(b"a small one")
        for root in (kept, dropped, only):
            blobs.named(root)
        before = files(tmp_path)
        swept = await blobs.drop(lambda: [kept])
        assert swept.nodes == len(before) - len(files(tmp_path)) > 0
        assert swept.spared is None
        assert swept.bytes > len(b"dropped")
        assert await blobs.read(kept, limit=1 << 20) == shared + b"kept"
        assert not await blobs.missing(kept)
        assert len(files(tmp_path)) == len(await blobs.reachable(kept))
        for root in (dropped, only):
            with pytest.raises(NotFound):
                await blobs.read(root)
        assert (await blobs.drop(lambda: [kept])).nodes == 0

    play(story)


def test_what_was_just_added_and_has_no_name_yet_is_spared_for_a_while(tmp_path):
    """Lost: an import vanishes between its bytes and its entry; or what nobody ever names stays for good."""

    async def story():
        blobs = DiskBlobs(tmp_path)
        began = trio.current_time()
        fresh = await blobs.add(b"an entry about this is being signed")
        swept = await blobs.drop(list)
        assert (swept.nodes, swept.spared) == (0, began)
        await trio.sleep(FRESH_SECONDS + 1)
        swept = await blobs.drop(list)
        assert (swept.nodes, swept.spared) == (1, None)
        with pytest.raises(NotFound):
            await blobs.read(fresh)

    play(story, MockClock(autojump_threshold=0.1))


def test_while_something_is_added_nothing_is_dropped(tmp_path):
    """Lost: an addition that found a node already there ends without it."""

    async def story():
        blobs = DiskBlobs(tmp_path / "blobs")
        (tmp_path / "slow").write_bytes(LARGE)
        reading, go_on = threading.Event(), threading.Event()

        def hold_up(_count):
            reading.set()
            go_on.wait(20)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(blobs.add_path, tmp_path / "slow", hold_up)
            await trio.to_thread.run_sync(reading.wait, 20)
            with pytest.raises(Conflict, match="being added"):
                await blobs.drop(list)
            go_on.set()

    play(story)


def test_what_is_named_while_the_store_is_looked_through_stays(tmp_path):
    """Lost: a value that a step just delivered is swept away by the end of another project."""

    async def story():
        blobs = DiskBlobs(tmp_path)
        root = await blobs.add(LARGE)
        blobs.named(root)
        asked = []

        def kept():
            asked.append(root)
            return [] if len(asked) == 1 else [root]

        assert (await blobs.drop(kept)).nodes == 0
        assert await blobs.read(root, limit=1 << 20) == LARGE

    play(story)


def test_a_damaged_node_below_a_kept_root_stops_the_sweep(tmp_path):
    """Lost: what a damaged folder named is taken for unreachable and removed for good."""

    async def story():
        blobs = DiskBlobs(tmp_path)
        root, other = await blobs.add(LARGE), await blobs.add(b"other")
        blobs.named(root)
        blobs.named(other)
        place = tmp_path / "nodes" / f"{root.digest[0]:02x}" / str(root)
        place.write_bytes(place.read_bytes()[:-1] + b"?")
        before = files(tmp_path)
        with pytest.raises(VerificationFailed):
            await blobs.drop(lambda: [root])
        assert files(tmp_path) == before

    play(story)


def test_after_a_crash_in_the_middle_the_same_drop_finishes(tmp_path):
    """Lost: half of what was to be destroyed stays, because the rest was gone already."""

    async def story():
        blobs = DiskBlobs(tmp_path)
        kept, dropped = await blobs.add(b"kept"), await blobs.add(LARGE)
        inner = [cid for cid in await names(blobs, dropped) if cid != dropped]
        (tmp_path / "nodes" / f"{inner[0].digest[0]:02x}" / str(inner[0])).unlink()
        (tmp_path / "nodes" / f"{dropped.digest[0]:02x}" / str(dropped)).unlink()
        again = DiskBlobs(tmp_path)
        swept = await again.drop(lambda: [kept, dropped])
        assert swept.nodes == len(inner) - 1
        assert files(tmp_path) == [str(kept)]

    play(story)
