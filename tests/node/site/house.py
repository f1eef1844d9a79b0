"""A site in a temporary folder: real logs, blobs and audit book, with a hospital's steward and two peers that ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from catalog.body import Body, read_body, write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.dataset import DatasetFields, Level
from catalog.entry import KINDS
from catalog.error import Unreachable
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.label import Label
from catalog.member import KeyFields, Role
from catalog.origin import LogName, origin_of
from node.automator.book import AuditBook
from node.automator.disclosing import Disclosing
from node.automator.hold import Holdings
from node.automator.ledger import Ledger
from node.automator.owners import Owners
from node.site.together import aside, side_by_side
from node.site.withholding import Withholding
from node.storage.database import Database
from node.storage.disclosures import Records
from node.storage.disk import DiskBlobs
from node.storage.facts import Facts
from node.storage.log import DiskLog
from node.storage.releases import WaitingReleases
from node.system import SystemRandom
from privacy.decision import Action

ANNA, BRUNO, CLARA = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))
NODES = {root.did: PrivateKey(bytes([number + 10]) * 32) for number, root in enumerate((ANNA, BRUNO, CLARA))}
STEWARDS = {root.did: PrivateKey(bytes([number + 20]) * 32) for number, root in enumerate((ANNA, BRUNO, CLARA))}
AUDITOR, RESEARCHER, STRANGER = (PrivateKey(bytes([number]) * 32) for number in (31, 32, 33))
NOW = 1_700_000_000_000


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class Recent:
    """Everybody was heard just now."""

    def refusal(self, action: Action, sites: Iterable[str]) -> str:
        return ""

    def now(self) -> int:
        return NOW


class Covered:
    """Every witness has cosigned everything."""

    def covered(self) -> int:
        return 1 << 40

    def lacking(self, least: int) -> list[str]:
        return []

    async def reach(self, least: int) -> None:
        """It is reached."""


class Members:
    """Who the members are, as the membership of a founded consortium says."""

    def __init__(self) -> None:
        self.nodes = {root: node.did for root, node in NODES.items()}
        self.knocks: list[tuple[str, bytes]] = []

    def site_of(self, node: str) -> str | None:
        return next((root for root, did in self.nodes.items() if did == node), None)

    async def answer_knock(self, asker: str, body: bytes) -> bytes:
        self.knocks.append((asker, body))
        return b"knocked"


class Away:
    """The control network where nobody else is up."""

    async def ask(self, site: str, _question: bytes, _seconds: float = 30.0) -> bytes:
        raise Unreachable(f"{site} is away")

    async def hint(self, _message: bytes) -> None:
        """It reaches nobody."""


class House:
    """The site of Anna."""

    def __init__(self, catalog: DiskLog, audit: DiskLog, blobs: DiskBlobs, database: Database) -> None:
        self.catalog, self.audit, self.blobs = catalog, audit, blobs
        self.clock, self.members = Clock(), Members()
        self.index = Index(NODES)
        self.holdings = Holdings()
        self.database, self.records = database, Records(database)
        self.ledger = Ledger()
        self.book = AuditBook(ANNA.did, NODES[ANNA.did], audit, self.ledger, self.clock)

    def disclosing(self) -> Disclosing:
        """Disclosure control, as a run of the node begins with it."""
        here = self.index.site(ANNA.did)
        return Disclosing(here, self.book, self.blobs, self.records, aside, trio.Lock(), SystemRandom(), lambda: None)

    def owners(self) -> Owners:
        """The asking of other owners, none of whom answers here."""
        memory = WaitingReleases(Facts(self.database))
        return Owners(
            ANNA.did, NODES[ANNA.did], self.index, self.book, Away(), side_by_side, memory, self.clock, SystemRandom()
        )

    def enrol(self) -> None:
        """Stewards of all three, an auditor at Bruno's and a researcher at Clara's."""
        for root in (ANNA, BRUNO, CLARA):
            self.entry(root, "key", enrolment(STEWARDS[root.did], Role.STEWARD), root)
        self.entry(BRUNO, "key", enrolment(AUDITOR, Role.AUDITOR))
        self.entry(CLARA, "key", enrolment(RESEARCHER, Role.RESEARCHER))

    def entry(self, site: PrivateKey, kind: str, fields: Value, by: PrivateKey | None = None) -> None:
        """An entry that counts in the index of a site."""
        index = self.index.site(site.did)
        standing = index.latest(kind, KINDS[kind].subject(fields))
        previous = standing.index if standing is not None else None
        body = write_body(kind, fields, site=site.did, at=NOW, by=by or STEWARDS[site.did], previous=previous)
        added = index.add(index.size, kind, read_body(encode(body)))
        assert added is not None, index.faults

    async def publish(self, kind: str, fields: Value, audience: tuple[str, ...] | None = None) -> int:
        """An entry of Anna's own catalog log."""
        body: Body = write_body(kind, fields, site=ANNA.did, at=NOW, by=STEWARDS[ANNA.did], audience=audience)
        return await self.catalog.append([(kind, encode(body))])

    async def audited(self) -> list[Body]:
        """What the audit log holds."""
        stored = [await self.audit.body(index) for index in range(self.audit.size)]
        return [read_body(each[1]) for each in stored if each is not None]


@asynccontextmanager
async def house(path: Path) -> AsyncIterator[House]:
    """A new site; closed at the end."""
    logs = [
        await DiskLog.create(path / name, origin_of(ANNA.did, name), 0, NODES[ANNA.did], SystemRandom())
        for name in LogName
    ]
    async with logs[0], logs[1]:
        (path / "blobs").mkdir()
        database = Database.open(path / "house.db")
        made = House(*logs, DiskBlobs(path / "blobs"), database)
        made.enrol()
        yield made
        database.close()


def play(path: Path, story: Callable[[House], Awaitable[None]]) -> None:
    """Run a story at Anna's."""

    async def main() -> None:
        async with house(path) as made:
            await story(made)

    trio.run(main)


def enrolment(key: PrivateKey, role: Role) -> KeyFields:
    return KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32))


def dataset(cid: Cid, *readers: str, name: str = "births", withdrawn: bool = False) -> DatasetFields:
    """A dataset of Anna's for ``readers`` and herself; open without any."""
    owners = {ANNA.did: tuple(sorted({ANNA.did, *readers}))} if readers else {}
    return DatasetFields(
        cid=cid,
        name=name,
        level=Level.OPEN,
        label=Label(owners=owners),
        purposes=("DUO:0000006",),
        description="",
        media_type="text/csv",
        size=1,
        withdrawn=withdrawn,
    )


async def write_all(withholding: Withholding) -> None:
    """Write down what waits to be."""
    while withholding._receive.statistics().current_buffer_used:
        await withholding.write(withholding._receive.receive_nowait())
