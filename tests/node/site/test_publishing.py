"""What a node lets its stewards write: what is published is here, and what is withdrawn need not be."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dataset import Level
from catalog.error import NotFound
from node.site.publishing import check_content
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
