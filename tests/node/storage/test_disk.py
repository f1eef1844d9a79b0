"""The embedded store: what it takes, what it refuses, and what is left when it is cut off."""

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict

import pytest
import trio

from catalog.cid import DAG_CBOR, DAG_PB, Cid
from catalog.dagcbor import encode
from catalog.error import BadInput, ComityError, NotFound, VerificationFailed
from node.ports import Blobs
from node.storage import staging
from node.storage.dagpb import Link, PBNode, encode_node
from node.storage.disk import DiskBlobs
from node.storage.unixfs import CHUNK, Data, Kind, encode_data
from tests.node.storage.walk import names

REPOSITORY = Path(__file__).parents[3]


class Numbered(TypedDict):
    template: str
    count: int
    size: int


class Tree(TypedDict):
    name: str
    folders: list[str]
    files: list[tuple[str, int]]
    numbered: list[Numbered]
    cid: str


TREES: list[Tree] = json.loads((Path(__file__).parent / "vectors" / "unixfs.json").read_text("utf-8"))["trees"]


def content(seed: str, size: int) -> Iterator[bytes]:
    """The rule that the vectors state."""
    for index, at in enumerate(range(0, size, CHUNK)):
        yield hashlib.shake_256(f"{seed}/{index}".encode()).digest(min(CHUNK, size - at))


@pytest.fixture
def store(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    (made / "a.csv").write_bytes(b"1,2\n")
    (made / "sub").mkdir()
    (made / "sub" / "b.bin").write_bytes(b"".join(content("b", CHUNK + 3)))
    return made


def stored(store_folder: Path) -> list[Path]:
    return [path for path in (store_folder / "nodes").rglob("*") if path.is_file()]


def staged(store_folder: Path) -> list[Path]:
    return list((store_folder / "staging").iterdir())


def cid_of_folder(links: list[tuple[str, Cid]]) -> tuple[Cid, bytes]:
    data = encode_node(PBNode(tuple(Link(name, cid, 1) for name, cid in links), encode_data(Data(Kind.DIRECTORY))))
    return Cid.of(data, DAG_PB), data


def test_it_is_what_the_core_asks_for(store: DiskBlobs) -> None:
    blobs: Blobs = store
    assert blobs is store


@pytest.mark.parametrize("vector", TREES[:3], ids=lambda vector: vector["name"])
def test_a_folder_on_disk_has_kubos_cid_and_comes_back_as_it_was(
    vector: Tree, store: DiskBlobs, tmp_path: Path
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    for path in vector["folders"]:
        (source / path).mkdir(parents=True)
    source.mkdir(exist_ok=True)
    numbered = {rule["template"].format(i): rule["size"] for rule in vector["numbered"] for i in range(rule["count"])}
    for path, size in {**dict(vector["files"]), **numbered}.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(b"".join(content(path, size)))

    async def run() -> None:
        hashed = await store.hash_path(source)
        assert not stored(tmp_path / "blobs")
        root = await store.add_path(source)
        assert str(hashed) == str(root) == vector["cid"]
        assert await store.missing(root) == []
        await store.checkout(root, target)

    trio.run(run)
    before, after = sorted(source.rglob("*")), sorted(target.rglob("*"))
    assert [path.relative_to(source) for path in before] == [path.relative_to(target) for path in after]
    for one, other in zip(before, after, strict=True):
        assert one.is_dir() == other.is_dir()
        assert one.is_dir() or one.read_bytes() == other.read_bytes()


def test_what_is_checked_out_cannot_be_changed_by_mistake(store: DiskBlobs, folder: Path, tmp_path: Path) -> None:
    async def run() -> None:
        root = await store.add_path(folder)
        await store.checkout(root, tmp_path / "out")
        await store.checkout(await store.add(b"one"), tmp_path / "one")

    trio.run(run)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out", *(tmp_path / "out").rglob("*"))
    }
    assert modes == {"out": 0o755, "a.csv": 0o444, "sub": 0o755, "b.bin": 0o444}
    assert (tmp_path / "one").read_bytes() == b"one"


def test_bytes_are_added_hashed_and_read_with_a_limit(store: DiskBlobs, folder: Path) -> None:
    async def run() -> None:
        data = b"".join(content("add", 2 * CHUNK))
        cid = await store.add(data)
        assert await store.read(cid) == data
        with pytest.raises(BadInput):
            await store.read(cid, limit=len(data) - 1)
        root = await store.add_path(folder)
        assert await store.read(root, "sub/b.bin") == b"".join(content("b", CHUNK + 3))
        assert [(e.name, e.is_folder, e.size) for e in await store.entries(root)] == [
            ("a.csv", False, 4),
            ("sub", True, 0),
        ]
        with pytest.raises(BadInput):
            await store.read(root, "sub")
        with pytest.raises(NotFound):
            await store.read(root, "sub/none")
        with pytest.raises(NotFound):
            await store.read(Cid.of(b"elsewhere"))
        with pytest.raises(BadInput):
            await store.entries(root, "a.csv")

    trio.run(run)


def test_nobody_else_on_the_machine_reads_the_store(store: DiskBlobs, tmp_path: Path) -> None:
    trio.run(store.add, b"secret")
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in stored(tmp_path / "blobs")} == {0o600}


def test_damaged_bytes_are_never_given_out_and_heal_when_they_come_again(store: DiskBlobs, tmp_path: Path) -> None:
    async def run() -> None:
        cid = await store.add(b"measured")
        (path,) = stored(tmp_path / "blobs")
        for damage in (b"measureD", b"measur", b""):
            path.write_bytes(damage)
            for read in (store.read, store.node):
                with pytest.raises(VerificationFailed):
                    await read(cid)
            with pytest.raises(VerificationFailed):
                await store.checkout(cid, tmp_path / "out")
            assert not (tmp_path / "out").exists()
            await store.put_nodes([(cid, b"measured")])
            assert await store.node(cid) == b"measured"

    trio.run(run)


def test_of_nodes_from_elsewhere_one_false_one_keeps_all_out(store: DiskBlobs, tmp_path: Path) -> None:
    async def run() -> None:
        good, keyed = Cid.of(b"good"), Cid.of(b"x").keyed(bytes(32))
        large = bytes((2 << 20) + 1)
        for bad in ((Cid.of(b"bad"), b"worse"), (keyed, b"x"), (Cid.of(large), large)):
            with pytest.raises(VerificationFailed):
                await store.put_nodes([(good, b"good"), bad])
        assert not stored(tmp_path / "blobs")
        await store.put_nodes([(good, b"good"), (good, b"good")])
        assert await store.node(good) == b"good"

    trio.run(run)


def test_what_is_missing_is_named_and_what_is_reachable_is_served(
    store: DiskBlobs, folder: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        tree = await store.add_path(folder)
        keyed = Cid.of(b"resident").keyed(bytes(32))
        manifest = encode({"parts": [{"body": tree}, {"body": keyed}]})
        root = Cid.of(manifest, DAG_CBOR)
        assert (await store.missing(root), await names(store, root)) == ([root], frozenset())
        await store.put_nodes([(root, manifest)])
        below = await names(store, root)
        assert {root, tree, Cid.of(b"1,2\n")} < below
        assert len(below) == len(stored(tmp_path / "blobs")) == 7
        assert await store.missing(root) == []
        other = DiskBlobs(tmp_path / "other")
        await other.put_nodes([(root, manifest)])
        while wanted := await other.missing(root):
            await other.put_nodes([(cid, await store.node(cid)) for cid in wanted])
        assert await names(other, root) == below
        unrelated = await store.add(b"unrelated")
        assert unrelated not in await names(store, root)

    trio.run(run)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)  # a socket's path is at most 108 bytes
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to("/etc/hostname"), "symbolic link"),
        (lambda path: path.symlink_to("."), "symbolic link"),
        (lambda path: path.symlink_to("a.csv"), "symbolic link"),
        (lambda path: path.symlink_to(path.name), "symbolic link"),
        (lambda path: path.symlink_to("/nowhere"), "symbolic link"),
        (lambda path: os.mkfifo(path), "named pipe"),
        (make_socket, "socket"),
        (lambda path: os.mkdir(os.fsencode(path.parent) + b"/\xff"), "UTF-8"),
    ],
    ids=["link out", "link to a parent", "link within", "link to itself", "dead link", "pipe", "socket", "name"],
)  # fmt: skip
def test_what_is_not_a_file_or_a_folder_is_refused_by_name(
    make: Callable[[Path], None], said: str, store: DiskBlobs, folder: Path, tmp_path: Path
) -> None:
    """Else a folder could publish files that lie outside it, or never end."""
    make(folder / "sub" / "odd")
    for add in (store.add_path, store.hash_path):
        with pytest.raises(BadInput, match=said) as refused:
            trio.run(add, folder)
        assert ("sub/odd" if said != "UTF-8" else "sub") in str(refused.value)
    assert not staged(tmp_path / "blobs")


def test_the_path_itself_is_held_to_the_same(store: DiskBlobs, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    for path, said in (
        (tmp_path / "link", "symbolic link"),
        (Path("/dev/null"), "device"),
        (tmp_path / "no", "no such"),
    ):
        with pytest.raises(BadInput, match=said):
            trio.run(store.add_path, path)
    deep = tmp_path / "deep"
    for _ in range(65):
        deep = deep / "d"
    deep.mkdir(parents=True)
    with pytest.raises(BadInput, match="64"):
        trio.run(store.add_path, tmp_path / "deep")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
def test_a_file_that_cannot_be_read_is_named(store: DiskBlobs) -> None:
    with pytest.raises(BadInput, match="/proc/self/mem"):
        trio.run(store.add_path, Path("/proc/self/mem"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(store: DiskBlobs, folder: Path) -> None:
    (folder / "sub" / "b.bin").chmod(0)
    with pytest.raises(BadInput, match=r"sub/b\.bin.*permission denied"):
        trio.run(store.add_path, folder)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite_in_place(path: Path) -> None:
    size, old = path.stat().st_size, path.stat().st_mtime_ns
    path.write_bytes(bytes(size))
    os.utime(path, ns=(old, old + 1))


def replace_with_same_times(path: Path) -> None:
    found, new = path.stat(), path.with_name("new")
    new.write_bytes(bytes(found.st_size))
    os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
    parent = path.parent.stat()
    new.rename(path)
    os.utime(path.parent, ns=(parent.st_atime_ns, parent.st_mtime_ns))


def swap_for_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    "change",
    [
        grow,
        lambda path: os.truncate(path, CHUNK),
        rewrite_in_place,
        replace_with_same_times,
        swap_for_a_link,
        lambda path: path.unlink(),
        lambda path: (path.parent / "late").write_bytes(b"x"),
    ],
    ids=["grown", "cut", "rewritten", "replaced", "swapped for a link", "removed", "another file came"],
)
def test_what_changes_while_it_is_read_is_refused(
    change: Callable[[Path], object], store: DiskBlobs, folder: Path, tmp_path: Path
) -> None:
    """Else a CID would be published for bytes that were never in the file together."""
    path, seen = folder / "sub" / "b.bin", 0

    def progress(count: int) -> None:
        nonlocal seen
        if count > 4 and not seen:  # the first chunk of b.bin has been read, and a byte or more is left
            change(path)
        seen = count if count > 4 else 0

    with pytest.raises(BadInput, match=r"changed while it was read|no such file"):
        trio.run(store.add_path, folder, progress)
    assert not staged(tmp_path / "blobs")


def test_what_is_swapped_just_while_it_is_opened_is_refused(
    store: DiskBlobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else another file's bytes would be added under this one's name, and both looks at the name would agree."""
    path, aside, other = folder / "a.csv", folder / "sub" / "aside", folder / "sub" / "b.bin"
    real = os.open

    def swap(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if name != "a.csv":
            return real(name, flags, mode, dir_fd=dir_fd)
        path.rename(aside)
        other.rename(path)
        try:
            return real(name, flags, mode, dir_fd=dir_fd)
        finally:
            path.rename(other)
            aside.rename(path)
            os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))

    times = folder.stat()
    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(BadInput, match=r"a\.csv.*changed while it was read"):
        trio.run(store.add_path, folder)


def test_progress_counts_every_byte(store: DiskBlobs, folder: Path) -> None:
    counts: list[int] = []
    trio.run(store.add_path, folder, counts.append)
    assert counts == sorted(counts)
    assert counts[-1] == 4 + CHUNK + 3


def test_cancelling_ends_the_reading_and_leaves_nothing(store: DiskBlobs, folder: Path, tmp_path: Path) -> None:
    counts: list[int] = []

    async def run() -> None:
        with trio.CancelScope() as scope:

            def progress(count: int) -> None:
                counts.append(count)
                trio.from_thread.run_sync(scope.cancel)

            await store.add_path(folder, progress)
        assert scope.cancelled_caught

    trio.run(run)
    assert len(counts) == 1
    assert not staged(tmp_path / "blobs")


def test_the_bytes_are_durable_before_their_name_and_the_name_before_the_answer(
    store: DiskBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut would leave a node whose name promises bytes that are gone."""
    events: list[str] = []
    sync, rename = os.fsync, os.rename

    def traced_sync(fd: int) -> None:
        events.append("sync " + ("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "node"))
        sync(fd)

    def traced_rename(source: Path, target: Path) -> None:
        events.append("name")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", traced_sync)
    monkeypatch.setattr(os, "rename", traced_rename)
    trio.run(store.add, b"x")
    assert events == ["sync node", "name", "sync folder"]


def test_a_large_group_is_durable_before_its_names_and_after(
    store: DiskBlobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, rename = staging.sync_filesystem, os.rename

    def traced_sync(fd: int) -> None:
        events.append("sync")
        sync(fd)

    def traced_rename(source: Path, target: Path) -> None:
        events.append("name")
        rename(source, target)

    monkeypatch.setattr(staging, "sync_filesystem", traced_sync)
    monkeypatch.setattr(os, "rename", traced_rename)
    monkeypatch.setattr(staging, "_ONE_BY_ONE", 0)
    monkeypatch.setattr(staging, "_GROUP_NODES", 4)
    trio.run(store.add_path, folder)
    assert events == ["sync", *["name"] * 4, "sync", *["name"] * 2, "sync"]


KILLED = """
import os, signal, sys, trio
from pathlib import Path
from node.storage import staging
from node.storage.disk import DiskBlobs
staging._GROUP_NODES = 8
def progress(count):
    if count > 20 * 262144: os.kill(os.getpid(), signal.SIGKILL)
trio.run(DiskBlobs(Path(sys.argv[1])).add_path, Path(sys.argv[2]), progress)
"""


def test_a_node_killed_while_it_adds_holds_only_whole_nodes_and_adds_again(tmp_path: Path) -> None:
    large, home = tmp_path / "large", tmp_path / "blobs"
    with large.open("wb") as file:
        for chunk in content("large", 30 * CHUNK):
            file.write(chunk)
    done = subprocess.run([sys.executable, "-c", KILLED, home, large], cwd=REPOSITORY, check=False)
    assert done.returncode == -signal.SIGKILL
    assert staged(home)

    async def run() -> None:
        store = DiskBlobs(home)
        assert not staged(home)
        left = stored(home)
        assert 8 <= len(left) < 31
        for path in left:
            assert Cid.parse(path.name).matches(path.read_bytes())
        root = await store.add_path(large)
        assert await store.missing(root) == []
        assert await store.read(root, limit=30 * CHUNK) == large.read_bytes()

    trio.run(run)


FULL = """
import resource, sys, trio
from pathlib import Path
from catalog.error import ComityError
from node.storage.disk import DiskBlobs
store = DiskBlobs(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    trio.run(store.add, bytes(5000))
except ComityError as error:
    sys.exit(f"said: {error}")
"""


def test_a_disk_that_refuses_is_said_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "blobs"], cwd=REPOSITORY, check=False, capture_output=True, text=True
    )
    assert done.stderr.startswith("said: nodes could not be stored")
    assert not stored(tmp_path / "blobs")
    assert not staged(tmp_path / "blobs")


def test_opening_again_does_not_disturb_an_addition_that_runs(store: DiskBlobs, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "staging" / "cut-off").mkdir()

    def progress(_: int) -> None:
        DiskBlobs(tmp_path / "blobs")
        assert [path.name for path in staged(tmp_path / "blobs")] != ["cut-off"]

    root = trio.run(store.add_path, folder, progress)
    assert trio.run(store.missing, root) == []
    assert not staged(tmp_path / "blobs")


def test_additions_at_once_do_not_disturb_one_another(store: DiskBlobs, folder: Path) -> None:
    async def run() -> None:
        roots: list[Cid] = []

        async def add() -> None:
            roots.append(await store.add_path(folder))

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(add)
        assert len(set(roots)) == 1
        assert await store.missing(roots[0]) == []

    trio.run(run)


def test_checkout_overwrites_nothing(store: DiskBlobs, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"mine")
    (tmp_path / "dead").symlink_to(tmp_path / "elsewhere")

    async def run() -> None:
        for root in (await store.add(b"new"), await store.add_path(folder)):
            for target in (folder, tmp_path / "here", tmp_path / "dead", tmp_path / "no" / "where"):
                with pytest.raises(BadInput):
                    await store.checkout(root, target)

    trio.run(run)
    assert (tmp_path / "here").read_bytes() == b"mine"
    assert (folder / "a.csv").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_a_checkout_that_fails_leaves_nothing(store: DiskBlobs, folder: Path, tmp_path: Path) -> None:
    async def run() -> None:
        root = await store.add_path(folder)
        for bounds in ({"max_bytes": 100}, {"max_entries": 1}):
            with pytest.raises(BadInput):
                await store.checkout(root, tmp_path / "out", **bounds)
            assert not (tmp_path / "out").exists()
        part = Cid.of(b"".join(content("b", CHUNK))[:CHUNK])
        next(path for path in stored(tmp_path / "blobs") if path.name == str(part)).unlink()
        for cid in (root, (await store.entries(root, "sub"))[0].cid):
            with pytest.raises(NotFound):
                await store.checkout(cid, tmp_path / "out")
            assert not (tmp_path / "out").exists()

    trio.run(run)


@pytest.mark.parametrize("name", ["../evil", "..", "/tmp/evil", "a/b", ""])
def test_a_name_from_a_peer_never_leaves_the_target(name: str, store: DiskBlobs, tmp_path: Path) -> None:
    async def run() -> None:
        child = await store.add(b"evil")
        root, data = cid_of_folder([(name, child)])
        await store.put_nodes([(root, data)])
        with pytest.raises(VerificationFailed):
            await store.checkout(root, tmp_path / "out")

    trio.run(run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs"]


def test_a_small_tree_that_unfolds_without_end_is_held_to_its_bounds(store: DiskBlobs, tmp_path: Path) -> None:
    """Sixty folders, each holding the one below twice, would be 2**60 on disk."""

    async def run() -> None:
        cid = await store.add(b"x")
        for _ in range(60):
            cid, data = cid_of_folder([("a", cid), ("b", cid)])
            await store.put_nodes([(cid, data)])
        with pytest.raises(BadInput):
            await store.checkout(cid, tmp_path / "out", max_entries=500)
        assert len(await names(store, cid)) == 61
        for _ in range(10):
            cid, data = cid_of_folder([("a", cid)])
            await store.put_nodes([(cid, data)])
        with pytest.raises(VerificationFailed):
            await store.checkout(cid, tmp_path / "out")

    trio.run(run)
    assert not (tmp_path / "out").exists()


def test_a_store_that_cannot_be_read_says_so(store: DiskBlobs, tmp_path: Path) -> None:
    cid = trio.run(store.add, b"x")
    (path,) = stored(tmp_path / "blobs")
    path.unlink()
    path.mkdir()
    with pytest.raises(ComityError, match="could not be read"):
        trio.run(store.node, cid)
    shutil.rmtree(path)
