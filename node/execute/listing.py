"""What a command left is listed by find(1) in a sandbox of its own, which is made while the command still runs.

To make a sandbox takes longer than to list a folder. So this one waits at its gate beside the command, and is let go
when all of that has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import trio

from catalog.error import ComityError, VerificationFailed
from node.execute.account import is_separate, make_readable
from node.execute.collect import Entry, listing_command, read_listing
from node.step import Ending, Exit, Job, Limits, Mount, Runner

_INSIDE: Final = "/outputs"
_LIMITS: Final = Limits(wall_seconds=60.0, cpu_seconds=60, processes=4, output_bytes=64 << 20)


class Listing:
    """The listing of the work folder ``work``, by :func:`run_and_list`; it lies alone in its parent.

    That parent is what the sandbox is shown. The work folder itself is closed to it when the command has ended, until
    :meth:`look` opens it, and the command may have changed its mode before.
    """

    def __init__(self, runner: Runner, work: Path) -> None:
        self._runner = runner
        self._work = work
        self._place = work.parent.with_name("listing")
        self._made = trio.Event()
        self._ended = trio.Event()
        self._listed = trio.Event()
        self._failure: ComityError | OSError | None = None

    def found(self) -> Entry:
        """What lay in the work folder when the command had ended. Blocking.

        Raises:
            VerificationFailed: it could not be listed.
            Denied: no sandbox could be made.
        """
        if self._failure is not None:
            raise self._failure
        return read_listing((self._place / "found").read_bytes())

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
            ended = await self._runner.run(job, self._ended.wait)
            if ended.ending is not Ending.EXITED or ended.code != 0:
                raise VerificationFailed(f"its outputs could not be looked through: {ended.reason or ended.code}")
        except (ComityError, OSError) as error:
            self._failure = error
        finally:
            self._listed.set()

    def begin(self) -> None:
        """The command starts: its own sandbox is made."""
        self._made.set()

    async def look(self) -> None:
        """List what is there now."""
        if is_separate():
            await trio.to_thread.run_sync(make_readable, self._work)
        self._ended.set()
        await self._listed.wait()


async def run_and_list(
    runner: Runner, job: Job, succeeded: Callable[[int], bool], turns: trio.Semaphore
) -> tuple[Exit, Listing]:
    """Run ``job`` to its end and, if it ``succeeded`` by its exit code, list what it left.

    Its sandbox is made before it has one of the ``turns``, which it has while its command runs.

    Raises:
        Denied, BadInput, OSError: as :meth:`Runner.run`.
    """
    listing = Listing(runner, job.work)
    await trio.to_thread.run_sync(listing.prepare)
    held = AsyncExitStack()
    ran: Exit | ComityError | OSError

    async def turn() -> None:
        await held.enter_async_context(turns)
        listing.begin()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listing.wait)
        try:
            async with held:
                ran = await runner.run(job, turn)
            if ran.ending is Ending.EXITED and succeeded(ran.code):
                await listing.look()
        except (ComityError, OSError) as error:
            ran = error  # else the nursery would wrap it
        nursery.cancel_scope.cancel()
    if not isinstance(ran, Exit):
        raise ran
    return ran, listing
