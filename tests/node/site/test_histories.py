"""Two histories of one catalog, in real folders: which entries of the one that is left count behind the other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from catalog.beat import BeatFields
from catalog.body import Body, read_body, write_body
from catalog.capacity import CapacityFields, Load
from catalog.checkpoint import Checkpoint
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.dataset import DatasetFields, Level
from catalog.error import NotFound, Unreachable
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Role
from catalog.offer import Most, OfferFields
from catalog.origin import LogName, number_of
from catalog.reopening import Reopening
from catalog.withdraw import WithdrawFields
from node.config import Address, Folder
from node.keyfile import read_identity
from node.log import PeerLog
from node.replicate.catchup import Sender
from node.rootkey import new_passphrase, read_root
from node.setup import init_site
from node.site import histories
from node.site.histories import LEFT, Stage, beyond, common, stage, take_up, undo
from node.site.standing import Sighting
from node.storage.log import DiskLog
from node.storage.reopened import own_origin, reopen
from node.system import SystemRandom
from privacy.label import resident

FIRST, SECOND, THIRD = (Cid.of(name).keyed(bytes(32)) for name in (b"1", b"2", b"3"))
PASSPHRASE = new_passphrase()


SAID = CapacityFields(
    runner="sandbox", platform="linux/amd64", processor="", processors=1, memory_mib=1, at_once=1,
    most=Most(seconds=1, cpu_seconds=1, memory_mib=1), load=Load.IDLE,
)  # fmt: skip


@dataclass
class Place:
    """A site's folder, whose steward writes into whichever copy of its catalog."""

    folder: Folder
    root: PrivateKey
    steward: PrivateKey
    node: PrivateKey
    told: list[str] = field(default_factory=list)

    @property
    def left(self) -> Path:
        return self.folder.restoring / LEFT

    def body(self, kind: str, fields: Value, previous: int | None = None, by: PrivateKey | None = None) -> Body:
        return write_body(kind, fields, site=self.root.did, at=1, by=by or self.steward, previous=previous)

    def dataset(self, cid: Cid, name: str, previous: int | None = None) -> Body:
        fields = DatasetFields(
            cid=cid,
            name=name,
            level=Level.RESIDENT,
            label=resident(self.root.did),
            purposes=("DUO:0000042",),
            description="",
            media_type="text/csv",
            size=1,
        )
        return self.body("dataset", fields, previous)

    def beat(self, previous: int | None = None) -> Body:
        return self.body("beat", BeatFields(), previous, self.node)

    def offer(self, price: int) -> Body:
        return self.body("offer", OfferFields(runner="sandbox", price=price, step_millis=1))

    async def write(self, path: Path, *bodies: Body) -> None:
        origin = own_origin(path, self.root.did, LogName.CATALOG)
        async with await DiskLog.open(path, origin, 0, self.node, SystemRandom()) as log:
            for body in bodies:
                await log.append([(body.kind, encode(body))])

    async def read(self, path: Path) -> list[Body]:
        origin = own_origin(path, self.root.did, LogName.CATALOG)
        async with await DiskLog.open(path, origin, 0, self.node, SystemRandom()) as log:
            rows = await log.read(0, log.size)
        return [read_body(stored[1]) for _, stored in rows if stored is not None]

    async def begin_anew(self) -> None:
        """The root opens the next epoch of the catalog, with what lies there."""
        path = self.folder.catalog
        origin = own_origin(path, self.root.did, LogName.CATALOG)
        async with await DiskLog.open(path, origin, 0, self.node, SystemRandom()) as log:
            size, root = log.size, log.root
        whole = Reopening(
            site=self.root.did,
            log=LogName.CATALOG,
            number=number_of(origin) + 1,
            size=size,
            root=root,
            node=self.node.did,
            lost=0,
            reason="it forked",
            sig=UNSIGNED,
        )
        reopen(path, signed(whole, self.root), self.node, (), [self.root.did])

    async def fork(self, here: Sequence[Body], there: Sequence[Body]) -> None:
        """Leave two histories after what stands now: one in the catalog's place, one aside."""
        self.folder.restoring.mkdir(exist_ok=True)
        shutil.copytree(self.folder.catalog, self.left)
        await self.write(self.folder.catalog, *here)
        await self.write(self.left, *there)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A site with the keys of its node and its steward, and one dataset: three entries."""
    folder, nowhere = Folder(tmp_path / "site"), Address("127.0.0.1", 1)
    steward = init_site(folder, "St. Anna", "Ada", nowhere, nowhere, nowhere, PASSPHRASE).steward
    node = read_identity(folder.node_key).key
    made = Place(folder, read_root(folder.root_key, PASSPHRASE.text).key, steward.key, node)
    trio.run(made.write, folder.catalog, made.dataset(FIRST, "first"))
    return made


def test_what_rests_on_nothing_of_its_own_history_is_taken_up_and_nothing_twice(place: Place) -> None:
    """Lost: what a steward published, took back or removed in the copy that loses; or a version, a place, a number that
    meant something else where it stood."""
    stranger = PrivateKey(b"s" * 32)
    enrol = KeyFields(did=stranger.did, role=Role.RESEARCHER, name="Paul", x25519=bytes(32))
    forget = WithdrawFields(places=(2,))

    async def story() -> None:
        here = [place.beat(), place.offer(1)]
        there = [
            place.beat(),  # 3: the node's own word, said again anyway
            place.offer(2),  # 4: another one stands
            place.dataset(SECOND, "second"),  # 5: taken up
            place.dataset(SECOND, "second again", 5),  # 6: of the version at 5, which is another entry now
            place.body("withdraw", WithdrawFields(places=(5, 6))),  # 7: of places that are others' now
            place.body("key", enrol),  # 8: taken up
            place.body("withdraw", forget),  # 9: taken up, for 2 is the same in both
            place.body("capacity", SAID, by=place.node),  # 10: what the node said of that time
        ]
        await place.fork(here, there)
        await place.begin_anew()
        assert await beyond(place.folder) == 5 + 8
        assert await take_up(place.folder, place.told.append) == 3
        bodies = await place.read(place.folder.catalog)
        assert [body.kind for body in bodies] == [
            "key", "key", "dataset", "beat", "offer", "dataset", "key", "withdraw"
        ]  # fmt: skip
        assert place.told == [
            "3 entries of another history of the catalog count in this one, and were written again.",
            "Entries of another history that rest on what is not in this one are left: "
            "4 (offer), 6 (dataset), 7 (withdraw).",
        ]
        before = len(bodies)
        await take_up(place.folder, place.told.append)
        assert len(await place.read(place.folder.catalog)) == before
        assert len(place.told) == 3
        assert "written again" not in place.told[-1]

    trio.run(story)


def test_an_entry_by_a_key_that_the_kept_history_removed_is_left(place: Place) -> None:
    """Lost: a steward who was put out comes back with what the old copy says."""
    removed = KeyFields(did=place.steward.did, role=Role.STEWARD, name="Ada", x25519=bytes(32), removed=True)

    async def story() -> None:
        await place.fork([place.body("key", removed, 1, place.root)], [place.dataset(THIRD, "third")])
        await place.begin_anew()
        await take_up(place.folder, place.told.append)
        assert place.told == ["Entries of another history that rest on what is not in this one are left: 3 (dataset)."]

    trio.run(story)


def test_each_moment_at_which_a_restore_is_cut_off_is_told_from_the_others(place: Place) -> None:
    """Lost: the next run takes an unfinished fork for a whole catalog, or the wrong history for the one that counts."""
    folder = place.folder

    async def story() -> None:
        assert stage(folder) is Stage.GATHERING
        await place.fork([place.offer(1)], [place.offer(2)])
        assert stage(folder) is Stage.FORKED, "it was put in place and not begun anew"
        await place.begin_anew()
        assert stage(folder) is Stage.REOPENED

    trio.run(story)
    # Cut off while a history that was not chosen yet was fetched: it is fetched again.
    shutil.rmtree(folder.restoring)
    folder.restoring.mkdir()
    shutil.copytree(folder.catalog, folder.restoring / "history-0")
    assert stage(folder) is Stage.GATHERING
    assert list(folder.restoring.iterdir()) == []
    # Cut off between the two names: nothing lies in the catalog's place, and what lay there comes back.
    offered = trio.run(place.read, folder.catalog)
    folder.catalog.rename(place.left)
    undo(folder)
    assert trio.run(place.read, folder.catalog) == offered
    undo(folder)
    assert trio.run(place.read, folder.catalog) == offered


def test_a_member_that_has_cosigned_what_it_has_not_fetched_is_no_fork(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a root opens a new epoch of a catalog that was merely behind, because one witness had no leaves yet."""
    newer = place.folder.path / "newer"
    shutil.copytree(place.folder.catalog, newer)

    async def story() -> None:
        await place.write(newer, place.dataset(SECOND, "second"))
        origin = own_origin(newer, place.root.did, LogName.CATALOG)
        async with await DiskLog.open(newer, origin, 0, place.node, SystemRandom()) as log:

            async def fetch(sender: Sender, replica: PeerLog, checkpoint: Checkpoint, note: str) -> int:
                if sender.name == "witness":
                    raise NotFound("no such tile")
                await replica.extend(note, await log.leaves(replica.size, checkpoint.size))
                return 1

            async def bodies(*_: object) -> None:
                raise NotFound("not here")

            monkeypatch.setattr(histories, "fetch_leaves", fetch)
            monkeypatch.setattr(histories, "fetch_bodies", bodies)
            place.folder.restoring.mkdir()
            seen = [Sighting(member, LogName.CATALOG, log.checkpoint, log.note) for member in ("witness", "hospital")]
            with pytest.raises(Unreachable, match="witness has seen 4 entries"):
                await histories.gather(place.folder, seen[:1], False, place.told.append)
            found = await histories.gather(place.folder, seen, False, place.told.append)
        assert found is Stage.WHOLE
        assert place.told[0] == "The catalog is completed from the members' replicas: 1 entries came back."
        assert len(place.told) == 2
        assert "3 (dataset)" in place.told[1]

    trio.run(story)


def test_how_far_two_logs_are_one(place: Place) -> None:
    async def story() -> None:
        for here, there in (([], []), ([1], []), ([1, 2, 3], [1]), ([1], [2]), ([], [1, 2])):
            shutil.rmtree(place.folder.restoring, ignore_errors=True)
            size = len(await place.read(place.folder.catalog))
            await place.fork(*([place.dataset(Cid.of(bytes([each, size])), "x") for each in s] for s in (here, there)))
            logs = [
                await DiskLog.open(
                    path, own_origin(path, place.root.did, LogName.CATALOG), 0, place.node, SystemRandom()
                )
                for path in (place.folder.catalog, place.left)
            ]
            try:
                assert await common(*logs) == await common(*reversed(logs)) == size
            finally:
                for log in logs:
                    await log.aclose()

    trio.run(story)
