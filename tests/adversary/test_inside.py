"""Attacks from inside a step, in a real sandbox: each script is run against it, and again with one wall taken away,
where it must succeed. Where the kernel's own walls end, the second run is bounded by what it asks for."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.execute.account import NOBODY, is_separate
from node.step import Limits, Mount, Runner
from tests.adversary.inside import (
    SMALL,
    Weaken,
    bound,
    has_won,
    leaking,
    privileged,
    shown,
    step,
    swapped,
    together,
    unfiltered,
    unlimited,
    without,
    writable,
)

SECRET = "SECRET-of-patient-17"


@dataclass(frozen=True)
class Try:
    """A script and the wall that stops it. ``given`` are its arguments, made in the test's folder."""

    script: str
    wall: Weaken
    given: Callable[[Path], Sequence[str]] = lambda folder: [str(folder / "secret")]
    limits: Limits = field(default_factory=lambda: SMALL)


READS = """
for path in (each.format(given[0]) for each in %r):
    if attempt(lambda: "SECRET" in open(path).read()):
        won(path)
"""

TRIES: Mapping[str, Try] = {
    "read_a_host_file_by_its_path": Try(READS % (["{}", "/work/../{}"],), shown()),
    "read_a_host_file_by_a_link": Try("os.symlink(given[0], 'link')" + READS % (["link"],), shown()),
    "read_a_host_file_by_a_linked_folder": Try(
        "os.symlink(os.path.dirname(given[0]), 'folder')" + READS % (["folder/secret"],), shown()
    ),
    "read_a_host_file_by_proc_1_root": Try(
        READS % (["/proc/1/root{}", "/proc/self/root{}", "/proc/1/cwd{}", "/proc/2/root{}"],), shown()
    ),
    "read_a_host_file_by_proc_self_fd": Try(
        """
for fd in os.listdir("/proc/self/fd"):
    if attempt(lambda: "SECRET" in open(f"/proc/self/fd/{fd}/secret").read()):
        won(fd)
""",
        leaking,
    ),
    "list_the_hosts_system_folders": Try(
        """
for path in ("/usr", "/etc", "/home", "/root", "/var", "/run", "/boot", "/srv", "/sys", "/mnt"):
    # The names of the machine and its neighbours are a container's own.
    if set(attempt(os.listdir, path) or []) - {"hostname", "hosts", "mtab", "resolv.conf"}:
        won(path)
""",
        shown("/etc"),
    ),
    "open_a_device_of_the_host": Try(
        """
for name in os.listdir("/dev"):
    path = f"/dev/{name}"
    if name not in ("null", "zero", "full", "random", "urandom", "stdin", "stdout", "stderr", "fd", "shm"):
        fd = attempt(os.open, path, os.O_RDWR | os.O_NONBLOCK)
        if fd is not None and not stat.S_ISREG(os.fstat(fd).st_mode):
            won(name)
for device in (os.makedev(1, 1), os.makedev(8, 0)):
    if attempt(lambda: os.mknod("disk", stat.S_IFBLK | 0o666, device) is None):
        won("mknod")
""",
        swapped((("--dev-bind", "/dev/full", "/dev/full"), ("--dev-bind", "/dev/full", "/dev/sda"))),
    ),
    "mount_something": Try(
        "if libc.mount(b'none', b'/inputs', b'tmpfs', 0, None) == 0: won()",
        privileged,
    ),
    "become_root": Try(
        """
if attempt(lambda: os.setuid(0) is None):
    won("setuid")
for folder, _, files in os.walk("/opt"):
    for name in files:
        if os.lstat(f"{folder}/{name}").st_mode & 0o6000:
            won(name)
""",
        privileged,
    ),
    "trace_another_process": Try(
        """
child = os.fork()
if child == 0:
    time.sleep(60)
if libc.ptrace(16, child, 0, 0) == 0:
    won()
os.kill(child, signal.SIGKILL)
""",
        unfiltered,
    ),
    "make_further_namespaces": Try(
        """
for flag in (0x10000000, 0x00020000, 0x40000000, 0x20000000):
    if libc.unshare(flag) == 0:
        won(hex(flag))
""",
        unfiltered,
    ),
    "keep_a_key_in_the_kernels_keyring": Try(
        "if libc.syscall(ADD_KEY, b'user', b'kept', b'x', 1, -2) > 0: won()",
        unfiltered,
    ),
    "speak_to_the_virtual_machines_host": Try("if attempt(socket.socket, 40, socket.SOCK_STREAM): won()", unfiltered),
    "alter_its_inputs": Try(
        """
for path in ("/inputs/data", "/proc/self/root/inputs/data"):
    if attempt(lambda: open(path, "a").write("x")):
        won(path)
""",
        writable,
    ),
    "fork_without_end": Try(
        """
for _ in range(60):
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
time.sleep(0.5)
won()
os.kill(-1, signal.SIGKILL)
""",
        unlimited,
    ),
    "fill_the_memory": Try("kept = b'x' * (300 << 20); time.sleep(0.5); won()", unlimited),
    "fill_the_memory_with_files_that_lie_nowhere": Try(
        """
kept = []
for _ in range(20):
    fd = libc.syscall(MEMFD_CREATE, b"kept", 0)
    if fd < 0:
        raise SystemExit(0)
    os.write(fd, bytes(1 << 20))
    kept.append(fd)
won()
""",
        unfiltered,
    ),
    "fill_the_disk": Try(
        "for n in range(30): open(f'f{n}', 'wb').write(bytes(200_000)); time.sleep(0.05)\nwon()",
        unlimited,
    ),
    "fill_the_disk_by_one_file": Try("open('f', 'wb').write(bytes(5 << 20)); won()", unlimited),
    "fill_the_disks_tables_with_empty_files": Try(
        "for n in range(2000): open(f'{n}', 'w')\ntime.sleep(1)\nwon()", unlimited
    ),
    "fill_the_kernels_tables_with_empty_files": Try(
        "for n in range(2000): open(f'/tmp/{n}', 'w')\ntime.sleep(1)\nwon()", unlimited
    ),
    "take_all_processor_time": Try("""
while time.process_time() < 2.5: pass
won()
""", unlimited, limits=Limits(wall_seconds=60, cpu_seconds=1)),
    "see_or_read_the_next_steps_input": Try(
        """
found = glob.glob("/work/../*/input-0") + glob.glob("/proc/[0-9]*/root/inputs/*") + glob.glob(given[0] + "/*/input-0")
for path in found:
    if attempt(lambda: "SECRET" in open(path).read()):
        won(path)
""",
        shown(),
        lambda folder: [str(_next_step(folder))],
    ),
}  # fmt: skip


def _next_step(folder: Path) -> Path:
    steps = folder / "steps"
    (steps / "next").mkdir(parents=True)
    (steps / "next" / "input-0").write_text(SECRET)
    _open(steps)
    return steps


def _open(folder: Path) -> None:
    """So that what refuses is the wall, and not a mode."""
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o777 if each.is_dir() else 0o666)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder of the host with a secret and data."""
    return plant(tmp_path / "host")


def plant(folder: Path) -> Path:
    """Make such a folder."""
    folder.mkdir()
    (folder / "secret").write_text(SECRET)
    (folder / "data").write_text("1")
    _open(folder)
    return folder


def play(name: str, host: Path, work: Path, runner: Runner | None = None) -> bool:
    tried = TRIES[name]
    given = tried.given(host)
    mounts = [Mount(host / "data", "/inputs/data")]
    step(work, tried.script, *given, mounts=mounts, limits=tried.limits, runner=runner)
    return has_won(work)


@pytest.mark.parametrize("name", TRIES)
def test_a_step_cannot(name: str, host: Path, tmp_path: Path) -> None:
    """Else whoever writes a block reaches beyond the data that it was given, or takes the machine down."""
    assert not play(name, host, tmp_path / "work")
    assert (host / "data").read_text() == "1"


@pytest.mark.parametrize("name", TRIES)
def test_and_without_the_wall_it_can(name: str, host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would pass though no wall stops the script."""
    if name == "become_root" and not is_separate():
        pytest.skip("an unprivileged user's step has no root to become, in its namespace either")
    if name == "speak_to_the_virtual_machines_host" and not _has_vsock():
        pytest.skip("this kernel has no such sockets")
    TRIES[name].wall(monkeypatch, host)
    assert play(name, host, tmp_path / "work")


def _has_vsock() -> bool:
    try:
        socket.socket(40, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


# --- sockets -------------------------------------------------------------------------------------------------------

TALKS = """
def tries(family, kind, address):
    with socket.socket(family, kind) as end:
        end.settimeout(5)
        end.connect(address)
        end.send(b"patients")
        return True
if attempt(tries, %s):
    won()
"""


@contextmanager
def listening(family: int, kind: int, address: object) -> Iterator[socket.socket]:
    with socket.socket(family, kind) as end:
        end.bind(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_STREAM:
            end.listen()
        yield end


def _local(folder: Path) -> str:
    return str(folder / "docker.sock")


SOCKETS: Mapping[str, tuple[int, int, Callable[[Path], object], str, Weaken]] = {
    "tcp": (
        socket.AF_INET, socket.SOCK_STREAM, lambda _: ("127.0.0.1", 0),
        "socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', int(given[0]))", without("--unshare-net"),
    ),
    "dns": (
        socket.AF_INET, socket.SOCK_DGRAM, lambda _: ("127.0.0.1", 0),
        "socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', int(given[0]))", without("--unshare-net"),
    ),
    "abstract_socket": (
        socket.AF_UNIX, socket.SOCK_STREAM, lambda folder: f"\0{folder.parent.name}-{os.getpid()}",
        "socket.AF_UNIX, socket.SOCK_STREAM, '\\0' + given[0]", without("--unshare-net"),
    ),
    "docker_socket": (
        socket.AF_UNIX, socket.SOCK_STREAM, _local,
        "socket.AF_UNIX, socket.SOCK_STREAM, given[0]", shown(),
    ),
}  # fmt: skip


def talks(name: str, host: Path, work: Path, runner: Runner | None = None) -> bool:
    family, kind, address, target, _ = SOCKETS[name]
    with listening(family, kind, address(host)) as end:
        if name == "docker_socket":
            os.chmod(_local(host), 0o777)
        at = end.getsockname()
        given = str(at[1]) if isinstance(at, tuple) else at if isinstance(at, str) else at[1:].decode()
        step(work, TALKS % target, given, runner=runner)
        end.setblocking(False)
        return has_won(work) and _arrived(end, kind)


def _arrived(end: socket.socket, kind: int) -> bool:
    try:
        return bool(end.recv(64) if kind == socket.SOCK_DGRAM else end.accept())
    except BlockingIOError:
        return False


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("name", SOCKETS)
def test_a_step_cannot_speak_over(name: str, host: Path, tmp_path: Path) -> None:
    """Else data leave by a socket, to the network or to a program of the host that is more privileged."""
    assert not talks(name, host, tmp_path / "work")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("name", SOCKETS)
def test_and_without_the_wall_it_can_speak_over(
    name: str, host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the test above would pass though nothing keeps a socket from being reached."""
    SOCKETS[name][-1](monkeypatch, host)
    assert talks(name, host, tmp_path / "work")


# --- what outlives a step, and what lies between two -----------------------------------------------------------------


def running(marker: str) -> list[int]:
    """The host's processes whose command line holds ``marker``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.parametrize("defended", [True, False])
def test_a_step_that_outlives_itself(defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what a step started goes on with the data in its memory when the step has ended."""
    if not defended:
        together(monkeypatch, tmp_path)
    marker = secrets.token_hex(8)
    script = f"""
subprocess.Popen(["sh", "-c", "sleep 60; : {marker}"], start_new_session=True, stdin=-3, stdout=-3, stderr=-3)
"""
    step(tmp_path / "work", script)
    left = [each for each in running(marker) if each != os.getpid()]
    for each in left:
        os.kill(each, signal.SIGKILL)
    assert bool(left) is not defended


@pytest.mark.parametrize("defended", [True, False])
def test_a_step_that_signals_others(defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a step ends the node, or the steps of others, which run as the same user."""
    if not defended:
        together(monkeypatch, tmp_path)
    user = NOBODY if is_separate() else None
    with subprocess.Popen(["sleep", "60"], user=user) as victim:
        step(tmp_path / "work", "attempt(os.kill, int(given[0]), signal.SIGTERM)", str(victim.pid))
        ended = victim.poll() is not None
        victim.kill()
    assert ended is not defended


@pytest.mark.parametrize("defended", [True, False])
def test_a_file_left_for_the_next_step(defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a step that may read patients leaves them for one that may send its output."""
    if not defended:
        bound("/tmp")(monkeypatch, tmp_path)
    places = "('/tmp', '/dev/shm', '/inputs', '/opt', '/', '/proc', '/var/tmp')"
    step(tmp_path / "one", f"for at in {places}: attempt(lambda: open(at + '/left', 'w').write('x'))")
    step(tmp_path / "two", f"if any(os.path.exists(at + '/left') for at in {places}): won()")
    assert has_won(tmp_path / "two") is not defended


@pytest.mark.parametrize("defended", [True, False])
def test_a_flood_on_standard_output(defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a talkative step fills the node's disk, or its memory."""
    if not defended:
        unlimited(monkeypatch, tmp_path)
    work = tmp_path / "work"
    script = "for _ in range(5): sys.stdout.buffer.write(bytes(1 << 20)); sys.stdout.flush()\nwon()"
    step(work, script, stdout="out")
    assert ((work / "out").stat().st_size > SMALL.output_bytes + 1) is not defended
    assert has_won(work) is not defended
