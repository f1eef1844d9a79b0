"""What a restored site makes of releases that waited when its backup was made."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from node.automator.recovery import Remembered
from node.config import Address, Folder
from node.message import Proof
from node.rootkey import new_passphrase
from node.setup import init_site
from node.site import restore
from node.site.site import Site
from tests.adversary.stage import Stage, forged
from workflow.receipt import Receipt, Status


def test_a_waiting_release_that_was_told_since_is_not_asked_about_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a site says of one order that it is done and then that it is held, which is proof against it."""
    stage = Stage()
    submission = stage.submission()
    orders = [stage.order(submission, attempt=attempt) for attempt in (1, 2, 3)]
    names = [cid_of(order) for order in orders]

    def receipt(number: int, status: Status) -> Receipt:
        return forged(orders[number], stage.anna, {}, status)

    held = [
        Proof(order=orders[0], receipt=receipt(0, Status.DONE)),
        Proof(order=orders[1], receipt=receipt(1, Status.HELD)),
    ]

    async def ours(*_: object) -> Remembered:
        return Remembered(tuple(held), {})

    monkeypatch.setattr(restore, "remembered", ours)
    folder, nowhere = Folder(tmp_path / "st-anna"), Address("127.0.0.1", 1)

    async def story() -> list[Cid]:
        await trio.to_thread.run_sync(init_site, folder, "St. Anna", "Ada", nowhere, nowhere, nowhere, new_passphrase())
        site = await Site.open(folder)
        for name in names:
            await site.releases.keep_waiting(name)
        await restore._halt(None, lambda _line: None, site)
        await site.aclose()
        site = await Site.open(folder)
        try:
            assert site.book.halts.standing, "and it is halted, so that what waits is held"
            return list(await site.releases.waiting())
        finally:
            await site.aclose()

    assert set(trio.run(story)) == set(names[1:])
    stage.scheduler.close()
