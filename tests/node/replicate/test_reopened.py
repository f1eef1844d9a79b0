"""What a member accepts of another's new epochs: by its root alone, once, and for good."""

from __future__ import annotations

import pytest
import trio

from catalog.error import VerificationFailed
from catalog.origin import LogName, origin_of
from catalog.reopening import Reopening
from node.replicate.reopened import Reopened
from tests.catalog.test_reopening import NODE, ROOT, reopening


class Memory:
    """Keeps what it is given, as a disk does."""

    def __init__(self) -> None:
        self.kept: list[Reopening] = []

    async def reopened(self) -> list[Reopening]:
        return self.kept

    async def keep_reopening(self, reopening: Reopening) -> None:
        self.kept.append(reopening)


def test_an_epoch_counts_once_its_root_opened_it_and_after_a_restart() -> None:
    """A member that forgets it would cosign the old history again."""

    async def main() -> None:
        memory = Memory()
        first = Reopened(memory, lambda _: [ROOT.did])
        assert await first.accept(ROOT.did, [reopening(2, 9), reopening(1)]) == {LogName.AUDIT}
        assert await first.accept(ROOT.did, [reopening(1)]) == set(), "an older answer takes nothing back"
        second = Reopened(memory, lambda _: [ROOT.did])
        await second.load()
        await second.load()
        for each in (first, second):
            assert each.origin(ROOT.did, LogName.AUDIT) == origin_of(ROOT.did, LogName.AUDIT, 2)
            assert each.origin(ROOT.did, LogName.CATALOG) == origin_of(ROOT.did, LogName.CATALOG)
            last = each.last(ROOT.did, LogName.AUDIT)
            assert last is not None
            assert last.size == 9

    trio.run(main)


def test_an_impostor_opens_nothing() -> None:
    """Whoever has a node's key would else be rid of what the log says."""

    async def main() -> None:
        memory = Memory()
        known = Reopened(memory, lambda _: [ROOT.did])
        with pytest.raises(VerificationFailed):
            await known.accept(ROOT.did, [reopening(by=NODE)])
        assert memory.kept == []
        assert known.origin(ROOT.did, LogName.AUDIT) == origin_of(ROOT.did, LogName.AUDIT)

    trio.run(main)


def test_a_root_that_opens_two_epochs_of_one_number_is_refused() -> None:
    """Two histories under one name are a fork again."""

    async def main() -> None:
        known = Reopened(Memory(), lambda _: [ROOT.did])
        await known.accept(ROOT.did, [reopening(1, 5)])
        with pytest.raises(VerificationFailed, match="two different"):
            await known.accept(ROOT.did, [reopening(1, 6), reopening(2, 7)])

    trio.run(main)


def test_a_site_s_own_new_epochs_are_known_to_it_from_the_first_moment_on() -> None:
    """Lost: a restored site goes on to take the fork that its root has mended for one that counts, against itself."""

    async def story() -> None:
        known = Reopened(Memory(), lambda _: [ROOT.did])
        own = reopening()
        known.own(ROOT.did, own.log, [own])
        await known.load()
        assert known.origin(ROOT.did, own.log) == own.origin
        assert known.last(ROOT.did, own.log) == own

    trio.run(story)
