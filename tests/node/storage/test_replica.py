import pytest
import trio

from catalog import tiles
from catalog.checkpoint import Checkpoint, add_line, cosign, sign_checkpoint
from catalog.error import Conflict, Damaged, VerificationFailed
from catalog.key import PrivateKey
from catalog.merkle import Frontier, leaf_hash, verify_consistency, verify_inclusion
from node.storage.fsck import check_folder
from node.storage.log import DiskLog
from node.storage.replica import ReplicaLog
from tests.catalog.listed import tiles_of

ORIGIN = "comity.example/st-anna/catalog/0"
KEY, OTHER = PrivateKey(b"\7" * 32), PrivateKey(b"\x09" * 32)


class Counting:
    def __init__(self):
        self.count = 0

    def token(self, count):
        self.count += 1
        return self.count.to_bytes(count, "big")


async def source(folder, count):
    log = await DiskLog.create(folder, ORIGIN, 0, KEY, Counting())
    await log.append([("dataset", b"body %d" % number) for number in range(count)])
    return log


async def fetch(log, replica):
    """What a replicator does: the bundles that are missing, by their paths, then one extend."""
    new = []
    for bundle in tiles.bundles(replica.size, log.size):
        leaves = tiles.decode_bundle(await log.tile(bundle.path), bundle.width)
        new += leaves[max(replica.size - bundle.start, 0) :]
    await replica.extend(log.note, new)


def state(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".db-" not in path.name}


def test_a_replica_follows_its_source_and_holds_the_same_bytes(tmp_path):
    """Lost: members could not answer for a site that is away."""

    async def main():
        async with await source(tmp_path / "own", 3) as log:
            async with await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica:
                assert (replica.size, replica.note, replica.origin) == (0, "", ORIGIN)
                for more in (0, 250, 4, 600):
                    await log.append([("dataset", b"more")] * more)
                    await fetch(log, replica)
                    assert (replica.note, replica.root) == (log.note, log.root)
                await replica.extend(log.note, [])
                size = replica.size
                for tile in tiles_of(size):
                    assert await replica.tile(tile.path) == await log.tile(tile.path)
                proof = await replica.prove(5, size)
                verify_inclusion(leaf_hash(await replica.leaf(5)), 5, size, log.root, proof)
                verify_consistency(3, await log.root_at(3), size, log.root, await replica.consistency(3, size))
            async with await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica:
                assert (replica.note, replica.recovered) == (log.note, None)
        report = check_folder(tmp_path / "copy", ORIGIN, KEY.did)
        assert report.ok, report.faults
        assert (report.leaves, report.bodies, report.absent) == (857, 0, 857)

    trio.run(main)


def test_a_lie_changes_nothing(tmp_path):
    """Lost: a peer could put leaves into our copy that its key never signed for."""

    async def main():
        async with (
            await source(tmp_path / "own", 300) as log,
            await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica,
        ):
            leaves = await log.leaves(0, 300)
            await replica.extend(sign_checkpoint(Checkpoint(ORIGIN, 200, await log.root_at(200)), KEY), leaves[:200])
            before, note = state(tmp_path / "copy"), replica.note
            rest = leaves[200:]
            lies = [
                (log.note, [*rest[:-1], b"another"]),
                (log.note, rest[:-1]),
                (log.note, [*rest, rest[0]]),
                (log.note, []),
                (log.note, [*rest[:-1], bytes(70_000)]),
                (sign_checkpoint(log.checkpoint, OTHER), rest),
                (sign_checkpoint(Checkpoint("another.example/log", 300, log.root), KEY), rest),
                (sign_checkpoint(Checkpoint(ORIGIN, 300, bytes(32)), KEY), rest),
                (sign_checkpoint(Checkpoint(ORIGIN, 200, bytes(32)), KEY), []),
                (sign_checkpoint(Checkpoint(ORIGIN, 100, await log.root_at(100)), KEY), []),
                ("garbage", rest),
                ("", []),
            ]
            for claimed, sent in lies:
                with pytest.raises(VerificationFailed):
                    await replica.extend(claimed, sent)
                assert (replica.size, replica.note) == (200, note)
            assert state(tmp_path / "copy") == before
            await replica.extend(log.note, rest)
            assert replica.root == log.root

    trio.run(main)


def test_leaves_are_opaque(tmp_path):
    """Lost: an entry of a kind that we do not know would stop replication."""
    leaves = [b"", b"not a leaf of ours", bytes(65_535)]

    async def main():
        root = Frontier().extend(map(leaf_hash, leaves)).root
        async with await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica:
            await replica.extend(sign_checkpoint(Checkpoint(ORIGIN, 3, root), KEY), leaves)
            assert await replica.leaves(0, 3) == leaves
            assert await replica.put_bodies([(1, bytes(32), b""), (7, bytes(32), b"")]) == [1, 7]
            assert await replica.body(1) is None
            assert await replica.read(0, 3) == [(leaf, None) for leaf in leaves]
        async with await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica:
            assert replica.size == 3

    trio.run(main)


def test_bodies_are_kept_as_they_come_if_their_leaf_commits_to_them(tmp_path):
    """Lost: a peer could show us another body than it committed to, or bring back what was erased."""

    async def main():
        async with (
            await source(tmp_path / "own", 6) as log,
            await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica,
        ):
            rows = [(index, *await log.body(index)) for index in range(6)]
            assert await replica.put_bodies(rows) == [0, 1, 2, 3, 4, 5]
            await fetch(log, replica)
            assert await replica.missing_bodies(0, 3) == [0, 1, 2]
            assert await replica.put_bodies([rows[4], rows[1]]) == []
            assert await replica.put_bodies([rows[1]]) == []
            assert await replica.missing_bodies(0, 100) == [0, 2, 3, 5]
            assert await replica.missing_bodies(1, 2) == [2, 3]
            assert await replica.body(1) == await log.body(1)
            assert await replica.body(0) is None
            assert [stored is not None for _, stored in await replica.read(0, 6)] == [
                False,
                True,
                False,
                False,
                True,
                False,
            ]
            _, salt, body = rows[2]
            for wrong in ((salt, b"other"), (bytes(32), body), (salt[:-1], body), (salt, body * 9999)):
                assert await replica.put_bodies([(2, *wrong), rows[4]]) == [2]
                assert await replica.body(2) is None
            await replica.erase(1)
            await replica.erase(2)
            assert await replica.missing_bodies(0, 100) == [0, 3, 5]
            assert await replica.put_bodies(rows[:2]) == []
            assert await replica.body(1) is None
        report = check_folder(tmp_path / "copy", ORIGIN, KEY.did)
        assert (report.ok, report.bodies, report.erased, report.absent) == (True, 2, 2, 2)

    trio.run(main)


def test_leaves_and_their_bodies_are_kept_in_one_commit_and_false_bodies_are_not(tmp_path):
    """Lost: after a crash a replica has leaves whose bodies it never asks for; or bodies that nobody signed for."""

    async def main():
        async with (
            await source(tmp_path / "own", 5) as log,
            await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica,
        ):
            first = log.note
            await log.append([("dataset", b"body %d" % number) for number in range(5, 8)])
            read = await log.read(0, 8)
            rows = [(index, *kept) for index, (_, kept) in enumerate(read)]
            leaves = [leaf for leaf, _ in read]
            assert await replica.extend(first, leaves[:5], rows[:4]) == []
            assert await replica.missing_bodies(0, 9) == [4]
            before = state(tmp_path / "copy")
            with pytest.raises(VerificationFailed):
                await replica.extend(log.note, [*leaves[5:7], leaves[0]], rows[5:])
            assert (replica.size, state(tmp_path / "copy")) == (5, before)
            false = [
                (5, rows[5][1], b"another"),
                rows[6],
                (7, bytes(32), rows[7][2]),
                (8, *rows[7][1:]),
                (1, *rows[7][1:]),
            ]
            assert await replica.extend(log.note, leaves[5:], false) == [1, 5, 7, 8]
            assert await replica.missing_bodies(0, 9) == [4, 5, 7]
            assert await replica.body(1) == rows[1][1:]
            assert await replica.body(6) == rows[6][1:]
        assert check_folder(tmp_path / "copy", ORIGIN, KEY.did).leaves == 8

    trio.run(main)


def test_a_replica_keeps_cosignatures_that_its_source_collected(tmp_path):
    """Lost: freshness of an issuer, which rests on when a quorum cosigned, could not be judged while it is away."""

    async def main():
        async with (
            await source(tmp_path / "own", 6) as log,
            await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica,
        ):
            await fetch(log, replica)
            note = add_line(log.note, cosign(log.note, "w", OTHER, 77))
            assert await replica.add_cosignatures(note, {"w": OTHER.did}) == {"w": 77}
            assert await replica.cosigned(6) == note

    trio.run(main)


def test_another_key_does_not_open_a_replica(tmp_path):
    """Lost: a replica of one site's log could be taken for another's."""

    async def main():
        async with (
            await source(tmp_path / "own", 6) as log,
            await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica,
        ):
            await fetch(log, replica)
        with pytest.raises(Damaged, match="checkpoint"):
            await ReplicaLog.open(tmp_path / "copy", ORIGIN, OTHER.did)
        with pytest.raises(Damaged, match="checkpoint"):
            await ReplicaLog.open(tmp_path / "copy", ORIGIN + "x", KEY.did)
        async with await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did):
            with pytest.raises(Conflict):
                await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did)

    trio.run(main)


def test_what_is_brought_in_parts_is_seen_by_nobody_before_its_checkpoint_and_dropped_by_a_crash(tmp_path):
    """Lost: half of a long log, under no signature, is served to others or survives a crash as if it were verified."""

    async def main():
        async with await source(tmp_path / "own", 1300) as log:
            leaves = await log.leaves(0, 1300)
            first = sign_checkpoint(Checkpoint(ORIGIN, 300, await log.root_at(300)), KEY)
            async with await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica:
                await replica.extend(first, leaves[:300])
                await replica.add(leaves[300:1024])
                assert (replica.size, replica.edge.size, replica.note) == (300, 1024, first)
                assert await replica.tile("tile/entries/002") is None
                assert await replica.tile("tile/entries/001.p/44") == await log.tile("tile/entries/001.p/44")
            async with await ReplicaLog.open(tmp_path / "copy", ORIGIN, KEY.did) as replica:
                assert (replica.size, replica.edge.size) == (300, 300)
                assert "dropped 724 entries" in (replica.recovered or "")
                await replica.add(leaves[300:512])
                await replica.drop_added()
                assert replica.edge.size == 300
                await replica.add(leaves[300:768])
                with pytest.raises(VerificationFailed):
                    await replica.extend(log.note, [*leaves[768:1299], b"another"])
                assert (replica.size, replica.edge.size) == (300, 768)
                await replica.add(leaves[768:1280])
                await replica.extend(log.note, leaves[1280:])
                assert (replica.size, replica.root) == (1300, log.root)
                for tile in tiles_of(1300):
                    assert await replica.tile(tile.path) == await log.tile(tile.path), tile
                assert [file.name for file in (tmp_path / "copy" / "tile" / "entries").iterdir() if file.is_dir()] == [
                    "005.p"
                ]
        report = check_folder(tmp_path / "copy", ORIGIN, KEY.did)
        assert report.ok, report.faults

    trio.run(main)
