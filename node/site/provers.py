"""Processes that check whether bodies are canonical and signed, which is most of what indexing a catalog costs.

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
from catalog.reading import Proof, Reading, prove, read_leaves
from node.site.prover import read_frame, write_frame
from node.site.together import aside

MOST: Final = 4
"""Processes at most; as many as there are processors, if those are fewer."""

PART: Final = 256
"""Bodies that one process checks at once, some 20 ms. Fewer are checked in a thread."""

IDLE_SECONDS: Final = 10.0
"""How long processes that have nothing to do are kept."""


class _Prover:
    """One process and its two pipes, used by one thread at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "node.site.prover"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def prove(self, bodies: Sequence[bytes]) -> list[Proof]:
        if self._process.stdin is None or self._process.stdout is None:
            raise ComityError("a process that checks signatures has no pipes")
        try:
            write_frame(self._process.stdin, msgspec.msgpack.encode(bodies))
            answer = read_frame(self._process.stdout)
        except OSError:
            answer = None
        if answer is None:
            self.close()
            raise ComityError("a process that checks signatures ended by itself; see how much memory is left here")
        return msgspec.msgpack.decode(answer, type=list[Proof])

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
        bodies = [body for _, body in rows if body is not None]
        found = iter(await self._prove(bodies))
        proofs = [Proof() if body is None else next(found) for _, body in rows]
        return await aside(lambda: read_leaves(origin, start, rows, proofs))

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

    async def _prove(self, bodies: Sequence[bytes]) -> list[Proof]:
        if len(bodies) < PART:
            return await aside(lambda: [prove(body) for body in bodies])
        parts = [bodies[start : start + PART] for start in range(0, len(bodies), PART)]
        found: dict[int, list[Proof]] = {}
        failed: list[ComityError] = []

        async def one(place: int) -> None:
            try:
                found[place] = await self._prove_part(parts[place])
            except ComityError as error:
                failed.append(error)

        async with trio.open_nursery() as nursery:
            for place in range(len(parts)):
                nursery.start_soon(one, place)
        if failed:
            raise failed[0]
        return [proof for place in range(len(parts)) for proof in found[place]]

    async def _prove_part(self, bodies: Sequence[bytes]) -> list[Proof]:
        async with self._turns:
            prover = self._idle.pop() if self._idle else await trio.to_thread.run_sync(_Prover)
            # Not to be cancelled in the middle: the next part's answer would be this one's.
            with trio.CancelScope(shield=True):
                proofs = await trio.to_thread.run_sync(prover.prove, bodies)
            self._idle.append(prover)
            self._used = trio.current_time()
            return proofs
