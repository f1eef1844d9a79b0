"""The way of one log's checkpoints to the witnesses: one task that says which is next, and one for each witness.

So who is slow or away holds up nobody. Checkpoints that come fast wait for each other, the longer the more there is to
do: a lone entry goes at once, and of a hundred together some go with each of a few checkpoints.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from catalog.error import ComityError
from node.replicate.push import Push

FIRST_PAUSE = 0.25
MAX_PAUSE = 4.0
LINGER_SECONDS = 0.05
"""How long a checkpoint waits for others to go with it, as long as nobody waits for its cosignatures."""

MOST_SECONDS = 0.5
"""The longest that it waits, when the witnesses are slow because there is much to do."""

LOOK_SECONDS = 2.0
"""How often it is looked whether members came or went."""

log = logging.getLogger("comity.witness")


class Lane:
    """Pushes the checkpoints of one log, ``what`` for people. ``refused`` says of each witness why it does not cosign.

    The first checkpoint of a ``prompt`` log after a quiet while goes at once. Those of the other wait a moment for what
    follows: the intent of a short step goes together with its result.
    """

    def __init__(self, push: Push, what: str, names: Callable[[str], str], *, prompt: bool) -> None:
        self.push = push
        self._what = what
        self.refused: dict[str, str] = {}
        self._names = names
        self._prompt = prompt
        self._news = trio.Event()
        self._aimed = trio.Event()
        self._urged = trio.Event()
        self._waiting = 0
        self._began = 0.0
        self._ready = 0.0
        self._back: dict[str, trio.Event] = {}

    def wake(self) -> None:
        """The log has grown, or more of it is covered."""
        news, self._news = self._news, trio.Event()
        news.set()

    def covered(self) -> None:
        """The quorum has cosigned what stands before it."""
        took = trio.current_time() - self._began
        self._ready = self._began + min(MOST_SECONDS, max(LINGER_SECONDS, 2 * took))
        self.wake()

    async def reach(self, least: int) -> None:
        """Come back once the quorum has cosigned ``least`` leaves; until then nothing lingers."""
        self._waiting += 1
        self._urged.set()
        try:
            while self.push.covered() < least:
                await self._news.wait()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._urged = trio.Event()

    def back(self, witness: str) -> None:
        """A member has shown itself: whatever it could not be asked for is asked for now."""
        if witness in self._back:
            self._back[witness].set()

    async def run(self) -> None:
        """Push until cancelled."""
        following: set[str] = set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._aim)
            while True:
                for witness in self.push.witnesses() - following:
                    following.add(witness)
                    nursery.start_soon(self._follow, witness, following)
                await trio.sleep(LOOK_SECONDS)

    async def _aim(self) -> None:
        while True:
            news = self._news
            try:
                if await self.push.aim():
                    self._began = trio.current_time()
                    self._ready = self._began + LINGER_SECONDS
                    aimed, self._aimed = self._aimed, trio.Event()
                    aimed.set()
            except ComityError as error:
                log.warning("%s cannot be put before the members: %s", self._what, error)
            await news.wait()
            if not self._prompt:
                self._ready = max(self._ready, trio.current_time() + LINGER_SECONDS)
            with trio.move_on_at(self._ready):
                await self._urged.wait()

    async def _follow(self, witness: str, following: set[str]) -> None:
        pause = FIRST_PAUSE
        while witness in self.push.witnesses():
            aimed, fault = self._aimed, ""
            try:
                if await self.push.push(witness):
                    pause = FIRST_PAUSE
                    continue
            except ComityError as error:
                fault = str(error)
            if fault and fault != self.refused.get(witness):
                log.warning("%s does not cosign %s: %s", self._names(witness), self._what, fault)
            self.refused[witness] = fault
            if not fault:
                await aimed.wait()
                continue
            self._back[witness] = trio.Event()
            with trio.move_on_after(pause):
                await self._back[witness].wait()
            pause = min(2 * pause, MAX_PAUSE)
        following.discard(witness)
