"""The sandbox that lists what a command left, whenever it is made beside that, lists what was left at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from node.execute.sandbox import Sandbox
from node.step import Exit, Job, Turn
from tests.node.execute.test_allowed import FREE, ran

CLOSING = "import os; os.chmod('.', 0); print(1)"


class Late(Sandbox):
    """It makes the listing's sandbox when the command has ended and its folder is closed again."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = trio.Event()
        self._made = trio.Event()

    async def command(self, job: Job, turn: Turn) -> Exit:
        """A step's command, whose end is told once the other sandbox waits."""
        if job.argv[0] == "find":
            return await self._list(job, turn)
        ended = await super().command(job, turn)
        self._ended.set()
        await self._made.wait()
        return ended

    async def _list(self, job: Job, turn: Turn) -> Exit:
        await self._ended.wait()
        try:
            return await super().command(job, self._told(turn))
        finally:
            self._made.set()

    @asynccontextmanager
    async def _told(self, turn: Turn) -> AsyncIterator[None]:
        self._made.set()
        async with turn:
            yield


class Early(Sandbox):
    """It lets a command begin once the listing's sandbox waits at its gate."""

    def __init__(self) -> None:
        super().__init__()
        self._waits = trio.Event()

    async def command(self, job: Job, turn: Turn) -> Exit:
        """A step's command after the listing's sandbox."""
        return await super().command(job, self._first(turn) if job.argv[0] == "find" else self._then(turn))

    @asynccontextmanager
    async def _first(self, turn: Turn) -> AsyncIterator[None]:
        self._waits.set()
        async with turn:
            yield

    @asynccontextmanager
    async def _then(self, turn: Turn) -> AsyncIterator[None]:
        async with turn:
            await self._waits.wait()
            yield


@pytest.mark.parametrize("runner", [Sandbox, Late, Early])
@pytest.mark.parametrize("program", ["print(1)", CLOSING])
def test_a_step_is_listed_whenever_its_listings_sandbox_is_made(
    program: str, runner: type[Sandbox], tmp_path: Path
) -> None:
    """Lost: a step that is quick, or closes its own folder, fails now and then."""

    async def play() -> None:
        finished = await ran(tmp_path, program, FREE, sandbox=runner())
        assert finished.failure == ""
        assert list(finished.products) == ["out"]

    trio.run(play)


def test_a_command_that_fails_leaves_no_sandbox_waiting(tmp_path: Path) -> None:
    """Lost: each step that fails leaves two processes, until the machine has no more."""

    async def play() -> None:
        with trio.fail_after(20):
            finished = await ran(tmp_path, "raise SystemExit(3)", FREE, sandbox=Early())
        assert finished.failure == "its command ended with code 3"

    trio.run(play)
    assert not [place for place in (tmp_path / "work").iterdir() if not place.name.startswith("block-")]
