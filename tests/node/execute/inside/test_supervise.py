"""The first process of a container, and a step of the same user that does what it can to it and to the gate."""

from __future__ import annotations

import ast
import json
import secrets
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from catalog.error import BadInput, Unreachable
from node.execute.collect import read_listing
from node.execute.container import Gate, stop
from node.execute.inside import side
from node.execute.inside.supervise import STOPPED, main
from node.step import Ending, Exit, Job, Limits, Mount
from tests.node.execute.inside.boxed import boxed, run
from tests.structure.source import modules

SMALL = Limits(wall_seconds=30, memory_bytes=128 << 20, processes=16, output_bytes=1 << 20, output_files=100)
GOOD = frozenset({0})
FORGED = {"ending": "exited", "code": 0, "reason": "", "wall_seconds": 1, "cpu_seconds": 1, "peak_bytes": 1}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that «nobody» reaches: bubblewrap is that here, where a daemon would be root."""
    with tempfile.TemporaryDirectory(prefix="comity-boxed-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def work(place: Path) -> Path:
    folder = place / "left" / "work"
    folder.mkdir(parents=True)
    return folder


def shell(work: Path, script: str, limits: Limits = SMALL) -> Exit:
    return run(Job(("sh", "-c", script), work, limits=limits, succeeds=GOOD))


def python(work: Path, script: str, limits: Limits = SMALL) -> Exit:
    return run(Job(("python3", "-c", textwrap.dedent(script)), work, limits=limits, succeeds=GOOD))


def test_a_command_runs_with_its_own_variables_streams_and_folder(work: Path, place: Path) -> None:
    """Lost: what every container runner gives a step; a cluster's variables tell it where the API server is."""
    (place / "in").write_text("data")
    job = Job(
        ("sh", "-c", "cat; env; pwd; echo oops >&2; exit 3"),
        work,
        (Mount(place / "in", "/inputs/in"),),
        variables={"STEP": "a=b c"},
        stdin="/inputs/in",
        stdout="deep/out",
        limits=SMALL,
        succeeds=frozenset({3}),
    )
    done = run(job)
    assert (done.ending, done.code, done.errors) == (Ending.EXITED, 3, b"oops\n")
    said = (work / "deep" / "out").read_text()
    assert said.startswith("data")
    assert said.endswith("/work\n")
    assert "STEP=a=b c\n" in said
    assert "KUBERNETES" not in said
    assert list(read_listing(done.left or b"").below) == ["deep"]


def test_what_was_left_is_listed_as_find_lists_it(work: Path) -> None:
    """Lost: outputs that are taken from a sandbox are refused from a container, or a link is taken for a file."""
    made = "mkdir -p a/b shut; echo x > a/b/c; ln -s /etc/passwd link; ln a/b/c twice; mkfifo pipe; echo y > shut/y"
    done = shell(
        work, f"{made}; find -P . -mindepth 1 -printf '%y\\t%s\\t%n\\t%P\\0%l\\0' > ../tmp/found; chmod 0 shut a/b/c"
    )
    assert done.left is not None
    top = read_listing(done.left)
    kinds = {name: entry.kind for name, entry in top.below.items()}
    assert kinds == {"a": b"d", "shut": b"d", "link": b"l", "twice": b"f", "pipe": b"p"}
    assert top.below["twice"].links == 2
    assert top.below["shut"].below["y"].size == 2
    assert shell(work, "exit 1").left is None


def test_the_step_can_neither_read_nor_trace_nor_signal_its_supervisor(work: Path) -> None:
    """Lost: it learns the token and writes its own report; or ends the watch and goes on."""
    script = """
        import ctypes, json, os, signal
        libc, found = ctypes.CDLL(None, use_errno=True), {}
        def opens(name):
            try:
                open(f"/proc/1/{name}", "rb").read(1)
            except OSError:
                return False
            return True
        found["read"] = [name for name in ("environ", "mem", "maps", "io", "auxv") if opens(name)]
        found["traced"] = libc.ptrace(16, 1, 0, 0) == 0
        try:
            found["files"] = os.listdir("/proc/1/fd")
        except OSError:
            found["files"] = []
        for number in signal.valid_signals():
            try:
                os.kill(1, number)
            except OSError:
                pass
        json.dump(found, open("found", "w"))
    """
    done = python(work, script)
    assert (done.ending, done.code) == (Ending.EXITED, 0), done
    assert json.loads((work / "found").read_text()) == {"read": [], "traced": False, "files": []}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(f"echo '{json.dumps(FORGED)}' > /gate/report.json", id="a report"),
        pytest.param("mkdir -p /gate/report.json/x /gate/errors/x /gate/listing", id="folders"),
        pytest.param("ln -s /etc/passwd /gate/report.json; ln -s /etc/passwd /gate/errors", id="links"),
        pytest.param("mkfifo /gate/report.json /gate/listing", id="pipes"),
        pytest.param("cat /gate/order.json; rm -rf /gate/*; chmod 0 /gate", id="nothing, and closed"),
    ],
)
def test_what_the_step_leaves_at_the_gate_is_not_taken_for_the_report(work: Path, script: str) -> None:
    """Lost: a step says itself how it ended and what it left, and a link is collected as a file."""
    done = shell(work, f"{script}; echo real >&2; exit 7")
    assert (done.ending, done.code, done.errors[-5:]) == (Ending.EXITED, 7, b"real\n")


def test_a_forged_report_of_a_step_that_ends_its_supervisor_is_nobodys(work: Path) -> None:
    """Lost: the same, by way of the one thing that a process of the same user may do to it: take its limits away."""
    forged = json.dumps(FORGED | {"token": secrets.token_hex(16)})
    script = f"""
        import resource, time
        open("/gate/listing", "w").write("f\\t1\\t1\\tlink\\0")
        open("/gate/report.json", "w").write('''{forged}''')
        resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))
        time.sleep(60)
    """
    with pytest.raises(Unreachable, match="ended before the step"):
        python(work, script)


def test_the_token_is_gone_when_the_command_starts(work: Path) -> None:
    """Lost: a step reads it, and its forged report is believed."""
    assert shell(work, "cat /gate/* > got; ls -A /gate > names; exit 0").code == 0
    assert (work / "got").read_text() == ""
    assert (work / "names").read_text() == "open\n"


_BYTES = (Ending.OUT_OF_LIMITS, "output bytes")


@pytest.mark.parametrize(
    ("script", "limits", "ending", "reason"),
    [
        ("sleep 60 & sleep 60", Limits(wall_seconds=0.3), Ending.TIMED_OUT, "wall time: more than 0.3 seconds"),
        ("exec cat /dev/zero > big", SMALL, Ending.OUT_OF_LIMITS, "output bytes: more than 1048576"),
        ("head -c 2000000 /dev/zero > /gate/big; sleep 9", SMALL, Ending.OUT_OF_LIMITS, "beside the work folder"),
        ("mkdir d; for i in $(seq 200); do : > d/$i; done; sleep 9", SMALL, Ending.OUT_OF_LIMITS, "output files"),
        ("for i in $(seq 200); do : > /tmp/$i; done; sleep 9", SMALL, Ending.OUT_OF_LIMITS, "files in /tmp"),
        ("mkdir d; head -c 900000 /dev/zero | tee d/a > d/b; chmod 0 d; sleep 9", SMALL, Ending.OUT_OF_LIMITS, "bytes"),
        ("mkdir -p d/e; head -c 900000 /dev/zero | tee d/a > d/b; chmod 400 d; sleep 9", SMALL, *_BYTES),
        ("head -c 900000 /dev/zero | tee a > b; chmod 400 .; sleep 9", SMALL, *_BYTES),
        ("for i in $(seq 90); do mkdir $i; chmod 0 $i; done; sleep 9", SMALL, Ending.OUT_OF_LIMITS, "closed again"),
    ],
)
def test_limits_hold_and_are_named(work: Path, script: str, limits: Limits, ending: Ending, reason: str) -> None:
    """Lost: a container runs without end, or fills the disk that the cluster's other pods are on."""
    done = shell(work, script, limits)
    assert done.ending is ending, done
    assert reason in done.reason


def test_no_name_that_the_step_chose_is_among_the_supervisors_own_words(
    work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Lost: rows of patients' data in the logs of a cluster, as names of files that cannot be looked at."""
    script = """
        import os, resource, time
        os.makedirs("a/Miller-1958/c")
        os.chmod("a", 0o400)
        time.sleep(0.6)
        resource.prlimit(1, resource.RLIMIT_FSIZE, (0, 0))
        time.sleep(9)
    """
    with suppress(Unreachable):
        python(work, script)
    assert "Miller" not in capfd.readouterr().err


@pytest.mark.parametrize("files", [8, 10, 11])
def test_a_supervisor_that_could_not_open_folders_any_more_ends_the_step(work: Path, files: int) -> None:
    """Lost: folders that nobody counts, and the disk behind them."""
    script = f"""
        import os, resource, time
        resource.prlimit(1, resource.RLIMIT_NOFILE, ({files}, {files}))
        os.makedirs("d/e")
        for number in range(8):
            with open(f"d/e/{{number}}", "wb") as file:
                file.write(bytes(1 << 20))
        time.sleep(9)
    """
    done = python(work, script)
    assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, "limits of its supervisor, which it changed")


def test_what_a_step_wrote_as_a_containers_last_words_goes_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: 4 KiB of patients' data in what Kubernetes keeps of a pod, by a step that stops its own supervisor."""
    words = tmp_path / "termination-log"
    words.write_text("Miller, 1958")
    monkeypatch.setattr(side, "TERMINATION", str(words))
    with pytest.raises(SystemExit):
        side.supervise()  # this is no container
    assert words.read_text() == ""


def test_memory_of_all_processes_is_summed_though_one_hides(work: Path) -> None:
    """Lost: a process that lets nobody look into it ends the watch, or is not counted."""
    script = """
        import ctypes, os, time
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
        os.fork() and os.fork()
        kept = b"x" * (60 << 20)
        time.sleep(60)
    """
    done = python(work, script)
    assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, f"memory: more than {128 << 20} bytes")


def test_all_processor_time_is_counted_that_of_orphans_too(work: Path) -> None:
    """Lost: what a step used is less than it was, and so is its price."""
    burn = "python3 -c 'import time\nwhile time.process_time() < 0.3: pass'"
    done = shell(work, f'(setsid sh -c "{burn}; : > done" &); while [ ! -e done ]; do sleep 0.02; done')
    assert done.ending is Ending.EXITED, done
    assert done.usage.cpu_seconds >= 0.3


def test_it_waits_at_its_gate_and_stops_when_it_is_told(work: Path) -> None:
    """Lost: a step runs before its turn, or goes on after it was cancelled while the daemon was away."""
    with boxed(Job(("sh", "-c", "echo x > ran"), work, limits=SMALL)) as (gate, process):
        stop(gate.folder)
        assert process.wait(60) == STOPPED
        with pytest.raises(Unreachable):
            gate.exit(False)
    assert list(work.iterdir()) == []


def test_a_running_step_is_stopped_too(work: Path) -> None:
    """Lost: the same for a step that runs."""
    done = run(Job(("sleep", "600"), work, limits=SMALL), meanwhile=lambda gate: stop(gate.folder))
    assert (done.ending, done.reason, done.left) == (Ending.OUT_OF_LIMITS, "its supervisor was told to end it", None)


def test_a_step_that_has_itself_stopped_is_charged_and_not_tried_again(work: Path) -> None:
    """Lost: steps that compute for an hour and then say so to their supervisor cost nothing, and run twice."""
    done = shell(work, "sleep 0.4; echo x > made; : > /gate/stop; sleep 600")
    assert (done.ending, done.left) == (Ending.OUT_OF_LIMITS, None)
    assert done.usage.wall_seconds >= 0.4


def test_a_step_that_keeps_its_supervisor_from_reporting_is_charged_for_what_it_can_have_used(work: Path) -> None:
    """Lost: the same, by the last word of a step that the kernel ends for its memory."""
    job = Job(("true",), work, limits=SMALL)
    gate = Gate(job)
    gate.open()
    time.sleep(0.2)
    (gate.folder / "report.json").write_bytes(b"x" * (1 << 20))
    ended = gate.exit(starved=True)
    assert ended.usage.wall_seconds >= 0.2
    assert ended.usage.cpu_seconds >= 0.2
    assert ended.usage.peak_bytes == SMALL.memory_bytes
    with pytest.raises(Unreachable):
        gate.exit(starved=False)
    gate.close()


def test_an_order_that_cannot_be_carried_out_is_refused_with_its_reason(work: Path) -> None:
    """Lost: a job that no runner can start is tried again and again."""
    with pytest.raises(BadInput, match="Argument list too long"):
        run(Job(("touch", "x" * 200_000), work, limits=SMALL))


def test_a_work_folder_of_another_name_is_refused_before_anything_runs(work: Path) -> None:
    """Lost: a command writes beside its work folder, and what it delivers is nothing."""
    with pytest.raises(BadInput, match="the work folder of a container is «/work», not «/other»"):
        run(Job(("true",), work, limits=SMALL, place="/other"))


def test_an_order_that_the_supervisor_would_not_read_whole_is_refused(work: Path) -> None:
    """Lost: a block whose environment has many variables is tried again, and the runner doubted each time."""
    variables = {f"V{number}": "x" * 32_000 for number in range(600)}
    with pytest.raises(BadInput, match="more than a container takes"):
        run(Job(("true",), work, variables=variables, limits=SMALL))


def test_a_signal_that_python_ignores_is_the_commands_again(work: Path) -> None:
    """Lost: pipes of shells that never end, since nobody tells the writer."""
    assert shell(work, "python3 -c 'import signal; signal.signal(13, 0)'; kill -PIPE $$").code == 128 + signal.SIGPIPE


def test_the_supervisor_needs_pythons_library_alone() -> None:
    """Lost: an import of ours, or of a package, that lies in no image: no container starts."""
    inside = [each for each in modules("node") if each.name.startswith("node.execute.inside")]
    assert len(inside) > 5
    for module in inside:
        imported = {name for node in ast.walk(module.tree) for name in _imported(node)}
        foreign = {name for name in imported if not name.startswith("node.execute.inside")}
        assert {name.partition(".")[0] for name in foreign} <= sys.stdlib_module_names, module.where


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_it_refuses_to_be_anything_but_the_first_process() -> None:
    """Lost: someone tries the module in a terminal, and all of their processes are killed."""
    with pytest.raises(SystemExit, match="first process of a container"):
        main()
