"""The node's side of the evaluator: one process that has cwltool ready, and a copy of it for each tool or workflow.

To load cwltool takes most of a second, to read a tool some hundredths, to fork a process that has either some
milliseconds. The first process holds nothing of anybody's; each copy serves one step, or one workflow, and ends with
it. A copy that has read a block's tool is kept, and copied for each step of that block: it holds that text alone.
"""

from __future__ import annotations

import socket
import struct
import subprocess
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec
import trio

from catalog.error import BadInput, Denied, Unreachable, VerificationFailed, shown
from node.execute.cwl.message import (
    MOST_FRAME,
    MOST_READ,
    Fault,
    Load,
    Loaded,
    Look,
    Read,
    Said,
    ToEvaluator,
    ToNode,
)
from node.execute.cwl.sandbox import command
from node.execute.cwl.tree import Tree
from node.execute.program import bubblewrap

SECONDS: Final = 90.0
"""Until an answer is there; to be started, in the worst case, too."""

CPU_SECONDS: Final = 30.0
"""Of a processor, for one answer: what a document makes the evaluator compute is bounded by that."""

MOST_KEPT: Final = 8
"""Tools that are kept read, those that were used last."""

MOST_QUESTIONS: Final = 200_000
"""About files, for one answer."""

A = TypeVar("A")


class Evaluator:
    """Evaluates CWL for this node; it is started when it is first needed."""

    def __init__(self, cpu_seconds: float = CPU_SECONDS) -> None:
        self._cpu_seconds = cpu_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = trio.Lock()
        self._kept: OrderedDict[object, socket.socket] = OrderedDict()

    @asynccontextmanager
    async def tool(self, tree: Tree) -> AsyncIterator[Session]:
        """A session for one tool, whose files are in ``tree``.

        Raises:
            Denied: no process can be isolated here. Unreachable: it ended.
        """
        async with self._session(b"t", tree) as session:
            yield session

    @asynccontextmanager
    async def kept(self, key: object, load: Load, tree: Tree) -> AsyncIterator[Session]:
        """A session for the tool that ``load`` names, read now and kept, or read before under the same ``key``.

        Raises:
            BadInput: it is no CWL. Denied: no process can be isolated here. Unreachable: it ended.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                async with self._starting:
                    await self._hand_to_kept(key, load, tree, theirs)
            async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as line:
                yield Session(line, tree)

    async def _hand_to_kept(self, key: object, load: Load, tree: Tree, theirs: socket.socket) -> None:
        if key in self._kept:
            try:
                socket.send_fds(self._kept[key], [b"t"], [theirs.fileno()])
                self._kept.move_to_end(key)
            except OSError:  # it ended, for whatever reason: it is made anew
                self._kept.pop(key).close()
            else:
                return
        control = await self._keep(load, tree)
        self._kept[key] = control
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)[1].close()
        try:
            socket.send_fds(control, [b"t"], [theirs.fileno()])
        except OSError as error:
            raise _ended() from error

    async def _keep(self, load: Load, tree: Tree) -> socket.socket:
        """Have a tool read by a copy that is kept; the socket at which that one waits."""
        await trio.to_thread.run_sync(bubblewrap)
        ours, theirs = socket.socketpair()
        control, end = socket.socketpair()
        kept = False
        try:
            with theirs, end:
                self._hand_over(b"k", theirs, end)
            async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as line:
                await Session(line, tree).ask(load, Loaded)
            kept = True
        finally:
            ours.close()
            if not kept:
                control.close()
        return control

    @asynccontextmanager
    async def workflow(self, tree: Tree) -> AsyncIterator[Session]:
        """A session for one workflow.

        Raises:
            Denied: no process can be isolated here. Unreachable: it ended.
        """
        async with self._session(b"w", tree) as session:
            yield session

    async def aclose(self) -> None:
        """End it."""
        async with self._starting:
            await trio.to_thread.run_sync(self._end)

    @asynccontextmanager
    async def _session(self, kind: bytes, tree: Tree) -> AsyncIterator[Session]:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                async with self._starting:
                    await trio.to_thread.run_sync(bubblewrap)
                    self._hand_over(kind, theirs)
            async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as line:
                yield Session(line, tree)

    def _hand_over(self, kind: bytes, *lines: socket.socket) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._control is None:
            self._start()
        if self._control is None:
            raise Unreachable("the evaluator of CWL does not start")
        try:
            socket.send_fds(self._control, [kind], [each.fileno() for each in lines])
        except OSError as error:
            self._end()
            raise Unreachable(f"the evaluator of CWL ended ({error}); try again") from error

    def _start(self) -> None:
        """In the thread that lives as long as the node: the kernel ends bubblewrap with the one that started it."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    command(theirs.fileno(), self._cpu_seconds), pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL
                )
            except OSError as error:
                ours.close()
                raise Denied(f"the evaluator of CWL cannot be isolated here: {error}") from error
        self._control = ours

    def _end(self) -> None:
        control, process, self._control, self._process = self._control, self._process, None, None
        while self._kept:
            self._kept.popitem()[1].close()
        if control is not None:
            control.close()
        if process is not None:
            process.terminate()
            process.wait()


class Session:
    """One tool or workflow, from its text to its outputs."""

    def __init__(self, line: trio.SocketStream, tree: Tree) -> None:
        self._line = line
        self._tree = tree
        self._decoder = msgspec.json.Decoder(ToNode)

    async def ask(self, question: ToEvaluator, kind: type[A]) -> A:
        """The answer to ``question``, which is a ``kind``.

        Raises:
            BadInput: what was asked for is no CWL, or does not fit; in one line. Unreachable: the evaluator ended.
            VerificationFailed: it answers what it was not asked.
        """
        told = await self.answer(question)
        if not isinstance(told, kind):
            raise VerificationFailed(f"the evaluator of CWL answered with {type(told).__name__}")
        return told

    async def answer(self, question: ToEvaluator) -> object:
        """As :meth:`ask`, of any kind."""
        with trio.move_on_after(SECONDS) as scope:
            await self._send(question)
            for _ in range(MOST_QUESTIONS):
                told = await self._receive()
                match told:
                    case Look() | Read():
                        await self._send(await self._said(told))
                    case Fault(reason=reason):
                        raise BadInput(shown(reason, 500))
                    case _:
                        return told
        if scope.cancelled_caught:
            raise BadInput(f"to evaluate it takes longer than {SECONDS:.0f} s")
        raise BadInput(f"to evaluate it more than {MOST_QUESTIONS:,} files would be looked at")

    async def _said(self, asked: Look | Read) -> Said:
        seen = await self._tree.look(asked.path)
        match asked:
            case Read(path=path, most=most) if seen.kind == "file":
                data = await self._tree.read(path, min(most, MOST_READ))
                return Said(kind="file" if data is not None else "", size=seen.size, data=data or b"")
            case Look(path=path, inside=True) if seen.kind == "folder":
                return Said(kind=seen.kind, names=await self._tree.names(path))
            case _:
                return Said(kind=seen.kind, size=seen.size)

    async def _send(self, value: ToEvaluator) -> None:
        try:
            data = msgspec.json.encode(value)
        except UnicodeEncodeError as error:
            raise BadInput("a text has half of a character in it") from error
        try:
            await self._line.send_all(struct.pack(">I", len(data)) + data)
        except trio.BrokenResourceError as error:
            raise _ended() from error

    async def _receive(self) -> object:
        (size,) = struct.unpack(">I", await self._exactly(4))
        if size > MOST_FRAME:
            raise VerificationFailed(f"the evaluator of CWL answered with more than {MOST_FRAME:,} bytes")
        try:
            return self._decoder.decode(await self._exactly(size))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise VerificationFailed(f"the evaluator of CWL does not answer as it should: {error}") from error

    async def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                part = await self._line.receive_some(min(size - len(data), 1 << 20))
            except trio.BrokenResourceError as error:
                raise _ended() from error
            if not part:
                raise _ended()
            data += part
        return bytes(data)


def _ended() -> Unreachable:
    return Unreachable(
        "the evaluator of CWL ended while it was asked: the document makes it fail, or takes too much of it"
    )
