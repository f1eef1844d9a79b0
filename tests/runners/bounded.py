"""The limits of a step: they hold, and the one that was met is named."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from node.execute.inside.weigh import MOST_DEPTH
from node.step import Ending, Job, Limits
from tests.runners.case import SCRIPT, Case, guarantee
from tests.runners.subject import SMALL, Subject, processes_with


class Bounded(Case):
    """Time, memory, processors, processes, output, scratch space, chatter."""

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
