"""The sandbox gives what every runner gives."""

from tests.node.execute.test_sandbox import TestSandbox, subject

__all__ = ["TestSandbox", "subject"]
