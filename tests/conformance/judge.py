"""Whether a case passes, as the suite's own comparison has it."""

from __future__ import annotations

from pathlib import Path

import trio
from cwltest.compare import CompareFail, compare  # type: ignore[import-untyped]

from catalog.error import ComityError
from node.execute.cwl.evaluator import Evaluator
from tests.conformance.local import Local
from tests.conformance.suite import Case

SECONDS = 120


async def judge(evaluator: Evaluator, suite: Path, folder: Path, case: Case) -> str:
    """Why ``case`` does not pass; empty if it does."""
    local = Local(evaluator, suite, folder)
    try:
        with trio.fail_after(SECONDS):
            outputs = await local.run(case)
    except ComityError as error:
        return "" if case.fails else str(error)
    except trio.TooSlowError:
        return f"it takes longer than {SECONDS} s"
    if case.fails:
        return "" if outputs is None else "it delivers, and should fail"
    if outputs is None:
        return local.reason or "it fails"
    try:
        compare(case.expected, outputs)
    except CompareFail as error:
        return " ".join(str(error).split())[:300]
    return ""
