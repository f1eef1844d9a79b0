"""A running node for the tests of its local interface."""

from tests.node.api.serving import researcher, running, steward

__all__ = ["researcher", "running", "steward"]
