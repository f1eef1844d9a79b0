"""Each guarantee of the sandbox, tried from inside by a real step. If one fails, a stranger's code gets out."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from catalog.error import BadInput, ComityError
from node.execute.account import is_separate
from node.execute.quota import MOST_DEPTH, discard
from node.execute.sandbox import Sandbox
from node.step import Ending, Exit, Job, Limits, Mount

ROOT = Path(__file__).parents[3]
SMALL = Limits(wall_seconds=30, memory_bytes=128 << 20, processes=16, output_bytes=1 << 20, output_files=100)


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


def processes_with(marker: str) -> list[str]:
    """Host processes whose command line holds ``marker``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def test_the_probe_passes_where_a_sandbox_can_be_made() -> None:
    """Lost: a node that could run steps refuses them."""
    trio.run(Sandbox().probe)


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


def test_no_network_not_even_the_hosts_loopback_or_abstract_sockets(work: Path) -> None:
    """Lost: data leaves by a socket."""
    script = """
        import json, socket, sys
        def tries(family, address):
            try:
                with socket.socket(family, socket.SOCK_STREAM) as end:
                    end.settimeout(5)
                    end.connect(address)
            except OSError:
                return False
            return True
        json.dump([tries(socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))), tries(socket.AF_UNIX, "\\0" + sys.argv[2])],
                  open("reached", "w"))
    """
    name = secrets.token_hex(8)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as local:
        local.bind(f"\0{name}")
        local.listen()
        assert python(work, script, str(tcp.getsockname()[1]), name).code == 0
    assert json.loads((work / "reached").read_text()) == [False, False]


def test_a_host_file_cannot_be_read_by_name_by_link_or_through_proc(work: Path, tmp_path: Path) -> None:
    """Lost: a step reads the node's key, or another hospital's data."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    script = f"""
        ln -s {secret} link
        cat {secret} link /proc/1/root{secret} /proc/self/root{secret} /proc/1/cwd{secret} /work/../{secret} > got
        ls /root /home /var /run /srv /boot >> got
        true
    """
    assert shell(work, script).code == 0
    assert (work / "got").read_text() == ""


def test_the_root_is_read_only_and_so_are_mounts_and_the_kernels_settings(work: Path, tmp_path: Path) -> None:
    """Lost: a step changes programs, inputs, or (under a root node) the host's kernel."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "table").write_text("1")
    script = """
        for path in /x /usr/x /etc/x /opt/x /dev/x /proc/x /inputs/x /inputs/d/x /inputs/d/table; do
            (echo x > $path) && echo $path
        done
        for path in /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness; do
            value=$(cat $path); (echo "$value" > $path) && echo $path
        done
        chmod 777 /inputs/d/table && echo chmod
        mount -t tmpfs none /usr && echo mount
        true
    """
    job = Job(("sh", "-c", script), work, (Mount(data, "/inputs/d"),), stdout="written", limits=SMALL)
    assert run(job).code == 0
    assert (work / "written").read_text() == ""
    assert (data / "table").read_text() == "1"


def test_the_hosts_devices_cannot_be_altered(work: Path) -> None:
    """Lost: under a root node a step takes /dev/null away from the whole host."""
    before = Path("/dev/null").stat()
    assert shell(work, "echo x > /dev/null && head -c 8 /dev/urandom > random && chmod 0 /dev/null; true").code == 0
    after = Path("/dev/null").stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)
    assert (work / "random").stat().st_size == 8


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


def test_the_environment_is_the_jobs_alone(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a secret in the node's environment reaches a step, or a loader variable works outside the sandbox."""
    monkeypatch.setenv("COMITY_SECRET", "s3cret")
    job = Job(("env",), work, variables={"STEP": "a=b c", "LD_PRELOAD": "/nowhere.so"}, stdout="found", limits=SMALL)
    assert run(job).code == 0
    found = dict(line.split("=", 1) for line in (work / "found").read_text().splitlines())
    assert found.pop("STEP") == "a=b c"
    assert found.pop("LD_PRELOAD") == "/nowhere.so"
    assert found == {
        "HOME": "/work",
        "LANG": "C.UTF-8",
        "PATH": "/opt/bin",
        "PWD": "/work",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "TMPDIR": "/tmp",
    }


def test_python_is_the_base_interpreter_without_any_site_package(work: Path) -> None:
    """Lost: a block works at one site for what that site happens to have installed."""
    script = """
        import json, sqlite3, ssl, ctypes, csv, sys, os
        try:
            import trio
        except ModuleNotFoundError:
            trio = None
        packages = [name for folder in sys.path if folder.endswith("-packages") and os.path.isdir(folder)
                    for name in os.listdir(folder)]
        json.dump([list(sys.version_info[:3]), trio is None, packages], open("found", "w"))
    """
    done = python(work, script)
    assert done.code == 0, done.errors
    assert json.loads((work / "found").read_text()) == [list(sys.version_info[:3]), True, []]


def test_more_processes_than_allowed_are_never_left_running(work: Path) -> None:
    """Lost: a fork bomb takes the hospital's machine down. (For a root node the kernel has no such limit: we watch.)"""
    script = """
        import os, time
        for count in range(2000):
            try:
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
            except BlockingIOError:
                raise SystemExit(f"refused after {count}")
        time.sleep(600)
    """
    done = python(work, script)
    if done.ending is Ending.EXITED:
        assert f"refused after {SMALL.processes - 1}" in done.errors.decode()
    else:
        assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, "processes: more than 16")


def test_a_fork_bomb_leaves_nothing(work: Path) -> None:
    """Lost: the run never returns, or processes outlive it."""
    marker = f"600.{secrets.randbits(64)}"
    script = f"bomb() {{ sleep {marker} & bomb | bomb & }}; bomb; sleep {marker}"
    assert shell(work, script, limits=Limits(1, processes=32)).code != 0
    assert processes_with(marker) == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("bytearray(64 << 30)", id="asked for at once"),
        pytest.param(
            "import time; kept = []\nwhile True: kept.append(b'x' * (1 << 20)); time.sleep(0.0005)", id="bit by bit"
        ),
        pytest.param(
            "import os, time; os.fork() and os.fork(); kept = b'x' * (60 << 20); time.sleep(600)",
            id="by several processes together",
        ),
    ],
)
def test_too_much_memory_is_ended_and_named(work: Path, script: str) -> None:
    """Lost: one step starves the others, or its author is not told why it ended."""
    done = run(Job(("python3", "-c", script), work, limits=SMALL))
    assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, f"memory: more than {128 << 20} bytes")


def test_memory_shared_by_forked_processes_counts_once(work: Path) -> None:
    """Lost: a step that loads its data and then forks workers is ended though it keeps its limit."""
    script = """
        import os, time
        kept = b"x" * (70 << 20)
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                time.sleep(0.3)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
    """
    done = python(work, script)
    assert (done.ending, done.code) == (Ending.EXITED, 0), done.reason
    assert done.usage.peak_bytes > 70 << 20


def test_wall_time_ends_a_step_with_its_children_and_is_named(work: Path) -> None:
    """Lost: a step that hangs holds its place for ever."""
    marker = f"600.{secrets.randbits(64)}"
    done = shell(work, f"sleep {marker} & sleep {marker}", limits=Limits(wall_seconds=0.3))
    assert (done.ending, done.reason) == (Ending.TIMED_OUT, "wall time: more than 0.3 seconds")
    assert processes_with(marker) == []


def test_processor_time_is_counted_over_all_processes_and_named(work: Path) -> None:
    """Lost: a step escapes its limit by forking, each child staying below it."""
    script = """
        import os, time
        for _ in range(3):
            if os.fork() == 0:
                while time.process_time() < 0.6:
                    pass
                os._exit(0)
            os.wait()
        """
    done = python(work, script, limits=Limits(30, cpu_seconds=1))
    assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, "CPU: more than 1 seconds")
    assert done.usage.cpu_seconds > 0.9


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("head -c 3000000 /dev/zero > big", "output bytes: more than 1048576"),
        ("for n in 1 2 3; do head -c 500000 /dev/zero > $n; done", "output bytes: more than 1048576"),
        ("python3 -c \"open('sparse', 'wb').truncate(1 << 40)\"; true", ""),
        ("head -c 100 /dev/zero > small; mkdir d; i=0; while [ $i -lt 99 ]; do i=$((i+1)); : > d/$i; done", "files"),
        ("mkdir h; head -c 900000 /dev/zero > h/a; head -c 900000 /dev/zero > h/b; chmod 0 h", "output bytes"),
        (f"i=0; while [ $i -le {MOST_DEPTH + 1} ]; do i=$((i+1)); mkdir d; cd d; done", "output depth"),
        ("head -c 1000000 /dev/zero > right; mkdir a b c", ""),
    ],
)
def test_the_output_quota_holds_however_the_output_is_made(work: Path, script: str, reason: str) -> None:
    """Lost: a step fills the site's disk."""
    done = shell(work, script)
    assert done.ending is (Ending.OUT_OF_LIMITS if reason else Ending.EXITED), done
    assert reason in done.reason


def test_a_step_that_writes_for_ever_is_ended_while_it_runs(work: Path) -> None:
    """Lost: the quota is only looked at when the disk is full."""
    script = "i=0; while :; do i=$((i+1)); head -c 500000 /dev/zero > $((i % 10)); done"
    done = shell(work, script, limits=Limits(30, output_bytes=1 << 20))
    assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, "output bytes: more than 1048576")


def test_modes_are_settled_after_the_run(work: Path) -> None:
    """Lost: a set-user-id program of the step stays on the host; or a closed folder cannot be collected or removed."""
    assert shell(work, "cp /bin/true run; chmod 6777 run; mkdir shut; echo x > shut/x; chmod 0 shut/x shut .").code == 0
    assert stat.S_IMODE((work / "run").stat().st_mode) == 0o600
    assert stat.S_IMODE((work / "shut").stat().st_mode) == 0o700
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    shutil.rmtree(work)


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


def test_cancelling_leaves_no_process(work: Path) -> None:
    """Lost: `cancel` and `halt` say that it ended, and it goes on."""
    marker = secrets.token_hex(8)
    script = f"(setsid sh -c 'trap \"\" TERM INT HUP; sleep 600; : {marker}') & echo x > ready; sleep 600; : {marker}"

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Sandbox().run, Job(("sh", "-c", script), work))
            while not await trio.Path(work, "ready").exists():  # noqa: ASYNC110 - the step cannot wake us: it has no way
                await trio.sleep(0.005)
            assert processes_with(marker)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert processes_with(marker) == []


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


def test_what_a_step_leaves_behind_ends_with_it(work: Path) -> None:
    """Lost: a background process writes into outputs that are already being collected."""
    marker = secrets.token_hex(8)
    done = shell(work, f"(setsid sh -c 'sleep 600; : {marker}' >/dev/null 2>&1) & exit 3")
    assert (done.ending, done.code) == (Ending.EXITED, 3)
    assert processes_with(marker) == []


def test_streams_go_where_the_job_says(work: Path, tmp_path: Path) -> None:
    """Lost: CWL's stdin, stdout and stderr."""
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    content = os.urandom(3_000_000)
    (data / "sub" / "in.bin").write_bytes(content)
    job = Job(
        ("sh", "-c", "cat; echo oops > /dev/stderr"),
        work,
        (Mount(data, "/inputs/0"),),
        stdin="/inputs/0/sub/in.bin",
        stdout="deep/out.bin",
        stderr="err.txt",
    )
    done = run(job)
    assert (done.code, done.errors) == (0, b"oops\n")
    assert (work / "deep" / "out.bin").read_bytes() == content
    assert (work / "err.txt").read_text() == "oops\n"


def test_standard_input_cannot_be_opened_again_for_writing(work: Path, tmp_path: Path) -> None:
    """Lost: a step changes a resident dataset through /proc/self/fd/0, past the read-only mount."""
    data = tmp_path / "table.csv"
    data.write_text("1,2\n")
    script = "(echo x >> /proc/self/fd/0); chmod 777 /proc/self/fd/0; cat > got; true"
    job = Job(("sh", "-c", script), work, (Mount(data, "/inputs/t.csv"),), stdin="/inputs/t.csv", limits=Limits(2))
    before = data.stat().st_mode
    run(job)
    assert (data.read_text(), data.stat().st_mode) == ("1,2\n", before)


def test_a_step_that_does_not_read_its_input_still_ends(work: Path, tmp_path: Path) -> None:
    """Lost: the node waits for ever to write to a step that has gone."""
    data = tmp_path / "big"
    data.write_bytes(bytes(3_000_000))
    assert run(Job(("true",), work, (Mount(data, "/inputs/big"),), stdin="/inputs/big")).code == 0


@pytest.mark.parametrize(
    "name", ["/inputs/d/link", "/inputs/d/away/passwd", "/inputs/d/pipe", "/etc/passwd", "/inputs/x"]
)
def test_standard_input_is_a_regular_file_below_a_mount(work: Path, tmp_path: Path, name: str) -> None:
    """Lost: a block's `stdin` reads a file of the host."""
    data = tmp_path / "d"
    data.mkdir()
    (data / "link").symlink_to("/etc/passwd")
    (data / "away").symlink_to("/etc")
    os.mkfifo(data / "pipe")
    with pytest.raises(ComityError, match=r"link|regular file|no «x»"):
        run(Job(("cat",), work, (Mount(data, "/inputs/d"),), stdin=name, stdout="got"))
    assert not (work / "got").exists()


def test_floods_on_both_streams_neither_block_the_step_nor_fill_the_node(work: Path) -> None:
    """Lost: a talkative step hangs, or the node keeps its chatter in memory."""
    done = shell(work, "head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2; printf end >&2")
    assert (done.ending, done.code) == (Ending.EXITED, 0)
    assert done.errors == bytes(4093) + b"end"


def test_a_flood_into_a_named_file_is_cut_off_and_named(work: Path) -> None:
    """Lost: standard output escapes the quota."""
    done = shell(work, "exec cat /dev/zero", stdout="out")
    assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, "output bytes: more than 1048576")
    assert (work / "out").stat().st_size <= (1 << 20) + 1


def test_a_stream_file_that_the_step_replaces_by_a_link_shows_nothing_else(work: Path, tmp_path: Path) -> None:
    """Lost: the end of a host file appears as the step's standard error."""
    (tmp_path / "secret").write_text("s3cret")
    done = shell(work, f"echo mine >&2; rm err; ln -s {tmp_path}/secret err", stderr="err")
    assert done.errors == b"mine\n"


def test_unusual_names_pass_through(work: Path, tmp_path: Path) -> None:
    """Lost: a patient file called «-rf $(x) ü\\n» breaks the run, or runs something."""
    name = "-rf $(touch pwned) 'ü\" \n"
    (tmp_path / name).write_text("in")
    target = f"/inputs/{name}"
    done = run(Job(("cp", "--", target, f"/work/{name}"), work, (Mount(tmp_path / name, target),)))
    assert done.code == 0, done.errors
    assert [entry.name for entry in work.iterdir()] == [name]


def test_exit_codes_signals_and_missing_commands_are_told_apart(work: Path) -> None:
    """Lost: a failed step is taken for a good one."""
    assert shell(work, "echo x > /dev/stdout && echo x > /dev/stderr && exit 42").code == 42
    assert shell(work, "kill -SEGV $$").code == 139
    done = run(Job(("no-such-command",), work))
    assert (done.ending, done.code) == (Ending.EXITED, 127)


USR = Path("/usr")
JOB = Job(("touch", "ran"), Path())


@pytest.mark.parametrize(
    "job",
    [
        replace(JOB, argv=()),
        replace(JOB, argv=("a\0b",)),
        replace(JOB, argv=("touch", "x" * 200_000)),
        replace(JOB, mounts=(Mount(USR, "inputs"),)),
        replace(JOB, mounts=(Mount(USR, "/inputs/../etc"),)),
        replace(JOB, mounts=(Mount(USR, "/"),)),
        replace(JOB, mounts=(Mount(USR, "/proc/1"),)),
        replace(JOB, mounts=(Mount(USR, "/work/x"),)),
        replace(JOB, mounts=(Mount(Path("/nowhere"), "/inputs/x"),)),
        replace(JOB, mounts=(Mount(USR, "/inputs/x"), Mount(Path("/etc"), "/inputs/x"))),
        replace(JOB, mounts=tuple(Mount(USR, f"/inputs/{number}") for number in range(3000))),
        replace(JOB, stdout="../out"),
        replace(JOB, stdout="/out"),
        replace(JOB, stderr="a\nb"),
        replace(JOB, variables={"A=B": "x"}),
    ],
)
def test_a_job_that_cannot_be_run_as_written_is_refused_before_anything_runs(work: Path, job: Job) -> None:
    """Lost: a mount that covers the root, or an output outside the work folder."""
    with pytest.raises(BadInput):
        run(replace(job, work=work))
    assert list(work.iterdir()) == []


def test_what_was_prepared_in_the_work_folder_is_the_steps_own(work: Path) -> None:
    """Lost: CWL's InitialWorkDirRequirement: a step cannot change the files that it asked to be writable."""
    (work / "d").mkdir()
    (work / "d" / "config").write_text("a\n")
    (work / "d" / "config").chmod(0o600)
    assert shell(work, "echo b >> d/config && mv d/config e").code == 0
    assert (work / "e").read_text() == "a\nb\n"


def test_an_output_is_not_written_through_what_lies_in_the_work_folder(work: Path, tmp_path: Path) -> None:
    """Lost: a prepared link turns a step's standard output into a write anywhere on the host."""
    (work / "away").symlink_to(tmp_path)
    (work / "link").symlink_to(tmp_path / "new")
    for name in ("away/new", "link"):
        with pytest.raises(BadInput, match="output"):
            run(Job(("true",), work, stdout=name))
    assert not (tmp_path / "new").exists()


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
