"""Attacks on what is fetched: a request passed on, bytes that are held, and what a refusal tells. Each is tried again
with its defence taken away. The server and the site are real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from catalog.error import NotFound
from node.automator.hold import Held
from node.network import bulk_connection
from node.network.blob import Blob, BulkRequest, blob_of
from node.network.bulk_connection import REFUSAL, REFUSAL_SECONDS
from node.site.shelf import Shelf
from privacy.label import OPEN, resident
from privacy.starters import HOSPITAL
from tests.adversary.hospital import Hospital, at_a_hospital
from tests.adversary.test_peers import query
from tests.node.network.test_bulk import DATA, NODE, OTHER, Site, serving, talk, wire


@pytest.mark.parametrize("defended", [True, False])
def test_a_signed_fetch_forwarded_to_another_site(defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever is asked for something asks elsewhere in the asker's name."""
    real = bulk_connection.verify_request

    def any_server(*given: Any, **named: Any) -> Any:
        return real(*given, **(named | {"peer": NODE.did}))

    if not defended:
        monkeypatch.setattr(bulk_connection, "verify_request", any_server)
        monkeypatch.setattr(bulk_connection, "kept_request", lambda *_, **__: None)

    async def main() -> bytes:
        async with serving(NODE), serving(OTHER) as two:
            return await trio.to_thread.run_sync(talk, two.port, wire("/data", peer=NODE.did))

    heard = trio.run(main)
    assert (heard == REFUSAL) is defended
    assert heard.endswith(DATA) is not defended


@pytest.mark.parametrize("defended", [True, False])
def test_held_data_asked_for_by_a_non_reader(defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the CID of an unreleased output, which is no secret, is enough to have it."""
    if not defended:
        monkeypatch.setattr(Shelf, "_given", lambda *_: (Held(None, OPEN), ""))

    async def test(there: Hospital) -> None:
        await there.policy(HOSPITAL)
        held = await there.site.blobs.add(b"what was not released")
        there.site.holdings.hold(held, resident(there.site.root), [])
        asking = query(there.mallory.node.did, held, held)
        if defended:
            with pytest.raises(NotFound):
                await there.site.shelf.answer(asking)
        else:
            assert await there.site.shelf.answer(asking)

    at_a_hospital(tmp_path, test)


@pytest.mark.parametrize("defended", [True, False])
def test_forbidden_told_from_unknown_by_bytes_and_size(defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else asking for CIDs tells what a hospital has."""
    real = Site.answer

    async def outspoken(self: Site, request: BulkRequest) -> Blob | None:
        return blob_of(b"that is not for you") if request.path == "/forbidden" else await real(self, request)

    if not defended:
        monkeypatch.setattr(Site, "answer", outspoken)

    async def main() -> list[bytes]:
        async with serving() as server:
            asked = (wire("/forbidden"), wire("/unknown"))
            return [await trio.to_thread.run_sync(talk, server.port, question) for question in asked]

    forbidden, unknown = trio.run(main)
    assert (forbidden == unknown == REFUSAL) is defended


@pytest.mark.parametrize("defended", [True, False])
def test_forbidden_told_from_unknown_by_time(defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else asking for CIDs tells by the clock what a hospital has. What is measured is until when each is held back."""
    held_back: list[float] = []
    real = trio.sleep_until

    async def until(deadline: float) -> None:
        held_back.append(deadline - trio.current_time())
        await real(deadline)

    monkeypatch.setattr(trio, "sleep_until", until)
    if not defended:
        monkeypatch.setattr(bulk_connection, "REFUSAL_SECONDS", 0.0)

    async def main() -> None:
        async with serving() as server:
            for question in (wire("/forbidden"), wire("/unknown")):
                assert await trio.to_thread.run_sync(talk, server.port, question) == REFUSAL

    trio.run(main)
    waits = [each for each in held_back if each <= REFUSAL_SECONDS]
    assert len(waits) == 2
    assert any(each > 0 for each in waits) is defended
