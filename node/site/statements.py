"""What a node says itself in its site's catalog, with nobody asking: that it is there, and who has forked.

How fast and how busy it is, is said by :mod:`node.site.capacity`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable

import trio

from catalog.beat import BEAT_SECONDS, BeatFields
from catalog.body import Body, write_body
from catalog.dagcbor import Value
from catalog.entry import Entry
from catalog.error import ComityError
from catalog.fork import AccuseFields
from catalog.index import SiteIndex
from catalog.key import Signer
from node.ports import Clock
from node.replicate.cosign import Witness

AGAIN_SECONDS = 10.0
log = logging.getLogger("comity.statements")


class Statements:
    """Writes beats and accusations for the site whose index ``own`` is, by ``write``."""

    def __init__(
        self,
        own: Callable[[], SiteIndex],
        signer: Signer,
        witness: Witness,
        write: Callable[[Body], Awaitable[Entry]],
        clock: Clock,
        published: Callable[[int], Awaitable[None]],
        hint: Callable[[], Awaitable[None]],
    ) -> None:
        """``published`` comes back once a quorum has cosigned so many entries; ``hint`` tells that there is news."""
        self._own = own
        self._published = published
        self._hint = hint
        self._signer = signer
        self._witness = witness
        self._write = write
        self._clock = clock
        self._found = trio.Event()

    def wake(self) -> None:
        """A fork has become known."""
        self._found.set()

    async def run(self) -> None:
        """Write until cancelled: a beat now and every ten minutes, an accusation for each fork that is known here."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            nursery.start_soon(self._accuse)

    async def _beat(self) -> None:
        while True:
            if not await self.say("beat", "", BeatFields()):
                await trio.sleep(AGAIN_SECONDS)
                continue
            with trio.move_on_after(BEAT_SECONDS):
                await self._published(self._own().size)
                await self._hint()
                await trio.sleep_forever()

    async def _accuse(self) -> None:
        while True:
            self._found = trio.Event()
            own = self._own()
            # A site's own fork is for the others to tell of.
            others = (each for each in self._witness.forks.values() if not each.origin.startswith(own.root))
            missing = [each for each in others if own.latest("accuse", each.origin) is None]
            written = [await self.say("accuse", fork.origin, AccuseFields(fork=fork)) for fork in missing]
            with trio.move_on_after(math.inf if all(written) else AGAIN_SECONDS):
                await self._found.wait()

    async def say(self, kind: str, subject: str, fields: Value) -> bool:
        """Write one statement of the node; whether it was written. Why not, the log says."""
        own = self._own()
        latest = own.latest(kind, subject)
        previous = latest.index if latest is not None else None
        body = write_body(kind, fields, site=own.root, at=self._clock.now(), by=self._signer, previous=previous)
        try:
            await self._write(body)
        except ComityError as error:
            log.warning("no «%s» was written: %s", kind, error)
            return False
        return True
