"""What every runner gives a step and takes from it: one test each, run on all of them with the real daemons.

A runner is added by a file that makes a :class:`tests.runners.subject.Subject` and a class that inherits these tests.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from catalog.error import BadInput, ComityError
from node.execute.collect import read_listing
from node.execute.inside.weigh import MOST_DEPTH
from node.step import Ending, Job, Limits, Mount
from tests.runners.subject import SMALL, SUCCEEDS, Subject, processes_with

ROOT = Path(__file__).parents[2]
GUARANTEES: list[str] = []
WAIT_SECONDS = 60
T = TypeVar("T", bound=Callable[..., Any])


def guarantee(name: str) -> Callable[[T], T]:
    """Marks a test of a guarantee, which is a row of the table."""
    if name not in GUARANTEES:
        GUARANTEES.append(name)

    def mark(test: T) -> T:
        test.guarantee = name  # type: ignore[attr-defined]
        return test

    return mark


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not look():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS} s"
        time.sleep(0.02)


SCRIPT = textwrap.dedent
USR = Path("/usr")
JOB = Job(("touch", "ran"), Path())


class Conformance:
    """The tests. ``subject`` is a fixture of whoever inherits them."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        folder = tmp_path / "steps" / "one"
        folder.mkdir(parents=True)
        return folder

    @pytest.fixture
    def work(self, place: Path) -> Path:
        folder = place / "left" / "work"
        folder.mkdir(parents=True)
        return folder

    @guarantee("shows its isolation")
    def test_the_probe_passes(self, subject: Subject) -> None:
        """Lost: a node that could run steps refuses them."""
        trio.run(subject.runner.probe)

    # --- what a step is given, and what is taken from it ---------------------------------------------------------

    @guarantee("exit codes, signals, missing commands")
    @pytest.mark.parametrize(
        ("command", "code"),
        [(("sh", "-c", "exit 42"), 42), (("sh", "-c", "kill -SEGV $$"), 139), (("no-such-command",), 127)],
        ids=["a code", "a signal", "missing"],
    )
    def test_exit_codes_are_told_apart(self, subject: Subject, work: Path, command: tuple[str, ...], code: int) -> None:
        """Lost: a failed step is taken for a good one."""
        done = subject.run(Job(command, work, limits=SMALL, succeeds=SUCCEEDS))
        assert (done.ending, done.code, done.left) == (Ending.EXITED, code, None)

    @guarantee("files in and out")
    def test_files_go_in_and_come_out_and_are_listed(self, subject: Subject, work: Path, place: Path) -> None:
        """Lost: what all of this is for."""
        data = place / "data"
        (data / "deep").mkdir(parents=True)
        (data / "deep" / "in").write_bytes(content := os.urandom(100_000))
        mounts = (Mount(data, "/inputs/0"), Mount(data / "deep" / "in", "/inputs/1/alone"))
        script = (
            "mkdir -p out/empty && cp /inputs/0/deep/in out/a && cp /inputs/1/alone b && ln -s b link && ln b twice"
        )
        done = subject.run(Job(("sh", "-c", script), work, mounts, limits=SMALL, succeeds=SUCCEEDS))
        assert (done.ending, done.code) == (Ending.EXITED, 0), done
        assert (work / "out" / "a").read_bytes() == content
        assert (work / "b").read_bytes() == content
        assert done.left is not None
        top = read_listing(done.left).below
        assert {name: (each.kind, each.links) for name, each in top.items() if each.kind != b"d"} == {
            "b": (b"f", 2),
            "twice": (b"f", 2),
            "link": (b"l", 1),
        }
        assert {name: each.size for name, each in top["out"].below.items() if each.kind == b"f"} == {"a": 100_000}

    @guarantee("files in and out")
    def test_what_was_prepared_in_the_work_folder_is_the_steps_own(self, subject: Subject, work: Path) -> None:
        """Lost: CWL's InitialWorkDirRequirement: a step cannot change the files that it asked to be writable."""
        (work / "d").mkdir()
        (work / "d" / "config").write_text("a\n")
        (work / "d" / "config").chmod(0o600)
        assert subject.shell(work, "echo b >> d/config && mv d/config e").code == 0
        assert (work / "e").read_text() == "a\nb\n"

    @guarantee("files in and out")
    def test_modes_are_settled_after_the_run(self, subject: Subject, work: Path) -> None:
        """Lost: a set-user-id program of the step stays on the host; or a closed folder cannot be collected."""
        script = "cp /bin/true run; chmod 6777 run; mkdir shut; echo x > shut/x; chmod 0 shut/x shut .; exit 0"
        done = subject.shell(work, script)
        assert (done.ending, done.code) == (Ending.EXITED, 0), done
        modes = [stat.S_IMODE((work / name).stat().st_mode) for name in ("run", "shut", "shut/x")]
        assert modes == [0o600, 0o700, 0o600]

    @guarantee("standard streams")
    def test_streams_go_where_the_job_says(self, subject: Subject, work: Path, place: Path) -> None:
        """Lost: CWL's stdin, stdout and stderr."""
        data = place / "data"
        data.mkdir()
        (data / "in.bin").write_bytes(content := os.urandom(3_000_000))
        command = ("sh", "-c", "cat; echo oops > /dev/stderr")
        job = Job(command, work, (Mount(data, "/inputs/0"),), stdin="/inputs/0/in.bin", succeeds=SUCCEEDS)
        done = subject.run(replace(job, stdout="deep/out.bin", stderr="err.txt"))
        assert (done.code, done.errors) == (0, b"oops\n")
        assert (work / "deep" / "out.bin").read_bytes() == content
        assert (work / "err.txt").read_text() == "oops\n"

    @guarantee("standard streams")
    def test_standard_input_cannot_be_written_to(self, subject: Subject, work: Path, place: Path) -> None:
        """Lost: a step changes a resident dataset through /proc/self/fd/0, past the read-only mount."""
        (place / "table").write_text("1,2\n")
        script = "(echo x >> /proc/self/fd/0); chmod 777 /proc/self/fd/0; cat > got; true"
        job = Job(("sh", "-c", script), work, (Mount(place / "table", "/inputs/t"),), stdin="/inputs/t", limits=SMALL)
        before = (place / "table").stat().st_mode
        subject.run(replace(job, limits=replace(SMALL, wall_seconds=2)))
        assert ((place / "table").read_text(), (place / "table").stat().st_mode) == ("1,2\n", before)

    @guarantee("standard streams")
    def test_a_step_without_input_finds_its_end(self, subject: Subject, work: Path) -> None:
        """Lost: a tool that reads standard input by default waits for ever."""
        assert subject.shell(work, "cat > got").code == 0

    @guarantee("environment variables")
    def test_the_variables_are_the_jobs_alone(
        self, subject: Subject, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Lost: a secret in the node's environment reaches a step, or a cluster tells it where its API server is."""
        monkeypatch.setenv("COMITY_SECRET", "s3cret")
        variables = {"STEP": "a=b c", "LD_PRELOAD": "/nowhere.so"}
        assert subject.run(Job(("env",), work, variables=variables, stdout="found", limits=SMALL)).code == 0
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

    @guarantee("working directory")
    def test_it_starts_in_its_work_folder_and_has_scratch_space_that_goes(self, subject: Subject, place: Path) -> None:
        """Lost: relative paths of tools; or one step finds what another left in /tmp."""
        script = "pwd > here && ls -A /tmp > before && echo '#!/bin/sh' > /tmp/x && chmod +x /tmp/x && /tmp/x"
        for name in ("first", "second"):
            work = place / name / "left" / "work"
            work.mkdir(parents=True)
            assert subject.shell(work, script).code == 0
            assert (work / "here").read_text() == "/work\n"
            assert (work / "before").read_text() == ""

    @guarantee("the base interpreter, without packages")
    def test_python_is_the_base_interpreter_without_any_site_package(self, subject: Subject, work: Path) -> None:
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
        done = subject.python(work, SCRIPT(script))
        assert done.code == 0, done.errors
        assert json.loads((work / "found").read_text()) == [list(sys.version_info[:3]), True, []]

    @guarantee("unusual names")
    def test_unusual_names_pass_through(self, subject: Subject, work: Path, place: Path) -> None:
        """Lost: a patient file called «-rf $(x) ü\\n» breaks the run, or runs something."""
        name = "-rf $(touch pwned) 'ü\" \n,:=\\"
        (place / name).write_text("in")
        target = f"/inputs/{name}"
        mounts = (Mount(place / name, target),)
        done = subject.run(Job(("cp", "--", target, f"/work/{name}"), work, mounts, limits=SMALL, succeeds=SUCCEEDS))
        assert done.code == 0, done.errors
        assert [entry.name for entry in work.iterdir()] == [name]
        assert done.left is not None
        assert list(read_listing(done.left).below) == [name]

    @guarantee("10,000 output files")
    def test_ten_thousand_files_come_out(self, subject: Subject, work: Path) -> None:
        """Lost: a step that splits its data by patient."""
        script = """
            import os
            for top in range(100):
                os.mkdir(f"{top}")
                for name in range(99):
                    open(f"{top}/{name}", "w").write("x")
        """
        done = subject.python(work, SCRIPT(script), limits=Limits(wall_seconds=120))
        assert (done.ending, done.code) == (Ending.EXITED, 0), done
        assert done.left is not None
        top = read_listing(done.left)
        assert sum(1 + len(each.below) for each in top.below.values()) == 10_000

    @guarantee("2 GiB of output")
    def test_two_gibibytes_come_out(self, subject: Subject, work: Path) -> None:
        """Lost: results of images and genomes."""
        size = 2 << 30
        limits = Limits(wall_seconds=300, output_bytes=size + 1)
        done = subject.shell(work, f"head -c {size} /dev/zero > big", limits)
        assert (done.ending, done.code) == (Ending.EXITED, 0), done
        assert (work / "big").stat().st_size == size

    @guarantee("a turn")
    def test_a_command_runs_within_its_turn(self, subject: Subject, work: Path) -> None:
        """Lost: more run at once than the site's operator allows."""
        seen: list[str] = []

        @asynccontextmanager
        async def turn() -> AsyncIterator[None]:
            seen.append("ran before" if (work / "ran").exists() else "not before")
            yield
            seen.append("ran within" if (work / "ran").exists() else "not within")

        trio.run(subject.runner.run, Job(("touch", "ran"), work, limits=SMALL), turn())
        assert seen == ["not before", "ran within"]

    @guarantee("many at once")
    def test_several_run_side_by_side(self, subject: Subject, place: Path) -> None:
        """Lost: one step waits for another, or they meet."""
        works = [place / str(number) / "left" / "work" for number in range(6)]
        for work in works:
            work.mkdir(parents=True)

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for work in works:
                    nursery.start_soon(subject.runner.run, Job(("sh", "-c", f"echo {work} > own"), work, limits=SMALL))

        trio.run(main)
        assert [(work / "own").read_text() for work in works] == [f"{work}\n" for work in works]

    @guarantee("usage is told")
    def test_what_it_used_is_told(self, subject: Subject, work: Path) -> None:
        """Lost: what a step is paid for."""
        script = "import time; kept = b'x' * (40 << 20)\nwhile time.process_time() < 0.4: pass"
        used = subject.python(work, script).usage
        assert used.wall_seconds >= 0.4
        assert used.cpu_seconds >= 0.3
        assert used.peak_bytes > 40 << 20

    @guarantee("refused jobs")
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
            replace(JOB, mounts=(Mount(USR, "/gate/x"),)),
            replace(JOB, mounts=(Mount(Path("/nowhere"), "/inputs/x"),)),
            replace(JOB, mounts=(Mount(USR, "/inputs/x"), Mount(Path("/etc"), "/inputs/x"))),
            replace(JOB, mounts=tuple(Mount(USR, f"/inputs/{number}") for number in range(3000))),
            replace(JOB, stdout="../out"),
            replace(JOB, stdout="/out"),
            replace(JOB, stderr="a\nb"),
            replace(JOB, stdin="/etc/passwd"),
            replace(JOB, variables={"A=B": "x"}),
        ],
        ids=lambda job: None,
    )
    def test_a_job_that_cannot_be_run_as_written_is_refused(self, subject: Subject, work: Path, job: Job) -> None:
        """Lost: a mount that covers the root, or an output outside the work folder."""
        with pytest.raises(BadInput):
            subject.run(replace(job, work=work))
        assert list(work.iterdir()) == []

    @guarantee("refused jobs")
    def test_no_stream_leads_out_of_the_work_folder_or_the_mounts(
        self, subject: Subject, work: Path, place: Path
    ) -> None:
        """Lost: a prepared link turns standard output into a write anywhere on the host, or stdin into a read."""
        data = place / "d"
        data.mkdir()
        (data / "link").symlink_to("/etc/passwd")
        (data / "away").symlink_to("/etc")
        os.mkfifo(data / "pipe")
        (work / "away").symlink_to(place)
        (work / "link").symlink_to(place / "new")
        for name in ("away/new", "link"):
            with pytest.raises(BadInput, match="output"):
                subject.run(Job(("true",), work, stdout=name))
        for name in ("link", "away/passwd", "pipe", "x"):
            with pytest.raises(ComityError):
                subject.run(Job(("cat",), work, (Mount(data, "/inputs/d"),), stdin=f"/inputs/d/{name}", stdout="got"))
        assert not (place / "new").exists()
        assert not (work / "got").exists()

    # --- limits --------------------------------------------------------------------------------------------------

    @guarantee("a limit of wall time")
    def test_wall_time_ends_a_step_with_its_children_and_is_named(self, subject: Subject, work: Path) -> None:
        """Lost: a step that hangs holds its place for ever."""
        marker = f"600.{secrets.randbits(64)}"
        done = subject.shell(work, f"sleep {marker} & sleep {marker}", replace(SMALL, wall_seconds=0.3))
        assert (done.ending, done.reason) == (Ending.TIMED_OUT, "wall time: more than 0.3 seconds")
        assert processes_with(marker) == []

    @guarantee("a limit of memory")
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
    def test_too_much_memory_is_ended_and_named(self, subject: Subject, work: Path, script: str) -> None:
        """Lost: one step starves the others, or its author is not told why it ended."""
        done = subject.python(work, script)
        assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, f"memory: more than {128 << 20} bytes")

    @guarantee("a limit of memory")
    def test_memory_shared_by_forked_processes_counts_once(self, subject: Subject, work: Path) -> None:
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
        done = subject.python(work, SCRIPT(script))
        assert (done.ending, done.code) == (Ending.EXITED, 0), done.reason
        assert done.usage.peak_bytes > 70 << 20

    @guarantee("a limit of processor time")
    def test_processor_time_is_counted_over_all_processes_and_named(self, subject: Subject, work: Path) -> None:
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
        done = subject.python(work, SCRIPT(script), limits=replace(SMALL, cpu_seconds=1))
        assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, "CPU: more than 1 seconds")
        assert done.usage.cpu_seconds > 0.9

    @guarantee("a limit of processes")
    def test_more_processes_than_allowed_are_never_left_running(self, subject: Subject, work: Path) -> None:
        """Lost: a fork bomb takes the hospital's machine down."""
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
        done = subject.python(work, SCRIPT(script))
        if done.ending is Ending.EXITED:
            assert f"refused after {SMALL.processes - 1}" in done.errors.decode()
        else:
            assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, "processes: more than 16")

    @guarantee("a limit of processes")
    def test_a_fork_bomb_leaves_nothing(self, subject: Subject, work: Path) -> None:
        """Lost: the run never returns, or processes outlive it."""
        marker = f"600.{secrets.randbits(64)}"
        script = f"bomb() {{ sleep {marker} & bomb | bomb & }}; bomb; sleep {marker}"
        assert subject.shell(work, script, Limits(2, processes=32)).code != 0
        assert processes_with(marker) == []

    @guarantee("a limit of output")
    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            ("head -c 3000000 /dev/zero > big", "output bytes: more than 1048576"),
            ("for n in 1 2 3; do head -c 500000 /dev/zero > $n; done", "output bytes: more than 1048576"),
            ("python3 -c \"open('sparse', 'wb').truncate(1 << 40)\"; true", ""),
            ("head -c 9 /dev/zero > small; mkdir d; i=0; while [ $i -lt 99 ]; do i=$((i+1)); : > d/$i; done", "files"),
            ("mkdir h; head -c 900000 /dev/zero > h/a; head -c 900000 /dev/zero > h/b; chmod 0 h", "output bytes"),
            (f"i=0; while [ $i -le {MOST_DEPTH + 1} ]; do i=$((i+1)); mkdir d; cd d; done", "output depth"),
            ("head -c 1000000 /dev/zero > right; mkdir a b c", ""),
        ],
        ids=["one file", "several", "sparse", "many", "closed", "deep", "right"],
    )
    def test_the_output_quota_holds_however_the_output_is_made(
        self, subject: Subject, work: Path, script: str, reason: str
    ) -> None:
        """Lost: a step fills the site's disk."""
        done = subject.shell(work, script)
        assert done.ending is (Ending.OUT_OF_LIMITS if reason else Ending.EXITED), done
        assert reason in done.reason

    @guarantee("a limit of output")
    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            (
                "i=0; while :; do i=$((i+1)); head -c 500000 /dev/zero > $((i % 10)); done",
                "output bytes: more than 1048576",
            ),
            ("for i in $(seq 300); do : > /tmp/$i; done; sleep 30", "files in /tmp: more than 100"),
        ],
        ids=["on the disk", "in the kernel's tables"],
    )
    def test_a_step_that_writes_for_ever_is_ended_while_it_runs(
        self, subject: Subject, work: Path, script: str, reason: str
    ) -> None:
        """Lost: the quota is only looked at when the disk is full."""
        done = subject.shell(work, script)
        assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, reason)

    @guarantee("scratch space is bounded")
    def test_temporary_folders_have_a_size(self, subject: Subject, work: Path) -> None:
        """Lost: a step fills the machine's memory by way of /tmp or /dev/shm."""
        script = (
            "for at in /tmp /dev/shm; do head -c 300000000 /dev/zero > $at/x 2>> said || echo $at >> full; done; true"
        )
        done = subject.shell(work, script)
        assert done.ending is Ending.EXITED, done
        assert (work / "full").read_text() == "/tmp\n/dev/shm\n"

    @guarantee("logs are capped")
    def test_floods_on_both_streams_neither_block_the_step_nor_fill_the_node(
        self, subject: Subject, work: Path
    ) -> None:
        """Lost: a talkative step hangs, or the node, or the cluster's log, keeps its chatter."""
        done = subject.shell(work, "head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2; printf end >&2")
        assert (done.ending, done.code) == (Ending.EXITED, 0)
        assert done.errors == bytes(4093) + b"end"

    @guarantee("logs are capped")
    def test_a_flood_into_a_named_file_is_cut_off_and_named(self, subject: Subject, work: Path) -> None:
        """Lost: standard output escapes the quota."""
        done = subject.shell(work, "exec cat /dev/zero", stdout="out")
        assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, "output bytes: more than 1048576")
        assert (work / "out").stat().st_size <= (1 << 20) + 1

    @guarantee("logs are capped")
    def test_a_stream_file_replaced_by_a_link_shows_nothing_else(
        self, subject: Subject, work: Path, place: Path
    ) -> None:
        """Lost: the end of a host file appears as the step's standard error."""
        (place / "secret").write_text("s3cret")
        script = f"echo mine >&2; rm err; ln -s {place}/secret err"
        done = subject.run(Job(("sh", "-c", script), work, stderr="err", limits=SMALL))
        assert done.errors == b"mine\n"

    # --- isolation -----------------------------------------------------------------------------------------------

    @guarantee("no network")
    def test_there_is_no_network(self, subject: Subject, work: Path) -> None:
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
            reached = [tries(socket.AF_INET, ("127.0.0.1", int(sys.argv[1])))]
            reached += [tries(socket.AF_UNIX, "\\0" + sys.argv[2])]
            seen = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
            json.dump([*reached, seen], open("reached", "w"))
        """
        name = secrets.token_hex(8)
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as local:
            local.bind(f"\0{name}")
            local.listen()
            done = subject.python(work, SCRIPT(script), str(tcp.getsockname()[1]), name)
        assert done.code == 0, done.errors
        assert json.loads((work / "reached").read_text()) == [False, False, ["lo"]]

    @guarantee("a read-only root")
    def test_the_root_is_read_only_and_so_are_mounts_and_the_kernels_settings(
        self, subject: Subject, work: Path, place: Path
    ) -> None:
        """Lost: a step changes programs, inputs, or (under a root node) the host's kernel."""
        data = place / "data"
        data.mkdir(mode=0o777)
        data.chmod(0o777)
        (data / "table").write_text("1")
        (data / "table").chmod(0o666)
        script = """
            for path in /x /usr/x /etc/x /opt/x /opt/bin/sh /dev/x /proc/x /inputs/x /inputs/d/x /inputs/d/table; do
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
        assert subject.run(job).code == 0
        assert (work / "written").read_text() == ""
        assert (data / "table").read_text() == "1"

    @guarantee("nothing of the host")
    def test_the_hosts_files_devices_and_processes_are_out_of_reach(
        self, subject: Subject, work: Path, place: Path
    ) -> None:
        """Lost: a step reads the node's key, or another hospital's data; or takes /dev/null from the host."""
        (place / "secret").write_text("s3cret")
        secret, marker = place / "secret", f"600.{secrets.randbits(64)}"
        script = f"""
            ln -s {secret} link
            cat {secret} link /proc/1/root{secret} /proc/self/root{secret} /proc/1/cwd{secret} /work/../{secret} > got
            ls /root/.ssh /home/* /boot /srv/* >> got
            for each in /proc/[0-9]*; do grep -c {marker} $each/cmdline; done | grep -v 0 >> got
            echo x > /dev/null && head -c 8 /dev/urandom > random && chmod 0 /dev/null
            true
        """
        before = Path("/dev/null").stat()
        with subprocess.Popen(["sleep", marker]) as neighbour:
            try:
                # The step's own shell has the mark in its arguments.
                assert subject.shell(work, script.replace(marker, f"600[.]{marker.partition('.')[2]}")).code == 0
            finally:
                neighbour.kill()
        after = Path("/dev/null").stat()
        assert (work / "got").read_text() == ""
        assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
        assert (work / "random").stat().st_size == 8

    RIGHTS = """
        import ctypes, json, os
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        json.dump({
            "ids": [os.getuid(), os.getgid(), os.geteuid()],
            "groups": os.getgroups(),
            "capabilities": sum(int(status[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
            "no_new_privileges": int(status["NoNewPrivs"]),
            "filtered": int(status["Seccomp"]),
            "divided": [ctypes.CDLL(None).unshare(flag) == 0 for flag in (0x10000000, 0x00020000, 0x40000000)],
            "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
            "files": sorted(os.listdir("/proc/self/fd")),
            "session": os.getsid(0) == os.getpid(),
        }, open("found", "w"))
    """

    @pytest.fixture
    def rights(self, subject: Subject, work: Path) -> dict[str, Any]:
        """What a step finds of its own rights."""
        done = subject.python(work, SCRIPT(self.RIGHTS))
        assert done.code == 0, done.errors
        found: dict[str, Any] = json.loads((work / "found").read_text())
        return found

    @guarantee("not root")
    def test_it_is_nobody(self, subject: Subject, rights: dict[str, Any]) -> None:
        """Lost: a step that gets out is root there."""
        assert rights["ids"] == [subject.user] * 3
        assert 0 not in rights["groups"] or subject.user == 0

    @guarantee("no capabilities")
    def test_it_has_no_capabilities(self, rights: dict[str, Any]) -> None:
        """Lost: a step starts its way out with rights that it should not have."""
        assert rights["capabilities"] == 0

    @guarantee("no new privileges")
    def test_it_can_gain_no_privileges(self, rights: dict[str, Any]) -> None:
        """Lost: a set-user-id program in an image makes a step root."""
        assert rights["no_new_privileges"] == 1

    @guarantee("system calls are filtered")
    def test_its_system_calls_are_filtered(self, rights: dict[str, Any]) -> None:
        """Lost: a flaw of the kernel in a call that no step needs."""
        assert rights["filtered"] == 2
        assert rights["divided"] == [False] * 3

    @guarantee("sees itself alone")
    def test_it_sees_its_own_processes_and_files_alone(self, rights: dict[str, Any]) -> None:
        """Lost: an open folder of the host among its files would be the host."""
        assert rights["processes"] <= 2
        assert rights["files"] == ["0", "1", "2", "3"]  # the streams, and the listing itself

    # --- ends ----------------------------------------------------------------------------------------------------

    @guarantee("cancel")
    def test_cancelling_leaves_no_process(self, subject: Subject, work: Path, place: Path) -> None:
        """Lost: `cancel` and `halt` say that it ended, and it goes on."""
        marker = secrets.token_hex(8)
        deaf = f"(setsid sh -c 'trap \"\" TERM INT HUP; sleep 600; : {marker}') &"
        script = f"{deaf} echo x > ready; sleep 600; : {marker}"

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(subject.runner.run, Job(("sh", "-c", script), work))
                with trio.fail_after(WAIT_SECONDS):
                    while not processes_with(marker):  # noqa: ASYNC110 - the step cannot wake us: it has no way
                        await trio.sleep(0.02)
                nursery.cancel_scope.cancel()

        trio.run(main)
        assert processes_with(marker) == []
        assert [each.name for each in place.iterdir() if each.name == "gate"] == []

    @guarantee("cancel")
    def test_cancelling_at_once_leaves_no_process(self, subject: Subject, place: Path) -> None:
        """Lost: a step that is cancelled while its sandbox is being made starts afterwards."""
        marker = secrets.token_hex(8)

        async def main() -> None:
            for number, seconds in enumerate((0.0, 0.002, 0.01, 0.05, 0.1, 0.2)):
                work = place / str(number) / "left" / "work"
                work.mkdir(parents=True)
                with trio.move_on_after(seconds):
                    await subject.runner.run(Job(("sh", "-c", f"sleep 600; : {marker}"), work))

        trio.run(main)
        assert processes_with(marker) == []

    @guarantee("orphans end")
    def test_what_a_step_leaves_behind_ends_with_it(self, subject: Subject, work: Path) -> None:
        """Lost: a background process writes into outputs that are already being collected."""
        marker = secrets.token_hex(8)
        done = subject.shell(work, f"(setsid sh -c 'sleep 600; : {marker}' >/dev/null 2>&1) & exit 3")
        assert (done.ending, done.code) == (Ending.EXITED, 3)
        assert processes_with(marker) == []

    @guarantee("a crash of the node")
    def test_a_step_of_a_node_that_was_killed_is_found_and_ended(
        self, subject: Subject, work: Path, place: Path
    ) -> None:
        """Lost: after a crash it goes on computing on patients' data, and nobody knows."""
        marker = secrets.token_hex(8)
        script = f"""
            import trio
            from pathlib import Path
            from node.step import Job
            {subject.code}
            job = Job(("sh", "-c", "echo x > ready; sleep 600; : {marker}"), Path({str(work)!r}))
            trio.run(runner.run, job)
        """
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        with subprocess.Popen([sys.executable, "-c", SCRIPT(script)], env=environment) as node:
            try:
                until(lambda: len(processes_with(marker)) > 1)  # the node itself has the mark in its arguments
                assert node.poll() is None
            finally:
                node.send_signal(signal.SIGKILL)
        trio.run(subject.runner.recover, place.parent)
        until(lambda: processes_with(marker) == [])
        assert trio.run(subject.runner.recover, place.parent) == 0
