"""How fast a step is here: measured by a step, so that it is what steps get, in whatever runs them.

A score is a count of the machine's, and a boast if one likes: it says where a step may be quicker, and nothing more.
Each kind of work is done some times and the median counts. Work on processors is measured in processor time, which
others on the machine disturb less; it is Python's, so it is also the speed of the interpreter that steps have.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Final

import msgspec
import trio

from catalog.capacity import REFERENCE
from catalog.error import ComityError
from node.execute.discard import discard
from node.step import Ending, Job, Limits, Runner

INTEGER: Final = 7_500_000.0
"""Rounds of a generator of pseudo-random numbers in a second on the reference machine: one core of an AMD EPYC server
processor of 2021, CPython 3.11, a virtual disk."""
FLOATING: Final = 20_000_000.0
"""Rounds of the logistic map."""
HASHING: Final = 1_500.0
"""MiB through SHA-256."""
WRITING: Final = 450.0
"""MiB written to a file, and on the disk."""

_MOST: Final = 100 * REFERENCE
_MOST_BYTES: Final = 1000
_FOUND: Final = "found"
_LIMITS: Final = Limits(wall_seconds=20.0, cpu_seconds=10, memory_bytes=256 << 20, processes=8, output_bytes=64 << 20)

_SCRIPT: Final = """
import hashlib, json, os, statistics, time
DATA = bytes(range(256)) * (1 << 16)
def integer():
    x = 1
    for _ in range(150_000):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
    return 150_000
def floating():
    x = 0.5
    for _ in range(300_000):
        x = 3.9 * x * (1.0 - x)
    return 300_000
def hashing():
    hashlib.sha256(DATA).digest()
    return 16
def writing():
    with open("scratch", "wb") as file:
        file.write(DATA)
        file.flush()
        os.fsync(file.fileno())
    return 16
def rate(work, clock):
    rates = []
    for _ in range(7):
        begun = clock()
        done = work()
        rates.append(done / max(clock() - begun, 1e-9))
    return statistics.median(rates)
found = {work.__name__: rate(work, time.process_time) for work in (integer, floating, hashing)}
found["writing"] = rate(writing, time.perf_counter)
print(json.dumps(found))
"""

Rate = Annotated[float, msgspec.Meta(gt=0)]


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rounds, rounds, MiB and MiB in a second."""

    integer: Rate
    floating: Rate
    hashing: Rate
    writing: Rate

    @property
    def paces(self) -> dict[str, int]:
        """Each in thousandths of the reference machine's, as far as one may say it."""
        told = {
            "integer": self.integer / INTEGER,
            "floating": self.floating / FLOATING,
            "hashing": self.hashing / HASHING,
            "writing": self.writing / WRITING,
        }
        return {name: max(1, min(_MOST, round(each * REFERENCE))) for name, each in told.items()}


async def measure(runner: Runner, place: Path) -> Rates:
    """Let ``runner`` run a step that measures, in a new folder below ``place``: about a second.

    Raises:
        ComityError, OSError: the step could not be run, or found nothing.
    """
    folder = place / secrets.token_hex(8)
    work = folder / "work"
    try:
        await trio.to_thread.run_sync(lambda: work.mkdir(parents=True, mode=0o700))
        done = await runner.run(Job(("python3", "-c", _SCRIPT), work, stdout=_FOUND, limits=_LIMITS))
        if done.ending is not Ending.EXITED or done.code != 0:
            raise ComityError(f"the step that measures speed came to nothing: {done.reason or done.code}")
        return _rates(await (trio.Path(work) / _FOUND).read_bytes())
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(discard, folder)


def _rates(found: bytes) -> Rates:
    try:
        return msgspec.json.decode(found[:_MOST_BYTES], type=Rates)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ComityError("the step that measures speed found nothing") from error
