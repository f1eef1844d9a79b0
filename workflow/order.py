"""An order: one step instance sent to a site, signed by a bus node that the submission names (PROTOCOL.md)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from catalog.block import OutputName, OutputType
from catalog.body import Index, Millis
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.key import Did, Signed
from catalog.label import Reader
from catalog.offer import Micros
from workflow.argument import Argument
from workflow.submission import Count

StepName = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*\Z")]
MAX_SHARDS = 4096


class Wanted(Value, frozen=True, kw_only=True):
    """One output that an order expects, with its declared type and the sites that should gain it."""

    type: OutputType
    readers: Annotated[tuple[Reader, ...], msgspec.Meta(max_length=256)]


class Instance(Value, frozen=True, kw_only=True):
    """What is released and charged at most once: a step of a submission for one shard."""

    submission: Cid
    step: StepName
    shard: Annotated[int, msgspec.Meta(ge=0, lt=MAX_SHARDS)]

    def __str__(self) -> str:
        return f"{self.step}[{self.shard}]"


class Order(Signed, frozen=True, kw_only=True):
    """One step instance for ``site``.

    ``proofs`` name the final receipts from which the labels of ``inputs`` are recomputed; they travel beside the
    order. ``max_cost`` is in millionths, ``not_after`` Unix milliseconds: at it the site ends the step.
    """

    DOMAIN: ClassVar[str] = "order"

    consortium: Cid
    epoch: Index
    submission: Cid
    step: StepName
    shard: Annotated[int, msgspec.Meta(ge=0, lt=MAX_SHARDS)]
    attempt: Count
    site: Did
    bus: Did
    block: Cid
    inputs: Annotated[dict[str, Argument], msgspec.Meta(max_length=256)]
    proofs: Annotated[tuple[Cid, ...], msgspec.Meta(max_length=MAX_SHARDS)]
    outputs: Annotated[dict[OutputName, Wanted], msgspec.Meta(max_length=256)]
    max_cost: Micros
    not_after: Millis

    @property
    def instance(self) -> Instance:
        """The step instance that this is an attempt at."""
        return Instance(submission=self.submission, step=self.step, shard=self.shard)
