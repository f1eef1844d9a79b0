"""Many threads reading a type for the first time at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from catalog.dagcbor import Value, from_json

sys.setswitchinterval(1e-6)

def nested(depth):
    names = {}
    for level in range(depth):
        inner = names.get(level - 1, int)
        names[level] = type(Value)(f"Level{level}", (Value,), {"__annotations__": {f"f{i}": inner for i in range(3)}},
                                   frozen=True, kw_only=True)
    return names[depth - 1]

def text(depth):
    inner = text(depth - 1) if depth > 1 else "1"
    return "{" + ",".join(f'"f{i}":{inner}' for i in range(3)) + "}"

data = text(5).encode()
for _ in range(40):
    kind = nested(5)
    start = threading.Barrier(8)
    def read():
        start.wait()
        from_json(kind, data)
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("read")
"""


def test_threads_that_read_a_type_for_the_first_time_do_not_take_the_process_down() -> None:
    """Else a node or a notebook dies now and then as it starts, without a word: msgspec prepares types in place."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.fail(f"exit {ended.returncode}: {ended.stderr[-400:]}")
    assert ended.stdout == "read\n"
