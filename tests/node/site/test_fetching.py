"""What people fetch through their own node: whole trees with one row, what is not there, what is not given, and why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalog.body import read_body
from catalog.cid import Cid
from catalog.dataset import Level
from catalog.error import BadInput, NotFound, Unreachable
from catalog.httpsig import SignedRequest, kept_request, sign_request
from node.site.fetching import fetch_file
from node.site.trees import folder, tree
from privacy.label import OPEN, resident
from tests.adversary.hospital import NOW, Hospital, at_a_hospital, dataset
from tests.adversary.test_peers import Carrier, _materials

BIG = 20 << 20


def signed(there: Hospital, cid: Cid) -> SignedRequest:
    target, peer = f"/v1/trees/{cid}", there.site.node.did
    headers = sign_request(there.steward, "GET", target, peer=peer, now=NOW, nonce=bytes(16))
    return kept_request("GET", target, list(headers.items()), body_digest=None, peer=peer)


async def rows(there: Hospital) -> int:
    """The fetches that are written down."""
    stored = [await there.site.audit.body(index) for index in range(there.site.audit.size)]
    return sum(each is not None and read_body(each[1]).kind == "fetch" for each in stored)


async def published(there: Hospital, path: Path) -> Cid:
    cid = await there.site.blobs.add_path(path)
    await there.write("dataset", dataset(cid))
    return cid


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    (made / "images" / "none").mkdir(parents=True)
    (made / "images" / "a.png").write_bytes(b"an image")
    (made / "big.bin").write_bytes(os.urandom(BIG))
    return made


def test_a_whole_tree_is_written_down_once_and_its_parts_go_on_with_that(tmp_path: Path, source: Path) -> None:
    """Lost: an audit log with a row for each 16 MiB; or data that somebody has without any."""

    async def test(there: Hospital) -> None:
        site, did = there.site, there.steward.did
        cid = await published(there, source)
        page = await tree(site, did, signed(there, cid), cid, "", "")
        image = ("images/a.png", 8, b"an image")
        found = [(item.path, item.size, item.data) for item in page.items]
        assert found == [("big.bin", BIG, None), ("images", None, None), image, ("images/none", None, None)]
        assert (page.folder, page.more) == (True, False)
        read = [
            await fetch_file(site, did, signed(there, cid), cid, "big.bin", f"{at}-{min(at + (16 << 20), BIG) - 1}")
            for at in (0, 16 << 20)
        ]
        assert b"".join(read) == (source / "big.bin").read_bytes()
        assert (await tree(site, did, signed(there, cid), cid, "", "images")).items == page.items[2:]
        assert await rows(there) == 1
        one = await tree(site, did, signed(there, cid), cid, "images/a.png", "")
        assert (one.folder, one.size) == (False, 8)
        assert await rows(there) == 2, "it was asked for anew"
        other = there.paul
        await there.enrol(other)
        await fetch_file(site, other.did, signed(there, cid), cid, "big.bin", "5-9")
        assert await rows(there) == 3, "another person's part goes on with nothing"

    at_a_hospital(tmp_path, test)


def test_a_wrong_path_says_what_there_is(tmp_path: Path, source: Path) -> None:
    """Lost: who mistypes a path has to guess the next one too."""

    async def test(there: Hospital) -> None:
        site, did = there.site, there.steward.did
        cid = await published(there, source)
        told = r"«images/b\.png» is not in «data»; in «images» of «data» there: a\.png, none$"
        with pytest.raises(NotFound, match=told):
            await tree(site, did, signed(there, cid), cid, "images/b.png", "")
        with pytest.raises(NotFound, match=told):
            await fetch_file(site, did, signed(there, cid), cid, "images/b.png", "")
        with pytest.raises(NotFound, match=r"there: big\.bin, images$"):
            await fetch_file(site, did, signed(there, cid), cid, "no/such", "0-5")
        with pytest.raises(BadInput, match="cannot hold"):
            await tree(site, did, signed(there, cid), cid, "../images", "")
        alone = await site.blobs.add(b"a file")
        await there.write("dataset", dataset(alone))
        with pytest.raises(BadInput, match="it is a file"):
            await tree(site, did, signed(there, alone), alone, "in/it", "")

    at_a_hospital(tmp_path, test)


def test_a_folder_is_looked_into_without_having_it(tmp_path: Path, source: Path) -> None:
    """Lost: one has to fetch a terabyte to see what it is; or looks into data and leaves no trace."""

    async def test(there: Hospital) -> None:
        cid = await published(there, source)
        view = await folder(there.site, there.steward.did, signed(there, cid), cid)
        assert (view.names, view.count) == (("big.bin", "images"), 2)
        assert await rows(there) == 1
        many = tmp_path / "many"
        many.mkdir()
        for number in range(30):
            (many / f"{number:02}").touch()
        cid = await published(there, many)
        view = await folder(there.site, there.steward.did, signed(there, cid), cid)
        assert (view.names, view.count) == (tuple(f"{number:02}" for number in range(20)), 30)

    at_a_hospital(tmp_path, test)


def test_resident_data_are_said_to_stay_and_what_can_be_done(tmp_path: Path) -> None:
    """Lost: «nothing of that name» about what stands in the catalog."""

    async def test(there: Hospital) -> None:
        cid = Cid.of(b"patients").keyed(b"k" * 32)
        there.mallory.add("dataset", dataset(cid, resident(there.mallory.root.did), Level.RESIDENT))
        for ask in (tree, fetch_file):
            with pytest.raises(BadInput, match=r"«data» is resident: its bytes never leave mallory.*workflow"):
                await ask(there.site, there.steward.did, signed(there, cid), cid, "", "")
        unknown = Cid.of(b"others").keyed(b"k" * 32)
        with pytest.raises(NotFound, match="nothing named"):
            await tree(there.site, there.steward.did, signed(there, unknown), unknown, "", "")

    at_a_hospital(tmp_path, test)


def test_a_holder_that_gives_nothing_is_named_and_what_it_was_asked_for(tmp_path: Path) -> None:
    """Lost: who is refused sees a path with a CID and the end of a key, and cannot tell whom to ask."""

    async def test(there: Hospital) -> None:
        cid = Cid.of(b"theirs")
        there.mallory.dataset(cid, OPEN)
        with pytest.raises(NotFound, match=r"mallory does not let this site have «data».*ask its steward"):
            await _materials(there, Carrier({})).bring(there.mallory.root.did, cid)

    at_a_hospital(tmp_path, test)


def test_errors_of_the_network_name_sites(tmp_path: Path) -> None:
    """Lost: «…sxNRFvPP cannot be reached», of which nobody knows who that is."""

    async def test(there: Hospital) -> None:
        cid = Cid.of(b"theirs")
        there.mallory.dataset(cid, OPEN)
        with pytest.raises(Unreachable, match="mallory cannot be reached") as told:
            await fetch_file(there.site, there.steward.did, signed(there, cid), cid, "", "0-5")
        assert "…" not in str(told.value)
        with pytest.raises(Unreachable, match="mallory cannot be reached"):
            await folder(there.site, there.steward.did, signed(there, cid), cid)

    at_a_hospital(tmp_path, test)
