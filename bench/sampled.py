"""``python -m bench.sampled FILE ARGUMENT …``: the command ``comity``, sampled as it runs; for benchmarks alone.

A timer of the process's own processor time ticks; at each tick, what the process has used since the last one is put
down to the stack of the thread that was running. The sums are written to FILE when the process is sent SIGUSR1, so what
two readings differ by was used between them. The process uses some three parts in a hundred more for it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Final

from catalog.error import Unreachable
from devnet.process import Process, send

TICK_SECONDS: Final = 0.001
"""Wished for; Linux looks at such timers when its own clock ticks, mostly every 4 ms."""

DEEPEST: Final = 150
WAITING: Final = "get_events"
"""The function in which trio waits."""

_PATIENCE_SECONDS: Final = 10.0


class Sampler:
    """What each stack of this process has used, in microseconds. A stack is ``file:function;…``, outermost first."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._until = 0
        self._threads: dict[int, int] = {}
        self._stacks: Counter[str] = Counter()

    def start(self) -> None:
        """Sample until the process ends."""
        signal.signal(signal.SIGPROF, self._tick)
        signal.signal(signal.SIGUSR1, self._write)
        signal.setitimer(signal.ITIMER_PROF, TICK_SECONDS, TICK_SECONDS)

    def _tick(self, _number: int, interrupted: FrameType | None) -> None:
        until = time.process_time_ns() // 1000
        self._stacks[_stack(self._running(interrupted))] += until - self._until
        self._until = until

    def _running(self, interrupted: FrameType | None) -> FrameType | None:
        """Where the thread stands that the tick found running: Python tells the main thread alone of it.

        If that was waiting for events, it was another one: the one that has used most since the tick before.
        """
        frames = sys._current_frames()
        # This very frame would hold itself, and with it the buffers of all those that it came from.
        del frames[threading.get_ident()]
        used = {ident: time.clock_gettime_ns(time.pthread_getcpuclockid(ident)) for ident in frames}
        spent = {ident: at - self._threads.get(ident, 0) for ident, at in used.items()}
        self._threads = used
        waits = interrupted is not None and interrupted.f_code.co_name == WAITING
        return frames[max(spent, key=spent.__getitem__)] if waits and spent else interrupted

    def _write(self, _number: int, _interrupted: FrameType | None) -> None:
        aside = self._file.with_suffix(".new")
        aside.write_text(json.dumps(self._stacks))
        os.replace(aside, self._file)


def _stack(frame: FrameType | None) -> str:
    names: list[str] = []
    while frame is not None and len(names) < DEEPEST:
        names.append(f"{_module(frame.f_code.co_filename)}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    return ";".join(reversed(names))


@cache
def _module(path: str) -> str:
    """The path of a module below the folder that it was imported from."""
    root = next((each for each in sys.path if each and path.startswith(each + os.sep)), "")
    return path[len(root) :].lstrip(os.sep)


def sampled(file: Path, *arguments: str) -> tuple[str, ...]:
    """What the interpreter is to be started with, to run the command with ``arguments`` and a sampler."""
    return ("-m", "bench.sampled", str(file), *arguments)


def read_samples(process: Process, file: Path) -> Counter[str]:
    """What the stacks of a sampled process have used by now, in microseconds.

    Raises:
        Unreachable: it does not say within ten seconds.
    """
    file.unlink(missing_ok=True)
    send(process, signal.SIGUSR1)
    limit = time.monotonic() + _PATIENCE_SECONDS
    while not file.exists():
        if time.monotonic() > limit:
            raise Unreachable(f"the process {process.pid} does not write {file}")
        time.sleep(0.01)
    return Counter(json.loads(file.read_text()))


def main(arguments: Sequence[str]) -> None:
    """Run the command with what follows FILE."""
    from cli.main import main as command

    Sampler(Path(arguments[0])).start()
    sys.argv = ["comity", *arguments[1:]]
    command()


if __name__ == "__main__":
    main(sys.argv[1:])
