"""The wall between what a peer can break and the node: the one place in this room that catches any exception.

libp2p runs each connection, stream and message as a task of one service, and a task that fails ends them all. What
a peer sends can make such a task fail in ways that its authors did not foresee, so every task that works on a
peer's bytes runs behind :func:`contain`, and so does the libp2p host as a whole.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

log: Final = logging.getLogger("comity.network")


async def contain(what: str, node: str, run: Callable[[], Awaitable[object]], *, ours: bool = False) -> bool:
    """Run ``run`` to its end, log whatever it raises, and say whether it ended well.

    Cancellation passes through. ``what`` and ``node`` name the task in the log; ``ours`` says that the fault would
    be this node's own, and is then logged with its traceback (a peer cannot fill the log with tracebacks).
    """
    failed = False
    try:
        await run()
    except* Exception as group:
        failed = True
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        cause = f"{type(first).__name__}: {str(first)[:200]}"
        log.log(logging.ERROR if ours else logging.WARNING, "%s (%s) failed: %s", what, node, cause, exc_info=ours)
        log.debug("%s (%s) failed", what, node, exc_info=group)
    return not failed
