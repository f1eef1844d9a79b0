"""What a node says unasked: that it is there, every ten minutes, and of each proven fork once."""

import trio
import trio.testing

from catalog.beat import BEAT_SECONDS
from catalog.body import Body, read_body, write_body
from catalog.dagcbor import encode
from catalog.entry import Entry
from catalog.error import ComityError
from catalog.fork import AccuseFields, Fork
from catalog.index import SiteIndex
from catalog.member import KeyFields, Role
from node.site.statements import AGAIN_SECONDS, Statements
from tests.node.site.house import ANNA, BRUNO, NODES, Clock

NODE = NODES[ANNA.did]


class Known:
    """The forks that the witness knows."""

    def __init__(self) -> None:
        self.forks: dict[str, Fork] = {}

    def add(self, root: str, log: str) -> None:
        note = f"{root}/{log}/0\n1\nAAAA\n"
        self.forks[f"{root}/{log}/0"] = Fork(first=note, second=note + "x")


class Catalog:
    """Anna's own catalog, as far as the index of it goes; sometimes its disk is full."""

    def __init__(self) -> None:
        self.own = SiteIndex(ANNA.did)
        self.full = False
        self.cosigned = 0
        self.hints: list[int] = []
        fields = KeyFields(did=NODE.did, role=Role.NODE, name="x", x25519=bytes(32))
        self._add(write_body("key", fields, site=ANNA.did, at=1, by=ANNA))

    def _add(self, body: Body) -> Entry:
        entry = self.own.add(self.own.size, body.kind, read_body(encode(body)))
        assert entry is not None, self.own.faults
        return entry

    async def published(self, least: int) -> None:
        await trio.sleep(5)
        self.cosigned = least

    async def hint(self) -> None:
        self.hints.append(self.cosigned)

    async def write(self, body: Body) -> Entry:
        await trio.lowlevel.checkpoint()
        if self.full:
            raise ComityError("the disk is full")
        return self._add(body)


def play(story) -> None:
    async def main() -> None:
        catalog, known = Catalog(), Known()
        faked: object = known
        statements = Statements(
            lambda: catalog.own,
            NODE,
            faked,  # type: ignore[arg-type]
            catalog.write,
            Clock(),
            catalog.published,
            catalog.hint,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(statements.run)
            await trio.testing.wait_all_tasks_blocked()
            await story(catalog, known, statements)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_beat_at_the_start_and_every_ten_minutes():
    """Lost: a site that is well, and looks stale to all others."""

    async def story(catalog: Catalog, _known: Known, _statements: Statements) -> None:
        assert catalog.own.size == 2
        await trio.sleep(3 * BEAT_SECONDS + 1)
        assert catalog.own.size == 5
        assert catalog.own.faults == {}
        assert catalog.hints == [2, 3, 4]  # each once it can be heard
        latest = catalog.own.latest("beat", "")
        assert latest is not None
        assert latest.index == 4

    play(story)


def test_a_beat_that_could_not_be_written_is_tried_again_soon():
    async def story(catalog: Catalog, _known: Known, _statements: Statements) -> None:
        catalog.full = True
        await trio.sleep(BEAT_SECONDS + 1)
        assert catalog.own.size == 2
        catalog.full = False
        await trio.sleep(AGAIN_SECONDS)
        assert catalog.own.size == 3

    play(story)


def test_each_fork_is_told_once_and_of_itself_nobody_tells():
    """Lost: a fork that one member has proven, and no other hears of; or a catalog full of the same proof."""

    async def story(catalog: Catalog, known: Known, statements: Statements) -> None:
        known.add(ANNA.did, "catalog")
        for _ in range(3):
            for log in ("audit", "catalog"):
                known.add(BRUNO.did, log)
                statements.wake()
                await trio.testing.wait_all_tasks_blocked()
        entries = list(catalog.own.entries("accuse"))
        assert [entry.fields.fork for entry in entries if isinstance(entry.fields, AccuseFields)] == [
            known.forks[f"{BRUNO.did}/{log}/0"] for log in ("audit", "catalog")
        ]

    play(story)
