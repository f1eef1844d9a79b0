"""The wheels of a lock, fetched by pip in a process of its own, from the package index that the operator set.

pip is told to take wheels alone, each by its hash: nothing of a package is run, and nothing comes that the lock does
not name. What went wrong is told in one line, by what pip noted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import file_digest
from pathlib import Path
from typing import Final

import trio
from installer.utils import parse_wheel_filename

from catalog.error import BadInput, ComityError, Full, Unreachable, VerificationFailed, shown
from node.execute.environment.lock import Lock, Requirement, normal

MOST_SECONDS: Final = 3600.0
_MOST_LOG: Final = 64 << 20
# What tells pip where its index is and how to get there; nothing else of the node's own environment is its business.
_KEPT: Final = re.compile(
    r"PIP_.*|PATH|HOME|LANG|TMPDIR|XDG_.*|SSL_CERT_.*|REQUESTS_CA_BUNDLE|(https?|no|all)_proxy", re.I
)


async def fetch_wheels(lock: Lock, folder: Path) -> dict[Path, Requirement]:
    """Have the wheels that ``lock`` means on this machine in ``folder``, which is empty, each with its requirement.

    Raises:
        BadInput: the lock does not resolve here, or a package has no wheel and would have to be compiled.
        VerificationFailed: the index has files of other hashes. Unreachable: it does not answer.
        Full: there is no room on the disk. ComityError: pip cannot be run.
    """
    requirements, log, wheels = folder / "requirements.txt", folder / "pip.log", folder / "wheels"
    wheels.mkdir()
    requirements.write_text(lock.text)
    command = (
        *(sys.executable, "-I", "-m", "pip", "download", "--require-hashes", "--only-binary", ":all:", "--no-input"),
        *("--disable-pip-version-check", "--progress-bar", "off", "--quiet", "--log", str(log)),
        *("--dest", str(wheels), "--requirement", str(requirements)),
    )
    ended = None
    with trio.move_on_after(MOST_SECONDS):
        ended = await trio.run_process(
            command,
            cwd=folder,
            env={name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    if ended is None:
        raise Unreachable("the package index did not give all of the lock within an hour; try again")
    if ended.returncode != 0:
        raise await trio.to_thread.run_sync(_failure, log, lock)
    return await trio.to_thread.run_sync(_checked, wheels, lock)


def _checked(wheels: Path, lock: Lock) -> dict[Path, Requirement]:
    """Each wheel with its requirement, its hash looked at again: what a process says is not believed."""
    found = {}
    for path in sorted(wheels.iterdir()):
        try:
            name = normal(parse_wheel_filename(path.name).distribution)
        except ValueError as error:
            raise BadInput(f"«{shown(path.name, 80)}» is no wheel, and nothing else is taken") from error
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        meant = (each for each in lock.requirements if each.name == name and digest in each.hashes)
        requirement = next(meant, None)
        if requirement is None:
            raise _wrong(name)
        found[path] = requirement
    return found


def _wrong(name: str) -> VerificationFailed:
    return VerificationFailed(
        f"a file of «{name}» has another hash than the lock names: the lock is of another time, or the index gives "
        "other files; write the lock anew, and if it is still so, ask the index's operator"
    )


def _failure(log: Path, lock: Lock) -> ComityError:
    """Why pip gave up, by the words that it has for it; the last that it names is what it gave up on."""
    try:
        with log.open("rb") as file:
            text = file.read(_MOST_LOG).decode(errors="replace")
    except OSError:
        return ComityError("pip could not be run, by which locks are resolved; see whether it is installed")
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return Full("there is no room on this site's disk for the wheels of the lock; nothing was kept")
    if "DO NOT MATCH THE HASHES" in text:
        found = re.search(r"HASHES FROM THE REQUIREMENTS FILE.*?^\S*\s+([A-Za-z0-9._-]+)[=\s\[]", text, re.S | re.M)
        return _wrong(found[1] if found else "a package")
    unpinned = re.search(
        r"In --require-hashes mode, all requirements must have .*?\n(?:\S*\s+)?([A-Za-z0-9._-]+)", text
    )
    if unpinned:
        return BadInput(
            f"the lock is not whole: «{unpinned[1]}» is needed and not in it; write it with «uv pip compile "
            "--generate-hashes», which names everything"
        )
    return _unmatched(text, lock)


def _unmatched(text: str, lock: Lock) -> ComityError:
    named = re.findall(r"No matching distribution found for ([A-Za-z0-9._-]+)", text)
    sought = normal(named[-1]) if named else ""
    requirement = next((each for each in lock.requirements if each.name == sought), None)
    if "Connection broken" in text or re.search(r"Retrying \(Retry\(total=0", text) or "ConnectionError" in text:
        return Unreachable("the package index does not answer; see to the network, or set PIP_INDEX_URL for the node")
    if requirement is None:
        return BadInput("the lock does not resolve on this machine: its packages exclude each other; write it anew")
    told = f"«{requirement.name}=={requirement.version}»"
    if re.search(rf"Skipping link: .*[-_]{re.escape(requirement.version)}[-.]", text):
        return BadInput(
            f"{told} has no wheel for this machine ({_here()}), so it would have to be compiled, which is not done "
            "here: choose a version that has one, or build a wheel and set PIP_FIND_LINKS for the node"
        )
    return BadInput(f"the lock does not resolve: the index has no {told}; write it anew with «uv pip compile»")


def _here() -> str:
    return f"Python {sys.version_info.major}.{sys.version_info.minor}, {os.uname().machine}"
