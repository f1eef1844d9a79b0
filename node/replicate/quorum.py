"""How many witnesses must cosign a log, who they are, and what that says of a log's age."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quorum:
    """``needed`` of ``witnesses`` (root key → node key), who are every member but the log's owner (PROTOCOL.md)."""

    needed: int
    witnesses: Mapping[str, str]

    def reached(self, cosigners: Iterable[str]) -> bool:
        """Whether enough of the witnesses are among ``cosigners``."""
        return len(set(cosigners) & set(self.witnesses)) >= self.needed

    def since(self, times: Mapping[str, int]) -> int | None:
        """When the quorum was complete, by what each witness says of its own cosigning; none if it is not.

        That is the time of the last one that was needed, so the liars whom the quorum outvotes can neither bring it
        forward by a false early time nor put it off by a false late one where enough others have cosigned.
        """
        told = sorted(at for witness, at in times.items() if witness in self.witnesses)
        return told[self.needed - 1] if 0 < self.needed <= len(told) else None
