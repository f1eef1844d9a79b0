"""Processes that read leaves and check whether their bodies are canonical and signed, most of what indexing costs.

In threads the checks would wait for each other and for everything else that this node computes, since a thread that
verifies gives up the interpreter and gets it back late. The processes are :mod:`node.site.prover`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
import trio

from catalog.error import ComityError
from catalog.origin import site_of
from catalog.reading import Reading, read_leaves, unpack
from node.site.prover import read_frame, write_frame
from node.site.together import aside

MOST: Final = 4
"""Processes at most; as many as there are processors, if those are fewer."""

PART: Final = 256
"""Leaves that one process reads at once, some 20 ms. Fewer are read in a thread."""

IDLE_SECONDS: Final = 10.0
"""How long processes that have nothing to do are kept."""


class _Prover:
    """One process and its two pipes, used by one thread at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "node.site.prover"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def read(self, asked: bytes) -> bytes:
        if self._process.stdin is None or self._process.stdout is None:
            raise ComityError("a process that checks signatures has no pipes")
        try:
            write_frame(self._process.stdin, asked)
            answer = read_frame(self._process.stdout)
        except OSError:
            answer = None
        if answer is None:
            self.close()
            raise ComityError("a process that checks signatures ended by itself; see how much memory is left here")
        return answer

    def close(self) -> None:
        """Let the process end by closing its input, which also ends it when this node is killed."""
        self._process.communicate()


class Provers:
    """Reads leaves with the help of processes, which are started when there is much to do (the port ``Reads``)."""

    def __init__(self) -> None:
        self._turns = trio.CapacityLimiter(min(MOST, os.cpu_count() or 1))
        self._idle: list[_Prover] = []
        self._used = 0.0

    async def __call__(self, origin: str, start: int, rows: Sequence[tuple[bytes, bytes | None]]) -> list[Reading]:
        """What leaves and their bodies say.

        Raises:
            ComityError: a process that was checking ended.
        """
        if len(rows) < PART:
            return await aside(lambda: read_leaves(origin, start, rows))
        parts = range(0, len(rows), PART)
        found: dict[int, list[Reading]] = {}
        failed: list[ComityError] = []

        async def one(first: int) -> None:
            asked = msgspec.msgpack.encode((origin, start + first, rows[first : first + PART]))
            try:
                answer = await self._ask(asked)
            except ComityError as error:
                failed.append(error)
            else:
                found[first] = await aside(lambda: unpack(site_of(origin), start + first, answer))

        async with trio.open_nursery() as nursery:
            for first in parts:
                nursery.start_soon(one, first)
        if failed:
            raise failed[0]
        return [reading for first in parts for reading in found[first]]

    async def run(self) -> None:
        """End processes that are not needed any more; until cancelled."""
        while True:
            await trio.sleep(IDLE_SECONDS)
            if trio.current_time() - self._used > IDLE_SECONDS:
                await self.aclose()

    async def aclose(self) -> None:
        """End the processes that do nothing now."""
        idle, self._idle = self._idle, []
        for prover in idle:
            await trio.to_thread.run_sync(prover.close)

    async def _ask(self, asked: bytes) -> bytes:
        async with self._turns:
            prover = self._idle.pop() if self._idle else await trio.to_thread.run_sync(_Prover)
            # Not to be cancelled in the middle: the next part's answer would be this one's.
            with trio.CancelScope(shield=True):
                answer = await trio.to_thread.run_sync(prover.read, asked)
            self._idle.append(prover)
            self._used = trio.current_time()
            return answer
