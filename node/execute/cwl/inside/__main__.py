"""``python -m node.execute.cwl.inside FD SECONDS``: waits at the socket FD for lines; serves each in a process of its
own, which has that many seconds of a processor for each answer.

What comes with a line says what for: ``t`` a tool, ``w`` a workflow. With ``k`` come a line and a socket: over the line
a tool is read once, and the process that has it waits at the socket for lines as this one does.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from cwl_utils.errors import JavascriptException
from cwl_utils.sandboxjs import set_js_engine
from cwltool.errors import UnsupportedRequirement, WorkflowException
from cwltool.process import get_schema
from schema_salad.exceptions import ValidationException

from node.execute.cwl.inside.channel import Channel, ClosedError
from node.execute.cwl.inside.flow import Flow
from node.execute.cwl.inside.javascript import QuickJs
from node.execute.cwl.inside.reason import reason_of
from node.execute.cwl.inside.tool import Tool
from node.execute.cwl.message import Begin, Collect, Command, Ended, Fault, Load, Loaded, ToEvaluator, ToNode

VERSIONS: Final = ("v1.0", "v1.1", "v1.2")
"""Of CWL, whose schemas every process has: to read them takes two seconds, once."""
MEMORY_BYTES: Final = 2 << 30
REFUSED = (
    ValidationException,
    WorkflowException,
    JavascriptException,
    RecursionError,
    MemoryError,
    ValueError,
    KeyError,
    TypeError,
    OSError,
)
"""What cwltool raises for documents and values that do not fit."""

Answer = Callable[[ToEvaluator], ToNode]


def main() -> None:
    """Serve until the node closes the socket."""
    logging.disable()  # what libraries say of strangers' texts has them in it, and would be told by the node
    set_js_engine(QuickJs())
    for each in VERSIONS:
        get_schema(each)
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # what all processes share is not written to by looking for garbage
    while True:
        kind, lines, _, _ = socket.recv_fds(control, 1, 2)
        if not kind:
            return
        if os.fork() == 0:
            control.close()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            with suppress(ClosedError, OSError):
                _begin(kind, [socket.socket(fileno=each) for each in lines], float(sys.argv[2]))
            os._exit(0)
        for line in lines:
            os.close(line)


def _begin(kind: bytes, lines: Sequence[socket.socket], seconds: float) -> None:
    channel = Channel(lines[0])
    if kind == b"k":
        _keep(channel, lines[1], seconds)
    else:
        _serve(channel, _flow(Flow(channel)) if kind == b"w" else _tool(Tool(channel)), seconds)


def _keep(channel: Channel, control: socket.socket, seconds: float) -> None:
    """Read a tool, and serve each line that comes then with a copy of this process."""
    tool = Tool(channel)
    if not isinstance(_answered(channel, _tool(tool), seconds), Loaded):
        return
    signal.setitimer(signal.ITIMER_PROF, 0)
    gc.collect()
    gc.freeze()
    while True:
        kind, lines, _, _ = socket.recv_fds(control, 1, 1)
        if not kind:
            return
        if os.fork() == 0:
            control.close()
            copy = Channel(socket.socket(fileno=lines[0]))
            with suppress(ClosedError, OSError):
                _serve(copy, _tool(tool.on(copy)), seconds)
            os._exit(0)
        os.close(lines[0])


def _serve(channel: Channel, answer: Answer, seconds: float) -> None:
    while True:
        _answered(channel, answer, seconds)


def _answered(channel: Channel, answer: Answer, seconds: float) -> ToNode:
    asked = channel.receive()
    signal.setitimer(signal.ITIMER_PROF, seconds)  # which ends this process, whether anybody still waits for it
    try:
        told = answer(asked)
    except REFUSED as error:
        told = Fault(reason=reason_of(error), unsupported=isinstance(error, UnsupportedRequirement))
    channel.send(told)
    return told


def _tool(tool: Tool) -> Answer:
    def answer(asked: ToEvaluator) -> ToNode:
        match asked:
            case Load():
                return tool.load(asked)
            case Command():
                return tool.command(asked)
            case Collect(code=code):
                return tool.collect(code)
            case _:
                raise ClosedError

    return answer


def _flow(flow: Flow) -> Answer:
    def answer(asked: ToEvaluator) -> ToNode:
        match asked:
            case Load():
                return flow.load(asked)
            case Begin():
                return flow.begin(asked)
            case Ended():
                return flow.ended(asked)
            case _:
                raise ClosedError

    return answer


if __name__ == "__main__":
    main()
