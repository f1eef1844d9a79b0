"""Keys go with what they open, and a custodian decides by the owner's newest word or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec import structs

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.entry import Entry
from catalog.error import Damaged, Denied, Unreachable
from catalog.key import PrivateKey
from catalog.policy import PolicyFields
from node.site import custody as custodying
from node.site.custody import Custody, check_newest
from node.storage.database import Database
from node.storage.datakeys import DataKeys
from privacy.label import shared
from tests.node.site.house import ANNA, BRUNO, CLARA, NOW, STEWARDS, House, dataset, play

ROOT, KEY = Cid.of(b"ciphertext"), b"k" * 32


class Holders:
    """Gives keys for keeping, once the owner answers."""

    def __init__(self, keys: DataKeys) -> None:
        self.keys, self.away, self.asked = keys, False, 0

    async def for_keeping(self, owner: str, fields: DatasetFields) -> None:
        self.asked += 1
        if self.away:
            raise Unreachable("the owner is away")
        await self.keys.keep(fields.cid, owner, KEY)


def sharing(owner: PrivateKey, *custodians: str, withdrawn: bool = False) -> DatasetFields:
    fields = structs.replace(dataset(ROOT, name="genomes", withdrawn=withdrawn), label=shared(owner.did, [CLARA.did]))
    return structs.replace(fields, level=Level.SHARED, custodians=custodians)


def write(house: House, owner: PrivateKey, kind: str, fields: object) -> None:
    """The next version of what has that subject."""
    index = house.index.site(owner.did)
    before = index.latest(kind, str(ROOT) if kind == "dataset" else "")
    body = write_body(
        kind,
        fields,  # type: ignore[arg-type]
        site=owner.did,
        at=NOW,
        by=STEWARDS[owner.did],
        previous=None if before is None else before.index,
    )
    assert index.add(index.size, kind, body) is not None, index.faults


def at_anna(path: Path, story: Callable[[House, Custody, Holders], Awaitable[None]]) -> None:
    async def main(house: House) -> None:
        database = Database.open(path / "state.db")
        holders = Holders(DataKeys(database))
        await story(house, Custody(ANNA.did, house.index, holders.keys, holders), holders)  # type: ignore[arg-type]
        database.close()

    play(path, main)


def test_a_key_is_taken_into_keeping_when_its_owner_answers_and_destroyed_when_it_says_so(tmp_path: Path) -> None:
    """Lost: a custodian has no key when it is needed, or has it still when it may not any more."""

    async def story(house: House, custody: Custody, holders: Holders) -> None:
        write(house, BRUNO, "dataset", sharing(BRUNO))
        assert (await custody.settle(), holders.asked) == (0, 0)
        write(house, BRUNO, "dataset", sharing(BRUNO, ANNA.did))
        holders.away = True
        assert await custody.settle() == 1
        holders.away = False
        assert await custody.settle() == 0
        assert await holders.keys.find(ROOT, BRUNO.did) == KEY
        assert (await custody.settle(), holders.asked) == (0, 2), "it asks for a key that it has"
        write(house, BRUNO, "dataset", sharing(BRUNO))
        await custody.settle()
        assert await holders.keys.find(ROOT, BRUNO.did) is None

    at_anna(tmp_path, story)


@pytest.mark.parametrize("answer", ["never", "away", "no"])
def test_an_owner_that_hands_nothing_over_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """Lost: a member names us as custodian of thousands and gives no key, and no other's is ever taken or destroyed."""
    monkeypatch.setattr(custodying, "OWNER_SECONDS", 0.5)

    async def story(house: House, custody: Custody, holders: Holders) -> None:
        asked = Counter[str]()

        class Partial(Holders):
            async def for_keeping(self, owner: str, fields: DatasetFields) -> None:
                asked[owner] += 1
                if owner == CLARA.did:
                    return await super().for_keeping(owner, fields)
                if answer == "never":
                    await trio.sleep_forever()
                raise Unreachable("it is away") if answer == "away" else Denied("it gives none")

        custody._holders = Partial(holders.keys)  # type: ignore[assignment]
        for number in range(20):
            entrusted = structs.replace(sharing(BRUNO, ANNA.did), cid=Cid.of(b"%d" % number))
            house.entry(BRUNO, "dataset", entrusted)
        write(house, CLARA, "dataset", sharing(CLARA, ANNA.did))
        with trio.fail_after(20):
            assert await custody.settle() == 20
        assert asked == {BRUNO.did: 20 if answer == "no" else 1, CLARA.did: 1}
        assert await holders.keys.find(ROOT, CLARA.did) == KEY

    at_anna(tmp_path, story)


@pytest.mark.parametrize("crashed", [False, True])
def test_an_owners_key_goes_with_its_dataset(tmp_path: Path, crashed: bool) -> None:
    """Lost: what was withdrawn is opened by whoever gets the site's disk; or a key goes before its entry is signed."""

    async def story(house: House, custody: Custody, holders: Holders) -> None:
        await holders.keys.keep(ROOT, ANNA.did, KEY)
        await custody.settle()
        assert await holders.keys.find(ROOT, ANNA.did) == KEY, "the entry about it was being signed"
        write(house, ANNA, "dataset", sharing(ANNA))
        await custody.settle()
        assert await holders.keys.find(ROOT, ANNA.did) == KEY
        write(house, ANNA, "dataset", sharing(ANNA, withdrawn=True))
        if crashed:  # between the entry and this; the next start settles
            await custody.settle()
        else:
            entry = house.index.site(ANNA.did).latest("dataset", str(ROOT))
            assert entry is not None
            await custody.counted(ANNA.did, [entry])
        assert await holders.keys.find(ROOT, ANNA.did) is None

    at_anna(tmp_path, story)


def test_it_looks_whenever_something_changes(tmp_path: Path) -> None:
    """Lost: keys are taken into keeping at the next start alone."""

    async def story(house: House, custody: Custody, holders: Holders) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(custody.run)
            await trio.testing.wait_all_tasks_blocked(0.05)
            write(house, BRUNO, "dataset", sharing(BRUNO, ANNA.did))
            entry = house.index.site(BRUNO.did).latest("dataset", str(ROOT))
            assert entry is not None
            await custody.counted(BRUNO.did, [entry])
            with trio.fail_after(20):
                while await holders.keys.find(ROOT, BRUNO.did) is None:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    at_anna(tmp_path, story)


def test_a_policy_that_is_not_the_newest_decides_nothing(tmp_path: Path) -> None:
    """Lost: an owner forbids what a custodian, who was not shown the new policy, goes on allowing."""

    async def story(house: House, _custody: Custody, _holders: Holders) -> None:
        index, logs = house.index.site(ANNA.did), {ANNA.did: house.catalog}
        while house.catalog.size < index.size:
            await house.catalog.append([("beat", b"as many as the index has read")])
        with pytest.raises(Denied, match="not known here"):
            await check_newest(logs, index, "policy")
        write(house, ANNA, "policy", PolicyFields(text=""))
        await house.publish("policy", PolicyFields(text=""))
        await check_newest(logs, index, "policy")
        await house.catalog.append([("beat", b"more of another kind")])
        await check_newest(logs, index, "policy")
        await house.publish("policy", PolicyFields(text="// for somebody else to see"), ())
        with pytest.raises(Denied, match="a newer policy"):
            await check_newest(logs, index, "policy")
        with pytest.raises(Denied, match="not known here"):
            await check_newest({}, index, "policy")

    at_anna(tmp_path, story)


def test_a_catalog_that_is_read_anew_meanwhile_is_looked_at_again_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: another member begins its catalog anew, and every node that holds keys for others ends."""

    async def story(house: House, custody: Custody, holders: Holders) -> None:
        def gone(kind: str) -> Iterator[Entry]:
            raise Damaged(f"a {kind} is not here as it was read")

        with monkeypatch.context() as patched:
            patched.setattr(house.index, "entries", gone)
            with pytest.raises(Damaged):  # and no group around it, which nobody who waits for an error sees
                await custody.settle()
        assert await custody.settle() == 0

    at_anna(tmp_path, story)
