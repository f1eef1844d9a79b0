"""Tessera's logs, checked with the code that checks a site's: values of :mod:`catalog`, fsck, and a replica of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from catalog.checkpoint import Checkpoint, cosigners, open_checkpoint, verify_cosignature
from catalog.error import ComityError, VerificationFailed
from catalog.merkle import leaf_hash, prove_inclusion, root_of, verify_consistency, verify_inclusion
from catalog.proof import parse_proof, verify_proof
from catalog.tiles import ENTRIES, WIDTH, Tile, check_tiles, decode_bundle, subtree_of
from node.storage.bodies import FILE as BODIES
from node.storage.bodies import Bodies
from node.storage.fsck import check_folder
from node.storage.logfolder import CHECKPOINT, COSIGNED
from node.storage.replica import ReplicaLog
from tests.oracle import manifest
from tests.oracle.manifest import Consistency, Inclusion, Log, ProofFile
from tests.oracle.report import Report

FLIP_BIT = 0x20
"""The bit that flip.go flips, for the reason given there."""

EXTRA = re.compile(rb"\nextra ([^\n]*)")
"""Of a proof, what nobody vouches for."""

VALUES, FSCK, REPLICA = "catalog", "node.storage fsck", "node.storage replica"


@dataclass(frozen=True)
class Reader:
    """One log of Tessera's in its folder."""

    log: Log
    folder: Path

    @property
    def did(self) -> str:
        return manifest.parse_key(self.log.key)[1]

    @property
    def witnesses(self) -> dict[str, str]:
        return dict(manifest.parse_key(each.key) for each in self.log.witnesses)

    def text(self, name: str) -> str:
        try:
            return (self.folder / name).read_bytes().decode()
        except UnicodeDecodeError as error:
            raise VerificationFailed(f"{name} is not text") from error

    def checkpoint(self) -> Checkpoint:
        opened = open_checkpoint(self.text(CHECKPOINT), self.log.origin, self.did)
        if opened.size != self.log.size:
            raise VerificationFailed(f"it has {opened.size} leaves where {self.log.size} were written")
        return opened

    def tile(self, level: int, index: int, width: int) -> bytes:
        """A tile of the newest tree, as narrow as it is asked for."""
        most = (self.log.size >> 8 * max(level, 0)) - index * WIDTH
        data = (self.folder / Tile(level, index, min(most, WIDTH)).path).read_bytes()
        return data[: 32 * width] if level != ENTRIES else data

    def leaves(self) -> list[bytes]:
        found: list[bytes] = []
        for start in range(0, self.log.size, WIDTH):
            width = min(self.log.size - start, WIDTH)
            found += decode_bundle(self.tile(ENTRIES, start // WIDTH, width), width)
        return found

    def check_cosigned(self) -> None:
        note = self.text(COSIGNED)
        if open_checkpoint(note, self.log.origin, self.did) != self.checkpoint():
            raise VerificationFailed("it is another checkpoint than the newest")
        for (name, did), each in zip(self.witnesses.items(), self.log.witnesses, strict=True):
            if verify_cosignature(note, name, did) != each.seconds:
                raise VerificationFailed(f"«{name}» cosigned at another time than its writer read")

    def check_hash_tiles(self) -> None:
        opened = self.checkpoint()
        check_tiles(opened.size, opened.root, self.tile)

    def check_fsck(self) -> int:
        report = check_folder(
            self.folder, self.log.origin, self.did, {name: [did] for name, did in self.witnesses.items()}
        )
        # The cosigned checkpoint came from elsewhere: the empty database of bodies does not have it.
        faults = [fault for fault in report.faults if fault.file != COSIGNED]
        if faults:
            raise VerificationFailed("; ".join(map(str, faults)))
        return report.leaves

    def check_inclusion(self, proof: Inclusion, root: bytes, leaves: list[bytes]) -> None:
        verify_inclusion(leaf_hash(leaves[proof.index]), proof.index, proof.size, root, proof.hashes)

    def check_consistency(self, proof: Consistency, older: bytes, newer: bytes) -> None:
        verify_consistency(proof.old, older, proof.new, newer, proof.hashes)

    def check_proof_file(self, proof: ProofFile, leaf: bytes) -> None:
        parsed = parse_proof(self.text(proof.file))
        opened = verify_proof(parsed, leaf, self.log.origin, self.did)
        if parsed.index != proof.index or opened != self.checkpoint():
            raise VerificationFailed("it is a proof of something else")
        if len(cosigners(parsed.checkpoint, self.witnesses)) != len(self.witnesses):
            raise VerificationFailed("a cosignature is missing")

    def root(self, size: int) -> bytes:
        return root_of(size, subtree_of(size, self.tile))


async def verify_logs(folder: Path) -> Report:
    """Check every log that the manifest in ``folder`` lists, and show flipped bytes to the same checks."""
    report = Report()
    for log in manifest.read(folder):
        reader = Reader(log, folder / log.folder)
        Bodies(reader.folder / BODIES).close()  # Tessera keeps no bodies; fsck wants to see that there are none
        try:
            await _verify(reader, report)
        except ComityError as error:
            report.faults.append(f"{reader.folder}: {error}")
            continue
        if log.flip:
            _flip_files(reader, report)
            _flip_hashes(reader, report)
    return report


async def _verify(reader: Reader, report: Report) -> None:
    log = reader.log
    opened = reader.checkpoint()
    report.passed("checkpoints", VALUES, 1)
    reader.check_cosigned()
    report.passed("cosignatures", VALUES, len(log.witnesses))
    reader.check_hash_tiles()
    report.passed("tiles, each against the next", VALUES, sum(1 for _ in _tiles(log.size)))
    report.passed("fsck: leaves", FSCK, reader.check_fsck())
    leaves = reader.leaves()
    for each in log.inclusion:
        reader.check_inclusion(each, reader.root(each.size), leaves)
        if prove_inclusion(each.index, each.size, subtree_of(each.size, reader.tile)) != each.hashes:
            raise VerificationFailed(f"inclusion of {each.index} in {each.size}: another proof is made here")
    report.passed("inclusion proofs", VALUES, len(log.inclusion))
    for each in log.consistency:
        reader.check_consistency(each, reader.root(each.old), reader.root(each.new))
    report.passed("consistency proofs", VALUES, len(log.consistency))
    for each in log.proofs:
        reader.check_proof_file(each, leaves[each.index])
    report.passed("tlog-proof files", VALUES, len(log.proofs))
    await _replicate(reader, opened, leaves)
    report.passed("replicated, files the same", REPLICA, log.size)


async def _replicate(reader: Reader, opened: Checkpoint, leaves: list[bytes]) -> None:
    """Take the log as a member takes another's; what lies on disk then is what Tessera wrote, byte for byte."""
    folder = reader.folder / "replica"
    async with await ReplicaLog.open(folder, reader.log.origin, reader.did) as replica:
        await replica.extend(reader.text(CHECKPOINT), leaves)
        if replica.checkpoint != opened:
            raise VerificationFailed("the replica has another checkpoint")
    report = check_folder(folder, reader.log.origin, reader.did)
    if not report.ok:
        raise VerificationFailed("; ".join(map(str, report.faults)))
    for tile in _tiles(reader.log.size):
        if (folder / tile.path).read_bytes() != (reader.folder / tile.path).read_bytes():
            raise VerificationFailed(f"{tile.path} of the replica is not that of the log")


def _tiles(size: int) -> list[Tile]:
    """The hash tiles and bundles of the newest tree; Tessera leaves narrower ones beside them."""
    found = [Tile(ENTRIES, at // WIDTH, min(size - at, WIDTH)) for at in range(0, size, WIDTH)]
    level, count = 0, size
    while count:
        found += [Tile(level, at // WIDTH, min(count - at, WIDTH)) for at in range(0, count, WIDTH)]
        level, count = level + 1, count >> 8
    return found


def _refusal(check: Callable[[], object], needle: str = "") -> str | None:
    """Why a check refuses, if it does so with a typed error that has ``needle`` in it."""
    with suppress(FileNotFoundError):
        try:
            check()
        except VerificationFailed as error:
            return str(error) if needle in str(error) else None
    return None


def _flip_files(reader: Reader, report: Report) -> None:
    leaves = reader.leaves()
    proofs = {each.file: each for each in reader.log.proofs}
    for tile in _tiles(reader.log.size):
        what = "entry bundle" if tile.level == ENTRIES else f"hash tile, level {tile.level}"
        length = (reader.folder / tile.path).stat().st_size
        for at in (0, length // 2, length - 1):
            judges = [(FSCK, lambda: reader.check_fsck(), tile.path)]
            if tile.level != ENTRIES:
                judges.append((VALUES, lambda: reader.check_hash_tiles(), "tile"))
            _flip(reader, report, what, tile.path, at, judges)
    for name in (CHECKPOINT, COSIGNED, *proofs):
        for at in _positions((reader.folder / name).read_bytes()):
            if name == CHECKPOINT:
                judges = [(VALUES, lambda: reader.checkpoint(), ""), (FSCK, lambda: reader.check_fsck(), CHECKPOINT)]
            elif name == COSIGNED:
                judges = [(VALUES, lambda: reader.check_cosigned(), "")]
            else:
                proof = proofs[name]
                judges = [(VALUES, lambda proof=proof: reader.check_proof_file(proof, leaves[proof.index]), "")]
            what = {CHECKPOINT: "checkpoint", COSIGNED: "cosigned checkpoint"}.get(name, "tlog-proof file")
            _flip(reader, report, what, name, at, judges)


def _positions(whole: bytes) -> Iterator[int]:
    extra = EXTRA.search(whole)
    return (at for at in range(len(whole)) if extra is None or not extra.start(1) <= at < extra.end(1))


def _flip(
    reader: Reader,
    report: Report,
    what: str,
    name: str,
    at: int,
    judges: list[tuple[str, Callable[[], object], str]],
) -> None:
    path = reader.folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes([whole[at] ^ FLIP_BIT]) + whole[at + 1 :])
    for by, check, needle in judges:
        report.flipped(what, by, f"{name}, byte {at}", _refusal(check, needle))
    path.write_bytes(whole)


def _flip_hashes(reader: Reader, report: Report) -> None:
    leaves = reader.leaves()
    for each in reader.log.inclusion:
        root = reader.root(each.size)
        for at in range(len(each.hashes)):
            wrong = Inclusion(each.index, each.size, _with_flip(each.hashes, at))
            place = f"inclusion of {each.index} in {each.size}, hash {at}"
            refusal = _refusal(lambda wrong=wrong, root=root: reader.check_inclusion(wrong, root, leaves))
            report.flipped("inclusion proof", VALUES, place, refusal)
    for each in reader.log.consistency:
        roots = reader.root(each.old), reader.root(each.new)
        for at in range(len(each.hashes)):
            wrong = Consistency(each.old, each.new, _with_flip(each.hashes, at))
            place = f"consistency of {each.old} with {each.new}, hash {at}"
            refusal = _refusal(lambda wrong=wrong, roots=roots: reader.check_consistency(wrong, *roots))
            report.flipped("consistency proof", VALUES, place, refusal)


def _with_flip(hashes: list[bytes], at: int) -> list[bytes]:
    wrong = bytearray(hashes[at])
    wrong[at % 32] ^= FLIP_BIT
    return [*hashes[:at], bytes(wrong), *hashes[at + 1 :]]
