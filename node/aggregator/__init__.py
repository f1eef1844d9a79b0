"""The aggregator: a block that every node carries, and whose tables its owner lets out without endorsing it.

Its files' CID is its name. Whoever changes a byte of them has another block, which a steward may endorse like any.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

NAME: Final = "aggregator"
FILES: Final[Mapping[str, str]] = {
    name: files(__name__).joinpath(name).read_text(encoding="utf-8") for name in ("tool.cwl", "aggregate.py")
}
"""The block: its tool and its program."""
