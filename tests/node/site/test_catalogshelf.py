"""Catalogs handed out: this site's own and its replicas, each body to its audience alone, whoever hands it out."""

from pathlib import Path

import pytest

from catalog.body import read_body, write_body
from catalog.dagcbor import decode, encode
from catalog.error import BadInput, ComityError, NotFound
from catalog.key import PrivateKey
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from node.replicate.catchup import MAX_BATCH_ANSWER, BodiesAnswer
from node.site.catalogshelf import CatalogShelf
from node.site.replicas import Replicas
from node.storage.log import DiskLog
from node.system import SystemRandom
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, STEWARDS, House, play


def policy(site: PrivateKey, text: str, audience: tuple[str, ...] | None) -> tuple[str, bytes]:
    body = write_body("policy", PolicyFields(text=text), site=site.did, at=1, by=STEWARDS[site.did], audience=audience)
    return "policy", encode(body)


async def replicated(house: House, path: Path) -> CatalogShelf:
    """Anna's shelf with a replica of Bruno's catalog: for all, for Clara, for nobody, no body, not a body."""
    origin = origin_of(BRUNO.did, LogName.CATALOG)
    replicas = Replicas(path / "replicas", lambda site: [NODES[site].did])
    async with await DiskLog.create(path / "bruno", origin, 0, NODES[BRUNO.did], SystemRandom()) as log:
        await log.append(
            [
                policy(BRUNO, "a", None),
                policy(BRUNO, "b", (CLARA.did,)),
                policy(BRUNO, "c", ()),
                policy(BRUNO, "d", None),
                ("policy", b"\xff"),
            ]
        )
        replica = await replicas.of(BRUNO.did)
        await replica.extend(log.note, await log.leaves(0, 5))
        rows = [(at, *stored) for at, (_, stored) in enumerate(await log.read(0, 5)) if stored and at != 3]
        assert await replica.put_bodies(rows) == []
    return CatalogShelf(ANNA.did, house.catalog, replicas)


async def bodies(shelf: CatalogShelf, site: PrivateKey, asker: PrivateKey, path: str = "0/5") -> BodiesAnswer:
    return decode(BodiesAnswer, await shelf.answer(site.did, f"bodies/{path}", asker.did), MAX_BATCH_ANSWER)


def test_a_replica_s_bodies_go_to_whom_they_name_and_to_no_other(tmp_path):
    """Lost: a restricted body, which names a person, is read by any member that asks a third one for it."""

    async def story(house: House) -> None:
        shelf = await replicated(house, tmp_path)
        assert (await bodies(shelf, BRUNO, CLARA)).leaves == (0, 1)
        assert (await bodies(shelf, BRUNO, ANNA)).leaves == (0,)
        assert (await bodies(shelf, BRUNO, BRUNO)).leaves == (0, 1, 2)
        answer = await bodies(shelf, BRUNO, CLARA, "1/3")
        assert (answer.stop, answer.leaves) == (3, (1,))
        assert read_body(answer.bodies[0]).fields == {"text": "b"}
        assert (await bodies(shelf, BRUNO, ANNA, "1/2")).leaves == ()
        await shelf._replicas.aclose()

    play(tmp_path, story)


async def refusal(shelf: CatalogShelf, site: PrivateKey, path: str, asker: PrivateKey = CLARA) -> ComityError:
    with pytest.raises(ComityError) as refused:
        await shelf.answer(site.did, path, asker.did)
    return refused.value


def test_checkpoint_and_tiles_are_for_every_member(tmp_path):
    """Lost: who is away cannot be followed."""

    async def story(house: House) -> None:
        shelf = await replicated(house, tmp_path)
        replica = await shelf._replicas.of(BRUNO.did)
        assert (await shelf.answer(BRUNO.did, "checkpoint", CLARA.did)).decode() == replica.note
        assert (await shelf.answer(ANNA.did, "checkpoint", CLARA.did)).decode() == house.catalog.note
        tile = "tile/entries/000.p/5"
        assert await shelf.answer(BRUNO.did, tile, CLARA.did) == await replica.tile(tile)
        for path in ("tile/entries/001", "tile/entries/000.p/6", "", "checkpoint/", "bodies.db", "../own/checkpoint"):
            assert isinstance(await refusal(shelf, BRUNO, path), NotFound), path
        assert isinstance(await refusal(shelf, CLARA, "checkpoint"), NotFound)
        await shelf._replicas.aclose()

    play(tmp_path, story)


@pytest.mark.parametrize(
    "odd", ["-1", "1.0", "", "x", "٣", "1" * 13, "1/", "../checkpoint", "0x1", "1\n", "01", "0/-1", "0/x", "0/1/2"]
)
def test_a_malformed_range_is_refused(tmp_path, odd):
    async def story(house: House) -> None:
        await house.publish("policy", PolicyFields(text="a"))
        shelf = CatalogShelf(ANNA.did, house.catalog, Replicas(tmp_path / "none", lambda _site: []))
        for path in (f"bodies/{odd}", f"bodies/{odd}/1", f"bodies/0/{odd}"):
            assert isinstance(await refusal(shelf, ANNA, path), BadInput | NotFound), path
        for path in ("bodies/1/1", "bodies/1/9", "bodies/0/0", "bodies/999999999999/999999999999"):
            assert isinstance(await refusal(shelf, ANNA, path), NotFound), path

    play(tmp_path, story)


def test_a_batch_says_where_it_ends_and_the_next_goes_on_there(tmp_path):
    """Lost: large bodies make an answer without bound, or are never sent."""

    async def story(house: House) -> None:
        large = [policy(ANNA, str(number) + "x" * 60_000, None) for number in range(150)]
        await house.catalog.append(large)
        shelf = CatalogShelf(ANNA.did, house.catalog, Replicas(tmp_path / "none", lambda _site: []))
        start, found = 0, []
        while start < 150:
            answer = await bodies(shelf, ANNA, BRUNO, f"{start}/999999")
            assert start < answer.stop <= 150
            assert sum(map(len, answer.bodies)) < 13 << 20
            start, found = answer.stop, [*found, *answer.bodies]
        assert found == [body for _, body in large]

    play(tmp_path, story)
