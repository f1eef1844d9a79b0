"""Catalogs to measure with: ``python -m bench.catalogs FOLDER NUMBER COUNT`` writes one of ``COUNT`` datasets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import trio

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.dataset import DatasetFields, Level
from catalog.key import PrivateKey
from catalog.label import Label
from catalog.member import KeyFields, Role
from catalog.origin import LogName, origin_of
from node.storage.log import DiskLog
from node.system import SystemRandom

BATCH: Final = 1000
AT: Final = 1_700_000_000_000


def keys_of(number: int) -> tuple[PrivateKey, PrivateKey, PrivateKey]:
    """Root, node and steward of site ``number``."""
    root, node, steward = (PrivateKey(bytes([number, part]) + bytes(30)) for part in (1, 2, 3))
    return root, node, steward


def entries(number: int, count: int) -> list[tuple[str, bytes]]:
    """(kind, body) of a catalog with ``count`` datasets, behind the enrolments of node and steward."""
    root, node, steward = keys_of(number)

    def body(kind: str, fields: Value, by: PrivateKey) -> tuple[str, bytes]:
        return kind, encode(write_body(kind, fields, site=root.did, at=AT, by=by))

    enrolled = [
        body("key", KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32)), root)
        for key, role in ((node, Role.NODE), (steward, Role.STEWARD))
    ]
    return enrolled + [body("dataset", _dataset(f"{number}/{place}"), steward) for place in range(count - 2)]


def _dataset(name: str) -> DatasetFields:
    return DatasetFields(
        cid=Cid.of(name.encode()),
        name=f"Births and weights, table {name}",
        level=Level.SHARED,
        label=Label(owners={}),
        purposes=("DUO:0000006",),
        description="One row a birth: week of pregnancy, weight in grams, length in centimetres, year.",
        media_type="text/csv",
        size=1_000_000,
    )


async def write(folder: Path, number: int, count: int) -> None:
    """Write the catalog of site ``number``."""
    root, node, _ = keys_of(number)
    origin = origin_of(root.did, LogName.CATALOG)
    async with await DiskLog.create(folder, origin, 0, node, SystemRandom()) as log:
        made = entries(number, count)
        for start in range(0, count, BATCH):
            await log.append(made[start : start + BATCH])


if __name__ == "__main__":
    trio.run(write, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
