"""What a command left is listed by find(1) in a sandbox of its own, which is made while the command still runs.

To make a sandbox takes longer than to list a folder. So this one waits at its gate beside the command, and is let go
when all of that has ended.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

from catalog.error import ComityError
from node.execute.account import is_separate, make_readable
from node.execute.collect import listing_command
from node.step import Ending, Exit, Job, Limits, Mount, Turn

log = logging.getLogger("comity.steps")
Run = Callable[[Job, Turn], Awaitable[Exit]]

_INSIDE: Final = "/outputs"
_LIMITS: Final = Limits(wall_seconds=60.0, cpu_seconds=60, processes=4, output_bytes=64 << 20)


class _Listing:
    """The listing of the work folder ``work``, which lies alone in its parent.

    That parent is what the sandbox is shown. The work folder itself is closed to it when the command has ended, until
    :meth:`look` opens it, and the command may have changed its mode before.
    """

    def __init__(self, run: Run, work: Path) -> None:
        self._run = run
        self._work = work
        self._place = work.parent.with_name("listing")
        self._made = trio.Event()
        self._ended = trio.Event()
        self._listed = trio.Event()
        self._found: bytes | ComityError | OSError | None = None

    def prepare(self) -> None:
        """Make the folders that the sandbox is shown; before the command starts."""
        self._work.parent.chmod(0o755)
        self._place.mkdir(mode=0o700)

    async def wait(self) -> None:
        """Once the command's own sandbox is made, make this one; list once :meth:`look` says that it has ended."""
        job = Job(
            listing_command(f"{_INSIDE}/{self._work.name}"),
            self._place,
            (Mount(self._work.parent, _INSIDE),),
            stdout="found",
            limits=_LIMITS,
            system=frozenset(),
        )
        await self._made.wait()  # two that are made at once wait for each other in the kernel
        try:
            ended = await self._run(job, self._after_command())
            if ended.ending is Ending.EXITED and ended.code == 0:
                self._found = await trio.to_thread.run_sync((self._place / "found").read_bytes)
            else:
                log.warning("what a step left could not be looked through: %s", ended.reason or ended.code)
        except (ComityError, OSError) as error:
            self._found = error
        finally:
            self._listed.set()

    @asynccontextmanager
    async def around(self, turn: Turn) -> AsyncIterator[None]:
        """The command's ``turn``, at whose beginning its own sandbox is made."""
        async with turn:
            self._made.set()
            yield

    @asynccontextmanager
    async def _after_command(self) -> AsyncIterator[None]:
        await self._ended.wait()
        yield

    async def look(self) -> bytes | None:
        """What is there now, as find(1) prints it; none if it could not be looked through.

        Raises:
            Denied, BadInput, OSError: no sandbox could be made for it.
        """
        if is_separate():
            await trio.to_thread.run_sync(make_readable, self._work)
        self._ended.set()
        await self._listed.wait()
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


async def run_and_list(run: Run, job: Job, turn: Turn) -> Exit:
    """``run`` the ``job`` to its end in its ``turn``, and list what it left if it succeeded.

    Raises:
        Denied, BadInput, OSError: as :meth:`Runner.run`.
    """
    listing = _Listing(run, job.work)
    await trio.to_thread.run_sync(listing.prepare)
    ran: Exit | ComityError | OSError
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listing.wait)
        try:
            ran = await run(job, listing.around(turn))
            if ran.ending is Ending.EXITED and ran.code in job.succeeds:
                ran = replace(ran, left=await listing.look())
        except (ComityError, OSError) as error:
            ran = error  # else the nursery would wrap it
        nursery.cancel_scope.cancel()
    if not isinstance(ran, Exit):
        raise ran
    return ran
