"""Disclosure control of Anna's over a real log and store: tables are brought to it as steps would have made them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

from catalog.cid import Cid
from catalog.project import ProjectRef
from node.automator.decide import Verdict
from node.automator.release import Candidate, Ruling, let_out
from node.step import Product
from node.system import SystemRandom
from privacy.decision import Decision
from privacy.duty import NO_DUTIES, Duties
from privacy.label import resident
from tests.node.site.house import ANNA, BRUNO, NODES, NOW, RESEARCHER, House, play
from workflow.argument import Data
from workflow.order import Wanted
from workflow.receipt import Form

DATA = Cid.of(b"visits").keyed(bytes(32))
PROJECT = ProjectRef(site=BRUNO.did, name="trial")
Counts = Mapping[str, int]


def table(by: str, counts: Counts, where: Mapping[str, Sequence[str]] | None = None) -> bytes:
    """A table of counts by one column, of the rows ``where``."""
    form = {
        "disclosure": 1,
        "type": "table",
        "where": where or {},
        "dimensions": [{"name": by, "categories": list(counts)}],
        "cells": [{"key": [key], "count": count} for key, count in counts.items()],
    }
    return json.dumps(form).encode()


def total(count: int, where: Mapping[str, Sequence[str]] | None = None) -> bytes:
    """One count of people."""
    form = {"disclosure": 1, "type": "statistics", "where": where or {}, "groups": {"all": {"count": count}}}
    return json.dumps(form).encode()


class Office:
    """Anna's disclosure control, which :meth:`begin` starts anew over what her log and store have."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.random = SystemRandom()
        self.begin()

    def begin(self) -> None:
        """A run of the node."""
        self.disclosing = self.house.disclosing()

    async def bring(
        self,
        form: bytes,
        type: str = "table",
        dataset: Cid = DATA,
        project: ProjectRef = PROJECT,
        duties: Duties = NO_DUTIES,
        now: int = NOW,
    ) -> Ruling:
        """What becomes of an output that policy lets out; if it leaves, its row stands when this returns."""
        token = self.random.token(16)
        candidate = Candidate(
            order=Cid.of(token),
            name="counts",
            product=Product("counts.json", await self.house.blobs.add(form), len(form), Form.FILE),
            wanted=Wanted(type=type, readers=(BRUNO.did,)),
            label=resident(ANNA.did),
            handle=f"held:{ANNA.did}/{token.hex()}",
        )
        decision = Decision(
            allowed=True, action="release", rules=("r",), reason="ok", facts={}, policy="1", duties=duties
        )
        endorsed = Ruling(candidate, candidate.label, "", Verdict(decision, decision), report="endorsed")
        evidence = SimpleNamespace(owned=lambda data, _site: frozenset({data.cid}))
        data = [Data(site=ANNA.did, cid=dataset, name="visits.csv")]
        verified = SimpleNamespace(case=SimpleNamespace(data=data, evidence=evidence, ref=project))
        async with self.disclosing.turn:
            ruling = await self.disclosing.rule(verified, let_out(endorsed, ANNA.did), now)  # type: ignore[arg-type]
            if ruling.leaves:
                await self.leave(ruling, dataset, now)
        return ruling

    async def leave(self, ruling: Ruling, dataset: Cid = DATA, now: int = NOW) -> None:
        """Write the row of a release."""
        assert ruling.examined is not None
        await self.disclosing.leaves(ruling.examined, [dataset], now)
        line = ruling.releasing(BRUNO.did).line(NODES[ANNA.did], ANNA.did, [dataset], RESEARCHER.did, {})
        await self.house.book.write([line])

    async def text(self, ruling: Ruling) -> str:
        """The value that leaves, or waits."""
        return (await self.house.blobs.read(ruling.candidate.product.cid)).decode()


def at_anna(path: Path, story: Callable[[Office], Awaitable[None]]) -> None:
    """Tell a story at her office."""

    async def told(house: House) -> None:
        await story(Office(house))

    play(path, told)
