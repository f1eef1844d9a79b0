"""The sandbox: it gives what every runner gives, and what is its own. If that fails, a stranger's code gets out."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from catalog.cid import Cid
from catalog.error import BadInput
from node.execute.account import is_separate
from node.execute.discard import discard
from node.execute.root import check_place
from node.execute.sandbox import Sandbox
from node.step import Ending, Environment, Exit, Job, Limits, Mount
from tests.runners.conformance import Conformance
from tests.runners.subject import Subject, processes_with

ROOT = Path(__file__).parents[3]
SMALL = Limits(wall_seconds=30, memory_bytes=128 << 20, processes=16, output_bytes=1 << 20, output_files=100)


@pytest.fixture
def subject() -> Subject:
    return Subject(Sandbox(), "from node.execute.sandbox import Sandbox; runner = Sandbox()")


class TestSandbox(Conformance):
    """What all runners give."""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def run(job: Job) -> Exit:
    return trio.run(Sandbox().run, job)


def python(work: Path, script: str, *arguments: str, mounts: Sequence[Mount] = (), limits: Limits = SMALL) -> Exit:
    argv = ("python3", "-c", textwrap.dedent(script), *arguments)
    return run(Job(argv, work, tuple(mounts), limits=limits))


def shell(
    work: Path, script: str, *, limits: Limits = SMALL, stdout: str | None = None, stderr: str | None = None
) -> Exit:
    return run(Job(("sh", "-c", script), work, stdout=stdout, stderr=stderr, limits=limits))


def test_it_says_what_it_is_and_what_it_cannot_give() -> None:
    """Lost: an operator takes watched limits for the kernel's, or a step's user for another than the node's."""
    told = trio.run(Sandbox().describe)
    assert (told.name, told.version.partition(" ")[0]) == ("sandbox", "bubblewrap")
    assert any("watched" in line for line in told.lacks)
    assert any("the node's own user" in line for line in told.lacks) is not is_separate()


def test_where_user_namespaces_are_forbidden_nothing_runs_and_the_mend_is_named(tmp_path: Path) -> None:
    """Lost: on such a machine a step would run unprotected, or the operator would not learn what to change."""
    script = """
        import sys, trio
        from pathlib import Path
        from catalog.error import Denied
        from node.execute.sandbox import Sandbox
        from node.step import Job

        work = Path(sys.argv[1])
        job = Job(("sh", "-c", "echo ran > ran"), work)
        for attempt in (lambda: trio.run(Sandbox().probe), lambda: trio.run(Sandbox().run, job)):
            try:
                attempt()
            except Denied as error:
                print(error)
    """
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    command = ["unshare", "-Ur", "sh", "-c", forbid, "sh", sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert all("sysctl user.max_user_namespaces" in line for line in said)
    assert list(tmp_path.iterdir()) == []


def test_user_capabilities_privileges_and_namespaces_are_a_strangers(work: Path) -> None:
    """Lost: a step starts its way out with rights that it should not have."""
    script = """
        import ctypes, json, os
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        json.dump({
            "ids": [os.getuid(), os.getgid(), os.geteuid()],
            "capabilities": sum(int(status[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
            "no_new_privileges": int(status["NoNewPrivs"]),
            "divided": [ctypes.CDLL(None).unshare(flag) == 0 for flag in (0x10000000, 0x00020000, 0x40000000)],
            "processes": sorted(name for name in os.listdir("/proc") if name.isdigit()),
            "files": sorted(os.listdir("/proc/self/fd")),
            "first": sorted(os.readlink(f"/proc/1/fd/{fd}").partition(":")[0] for fd in os.listdir("/proc/1/fd")),
            "session": os.getsid(0) == os.getsid(os.getppid()) != 0,
        }, open("found", "w"))
    """
    assert python(work, script).code == 0
    found = json.loads((work / "found").read_text())
    assert found["ids"] == [65534] * 3
    assert found["capabilities"] == 0
    assert found["no_new_privileges"] == 1
    assert found["divided"] == [False] * 3
    assert found["processes"] == ["1", "2"]
    # The three standard streams, and the listing itself.
    assert found["files"] == ["0", "1", "2", "3"]
    # A folder of the host among them would be the host.
    assert set(found["first"]) <= {"pipe", "anon_inode"}
    assert found["session"]


def test_a_work_folder_goes_by_the_name_that_its_command_has_for_it(work: Path) -> None:
    """Lost: commands that were written for an image, which have the name of its folder in them."""
    script = "pwd > /some/place/found; echo $HOME >> found; ls / >> found"
    assert run(Job(("sh", "-c", script), work, limits=SMALL, place="/some/place")).code == 0
    found = (work / "found").read_text().split()
    assert found[:2] == ["/some/place"] * 2
    assert "work" not in found


@pytest.mark.parametrize(
    "place",
    [
        *("/", "//", "", ".", "relative", "../up", "/a/../../b", "/a/", "/work/below", "/workshop/.."),
        *("/proc", "/proc/self", "/usr", "/usr/local/lib", "/tmp", "/tmp/a", "/dev/shm", "/etc", "/sys", "/lib64"),
        *("/opt", "/opt/bin", "/inputs", "/inputs/0", "/inputs/0/scan", "/data", "/data/in/it", "/.comity"),
        *("/a\0b", "/a\nb", "/\ud800", "/" + "x" * 5_000, "/x" * 2_500, "/" + "x" * 256, "/\u202ex"),
    ],
)
def test_a_work_folder_covers_nothing_that_a_step_has(work: Path, tmp_path: Path, place: str) -> None:
    """Lost: what strangers call their folder takes the place of /proc, of programs, or of what was to be read alone."""
    data = tmp_path / "scan"
    data.write_text("a\n")
    job = Job(("touch", "ran"), work, (Mount(data, "/data/in"),), limits=SMALL, place=place)
    with pytest.raises(BadInput, match="the work folder cannot be «") as refused:
        run(job)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300
    assert not any(work.iterdir())


def test_a_work_folder_covers_nothing_of_its_environment(work: Path, tmp_path: Path) -> None:
    """Lost: likewise, of what a block brings."""
    folder = tmp_path / "environment"
    (folder / "srv" / "model").mkdir(parents=True)
    environment = Environment(Cid.of(b""), folder, {"models": "srv/model"}, {})
    for place in ("/srv", "/srv/model", "/srv/model/new", "/models"):
        with pytest.raises(BadInput, match="the work folder cannot be «"):
            check_place(Job(("true",), work, environment=environment, place=place))
    check_place(Job(("true",), work, environment=environment, place="/service"))


@pytest.mark.parametrize("target", ["/a\0b", "/" + "x" * 5_000, "/x" * 2_500, "/a/..", "a", ""])
def test_what_a_step_is_shown_has_a_name_that_the_kernel_takes(work: Path, tmp_path: Path, target: str) -> None:
    """Lost: a name that a stranger wrote ends more than its step."""
    with pytest.raises(BadInput, match="is not a plain absolute path"):
        run(Job(("true",), work, (Mount(tmp_path, target),), limits=SMALL))


def test_a_work_folder_is_removed_however_deep(work: Path) -> None:
    """Lost: a step that nests a few thousand folders leaves its data on the disk for good."""
    script = """
        import os
        for depth in range(3000):
            os.mkdir(".0")
            os.symlink("/", "link")
            os.chdir(".0")
    """
    assert python(work, script).ending is Ending.OUT_OF_LIMITS
    discard(work)
    assert not work.exists()


def test_cancelling_at_once_leaves_no_process(work: Path) -> None:
    """Lost: a step that is cancelled while its sandbox is being made starts afterwards."""
    marker = secrets.token_hex(8)

    async def main() -> None:
        for _ in range(5):
            for checkpoints in range(12):
                with trio.CancelScope() as scope:

                    async def cancel_after(count: int = checkpoints, scope: trio.CancelScope = scope) -> None:
                        for _ in range(count):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()

                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(cancel_after)
                        await Sandbox().run(Job(("sh", "-c", f"sleep 600; : {marker}"), work))
                assert scope.cancelled_caught

    trio.run(main)
    assert processes_with(marker) == []


def test_a_step_that_does_not_read_its_input_still_ends(work: Path, tmp_path: Path) -> None:
    """Lost: the node waits for ever to write to a step that has gone."""
    data = tmp_path / "big"
    data.write_bytes(bytes(3_000_000))
    assert run(Job(("true",), work, (Mount(data, "/inputs/big"),), stdin="/inputs/big")).code == 0


def test_no_descriptor_is_left_open(work: Path) -> None:
    """Lost: a node stops after some thousand steps."""

    async def main() -> int:
        await Sandbox().run(Job(("true",), work))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            await Sandbox().run(Job(("true",), work))
            await Sandbox().run(Job(("no-such-command",), work))
            with trio.move_on_after(0.05):
                await Sandbox().run(Job(("sleep", "600"), work))
        return len(os.listdir("/proc/self/fd")) - before

    assert trio.run(main) == 0


def test_what_a_killed_node_left_waiting_is_ended_at_the_next_start_and_nothing_else(tmp_path):
    """Lost: a sandbox that waits for ever for its limits, with the data mounted, after its node was killed."""
    ours = subprocess.Popen(["sleep", "600"], env={"COMITY_WORK": f"{tmp_path}/ours/run/work"})
    others = subprocess.Popen(["sleep", "600"], env={"COMITY_WORK": f"{tmp_path}/ours-not/run/work"})
    try:
        assert trio.run(Sandbox().recover, tmp_path / "ours") == 1
        assert ours.wait(10) == -signal.SIGKILL
        assert others.poll() is None
    finally:
        for process in (ours, others):
            process.kill()
            process.wait()


def test_a_step_that_fills_the_disk_with_files_of_no_name_is_ended(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the room for everybody's results and the node's own logs, to what no folder shows."""
    statvfs, found = os.statvfs, os.statvfs(work)
    full = SimpleNamespace(f_blocks=found.f_blocks, f_frsize=found.f_frsize, f_bavail=1)
    script = """
        import os, time
        held = os.open("held", os.O_CREAT | os.O_WRONLY)
        os.unlink("held")
        os.write(held, b"x" * 1000)
        time.sleep(30)
    """

    seen = iter([found, *[full] * 1000])  # it was not so when the step began
    monkeypatch.setattr(os, "statvfs", lambda place: next(seen) if place == work else statvfs(place))
    done = python(work, script)
    assert done.ending is Ending.OUT_OF_LIMITS
    assert done.reason.startswith("room on the disk where steps are staged: less than ")
