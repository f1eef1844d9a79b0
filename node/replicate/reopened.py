"""The epochs of logs that members' roots have opened, as this site has accepted them: which origin a log has now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from catalog.error import VerificationFailed
from catalog.origin import LogName, origin_of
from catalog.reopening import Reopening, check_chain


class ReopeningMemory(Protocol):
    """What was accepted must not be forgotten: durable on return."""

    async def reopened(self) -> Sequence[Reopening]:
        """Every reopening that was accepted."""

    async def keep_reopening(self, reopening: Reopening) -> None:
        """Keep one."""


class Reopened:
    """``roots`` gives the keys that ever acted as the root of a site, the one of now last.

    Without ``memory`` nothing is accepted.
    """

    def __init__(
        self, memory: ReopeningMemory | None = None, roots: Callable[[str], Sequence[str]] = lambda _: ()
    ) -> None:
        self._memory = memory
        self._roots = roots
        self._chains: dict[tuple[str, LogName], list[Reopening]] = {}
        self._own: dict[tuple[str, LogName], list[Reopening]] = {}

    async def load(self) -> None:
        """Read what was accepted in earlier runs."""
        self._chains = dict(self._own)
        if self._memory is not None:
            for each in sorted(await self._memory.reopened(), key=lambda reopening: reopening.number):
                self._chains.setdefault((each.site, each.log), []).append(each)

    def own(self, site: str, log: LogName, chain: Sequence[Reopening]) -> None:
        """The epochs of a log of this very site, as they lie beside it."""
        if chain:
            self._chains[site, log] = self._own[site, log] = list(chain)

    def origin(self, site: str, log: LogName) -> str:
        """The origin of a log as it counts now."""
        return origin_of(site, log, len(self._chains.get((site, log), ())))

    def chain(self, site: str, log: LogName) -> Sequence[Reopening]:
        """All epochs of a log that were opened, the oldest first."""
        return self._chains.get((site, log), ())

    def last(self, site: str, log: LogName) -> Reopening | None:
        """What opened the epoch of now; none in the first."""
        chain = self._chains.get((site, log))
        return chain[-1] if chain else None

    async def accept(self, site: str, told: Sequence[Reopening]) -> set[LogName]:
        """Take the new epochs among those that ``site`` tells of; the logs that have another origin from now on.

        Raises:
            VerificationFailed: one is not by the site's root, or contradicts what was accepted before.
        """
        moved: set[LogName] = set()
        for log in LogName:
            chain = sorted((each for each in told if each.log is log), key=lambda each: each.number)
            known = self._chains.get((site, log), [])
            if len(chain) <= len(known):
                continue
            if chain[: len(known)] != known:
                raise VerificationFailed(f"the root of that site opened two different epochs of its {log} log")
            check_chain(site, log, chain, self._roots(site))
            for reopening in chain[len(known) :]:
                if self._memory is None:
                    raise VerificationFailed("new epochs of logs are not kept here")
                await self._memory.keep_reopening(reopening)
            self._chains[site, log] = chain
            moved.add(log)
        return moved
