"""Nodes of a simulated consortium that carry a block as their own aggregator."""

from __future__ import annotations

from functools import partial

from catalog.cid import Cid
from node.automator.decide import Judge
from tests.simulation.node import Node


def carrying(aggregator: Cid) -> type[Node]:
    """A node whose own aggregator is the block ``aggregator``."""

    class Carrying(Node):
        judge_class = staticmethod(partial(Judge, aggregator=aggregator))

    return Carrying
