"""The sandbox gives what every runner gives."""

from tests.node.execute.test_sandbox import subject
from tests.runners.attacked import Attacked
from tests.runners.conformance import Conformance

__all__ = ["TestSandbox", "subject"]


class TestSandbox(Conformance, Attacked):
    pass
