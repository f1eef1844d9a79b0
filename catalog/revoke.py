"""Revocation of a grant: an entry that is never taken back, in the log of the owner or of whoever attenuated it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.key import Did


class RevokeFields(Value, frozen=True, kw_only=True):
    """The fields of a ``revoke`` entry: from now on ``grant``, and whatever attenuates it, counts for nothing.

    ``issuer`` is who signs, where somebody takes back a grant of their own: it ends no grant but such a one. It is
    null in the word of a steward. So whether the entry counts hangs on no other body, which may be hidden or erased.
    The ``reason`` is for people.
    """

    grant: Cid
    reason: Annotated[str, msgspec.Meta(max_length=400)]
    issuer: Did | None = None

    @property
    def subject(self) -> str:
        """What it is about, as entries name it: nobody's word takes the place of another's."""
        return subject_of(self.grant, self.issuer)


def subject_of(grant: Cid, issuer: str | None) -> str:
    """The subject of a revocation of ``grant`` by its ``issuer``, or by stewards."""
    return str(grant) if issuer is None else f"{grant}/{issuer}"
