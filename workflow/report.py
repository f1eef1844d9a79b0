"""A report: a holder tells another owner of what a step made that it shall have more readers (PROTOCOL.md, Release).

The owner sees which order made it of what, and answers with its own :class:`workflow.receipt.Release`, or not.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from catalog.block import OutputName, OutputType
from catalog.cid import Cid
from catalog.dataset import Text
from catalog.key import Did, Signed
from catalog.label import MAX_OWNERS, Reader
from workflow.argument import Handle
from workflow.order import Instance


class Report(Signed, frozen=True, kw_only=True):
    """What the ``node`` of ``site`` says of the ``output`` that ``order`` made there.

    ``value`` is its CID under a key that goes to its readers alone (:meth:`catalog.cid.Cid.keyed`): an owner need not
    be one of them, and a small table's CID is its content. ``owners`` are those of its label, ``readers`` those whom
    the order wants, both sorted; ``finding`` is what the holder's own check found of it.
    """

    DOMAIN: ClassVar[str] = "report"

    order: Cid
    instance: Instance
    output: OutputName
    handle: Handle
    value: Cid
    type: OutputType
    owners: Annotated[tuple[Did, ...], msgspec.Meta(min_length=1, max_length=MAX_OWNERS)]
    readers: Annotated[tuple[Reader, ...], msgspec.Meta(min_length=1, max_length=256)]
    block: Cid
    finding: Text
    site: Did
    node: Did
