"""An output file as a block writes it, and what leaves of it."""

from __future__ import annotations

from privacy.disclosure.examine import examine
from privacy.disclosure.ledger import Ledger
from privacy.disclosure.population import Populations
from privacy.disclosure.rules import Rules

FILE_OF_STATISTICS = """\
{"disclosure": 1, "type": "statistics", "by": ["diagnosis"], "measures": ["radius", "texture"],
 "groups": {"benign": {"count": 357, "sum": [4337.12, 6395.5]}, "malignant": {"count": 212, "sum": [3702.1, 4581.0]}}}
"""


def released(text: str) -> str:
    """What is written anew of a file of statistics about which nothing was released before."""
    examined = examine("statistics", text.encode(), "first", Rules(), Ledger(Populations.of(())).past(()))
    assert examined.text is not None, examined.line
    return examined.text.decode()
