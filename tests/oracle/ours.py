"""Logs as a site writes them: a real :class:`DiskLog` with bodies, three members' cosignatures, proofs of all kinds."""

from __future__ import annotations

import hashlib
from pathlib import Path

from catalog.checkpoint import add_line, cosign
from catalog.key import PrivateKey
from catalog.origin import LogName, origin_of
from catalog.proof import Proof, write_proof
from node.storage.log import DiskLog
from tests.oracle import manifest
from tests.oracle.manifest import Consistency, Inclusion, Log, ProofFile, Witness

SIZES = (0, 1, 2, 3, 5, 8, 100, 255, 256, 257, 511, 512, 513, 1000, 65_535, 65_537, 70_000)
FLIPPED = (513, 65_537)
"""The logs of which bytes are flipped: one with partial tiles at two levels, one with three levels."""

ALL_PLACES = 300
"""Leaves up to which a log's every leaf is proven."""

_BATCH = 37
_LARGE_BATCH = 20_011
_SECONDS = 1_700_000_000


class Salts:
    """Salts that differ and are the same in every run."""

    def __init__(self) -> None:
        self._count = 0

    def token(self, count: int) -> bytes:
        self._count += 1
        return hashlib.shake_128(self._count.to_bytes(8, "big")).digest(count)


def key_of(name: str) -> PrivateKey:
    return PrivateKey(hashlib.sha256(name.encode()).digest())


WITNESSES = {key_of(f"root of {name}").did: key_of(f"node of {name}") for name in ("anna", "bruno", "clara")}
"""Members by the did of their root key, under which their node's key cosigns."""


async def write_logs(folder: Path) -> None:
    """Write a log of each size, with proofs, and the manifest that lists them."""
    manifest.write(folder, [await _write_log(folder, size) for size in SIZES])


async def _write_log(parent: Path, size: int) -> Log:
    name, node = f"comity-{size:05}", key_of(f"node of {size}")
    origin = origin_of(key_of(f"root of {size}").did, LogName.CATALOG)
    step = _BATCH if size <= 1000 else _LARGE_BATCH
    async with await DiskLog.create(parent / name, origin, 1, node, Salts()) as disk:
        for start in range(0, size, step):
            await disk.append([("dataset", b"body %d" % at) for at in range(start, min(start + step, size))])
        log = Log(name, origin, manifest.verifier_key(origin, node.did), size, flip=size in FLIPPED)
        cosigned = await _cosign(disk, log)
        await _prove(disk, log, cosigned)
    return log


async def _cosign(disk: DiskLog, log: Log) -> str:
    note = disk.note
    for later, (name, key) in enumerate(WITNESSES.items()):
        seconds = _SECONDS + later
        note = add_line(note, cosign(note, name, key, seconds))
        log.witnesses.append(Witness(manifest.witness_key(name, key.did), seconds))
    await disk.add_cosignatures(note, {name: key.did for name, key in WITNESSES.items()})
    kept = await disk.last_cosigned()
    assert kept == note
    return kept


async def _prove(disk: DiskLog, log: Log, cosigned: str) -> None:
    sizes = _sizes_within(log.size)
    for size in sizes:
        places = range(size) if size == log.size <= ALL_PLACES else _places_within(size)
        for index in places:
            log.inclusion.append(Inclusion(index, size, await disk.prove(index, size)))
        for old in sizes:
            if old <= size:
                log.consistency.append(Consistency(old, size, await disk.consistency(old, size)))
    for index in _places_within(log.size):
        extra = b"anything" if index % 2 else None
        proof = Proof(index, tuple(await disk.prove(index, log.size)), cosigned, extra)
        name = f"{index}.tlog-proof"
        (disk.folder / name).write_text(write_proof(proof), newline="")
        log.proofs.append(ProofFile(name, index))


def _sizes_within(size: int) -> list[int]:
    return sorted({each for each in (1, 2, 3, 7, 255, 256, 257, 512, 600, 65_536, 65_537, size) if 0 < each <= size})


def _places_within(size: int) -> list[int]:
    places = (0, 1, 4, 6, 254, 255, 256, 511, 512, 65_535, 65_536, size // 2, size - 1)
    return sorted({each for each in places if 0 <= each < size})
