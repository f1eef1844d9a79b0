"""The attacks that begin inside a step (``tests/adversary/test_inside.py``), in a runner other than the sandbox.

There each is tried a second time without the wall that stops it; here it is known that it would succeed.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
from pathlib import Path

import pytest

from node.execute.account import NOBODY, is_separate
from tests.adversary.inside import has_won, step
from tests.adversary.test_inside import SOCKETS, TRIES, plant, play, talks
from tests.runners.case import Case, guarantee
from tests.runners.subject import Subject, processes_with


class Attacked(Case):
    """What a hostile step tries."""

    @pytest.fixture
    def host(self, tmp_path: Path) -> Path:
        return plant(tmp_path / "host")

    @guarantee("attacks from inside a step")
    @pytest.mark.parametrize("name", TRIES)
    def test_a_step_cannot(self, subject: Subject, name: str, host: Path, work: Path) -> None:
        """Else whoever writes a block reaches beyond the data that it was given, or takes the machine down."""
        if name == "become_root" and subject.user == 0:
            pytest.skip("a rootless daemon's root is an unprivileged user's, without rights in its namespace either")
        assert not play(name, host, work, subject.runner)
        assert (host / "data").read_text() == "1"

    @guarantee("attacks from inside a step")
    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
    @pytest.mark.parametrize("name", SOCKETS)
    def test_a_step_cannot_speak_over(self, subject: Subject, name: str, host: Path, work: Path) -> None:
        """Else data leave by a socket, to the network or to a program of the host that is more privileged."""
        assert not talks(name, host, work, subject.runner)

    @guarantee("attacks from inside a step")
    def test_a_step_does_not_outlive_itself(self, subject: Subject, work: Path) -> None:
        """Else what a step started goes on with the data in its memory when the step has ended."""
        marker = secrets.token_hex(8)
        command = f'["sh", "-c", "sleep 60; : {marker}"]'
        step(
            work,
            f"subprocess.Popen({command}, start_new_session=True, stdin=-3, stdout=-3, stderr=-3)",
            runner=subject.runner,
        )
        assert processes_with(marker) == []

    @guarantee("attacks from inside a step")
    def test_a_step_does_not_signal_others(self, subject: Subject, work: Path) -> None:
        """Else a step ends the node, or the steps of others, which run as the same user."""
        with subprocess.Popen(["sleep", "60"], user=NOBODY if is_separate() else None) as victim:
            script = "attempt(os.kill, int(given[0]), signal.SIGTERM)"
            step(work, script, str(victim.pid), runner=subject.runner)
            ended = victim.poll()
            victim.send_signal(signal.SIGKILL)
        assert ended is None

    @guarantee("attacks from inside a step")
    def test_no_file_is_left_for_the_next_step(self, subject: Subject, place: Path) -> None:
        """Else a step that may read patients leaves them for one that may send its output."""
        one, two = (place / name / "left" / "work" for name in ("one", "two"))
        for each in (one, two):
            each.parent.mkdir(parents=True)
        places = "('/tmp', '/dev/shm', '/dev/mqueue', '/inputs', '/opt', '/', '/proc', '/var/tmp', '/gate', '/.comity')"
        leaves = f"for at in {places}: attempt(lambda: open(at + '/left', 'w').write('x'))"
        step(one, leaves, runner=subject.runner)
        step(two, f"if any(os.path.exists(at + '/left') for at in {places}): won()", runner=subject.runner)
        assert not has_won(two)
