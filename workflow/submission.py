"""A submission: what a person asks for, signed once, so that the laptop may close (PROTOCOL.md)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from catalog.body import Index, Millis
from catalog.cid import Cid
from catalog.key import Did, Signed
from catalog.label import Reader
from catalog.offer import Micros
from catalog.project import ProjectRef
from workflow.argument import Argument

Nonce = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Count = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class Submission(Signed, frozen=True, kw_only=True):
    """A signed request for a workflow run.

    ``site`` is the person's home; ``workflow`` the raw CID of the CWL text; ``destinations`` the sites that may gain
    results; ``deadline`` Unix milliseconds; ``budget`` millionths of the consortium's unit; ``min_sites`` how many
    shards of a scatter must deliver; ``buses`` the node keys that may send its orders.
    """

    DOMAIN: ClassVar[str] = "submission"

    consortium: Cid
    epoch: Index
    person: Did
    site: Did
    project: ProjectRef
    workflow: Cid
    inputs: Annotated[dict[str, Argument], msgspec.Meta(max_length=256)]
    grants: Annotated[tuple[Cid, ...], msgspec.Meta(max_length=256)]
    destinations: Annotated[tuple[Reader, ...], msgspec.Meta(max_length=256)]
    deadline: Millis
    budget: Micros
    min_sites: Count
    not_before: Millis
    not_after: Millis
    buses: Annotated[tuple[Did, ...], msgspec.Meta(min_length=1, max_length=16)]
    nonce: Nonce
