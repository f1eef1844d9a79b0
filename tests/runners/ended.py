"""How a step ends: with all that it started, whatever ends it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import trio

from node.step import Ending, Job
from tests.runners.case import ROOT, SCRIPT, WAIT_SECONDS, Case, guarantee, until
from tests.runners.subject import Subject, processes_with


class Ended(Case):
    """Cancelled, orphaned, or left by a node that was killed."""

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
