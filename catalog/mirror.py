"""A site volunteers to hold what another one published, for whoever may read it, also while that one is away."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.key import Did


class MirrorFields(Value, frozen=True, kw_only=True):
    """The fields of a ``mirror`` entry: this site has the bytes of ``cid`` as ``owner`` published them.

    It says that they came from ``owner``, or from a site that said the same: so that they are the owner's to share.
    """

    cid: Cid
    owner: Did
    withdrawn: bool = False

    @property
    def subject(self) -> str:
        """The root, as its owner published it."""
        return mirrored(self.owner, self.cid)


def mirrored(owner: str, cid: Cid) -> str:
    """The subject of the entry of a mirror of what ``owner`` published as ``cid``."""
    return f"{owner}/{cid}"
