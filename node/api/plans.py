"""Plans as the local interface asks for them and gives them."""

from __future__ import annotations

import msgspec

from catalog.cid import Cid
from catalog.dagcbor import Value
from node.api.schema import ElsewhereView


class PlanRequest(Value, frozen=True, kw_only=True):
    """What to plan: CWL text, the job as JSON (Files as ``comity:CID``), limits, and what a shortage may cost.

    ``deadline`` is Unix milliseconds, ``budget`` millionths, ``min_sites`` how many shards must deliver (``None``:
    all of them). ``project_site`` is the root key of the project's site. ``objective`` is ``finish``, ``cost`` or
    ``both``, ``improve`` how many seconds a better plan may be looked for; with ``ask`` each site says in advance what
    its policy would say. ``after`` is the submission that is asked for once more: what delivered in it stays at its
    site, which remembers it.
    """

    workflow: str
    job: msgspec.Raw
    project: str
    project_site: str
    deadline: int
    budget: int
    min_sites: int | None
    objective: str = "finish"
    improve: float = 0.0
    after: Cid | None = None
    ask: bool = True


class PlannedView(Value, frozen=True, kw_only=True):
    """One step instance of a plan: where it runs, when (ms from the start), at what cost, and why not elsewhere.

    ``moved`` are bytes of other sites' datasets. Its duration rests on so many ``receipts``, of which slow ones took
    ``spread`` times as long as quick ones; ``basis`` says of what. ``said`` is what the site said in advance: that its
    policy allows it, how many stewards it asks then, or that it gave no answer; empty if it was not asked.
    """

    step: str
    shard: int
    site: str
    site_name: str
    data: tuple[str, ...]
    start: int
    finish: int
    cost: int
    elsewhere: tuple[ElsewhereView, ...]
    moved: int
    receipts: int
    spread: float
    basis: str
    said: str = ""


class AbsentView(Value, frozen=True, kw_only=True):
    """A shard that a plan goes without, on ``data`` that those ``sites`` hold, and why each site does not run it."""

    step: str
    shard: int
    data: tuple[str, ...]
    sites: tuple[str, ...]
    reasons: tuple[ElsewhereView, ...]


class PointView(Value, frozen=True, kw_only=True):
    """A plan that could be had instead: its finish, in ms from the start, and its cost, in millionths."""

    finish: int
    cost: int


class PlanView(Value, frozen=True, kw_only=True):
    """A plan: its instances, its cost and its finish against budget and deadline.

    No plan within these ends before ``least_finish``, and none costs less than ``least_cost``. ``front`` are the best
    that were found, from the first to the cheapest, if both was asked for. Of scattered steps ``min_sites`` shards must
    deliver; ``absent`` are those that it goes without. ``unforeseen`` are steps that are scattered over a list that is
    made first: each is planned as if it ran once.
    """

    steps: tuple[PlannedView, ...]
    cost: int
    budget: int
    finish: int
    deadline: int
    least_finish: int
    least_cost: int
    front: tuple[PointView, ...] = ()
    min_sites: int = 1
    absent: tuple[AbsentView, ...] = ()
    unforeseen: tuple[str, ...] = ()


class Prepared(Value, frozen=True, kw_only=True):
    """A plan, and the submission that would carry it out, not yet signed (its ``sig`` is zero)."""

    plan: PlanView
    submission: bytes
