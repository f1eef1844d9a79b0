"""``python -m tests.conformance [ID…]``: all cases, or those named; a line for each that does not pass, then by tag.

It ends with 1 if a case does not pass that ``docs/conformance.md`` does not list, or if one passes that it lists.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import trio

from node.execute.cwl.evaluator import Evaluator
from tests.conformance.judge import judge
from tests.conformance.known import known
from tests.conformance.suite import cases, copied


async def main(names: set[str]) -> int:
    """0 if what does not pass is what is known not to."""
    chosen = [each for each in cases() if not names or each.id in names]
    passed, total, failed = Counter[str](), Counter[str](), set[str]()
    evaluator, began = Evaluator(), time.monotonic()
    with copied() as suite:
        for number, case in enumerate(chosen, 1):
            with tempfile.TemporaryDirectory() as folder:
                os.chmod(folder, 0o755)
                fault = await judge(evaluator, suite, Path(folder), case)
            for tag in (*case.tags, "all"):
                total[tag] += 1
                passed[tag] += not fault
            if fault:
                failed.add(case.id)
                print(f"{number:4} {case.id}: {fault}", flush=True)
    await evaluator.aclose()
    for tag in sorted(total, key=lambda tag: (tag == "all", tag)):
        print(f"{tag:28} {passed[tag]}/{total[tag]}")
    print(f"{time.monotonic() - began:.0f} s")
    listed = known() & {each.id for each in chosen}
    for each in sorted(failed ^ listed):
        print(f"{each}: {'fails' if each in failed else 'passes'}, and docs/conformance.md says otherwise")
    return int(failed != listed)


sys.exit(trio.run(main, set(sys.argv[1:])))
