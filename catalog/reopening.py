"""A new epoch of a log, opened by the site's root key after a fork or a loss (PROTOCOL.md, Logs).

The new log is another one, of the origin ``ROOT-KEY/LOG/NUMBER``, whose first ``size`` leaves are those of the epoch
before it: what stood there keeps its place. What the old epoch had beyond them counts for nothing from then on, and
whoever holds it holds evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, ClassVar, Final

import msgspec

from catalog.body import Index
from catalog.dagcbor import Value
from catalog.dataset import Text
from catalog.error import VerificationFailed
from catalog.key import Did, Signed, check
from catalog.origin import MAX_NUMBER, LogName, origin_of

MAX_REOPENINGS: Final = 64
"""Epochs of the two logs of a site that are told of in one answer."""


class Reopening(Signed, frozen=True, kw_only=True):
    """Opens epoch ``number`` of a log of ``site``, signed by the key that acts as its root.

    ``size`` and ``root`` are of the leaves that it takes over, ``node`` is the key that signs from there on. ``lost``
    is how many leaves of the epoch before are known to be left behind.
    """

    DOMAIN: ClassVar[str] = "reopening"

    site: Did
    log: LogName
    number: Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)]
    size: Index
    root: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    node: Did
    lost: Index
    reason: Text

    @property
    def origin(self) -> str:
        """The origin of the log that it opens."""
        return origin_of(self.site, self.log, self.number)


class Reopenings(Value, frozen=True, kw_only=True):
    """The reopenings of one log, in their order, as they lie beside it."""

    chain: Annotated[tuple[Reopening, ...], msgspec.Meta(max_length=MAX_REOPENINGS)]


def check_chain(site: str, log: LogName, chain: Sequence[Reopening], roots: Sequence[str]) -> None:
    """Check the reopenings of one log: numbered from 1, each taking over what the one before took, signed by a root.

    ``roots`` are the keys that ever acted as the root of ``site``, the one of now last: it has signed the newest, so
    that a root key that was stolen and replaced opens nothing any more.

    Raises:
        VerificationFailed: one is of another log, out of order, takes over less than the one before it, or is signed
            by another key.
    """
    check_accepted(site, log, chain, roots)
    if chain and not _signed_by(chain[-1], *roots[-1:]):
        raise _unsigned(log)


def check_accepted(site: str, log: LogName, chain: Sequence[Reopening], roots: Sequence[str]) -> None:
    """Check reopenings that were accepted in their time: as :func:`check_chain`, by whichever root acted then.

    Raises:
        VerificationFailed: as for that.
    """
    size = 0
    for number, reopening in enumerate(chain, 1):
        if (reopening.site, reopening.log, reopening.number) != (site, log, number):
            raise VerificationFailed("the new epochs of a log are told out of order, or are of another log")
        if reopening.size < size:
            raise VerificationFailed("a new epoch of a log drops leaves that the epoch before it took over")
        size = reopening.size
        if not _signed_by(reopening, *roots):
            raise _unsigned(log)


def _unsigned(log: LogName) -> VerificationFailed:
    return VerificationFailed(
        f"a new epoch of the {log} log is not opened by the root key of its site; the log stays as it was"
    )


def _signed_by(reopening: Reopening, *dids: str) -> bool:
    for did in dids:
        with suppress(VerificationFailed):
            check(reopening, did)
            return True
    return False
