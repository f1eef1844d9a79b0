"""Jobs that no runner takes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.error import BadInput, ComityError
from node.step import Job, Mount
from tests.runners.case import Case, guarantee
from tests.runners.subject import Subject

USR = Path("/usr")
JOB = Job(("touch", "ran"), Path())


class Refused(Case):
    """They are refused before anything runs."""

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
