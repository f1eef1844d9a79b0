"""A quota: what does not fit is refused in one line, and what goes makes room."""

import os
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.error import ComityError
from node.storage.disk import STALE_SECONDS, DiskBlobs

MIB = 1 << 20


def below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_is_beyond_the_quota_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """Lost: one dataset too many fills the disk that the site's logs lie on, and the site stops."""

    async def main() -> None:
        store = DiskBlobs(tmp_path / "store", quota=3 * MIB)
        kept = await store.add(os.urandom(2 * MIB))
        before = below(tmp_path)
        with pytest.raises(ComityError, match="most_gib"):
            await store.add(os.urandom(2 * MIB))
        assert below(tmp_path) == before
        assert await store.missing(kept) == []
        await store.add(os.urandom(MIB // 2))
        with pytest.raises(ComityError, match="GiB"):
            await DiskBlobs(tmp_path / "store", quota=3 * MIB).add(os.urandom(MIB))
        store.named(kept)
        store._fresh._added.clear()
        assert (await store.drop(list)).bytes > 2 * MIB
        await store.add(os.urandom(2 * MIB))

    trio.run(main)


def test_what_somebody_reads_stays_while_they_do(tmp_path: Path) -> None:
    """Lost: data are cleared away between two parts of a fetch that takes an hour."""

    async def main() -> None:
        store = DiskBlobs(tmp_path / "store")
        read, other = await store.add(os.urandom(MIB)), await store.add(os.urandom(MIB))
        store._fresh._added.clear()
        store.touch(read)
        await store.drop(list)
        assert await store.missing(read) == []
        assert await store.missing(other) == [other]

    trio.run(main)


def test_what_arrives_counts_and_is_forgotten_when_it_goes_on_no_more(tmp_path: Path) -> None:
    """Lost: transfers that broke off fill the disk beside the quota, and for good."""

    async def main() -> None:
        store = DiskBlobs(tmp_path / "store", quota=2 * MIB)
        data = os.urandom(MIB)
        with await store.arrive(Cid.of(data), "any") as arrival:
            arrival.put([(Cid.of(data), data)])
            with pytest.raises(ComityError, match="most_gib"):
                arrival.put([(Cid.of(data + b"x"), data + b"x")])
        with pytest.raises(ComityError, match="most_gib"):
            await store.add(os.urandom(MIB + 1))
        await store.drop(list)
        (waiting,) = (tmp_path / "store" / "arriving").iterdir()
        old = waiting.stat().st_mtime - STALE_SECONDS - 60
        os.utime(waiting, (old, old))
        await store.drop(list)
        assert not waiting.exists()
        await store.add(os.urandom(MIB + 1))

    trio.run(main)
