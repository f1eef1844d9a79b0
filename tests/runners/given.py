"""What a step is given, and what is taken from it."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from node.execute.collect import read_listing
from node.execute.environment.base import base_sources, fill_base
from node.step import Ending, Environment, Job, Limits, Mount
from tests.runners.case import SCRIPT, Case, guarantee
from tests.runners.subject import SMALL, SUCCEEDS, Subject


class Given(Case):
    """Files, streams, variables, names, sizes, turns."""

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

    @guarantee("an environment of content")
    def test_a_step_finds_the_environment_of_its_block_and_no_other(
        self, subject: Subject, work: Path, place: Path
    ) -> None:
        """Lost: a block runs with other libraries than its author's; or what it brings shadows what runs it."""
        root = place / "environment" / "root"
        (root / "opt" / "empty").mkdir(parents=True)
        (root / "opt" / "mark").write_text("its own")
        for name in (".comity/lib/ld-linux-x86-64.so.2", "gate/open", "work/left", "etc/ld.so.preload"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("/opt/no-such-library.so\n")
        fill_base(root, base_sources())
        for each in (root, *root.rglob("*")):
            each.chmod(0o755)
        links = {"bin": "opt/bin", "lib": "opt/lib", "lib64": "opt/lib", "opt/link": "mark", "away": "/etc/passwd"}
        environment = Environment(Cid.of(b"made here"), root, links, {"PATH": "/opt/bin", "MARK": "of it"})
        script = "cat /opt/link && ls -d /opt/empty && echo $MARK && ls -A && (echo x > /opt/mark) || stat -c %N /away"
        job = Job(("sh", "-c", script), work, environment=environment, stdout="said", succeeds=SUCCEEDS)
        done = subject.run(job)
        assert (done.ending, done.code) == (Ending.EXITED, 0), done
        assert (work / "said").read_text() == "its own/opt/empty\nof it\nsaid\n'/away' -> '/etc/passwd'\n"
        assert (root / "opt" / "mark").read_text() == "its own"

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
