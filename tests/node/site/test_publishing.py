"""What a node lets its stewards write: what is published is here, and what is withdrawn need not be."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
from msgspec import structs

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.error import Conflict, NotFound
from node.api import schema
from node.site import opening
from node.site.publishing import check_content, check_name, import_dataset
from privacy.label import resident
from tests.adversary.hospital import NOW, Hospital, at_a_hospital, dataset


def test_resident_data_whose_key_is_lost_are_withdrawn_and_not_published_again(tmp_path: Path) -> None:
    """Lost: after a restore a dataset that was published since the backup is offered for ever, and never found."""

    async def test(hospital: Hospital) -> None:
        site = hospital.site
        cid = Cid.of(b"table").keyed(b"k" * 32)
        fields = dataset(cid, resident(site.root), Level.RESIDENT)
        withdrawn = structs.replace(fields, withdrawn=True)

        async def checked(which: object, previous: int | None) -> None:
            assert isinstance(which, type(fields))
            body = write_body("dataset", which, site=site.root, at=NOW, by=hospital.steward, previous=previous)
            await check_content(site, body)

        with pytest.raises(NotFound, match="nothing to withdraw"):
            await checked(withdrawn, None)
        # As the members gave it back: the entry stands, and neither key nor path of the data is known here.
        await hospital.write("dataset", fields)
        place = site.catalog.size - 1
        with pytest.raises(NotFound, match="no resident data"):
            await checked(fields, place)
        await checked(withdrawn, place)

    at_a_hospital(tmp_path, test)


def test_other_data_under_the_name_of_published_ones_are_refused_with_what_to_do(tmp_path: Path) -> None:
    """Lost: two datasets of one name, which nobody can name from then on, without a word when it happens."""

    async def test(hospital: Hospital) -> None:
        site, path = hospital.site, tmp_path / "table"
        path.write_text("first")
        steward = hospital.steward.did

        async def read(level: str, name: str) -> Cid:
            made = await import_dataset(site, steward, schema.ImportDataset(path=str(path), level=level, name=name))
            return made.cid

        async def write(fields: DatasetFields, previous: int | None = None) -> None:
            body = write_body("dataset", fields, site=site.root, at=NOW, by=hospital.steward, previous=previous)
            await site.writer.write(body, partial(check_name, site))

        first = dataset(await read("open", "visits"))
        await write(structs.replace(first, name="visits"))
        assert await read("open", "visits") == first.cid, "the same data"
        path.write_text("second")
        for level in ("open", "resident", "shared"):
            with pytest.raises(Conflict, match=r"--name.*dataset change visits.*dataset withdraw visits"):
                await read(level, "visits")
        assert not await site.datakeys.all(), "shared data were not even encrypted"
        second = dataset(await read("open", "other"))
        with pytest.raises(Conflict, match="as «visits»"):
            await write(structs.replace(second, name="visits"))
        place = site.catalog.size - 1
        await write(structs.replace(first, name="visits", description="of a week"), place)
        await write(structs.replace(first, name="visits", withdrawn=True), place + 1)
        await write(structs.replace(second, name="visits"))

    at_a_hospital(tmp_path, test)


def test_of_two_new_keys_at_once_one_is_made(tmp_path: Path) -> None:
    """Lost: two versions of shared data in force, and readers of the one that their owner does not mean."""

    async def test(hospital: Hospital) -> None:
        site, path = hospital.site, tmp_path / "table"
        path.write_text("patients")
        steward, key = hospital.steward.did, hospital.steward
        request = schema.ImportDataset(path=str(path), level="shared", name="genomes")
        cid = (await import_dataset(site, steward, request)).cid
        old = structs.replace(dataset(cid, resident(site.root), Level.SHARED), name="genomes")
        await hospital.write("dataset", old)
        place = site.catalog.size - 1
        made: list[Cid] = []
        refused: list[str] = []

        async def once() -> None:
            try:
                made.append((await opening.rekey(site, steward, cid)).cid)
            except Conflict as error:
                refused.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(once)
            nursery.start_soon(once)
        await once()  # before the entry of the first is signed
        [new] = made
        assert len(refused) == 2
        assert {root for root, _ in await site.datakeys.all()} == {cid, new}
        check = partial(check_name, site)
        entry = structs.replace(old, cid=new)
        await site.writer.write(write_body("dataset", entry, site=site.root, at=NOW, by=key), check)
        gone = structs.replace(old, withdrawn=True)
        await site.writer.write(write_body("dataset", gone, site=site.root, at=NOW, by=key, previous=place), check)
        with pytest.raises(Conflict, match="meanwhile"):
            await opening.rekey(site, steward, cid)
        assert (await opening.rekey(site, steward, new)).cid != new, "the next one, whenever"

    at_a_hospital(tmp_path, test)
