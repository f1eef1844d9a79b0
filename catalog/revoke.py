"""Revocation of a grant: an entry that is never taken back, in the log of the owner or of whoever attenuated it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.cid import Cid
from catalog.dagcbor import Value


class RevokeFields(Value, frozen=True, kw_only=True):
    """The fields of a ``revoke`` entry: from now on ``grant``, and whatever attenuates it, counts for nothing.

    The ``reason`` is for people.
    """

    grant: Cid
    reason: Annotated[str, msgspec.Meta(max_length=400)]
