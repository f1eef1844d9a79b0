"""What the local interface tells of a submission on its way: what happened, by number, and what its steps wait for."""

from __future__ import annotations

from catalog.dagcbor import Value


class EventView(Value, frozen=True, kw_only=True):
    """What happened to a submission as its ``number``-th event, known to its node ``at`` (Unix milliseconds).

    Of ``kind`` ``state`` it is the submission that is in the state ``status`` now; of ``step`` an attempt at an
    instance, whose ``status`` is that of :class:`node.api.schema.InstanceView`. The fields of an attempt are empty
    in the former. ``wall`` is how long it ran by its receipt, in milliseconds and rounded up to a power of two;
    ``cost``, in millionths, what that charges.
    """

    number: int
    at: int
    kind: str
    status: str
    reason: str
    step: str = ""
    shard: int = 0
    attempt: int = 0
    site: str = ""
    site_name: str = ""
    wall: int | None = None
    cost: int = 0


class EventsPage(Value, frozen=True, kw_only=True):
    """Some events, in order. ``after`` is what the next page is asked for with; ``ended``: nothing more happens."""

    events: tuple[EventView, ...]
    after: int
    ended: bool


class StepView(Value, frozen=True, kw_only=True):
    """A step of a submission's workflow, and the steps whose outputs it takes."""

    step: str
    label: str
    after: tuple[str, ...]
    scattered: bool


class GraphView(Value, frozen=True, kw_only=True):
    """The steps of a workflow, each behind those that feed it."""

    label: str
    steps: tuple[StepView, ...]
