"""The ``console`` blocks of a page, run in one shell in their order.

A line that begins with ``$ `` is a command, lines with ``> `` behind it go on with it, and the lines up to the next
command are what it prints, if the page shows any: each must come, in that order; ``…`` stands for anything within a
line, or alone on a line for any lines. A command ends with 0 unless the page shows ``error: …``. A command with
``&`` at its end runs on: a node until the page's end, anything else until the command after it has ended.
"""

import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECONDS = 60.0


@dataclass
class Example:
    """One command, and what the page says it prints."""

    command: str
    shown: list[str] = field(default_factory=list)

    @property
    def fails(self) -> bool:
        """Whether the page shows a failure."""
        return any(line.startswith("error: ") for line in self.shown)


def examples(page: str) -> list[Example]:
    """The commands of a page."""
    found: list[Example] = []
    for block in BLOCK.findall(page):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Example(line[2:]))
            elif line.startswith("> ") and not found[-1].shown:
                found[-1].command += "\n" + line[2:]
            else:
                found[-1].shown.append(line)
    return found


def missing(shown: list[str], printed: str) -> str | None:
    """The first shown line that does not come, in order, in what was printed."""
    lines = [line.rstrip() for line in printed.splitlines()]
    at = 0
    for want in (line.rstrip() for line in shown):
        if want in ("", "…"):
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in re.split(r"\s*…\s*", want)))
        while at < len(lines) and not pattern.fullmatch(lines[at]):
            at += 1
        if at == len(lines):
            return want
        at += 1
    return None


class Shell:
    """A bash that keeps its variables, functions and folder from one command to the next."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._state = folder / ".shell"
        self._folder = folder
        self._environment = environment
        self._behind: list[Behind] = []
        self._state.write_text("")

    def run(self, example: Example) -> None:
        """Run one command and hold it to what the page says."""
        if example.command.endswith(" &"):
            self._start(example.command.removesuffix(" &"))
            return
        script = f"source {self._state}\n{example.command}\ncode=$?\ndeclare -px > {self._state}\nexit $code\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        told = f"$ {example.command}\n{done.stdout}"
        assert (done.returncode != 0) is example.fails, f"it ended with {done.returncode}:\n{told}"
        lacking = missing(example.shown, done.stdout)
        assert lacking is None, f"it did not print «{lacking}»:\n{told}"
        self._wait_for_others()

    def _start(self, command: str) -> None:
        process = subprocess.Popen(
            ["bash", "-c", f"source {self._state}; exec {command}"],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        behind = Behind(command, process)
        self._behind.append(behind)
        if behind.is_node:
            behind.wait_until_up()

    def _wait_for_others(self) -> None:
        for behind in [each for each in self._behind if not each.is_node]:
            behind.wait()
            self._behind.remove(behind)

    def close(self) -> None:
        """Stop the nodes that the page started, as Ctrl-C does."""
        for behind in self._behind:
            if behind.process.poll() is None:
                os.killpg(behind.process.pid, signal.SIGINT)
        for behind in self._behind:
            behind.wait()


class Behind:
    """A command that runs on, and what it printed so far."""

    def __init__(self, command: str, process: subprocess.Popen[str]) -> None:
        self.command = command
        self.process = process
        self.is_node = "site run" in command
        self._printed: list[str] = []
        self._up_or_ended = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._printed.append(line)
                if " is up: " in line:
                    self._up_or_ended.set()
        self._up_or_ended.set()

    def wait_until_up(self) -> None:
        """Wait until a node says that it answers."""
        self._up_or_ended.wait(SECONDS)
        assert any(" is up: " in line for line in self._printed), self._told()

    def wait(self) -> None:
        """Wait until it has ended, which must be well."""
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        assert code == 0, self._told()

    def _told(self) -> str:
        return f"$ {self.command}\n{''.join(self._printed)}"
