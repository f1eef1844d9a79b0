"""What this machine must have, installed where Debian has it and refused by name where not."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

# linux/capability.h: what namespaces, mounts, devices and users of containers need.
RIGHTS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "KILL": 5, "SETGID": 6, "SETUID": 7, "NET_ADMIN": 12, "SYS_CHROOT": 18}
RIGHTS |= {"SYS_PTRACE": 19, "SYS_ADMIN": 21, "MKNOD": 27}


class RefusedError(RuntimeError):
    """This machine lacks what real components need; the message names it."""


def need_rights() -> None:
    """Nothing, if this process may do what containers need.

    Raises:
        RefusedError: it may not; all that lacks is named.
    """
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    held = int(status["CapEff"], 16)
    missing = [f"CAP_{name}" for name, bit in RIGHTS.items() if not held >> bit & 1]
    if os.geteuid():
        missing.insert(0, "root")
    if "overlay" not in Path("/proc/filesystems").read_text():
        missing.append("overlayfs in the kernel")
    if missing:
        raise RefusedError(f"containers need rights that this process lacks: {', '.join(missing)}")


def need_programs(packages: Mapping[str, str]) -> None:
    """See to it that the programs or files that are keys are here, from Debian's packages that are values.

    Raises:
        RefusedError: a package cannot be installed.
    """
    missing = {what: package for what, package in packages.items() if not _here(what)}
    if missing:
        fresh_lists()
        apt("install", "-qq", "--yes", "--no-install-recommends", *sorted(set(missing.values())))
        lacking = [f"{what} (of {package})" for what, package in missing.items() if not _here(what)]
        if lacking:
            raise RefusedError(f"installed, and still missing: {', '.join(lacking)}")


@cache
def fresh_lists() -> None:
    """Learn which packages there are, once in this process: what was known before may be gone from the servers."""
    apt("update", "-qq")


def _here(what: str) -> bool:
    return Path(what).exists() if what.startswith("/") else shutil.which(what) is not None


def apt(verb: str, *arguments: str, folder: Path | None = None) -> None:
    """Run ``apt-get``; what is installed starts no services.

    Raises:
        RefusedError: it failed, with what it said.
    """
    # invoke-rc.d starts nothing in this run level: a machine's own daemons are not for tests to start.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    # Its sandbox user cannot write into folders of ours.
    command = ["apt-get", "-o", "APT::Sandbox::User=root", "-o", "DPkg::Lock::Timeout=300", verb, *arguments]
    try:
        with alone(cache_folder() / "apt.lock"):
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    except FileNotFoundError:
        raise RefusedError(f"«apt-get {verb}» needs Debian: packages come from there alone") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise RefusedError(f"«apt-get {verb} {' '.join(arguments)}» failed: {said}")


def run(command: Sequence[str | Path], seconds: float = 120) -> str:
    """What a command prints.

    Raises:
        RefusedError: it failed, with what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise RefusedError(f"«{' '.join(map(str, command))}» failed: {said}")
    return done.stdout


def cache_folder() -> Path:
    """The folder of what is built once, for all checkouts of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "comity-infra"


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One process at a time, which others wait for; it is free again when that ends, however it ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for whoever holds {lock} …", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
