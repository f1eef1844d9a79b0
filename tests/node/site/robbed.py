"""A hospital that is killed: ``python -m tests.node.site.robbed FOLDER half|step|memory``.

It says «ready» when half of a value has come from another site, or when a step runs on all of it, staged in the site's
folder or in ``FOLDER/memory``; then it waits.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeVar

import trio

from catalog.block import BlockFields
from catalog.cid import RAW, Cid
from catalog.dagcbor import decode
from catalog.error import NotFound
from catalog.key import PrivateKey
from catalog.project import ProjectRef
from node.config import work_folder
from node.execute.machine import this_machine
from node.execute.step import StepExecutor
from node.site.gateway import Wanted
from node.site.materials import Materials
from node.site.transfer import Holders
from node.step import AT_ONCE, Description, Exit, Job, Limits, Machine, Turn, Work
from node.storage.car import header, prefix
from node.storage.disk import DiskBlobs
from node.storage.unixfs import CHUNK
from privacy.label import OPEN
from tests.adversary.hospital import Hospital, at_a_hospital
from tests.node.execute.cwl.evaluating import EVALUATOR
from tests.node.storage.walk import names
from workflow.argument import Data

T = TypeVar("T")

TRIAL = ProjectRef(site=PrivateKey(b"a site that runs a project......").did, name="trial")
MARK = b"Ada-Lovelace-C50"
"""Stands in every chunk of the value, and in the name of a file in it."""
READY = b"ready\n"
TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [cat]
inputs:
  data: {type: Directory, inputBinding: {position: 1}}
stdout: out
outputs: {out: {type: stdout}}
"""


async def value(folder: Path) -> dict[Cid, bytes]:
    """The nodes of a folder that another site made and released, the root first."""
    made, blobs = folder / "made", DiskBlobs(folder / "there")
    made.mkdir(parents=True)
    (made / f"{MARK.decode()}.csv").write_bytes(MARK)
    # Each chunk is another one, else it would come once.
    (made / "large.csv").write_bytes(b"".join(bytes([number]) + MARK * (CHUNK // len(MARK)) for number in range(16)))
    root = await blobs.add_path(made)
    below = await names(blobs, root)
    return {cid: await blobs.node(cid) for cid in (root, *(each for each in below if each != root))}


class Giver:
    """A network over which another site gives a value; ``half`` of each batch of leaves, and then nothing more."""

    def __init__(self, has: dict[Cid, bytes], *, half: bool = False) -> None:
        self._has, self._half = has, half

    async def query(self, site: str, path: str, query: bytes, take: Callable[[IO[bytes]], T], limit: int) -> T:
        wanted = [cid for cid in decode(Wanted, query).cids if cid in self._has]
        if not wanted:
            raise NotFound("there is nothing of that name here that you may see")
        cut = self._half and len(wanted) > 1 and all(cid.codec == RAW for cid in wanted)
        given = wanted[: len(wanted) // 2] if cut else wanted
        car = header(Cid.parse(path.split("/")[2])) + b"".join(
            prefix(cid, self._has[cid]) + self._has[cid] for cid in given
        )
        return await trio.to_thread.run_sync(take, _Broken(car) if cut else io.BytesIO(car))


class _Broken(io.BytesIO):
    """An answer that does not go on."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            os.write(1, READY)
            threading.Event().wait()
        return data


class Waiting:
    """A runner whose command runs until it is killed."""

    name = "waiting"

    async def describe(self) -> Description:
        """It is none."""
        return Description(self.name, "")

    async def machine(self) -> Machine:
        """This one."""
        return this_machine()

    async def probe(self) -> None:
        """It shows nothing."""

    async def recover(self, folder: Path) -> int:
        """It left nothing that runs."""
        return 0

    async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
        async with turn:
            os.write(1, READY)
            await trio.sleep_forever()
        raise AssertionError


def materials(there: Hospital, holders: Holders) -> Materials:
    """The hospital's, with another network."""
    site = there.site
    return Materials(
        site.root,
        site.index,
        site.blobs,
        site.residents,
        site.brought,
        holders,
        lambda *_: (),
        site.arrived,
        site.shared,
        site.keyholders,
        site.membership.names.__getitem__,
    )


async def run_step(there: Hospital, has: dict[Cid, bytes], folder: Path, staging: Path | None) -> None:
    """Run a step of the project on the value, for ever."""
    block = folder / "block"
    block.mkdir()
    (block / "tool.cwl").write_text(TOOL)
    site, root = there.site, next(iter(has))
    tool = await site.blobs.add_path(block)
    await there.write("block", BlockFields(cid=tool, name="cat", label=OPEN, description="", outputs={"out": "file"}))
    work = work_folder(site.folder, replace(site.config, steps=replace(site.config.steps, staging=staging)))
    steps = StepExecutor(Waiting(), EVALUATOR, materials(there, Giver(has)), site.blobs, work, Limits())
    await steps.start()
    data = Data(site=there.other.root.did, cid=root, name="rows")
    await steps.run(Work(tool, {"data": data}), 600.0, Cid.of(b"order"), TRIAL)


def main(folder: Path, scene: str) -> None:
    """Play the scene."""

    async def play(there: Hospital) -> None:
        has = await value(folder / "elsewhere")
        if scene == "half":
            await materials(there, Giver(has, half=True)).bring(there.other.root.did, next(iter(has)), TRIAL)
        else:
            await run_step(there, has, folder, folder / "memory" if scene == "memory" else None)

    at_a_hospital(folder, play)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
