"""What every runner gives a step and takes from it: one test each, run on all of them with the real daemons.

A runner is added by a file that makes a :class:`tests.runners.subject.Subject` and a class that inherits these tests.
"""

from __future__ import annotations

from tests.runners.bounded import Bounded
from tests.runners.case import GUARANTEES
from tests.runners.ended import Ended
from tests.runners.given import Given
from tests.runners.isolated import Isolated
from tests.runners.refused import Refused

__all__ = ["GUARANTEES", "Conformance"]


class Conformance(Given, Refused, Bounded, Isolated, Ended):
    """All of them."""
