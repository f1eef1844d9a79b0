"""CWL's expressions in QuickJS: bounded in time, memory and depth, with nothing of the world to reach for.

Each expression has a context of its own (CWL v1.2, 3.4 «Expressions»: isolated, and never to change anything).
"""

from __future__ import annotations

import json
from typing import Any, Final

import quickjs  # type: ignore[import-untyped]
from cwl_utils.errors import JavascriptException
from cwl_utils.sandboxjs import JSEngine, NodeJSEngine, code_fragment_to_js

SECONDS: Final = 5
BYTES: Final = 256 << 20
STACK_BYTES: Final = 1 << 20


class QuickJs(JSEngine):
    """The engine, as cwl-utils asks for one. References of parameters need no JavaScript: those are its own."""

    regex_eval = NodeJSEngine.regex_eval

    def eval(self, scan: str, jslib: str = "", *_: object, **__: object) -> Any:
        """The value of ``scan``, an expression or a function's body in braces, after ``jslib``.

        Raises:
            JavascriptException: it throws, takes too long or too much, or yields what JSON has not.
        """
        context = quickjs.Context()
        context.set_time_limit(SECONDS)
        context.set_memory_limit(BYTES)
        context.set_max_stack_size(STACK_BYTES)
        try:
            context.set("code", code_fragment_to_js(scan, jslib))
            # By another name, eval works in the global scope, as a script of its own.
            text = context.eval("const run = eval; JSON.stringify(run(code))")
        except quickjs.JSException as error:
            raise JavascriptException(_told(str(error))) from error
        return json.loads(text) if isinstance(text, str) else None


def _told(message: str) -> str:
    first = message.strip().splitlines()[0] if message.strip() else "it was ended"
    if "interrupted" in first:
        return f"an expression took longer than {SECONDS} s"
    if "out of memory" in first or first == "null":
        return f"an expression took more than {BYTES >> 20} MiB"
    return first
