"""A log on disk under any order of appends, crashes at any write, erasures and cosignatures, beside a plain list."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from catalog.checkpoint import Checkpoint, add_line, cosign, cosigners, open_checkpoint
from catalog.key import PrivateKey
from catalog.leaf import decode_leaf, opens
from catalog.merkle import Frontier, leaf_hash, verify_consistency, verify_inclusion
from node.storage.fsck import check_folder
from node.storage.log import DiskLog
from tests.machine import runs

ORIGIN = "comity.example/st-anna/catalog/0"
KEY, WITNESS = PrivateKey(b"\7" * 32), PrivateKey(b"\x09" * 32)


class PowerCutError(BaseException):
    """The process ends here, whatever it was about to do."""


class Salts:
    def __init__(self) -> None:
        self.count = 0

    def token(self, count: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(count, "big")


@contextmanager
def power_cut(writes: int) -> Iterator[None]:
    """Let ``writes`` changes of the disk happen (a file renamed, a file's content flushed), and end at the next."""
    left = writes

    def counted(change):
        def run(*arguments):
            nonlocal left
            if left == 0:
                raise PowerCutError
            left -= 1
            return change(*arguments)

        return run

    with mock.patch.object(os, "replace", counted(os.replace)), mock.patch.object(os, "fsync", counted(os.fsync)):
        yield


class LogMachine(RuleBasedStateMachine):
    """``bodies`` is what was acknowledged, none where it was erased; ``seen`` are the checkpoints that went out."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="comity-log-machine-"))
        self.salts = Salts()
        self.bodies: list[bytes | None] = []
        self.seen: list[Checkpoint] = []
        self.first_cosigned: dict[int, int] = {}
        self.count = 0
        self.log: DiskLog | None = None

    def teardown(self) -> None:
        if self.log is not None:
            trio.run(self.log.aclose)
        shutil.rmtree(self.folder)

    @initialize()
    def create(self) -> None:
        self.log = trio.run(DiskLog.create, self.folder / "log", ORIGIN, 1, KEY, self.salts)
        self.seen.append(self.log.checkpoint)

    def batch(self, size: int) -> list[tuple[str, bytes]]:
        self.count += 1
        return [("dataset", b"body %d/%d" % (self.count, at)) for at in range(size)]

    def kept(self, entries: list[tuple[str, bytes]]) -> None:
        self.bodies += [body for _, body in entries]
        self.seen.append(self.log.checkpoint)

    @rule(size=st.sampled_from((1, 2, 3, 100, 255, 256, 300)))
    def append(self, size: int) -> None:
        entries = self.batch(size)
        assert trio.run(self.log.append, entries) == len(self.bodies)
        self.kept(entries)

    @rule(size=st.sampled_from((1, 3, 256)), writes=st.integers(0, 14))
    def append_and_crash(self, size: int, writes: int) -> None:
        entries = self.batch(size)
        before = self.log.checkpoint
        try:
            with power_cut(writes):
                trio.run(self.log.append, entries)
        except PowerCutError:
            self.reopen()
            # Nobody was told that it is in the log: all of it may be, or nothing.
            assert self.log.size in (before.size, before.size + size)
            if self.log.size > before.size:
                self.kept(entries)
            else:
                assert self.log.checkpoint == before
        else:
            self.kept(entries)

    @rule()
    def reopen(self) -> None:
        trio.run(self.log.aclose)
        self.log = trio.run(DiskLog.open, self.folder / "log", ORIGIN, 1, KEY, self.salts)

    @precondition(lambda self: self.bodies)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.bodies) - 1))
        trio.run(self.log.erase, index)
        self.bodies[index] = None

    @rule(seconds=st.integers(1, 1000))
    def cosigned(self, seconds: int) -> None:
        size = self.log.size
        note = add_line(self.log.note, cosign(self.log.note, "w", WITNESS, seconds))
        kept = trio.run(self.log.add_cosignatures, note, {"w": WITNESS.did})
        assert kept == {"w": self.first_cosigned.setdefault(size, seconds)}

    @precondition(lambda self: self.bodies)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.bodies) - 1))
        leaf, body = trio.run(self.log.leaf, index), trio.run(self.log.body, index)
        assert (body and body[1]) == self.bodies[index]
        assert body is None or opens(decode_leaf(leaf), body[1], body[0])
        proof = trio.run(self.log.prove, index, self.log.size)
        verify_inclusion(leaf_hash(leaf), index, self.log.size, self.log.root, proof)

    @invariant()
    def only_grows(self) -> None:
        """Every checkpoint that ever went out is a beginning of the log as it is."""
        if self.log is None:
            return
        assert self.log.size == len(self.bodies)
        assert open_checkpoint(self.log.note, ORIGIN, KEY.did) == self.log.checkpoint
        old = self.seen[self.count % len(self.seen)]
        proof = trio.run(self.log.consistency, old.size, self.log.size)
        verify_consistency(old.size, old.root, self.log.size, self.log.root, proof)

    @rule()
    def check(self) -> None:
        leaves = trio.run(self.log.leaves, 0, self.log.size)
        assert Frontier().extend(map(leaf_hash, leaves)).root == self.log.root
        report = check_folder(self.folder / "log", ORIGIN, KEY.did, {"w": [WITNESS.did]})
        assert report.ok, report.faults
        assert not report.leftovers
        assert (report.erased, report.cosignatures) == (self.bodies.count(None), len(self.first_cosigned))
        last = trio.run(self.log.last_cosigned)
        assert last is None or cosigners(last, {"w": WITNESS.did})


LogMachine.TestCase.settings = settings(runs(15, 20), suppress_health_check=list(HealthCheck))
TestLogMachine = LogMachine.TestCase
