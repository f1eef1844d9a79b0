"""The container beside a step where host and cluster share no folder: inputs come in by it, and outputs leave.

Each of these is a process of its own that the host starts in that container, and speaks with over its standard streams.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from node.execute.inside.order import GATE, SAID, WORK
from node.execute.inside.parcel import Bounds, receive, send
from node.execute.inside.supervise import main

TERMINATION = "/dev/termination-log"
"""What lies there when a container ends is kept by Kubernetes as its last words; a step may write there too."""

_ENDLESS = 1 << 62
_LOOK_SECONDS = 0.01


def stand_by() -> None:
    """Be there until told to end: the first process of the container."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


def take() -> None:
    """Put what comes over standard input where its paths say, below the root; all of it is there for the supervisor."""
    receive(lambda most: os.read(0, most), "/", Bounds(_ENDLESS, _ENDLESS, links=True), modes=True)
    _make(f"{GATE}/ready")


def begin() -> None:
    """Open the gate and say so; say again when there is a report, whoever wrote it."""
    _make(f"{GATE}/open")
    _write(b"open\n")
    while not os.path.lexists(f"{GATE}/report.json"):
        time.sleep(_LOOK_SECONDS)
    _write(b"over\n")


def give() -> None:
    """Send what the supervisor said and the work folder over standard output, one after the other."""
    said = [(name, f"{GATE}/{name}") for name in SAID if os.path.lexists(f"{GATE}/{name}")]
    send(said, _write)
    send([(name, f"{WORK}/{name}") for name in os.listdir(WORK)], _write)


def leave() -> None:
    """All has come where it belongs: end the container."""
    os.kill(1, signal.SIGTERM)


def supervise() -> None:
    """Be the first process of the step's own container, and leave nothing of a step in what Kubernetes keeps of it."""
    kept = os.open(TERMINATION, os.O_WRONLY | os.O_CLOEXEC)  # now: a step can leave this process no file to open
    try:
        main()
    finally:  # nothing of the step is there any more
        os.ftruncate(kept, 0)


def supervise_when_ready() -> None:
    """Likewise, once the order has come."""
    while not os.path.lexists(f"{GATE}/ready"):
        time.sleep(_LOOK_SECONDS)
    supervise()


def _make(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
